"""Losses on the mask that says what is painted (1) and what is only moved (0).

`*_cycle` charge the way back for the same: GANimation and DefGAN add up both passes.
"""

from __future__ import annotations

from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, Pass, need, per_sample, translation
from geotrans.ops.flow import total_variation
from registry import register_loss


@register_loss("output")
def mask_area(kept: bool = False, p: float = 1.0) -> LossFn:
    """Share of the image that is painted: the mean of the mask, so 0 where nothing is. SPM, Eq. 5.

    Args:
        kept: the share that is *not* painted, the mean of (1 - mask)^p. GANimation penalises its attention mask, whose
            1 keeps the input, so that it does not settle at "change nothing".
        p: the mean of mask^p. DefGAN has 2 (Eq. 15), under which half painted everywhere costs less than painted in
            half of the places.

    Raises:
        ValueError: p is below 1, where the gradient at an empty mask is infinite.
    """
    return _area("output", kept, p)


@register_loss("cycle")
def mask_area_cycle(kept: bool = False, p: float = 1.0) -> LossFn:
    """`mask_area` of the way back."""
    return _area("cycle", kept, p)


@register_loss("output")
def mask_tv(squared: bool = False) -> LossFn:
    """Total variation of the mask: mean |difference| between neighbours, across plus down; 0 for a constant mask.

    Args:
        squared: squared differences, as in the papers of GANimation and DefGAN (Eq. 15), which sum over pixels: on
            N x N pixels, their weight times N * (N - 1) is the weight here. GANimation's code sums absolute ones over
            pixels and batch: there it is its weight times N * (N - 1) * batch size.
    """
    return _variation("output", squared)


@register_loss("cycle")
def mask_tv_cycle(squared: bool = False) -> LossFn:
    """`mask_tv` of the way back."""
    return _variation("cycle", squared)


def _area(of: Pass, kept: bool, p: float) -> LossFn:
    if p < 1:
        raise ValueError(f"p: expected at least 1, got {p}")

    def loss(inputs: LossInputs) -> Tensor:
        mask = _mask(inputs, of)
        share = 1 - mask if kept else mask
        return per_sample(share if p == 1 else share.pow(p))

    return loss


def _variation(of: Pass, squared: bool) -> LossFn:
    def loss(inputs: LossInputs) -> Tensor:
        return total_variation(_mask(inputs, of), power=2 if squared else 1)

    return loss


def _mask(inputs: LossInputs, of: Pass) -> Tensor:
    return need(translation(inputs, of).mask, f"{of}.mask (a generator that paints)")
