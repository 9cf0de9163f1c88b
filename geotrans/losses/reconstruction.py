"""Losses that compare two images, or two stacks of discriminator features, element by element."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.types import Critique
from registry import register_loss


@register_loss("output", "truth")
def rec_l1() -> LossFn:
    """Mean absolute difference of the output from the paired target, in units of [-1, 1]; 0 when equal. pix2pix."""

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample((need(inputs.output, "output").image - need(inputs.truth, "truth")).abs())

    return loss


@register_loss("cycle")
def cycle_l1() -> LossFn:
    """Mean absolute difference of the source from itself translated there and back; 0 when equal. CycleGAN."""

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample((need(inputs.cycle, "cycle").image - inputs.image).abs())

    return loss


@register_loss("same")
def idt_l1() -> LossFn:
    """Mean absolute difference of the source from its translation to its own condition; 0 when equal. CycleGAN."""

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample((need(inputs.same, "same").image - inputs.image).abs())

    return loss


@register_loss("real", "fake")
def feature_matching() -> LossFn:
    """Mean absolute difference of the discriminator's activations on the output from those on the source image.

    Mean within a layer, then over all layers of all scales; 0 when equal. No gradient flows through the real side.
    The two images differ in what the translation changes, so this matches the whole look of the picture and pulls
    the output towards the source a little: keep the weight below that of the classification. Wang et al.
    (pix2pixHD), 2018, Eq. 4.
    """

    def loss(inputs: LossInputs) -> Tensor:
        real, fake = _layers(need(inputs.real, "real")), _layers(need(inputs.fake, "fake"))
        distances = [per_sample((f - r.detach()).abs()) for r, f in zip(real, fake, strict=True)]
        return torch.stack(distances).mean(0)

    return loss


def _layers(critique: Critique) -> list[Tensor]:
    layers = [layer for scale in critique.features for layer in scale]
    if not layers:
        raise ValueError("expected a critique with features, got none; use a discriminator that returns its features")
    return layers
