"""Losses on the condition that a discriminator reads off an image: is it the wanted one?

`*_real` teaches the discriminator (the critique of the source image against the source's condition), `*_fake` the
generator (the critique of its output against the target), and `*_moved` its motion (the critique of the warped image).
The critique holds logits for attributes, emotion and modality, and values for action units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need
from geotrans.types import Condition, Critique
from registry import register_loss

Reduction = Literal["sum", "mean"]
OneHot = Literal["emotion", "modality"]
Part = Literal["attributes", "aus", "emotion", "modality"]
Distance = Callable[[Tensor, Tensor], Tensor]


@register_loss("real", "source")
def cls_bce_real(reduction: Reduction = "sum", where: int | None = None) -> LossFn:
    """Binary cross-entropy of the attributes read off the source image; 0 where all are right and sure.

    Args:
        reduction: over the attributes of a sample. "sum" is StarGAN's, which its weight of 1 was tuned with; "mean"
            keeps its size when attributes are added.
        where: count only the samples whose modality is this column: of several sets, one may not know the attributes.
    """
    return _only_where("source", where, _on_real("attributes", reduction))


@register_loss("fake", "target")
def cls_bce_fake(reduction: Reduction = "sum", where: int | None = None) -> LossFn:
    """Binary cross-entropy of the attributes read off the output, against the target's; see `cls_bce_real`."""
    return _only_where("target", where, _on_fake("attributes", reduction))


@register_loss("moved", "target")
def cls_bce_moved(reduction: Reduction = "sum") -> LossFn:
    """Binary cross-entropy of the attributes read off the warped image, before painting; see `cls_bce_real`.

    What motion can do shall be done by motion: without it, a refinement net learns to paint what the discriminator
    looks for long before the motion field has found it.
    """
    return _on_moved("attributes", reduction)


@register_loss("real", "source")
def cls_ce_real(part: OneHot = "emotion") -> LossFn:
    """Softmax cross-entropy of the emotion (or modality) read off the source image; 0 where right and sure.

    A label of zeros, where it is not known, costs nothing.
    """
    return _on_real(_checked_one_hot(part), "mean")


@register_loss("fake", "target")
def cls_ce_fake(part: OneHot = "emotion") -> LossFn:
    """Softmax cross-entropy of the emotion (or modality) read off the output, against the target's."""
    return _on_fake(_checked_one_hot(part), "mean")


@register_loss("moved", "target")
def cls_ce_moved(part: OneHot = "emotion") -> LossFn:
    """Softmax cross-entropy of the emotion (or modality) read off the warped image, before painting."""
    return _on_moved(_checked_one_hot(part), "mean")


@register_loss("real", "source")
def cls_au_mse_real(reduction: Reduction = "mean") -> LossFn:
    """Squared error of the action units read off the source image; 0 where all are exact.

    GANimation's official code divides the mean by the batch size once more: its weight of 4000 at a batch of 25 is 160
    here.

    Args:
        reduction: over the action units of a sample.
    """
    return _on_real("aus", reduction)


@register_loss("fake", "target")
def cls_au_mse_fake(reduction: Reduction = "mean") -> LossFn:
    """Squared error of the action units read off the output, against the target's; see `cls_au_mse_real`."""
    return _on_fake("aus", reduction)


@register_loss("moved", "target")
def cls_au_mse_moved(reduction: Reduction = "mean") -> LossFn:
    """Squared error of the action units read off the warped image, before painting. DefGAN, Eq. 9.

    With the reduction of GANimation, that paper's weight of 1000 at a batch of 25 is 40 here; see `cls_au_mse_real`.
    """
    return _on_moved("aus", reduction)


@register_loss("motion", "target")
def motion_cls(part: Part = "attributes", reduction: Reduction = "sum") -> LossFn:
    """Can the target be read off the motion alone? Cross-entropy of the motion discriminator (SPM's L_cw).

    It is minimised by the generator and the motion discriminator together; 0 where the target is read right and sure.

    Args:
        part: what the motion discriminator reads; action units are compared by squared error.
        reduction: over attributes or action units.
    """
    if part not in _DISTANCES:
        raise ValueError(f"part: expected one of {', '.join(_DISTANCES)}, got {part!r}")
    distance = _distance(part, reduction)

    def loss(inputs: LossInputs) -> Tensor:
        target = need(inputs.target, "target")
        return _compare(need(inputs.motion, "motion"), target, part, distance, "target")

    return loss


def _on_real(part: Part, reduction: Reduction) -> LossFn:
    distance = _distance(part, reduction)

    def loss(inputs: LossInputs) -> Tensor:
        return _compare(need(inputs.real, "real"), need(inputs.source, "source"), part, distance, "source")

    return loss


def _on_fake(part: Part, reduction: Reduction) -> LossFn:
    distance = _distance(part, reduction)

    def loss(inputs: LossInputs) -> Tensor:
        return _compare(need(inputs.fake, "fake"), need(inputs.target, "target"), part, distance, "target")

    return loss


def _only_where(side: Literal["source", "target"], column: int | None, loss: LossFn) -> LossFn:
    if column is None:
        return loss

    def masked(inputs: LossInputs) -> Tensor:
        modality: Tensor = need(need(getattr(inputs, side), side).modality, f"{side}.modality")
        return loss(inputs) * modality[:, column]

    return masked


def _on_moved(part: Part, reduction: Reduction) -> LossFn:
    distance = _distance(part, reduction)

    def loss(inputs: LossInputs) -> Tensor:
        return _compare(need(inputs.moved, "moved"), need(inputs.target, "target"), part, distance, "target")

    return loss


def _compare(critique: Critique, wanted: Condition, part: Part, distance: Distance, owner: str) -> Tensor:
    read: Tensor | None = None if critique.condition is None else getattr(critique.condition, part)
    goal: Tensor | None = getattr(wanted, part)
    if read is None:
        raise ValueError(f"this loss needs a discriminator that reads {part}, and this one does not")
    if goal is None:
        raise ValueError(f"this loss needs {owner}.{part}, which the data does not have")
    if read.shape != goal.shape:
        raise ValueError(
            f"{part}: the discriminator read {tuple(read.shape)} and {owner} has {tuple(goal.shape)}; "
            "give both the same columns"
        )
    return distance(read, goal.to(read.dtype))


def _cross_entropy(logits: Tensor, one_hot: Tensor) -> Tensor:
    return F.cross_entropy(logits, one_hot, reduction="none")[:, None]


def _binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def _squared_error(values: Tensor, goal: Tensor) -> Tensor:
    return (values - goal).square()


_DISTANCES: dict[Part, Distance] = {  # each (B, n), (B, n) -> (B, n) or, where the columns are one choice, (B, 1)
    "attributes": _binary_cross_entropy,
    "aus": _squared_error,
    "emotion": _cross_entropy,
    "modality": _cross_entropy,
}


def _distance(part: Part, reduction: Reduction) -> Distance:
    compare = _DISTANCES[part]
    if reduction == "sum":
        return lambda read, goal: compare(read, goal).sum(1)
    if reduction == "mean":
        return lambda read, goal: compare(read, goal).mean(1)
    raise ValueError(f"reduction: expected 'sum' or 'mean', got {reduction!r}")


def _checked_one_hot(part: OneHot) -> OneHot:
    if part not in ("emotion", "modality"):
        raise ValueError(f"part: expected 'emotion' or 'modality', got {part!r}")
    return part
