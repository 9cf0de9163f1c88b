"""Pixel by pixel against the truth: PSNR, SSIM and L1."""

from __future__ import annotations

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch, SampleMetric, mean
from registry import register_metric

PSNR_CEILING = 100.0
_WINDOW = 11
_SIGMA = 1.5


@register_metric(1, "dB", True, needs=("truth",))
def psnr() -> SampleMetric:
    """Peak signal-to-noise ratio against the truth, on 0..255; the mean over images, identical images count 100 dB."""
    return mean(_psnr)


@register_metric(1, "", True, needs=("truth",))
def ssim() -> SampleMetric:
    """Structural similarity to the truth: Gaussian window 11, sigma 1.5, data range 255, mean over RGB and pixels."""
    return mean(lambda batch: structural_similarity(batch.generated, batch.get("truth")))


@register_metric(1, "", False, needs=("truth",))
def l1() -> SampleMetric:
    """Mean absolute difference to the truth, in units where black is -1 and white is 1."""
    return mean(lambda batch: _difference(batch).abs().flatten(1).mean(1) / 127.5)


def _psnr(batch: EvalBatch) -> Tensor:
    error = _difference(batch).square().flatten(1).mean(1)
    return (10 * torch.log10(255**2 / error)).clamp(max=PSNR_CEILING)


def _difference(batch: EvalBatch) -> Tensor:
    return batch.generated.double() - batch.get("truth").double()


def structural_similarity(a: Tensor, b: Tensor) -> Tensor:
    """SSIM of two uint8 batches (B, C, H, W), (B,) in [-1, 1]; Wang et al. 2004, eq. 13, over whole windows only.

    Equal to `skimage.metrics.structural_similarity` with gaussian_weights, sigma 1.5, use_sample_covariance False and
    data_range 255.

    Raises:
        ValueError: the shapes differ, or an image is smaller than the window.
    """
    if a.shape != b.shape or min(a.shape[-2:]) < _WINDOW:
        raise ValueError(
            f"ssim: expected two batches of one shape, at least {_WINDOW} pixels a side, "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    x, y = a.double(), b.double()
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return (top / bottom).flatten(1).mean(1)


def _blur(image: Tensor) -> Tensor:
    """Gaussian mean of every whole window: (B, C, H, W) -> (B, C, H - 10, W - 10)."""
    rows, columns = (_windows(side, image) for side in image.shape[-2:])
    return rows @ image @ columns.T


def _windows(side: int, like: Tensor) -> Tensor:
    """(side - 10, side): each row holds the window's weights at one place. Matrices outrun convolutions in float64."""
    offsets = torch.arange(_WINDOW, dtype=like.dtype, device=like.device) - _WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    places = side - _WINDOW + 1
    matrix = like.new_zeros(places, side)
    for place in range(places):
        matrix[place, place : place + _WINDOW] = weights / weights.sum()
    return matrix
