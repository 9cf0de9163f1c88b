"""Losses on a flow field itself: smooth, small, without folds, and undone on the way back.

`*_cycle` charge the way back for the same: DefGAN adds up both passes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, Pass, need, per_sample, translation
from geotrans.ops.flow import compose, jacobian_determinant, total_variation
from registry import register_loss


@register_loss("output")
def flow_tv(squared: bool = False) -> LossFn:
    """Total variation of the flow: mean |difference| between neighbours, across plus down; 0 for a translation.

    Convention: differences between neighbouring pixels, in normalised units (2 = image width or height). The same
    smooth flow gives half the value at twice the resolution (a quarter when squared).

    Args:
        squared: squared differences. The batch mean times 2 is the `TVLoss` of the official SPM code on the same field.
            DefGAN (Eq. 14) sums them over both channels and all pixels: on N x N pixels, its weight times
            2 * N * (N - 1) is the weight here.
    """
    return _variation("output", squared)


@register_loss("cycle")
def flow_tv_cycle(squared: bool = False) -> LossFn:
    """`flow_tv` of the way back."""
    return _variation("cycle", squared)


@register_loss("output")
def flow_identity(p: float = 1.0) -> LossFn:
    """How far the flow moves pixels: mean |flow|^p over both channels; 0 for no motion. DefGAN, Eq. 14, has p = 2.

    Convention: normalised units (2 = image width or height).

    Raises:
        ValueError: p is below 1, where the gradient at no motion is infinite.
    """
    return _size("output", p)


@register_loss("cycle")
def flow_identity_cycle(p: float = 1.0) -> LossFn:
    """`flow_identity` of the way back."""
    return _size("cycle", p)


@register_loss("output", "cycle")
def flow_compose() -> LossFn:
    """What is left of the motion there after the motion back: mean square of their composition. DefGAN, Eq. 13.

    0 where one undoes the other. Mean over both channels, in normalised units (2 = image width or height). Flows are
    composed and not sampling positions, with border padding (`ops.flow.compose`): a shift and its opposite then cost
    nothing at the borders either.
    """

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample(compose(_flow(inputs, "output"), _flow(inputs, "cycle")).square())

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
        return per_sample(F.relu(margin - jacobian_determinant(_flow(inputs, "output"))))

    return loss


def _variation(of: Pass, squared: bool) -> LossFn:
    def loss(inputs: LossInputs) -> Tensor:
        return total_variation(_flow(inputs, of), power=2 if squared else 1)

    return loss


def _size(of: Pass, p: float) -> LossFn:
    if p < 1:
        raise ValueError(f"p: expected at least 1, got {p}")

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample(_flow(inputs, of).abs().pow(p))

    return loss


def _flow(inputs: LossInputs, of: Pass) -> Tensor:
    return need(translation(inputs, of).flow, f"{of}.flow (a generator that warps)")
