"""Losses on the mask that says what is painted (1) and what is only moved (0)."""

from __future__ import annotations

from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.ops.flow import total_variation
from registry import register_loss


@register_loss("output")
def mask_area(kept: bool = False) -> LossFn:
    """Share of the image that is painted: the mean of the mask, so 0 where nothing is. SPM, Eq. 5.

    Args:
        kept: the share that is *not* painted. GANimation penalises its attention mask, whose 1 keeps the input, so that
            it does not settle at "change nothing".
    """

    def loss(inputs: LossInputs) -> Tensor:
        area = per_sample(_mask(inputs))
        return 1 - area if kept else area

    return loss


@register_loss("output")
def mask_tv(squared: bool = False) -> LossFn:
    """Total variation of the mask: mean |difference| between neighbours, across plus down; 0 for a constant mask.

    Args:
        squared: squared differences, as in the GANimation paper. Its code sums absolute ones over pixels and batch:
            on N x N pixels, its weight times N * (N - 1) * batch size is the weight here.
    """

    def loss(inputs: LossInputs) -> Tensor:
        return total_variation(_mask(inputs), power=2 if squared else 1)

    return loss


def _mask(inputs: LossInputs) -> Tensor:
    return need(need(inputs.output, "output").mask, "output.mask (a generator that paints)")
