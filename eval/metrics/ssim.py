"""Structural similarity to the truth, as each paper computes it: the variants do not compare with each other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from eval.metrics.base import SampleMetric, mean
from registry import register_metric

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of the scales, fine to coarse


def gaussian(size: int = 11, sigma: float = 1.5) -> Tensor:
    """A window's weights along one axis, (size,), with sum 1."""
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    return weights / weights.sum()


def uniform(size: int) -> Tensor:
    """A window that weighs its pixels alike, (size,)."""
    return torch.full((size,), 1 / size, dtype=torch.float64)


def structural_similarity(
    a: Tensor,
    b: Tensor,
    *,
    window: Tensor | None = None,
    unbiased: bool = False,
    data_range: float | Tensor = 255.0,
) -> Tensor:
    """SSIM of two uint8 batches (B, C, H, W), (B,) in [-1, 1]; Wang et al. 2004, eq. 13, over whole windows only.

    Equal to `skimage.metrics.structural_similarity`; with the defaults to its gaussian_weights, sigma 1.5 and
    use_sample_covariance False.

    Args:
        window: weights along one axis; None: a Gaussian of 11 pixels with sigma 1.5.
        unbiased: divide covariances by the window's pixels less one.
        data_range: of all pictures, or one a picture (B,).

    Raises:
        ValueError: the shapes differ, or an image is smaller than the window.
    """
    luminance, structure = _similarities(a.double(), b.double(), window, unbiased, data_range)
    return (luminance * structure).flatten(1).mean(1)


def multiscale_similarity(a: Tensor, b: Tensor) -> Tensor:
    """MS-SSIM of two uint8 batches (B, C, H, W), (B,) in [0, 1]; Wang et al. 2003, eq. 7, with five scales.

    A channel's score is the product over scales of the mean contrast-structure similarity, at the coarsest with
    luminance, to the power of the scale's weight; the mean over channels counts. Scales below 0 count 0.

    Raises:
        ValueError: the shapes differ, or an image is below 161 pixels a side.
    """
    least = 10 * 2 ** (len(SCALES) - 1) + 1
    if min(a.shape[-2:]) < least:
        raise ValueError(f"MS-SSIM needs pictures of at least {least} pixels a side, got {tuple(a.shape[-2:])}")
    x, y = a.double(), b.double()
    product = x.new_ones(x.shape[:2])
    for scale, weight in enumerate(SCALES):
        if scale:
            x, y = (F.avg_pool2d(image, 2, ceil_mode=True) for image in (x, y))
        luminance, structure = _similarities(x, y, None, False, 255.0)
        coarsest = scale == len(SCALES) - 1
        value = (luminance * structure if coarsest else structure).flatten(2).mean(2)
        product = product * value.clamp(min=0) ** weight
    return product.mean(1)


def _similarities(
    x: Tensor, y: Tensor, window: Tensor | None, unbiased: bool, data_range: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Luminance and contrast-structure similarity at every place where the window fits, (B, C, h, w) each."""
    weights = gaussian() if window is None else window
    size = len(weights)
    if x.shape != y.shape or min(x.shape[-2:]) < size:
        raise ValueError(
            f"ssim: expected two batches of one shape, at least {size} pixels a side, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    rows, columns = (_windows(side, weights.to(x)) for side in x.shape[-2:])

    def blur(image: Tensor) -> Tensor:
        return rows @ image @ columns.T

    mean_x, mean_y = blur(x), blur(y)
    share = size**2 / (size**2 - 1) if unbiased else 1.0
    variances = share * (blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2)
    covariance = share * (blur(x * y) - mean_x * mean_y)
    span = torch.as_tensor(data_range).to(x).reshape(-1, 1, 1, 1)
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def _windows(side: int, weights: Tensor) -> Tensor:
    """(places, side): each row holds the window's weights at one place. Matrices outrun convolutions in float64."""
    places = side - len(weights) + 1
    matrix = weights.new_zeros(places, side)
    for place in range(places):
        matrix[place, place : place + len(weights)] = weights
    return matrix


def _against_truth(similarity: Callable[[Tensor, Tensor], Tensor]) -> SampleMetric:
    return mean(lambda batch: similarity(batch.generated, batch.get("truth")))


@register_metric(1, "", True, needs=("truth",))
def ssim() -> SampleMetric:
    """Structural similarity to the truth: Gaussian window 11, sigma 1.5, data range 255, mean over RGB and pixels."""
    return _against_truth(structural_similarity)


@register_metric(1, "", True, needs=("truth",))
def ssim_patn() -> SampleMetric:
    """SSIM as PATN, Def-GAN and GFLA (its SSIM_256) report: `ssim`, with each result's own range of levels as range.

    A result of low contrast is forgiven less by the range it has.
    """

    def similarity(generated: Tensor, truth: Tensor) -> Tensor:
        levels = generated.flatten(1)
        return structural_similarity(generated, truth, data_range=(levels.amax(1) - levels.amin(1)).double())

    return _against_truth(similarity)


@register_metric(1, "", True, needs=("truth",))
def ssim_gfla51() -> SampleMetric:
    """SSIM as GFLA's SSIM: a uniform window of 51 pixels, sample covariances, data range 255."""
    return _against_truth(lambda a, b: structural_similarity(a, b, window=uniform(51), unbiased=True))


@register_metric(1, "", True, needs=("truth",))
def ssim_uniform7() -> SampleMetric:
    """SSIM with scikit-image's defaults, as Intr-Flow: a uniform window of 7 pixels, sample covariances, range 255."""
    return _against_truth(lambda a, b: structural_similarity(a, b, window=uniform(7), unbiased=True))


@register_metric(1, "", True, needs=("truth",))
def ms_ssim() -> SampleMetric:
    """Structural similarity to the truth over five scales, of pictures of at least 161 pixels; Wang et al. 2003."""
    return _against_truth(multiscale_similarity)
