"""Structural similarity over several scales, as a loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need
from registry import register_loss

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, fine to coarse (Wang et al., 2003)
SMALLEST = 1e-6  # a scale's similarity may be negative, and has no real power then


@register_loss("cycle")
def ms_ssim(
    window: int = 11, sigma: float = 1.5, k1: float = 0.01, k2: float = 0.03, scales: int = len(WEIGHTS)
) -> LossFn:
    """1 - MS-SSIM of the source and itself translated there and back; 0 when equal, else below 1.

    For each channel the product over scales of the mean contrast-structure similarity (at the coarsest, with luminance)
    to the power of the scale's weight; then the mean over channels. On images in [0, 1]. Wang et al., 2003.

    Differences from GANimorph's code, whose options are window=8, k1=0.03, k2=0.05: a scale's mean is taken over one
    sample's pixels and not the batch's, and a negative covariance counts as such; there its absolute value does, so
    that a texture and its negative are alike.

    Args:
        window: side of the Gaussian window, which sees whole neighbourhoods only. An even one is heaviest at the pixel
            left of and above its middle, as in GANimorph.
        sigma: the Gaussian's standard deviation in pixels.
        k1: keeps the luminance of dark places from counting too much.
        k2: the same for the contrast of flat places.
        scales: each halves the image; below 5 the weights of the finest are enlarged to a sum of 1, and 1 is SSIM.

    Raises:
        ValueError: an option is out of its range; or, when first computed, the image is too small.
    """
    if not 1 <= scales <= len(WEIGHTS):
        raise ValueError(f"scales: expected 1 to {len(WEIGHTS)}, got {scales}")
    if window < 1 or not sigma > 0:
        raise ValueError(f"expected a window of at least 1 pixel and a sigma above 0, got {window} and {sigma}")
    total = sum(WEIGHTS[:scales]) if scales < len(WEIGHTS) else 1.0
    weights = [weight / total for weight in WEIGHTS[:scales]]
    least = (window - 1) * 2 ** (scales - 1) + 1

    def loss(inputs: LossInputs) -> Tensor:
        size = tuple(inputs.image.shape[2:])
        if min(size) < least:
            raise ValueError(
                f"ms_ssim: {scales} scales of a window of {window} need at least {least} pixels a side, got {size}; "
                "use fewer scales or a smaller window"
            )
        a, b = (_unit(image) for image in (need(inputs.cycle, "cycle").image, inputs.image))
        kernel = _gaussian(window, sigma).to(a)
        similarity = torch.ones_like(a[:, :, 0, 0])
        for scale, weight in enumerate(weights):
            if scale:
                a, b = (F.avg_pool2d(image, 2, ceil_mode=True) for image in (a, b))
            luminance, structure = _similarity(a, b, kernel, k1**2, k2**2)
            mean = (structure if scale < scales - 1 else luminance * structure).mean((2, 3))
            similarity = similarity * mean.clamp(min=SMALLEST).pow(weight)
        return 1 - similarity.mean(1)

    return loss


def _unit(image: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], in float32 or better: variances are differences of large numbers."""
    return (image.to(torch.promote_types(image.dtype, torch.float32)) + 1) / 2


def _gaussian(window: int, sigma: float) -> Tensor:
    offsets = torch.arange(window, dtype=torch.float64) - (window - 1) // 2
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    return kernel / kernel.sum()


def _similarity(a: Tensor, b: Tensor, kernel: Tensor, c1: float, c2: float) -> tuple[Tensor, Tensor]:
    """The luminance and the contrast-structure similarity at every place where the window fits, (B, C, h, w) each."""
    stacked = torch.stack([a, b, a * a, b * b, a * b])  # (5, B, C, H, W)
    planes = stacked.flatten(0, 2)[:, None]
    blurred = F.conv2d(F.conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    mean_a, mean_b, square_a, square_b, product = blurred.view(*stacked.shape[:3], *blurred.shape[2:])
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    return luminance, (2 * (product - mean_a * mean_b) + c2) / (variances + c2)
