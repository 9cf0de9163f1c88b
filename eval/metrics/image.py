"""Pixel by pixel against the truth: PSNR and mean differences."""

from __future__ import annotations

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch, SampleMetric, mean
from registry import register_metric

PSNR_CEILING = 100.0


@register_metric(1, "dB", True, needs=("truth",))
def psnr() -> SampleMetric:
    """Peak signal-to-noise ratio against the truth, on 0..255; the mean over images, identical images count 100 dB."""
    return mean(_psnr)


@register_metric(1, "", False, needs=("truth",))
def l1() -> SampleMetric:
    """Mean absolute difference to the truth, in units where black is -1 and white is 1."""
    return mean(lambda batch: _difference(batch).abs().flatten(1).mean(1) / 127.5)


@register_metric(1, "", False, needs=("truth",))
def mse() -> SampleMetric:
    """Mean squared difference to the truth, in units where black is 0 and white is 1; as PortraitGAN reports."""
    return mean(lambda batch: (_difference(batch) / 255).square().flatten(1).mean(1))


@register_metric(1, "", False, needs=("truth",))
def mae_gfla() -> SampleMetric:
    """GFLA's MAE: sum of absolute differences to the truth over the sum of both pictures' levels, the mean over images.

    Two black pictures have no sum, and so no score.
    """
    return SampleMetric(_relative_error)


@register_metric(1, "", False, needs=("source", "cycle"))
def cycle_error() -> SampleMetric:
    """Mean absolute difference between the source and the result translated back, where black is -1 and white is 1.

    The result is rounded to bytes before it goes back, so that nothing can hide in digits that no file would hold;
    see Chu et al. 2017, "CycleGAN, a master of steganography". A model that does nothing scores 0.
    """
    return mean(
        lambda batch: (batch.get("cycle").double() - batch.get("source").double()).abs().flatten(1).mean(1) / 127.5
    )


def _psnr(batch: EvalBatch) -> Tensor:
    error = _difference(batch).square().flatten(1).mean(1)
    return (10 * torch.log10(255**2 / error)).clamp(max=PSNR_CEILING)


def _relative_error(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    total = (batch.generated.double() + batch.get("truth").double()).flatten(1).sum(1)
    lit = total > 0
    error = _difference(batch).abs().flatten(1).sum(1) / total.clamp(min=1)
    return error * lit, lit


def _difference(batch: EvalBatch) -> Tensor:
    return batch.generated.double() - batch.get("truth").double()
