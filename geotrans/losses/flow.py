"""Losses on a flow field itself: smooth, small, and without folds."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.ops.flow import jacobian_determinant, total_variation
from registry import register_loss


@register_loss("output")
def flow_tv(squared: bool = False) -> LossFn:
    """Total variation of the flow: mean |difference| between neighbours, across plus down; 0 for a translation.

    Convention: differences between neighbouring pixels, in normalised units (2 = image width or height). The same
    smooth flow gives half the value at twice the resolution (a quarter when squared).

    Args:
        squared: squared differences. The batch mean times 2 is the `TVLoss` of the official SPM code on the same field.
    """

    def loss(inputs: LossInputs) -> Tensor:
        return total_variation(_flow(inputs), power=2 if squared else 1)

    return loss


@register_loss("output")
def flow_identity(p: float = 1.0) -> LossFn:
    """How far the flow moves pixels: mean |flow|^p over both channels; 0 for no motion.

    Convention: normalised units (2 = image width or height).

    Raises:
        ValueError: p is below 1, where the gradient at no motion is infinite.
    """
    if p < 1:
        raise ValueError(f"p: expected at least 1, got {p}")

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample(_flow(inputs).abs().pow(p))

    return loss


@register_loss("output")
def flow_fold(margin: float = 0.0) -> LossFn:
    """Folds of the warp: mean max(0, margin - det), det the Jacobian determinant of p -> p + flow(p).

    Convention: `ops.flow.jacobian_determinant`, one value a cell of four neighbouring pixels. The identity has 1, a
    mirrored cell is below 0.

    Args:
        margin: smallest determinant that costs nothing; in [0, 1), so that no motion is free.

    Raises:
        ValueError: the margin is out of its range.
    """
    if not 0 <= margin < 1:
        raise ValueError(f"margin: expected a number in [0, 1), got {margin}")

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample(F.relu(margin - jacobian_determinant(_flow(inputs))))

    return loss


def _flow(inputs: LossInputs) -> Tensor:
    return need(need(inputs.output, "output").flow, "output.flow (a generator that warps)")
