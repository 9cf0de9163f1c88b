"""Losses that compare two images, two codes, or two stacks of discriminator features, element by element."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, Pass, Picture, need, per_sample, translation
from geotrans.types import Critique
from registry import register_loss


@register_loss("output", "truth")
def rec_l1(of: Picture = "image") -> LossFn:
    """Mean absolute difference of the output from the paired target, in units of [-1, 1]; 0 when equal. pix2pix.

    Args:
        of: what is compared with the target: the final image, or the warped one, before painting.

    Raises:
        ValueError: `of` is neither; when first computed, if the generator does not warp.
    """
    if of not in get_args(Picture):
        raise ValueError(f"of: expected 'image' or 'warped', got {of!r}")

    def loss(inputs: LossInputs) -> Tensor:
        output = need(inputs.output, "output")
        picture = output.image if of == "image" else need(output.warped, "output.warped")
        return per_sample((picture - need(inputs.truth, "truth")).abs())

    return loss


@register_loss("cycle")
def cycle_l1() -> LossFn:
    """Mean absolute difference of the source from itself translated there and back; 0 when equal. CycleGAN."""

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample((need(inputs.cycle, "cycle").image - inputs.image).abs())

    return loss


@register_loss("same")
def idt_l1() -> LossFn:
    """Mean absolute difference of a picture from its translation to its own condition; 0 when equal. CycleGAN.

    The picture is `other`, a real one that shows the target already, where the step has it, as `same` is then made from
    it; else the source.
    """

    def loss(inputs: LossInputs) -> Tensor:
        picture = inputs.image if inputs.other is None else inputs.other
        return per_sample((need(inputs.same, "same").image - picture).abs())

    return loss


@register_loss("rebuilt")
def rec_self() -> LossFn:
    """Mean absolute difference of the source from itself decoded from its own codes; 0 when equal. MUNIT, Eq. 1."""

    def loss(inputs: LossInputs) -> Tensor:
        return per_sample((need(inputs.rebuilt, "rebuilt") - inputs.image).abs())

    return loss


@register_loss("output", "cycle")
def rec_content() -> LossFn:
    """Mean absolute difference of the output's content code from the source's; 0 when equal. MUNIT, Eq. 2.

    Neither is held fixed: the official code lets the gradient reach both encoders.
    """

    def loss(inputs: LossInputs) -> Tensor:
        source, again = _code(inputs, "output", "content"), _code(inputs, "cycle", "content")
        return per_sample((again - source).abs())

    return loss


@register_loss("cycle", "target")
def rec_style() -> LossFn:
    """Mean absolute difference of the output's style code from the one it was made with; 0 when equal. MUNIT, Eq. 3."""

    def loss(inputs: LossInputs) -> Tensor:
        wanted = need(need(inputs.target, "target").style, "target.style")
        return per_sample((_code(inputs, "cycle", "style") - wanted).abs())

    return loss


@register_loss("real", "fake")
def feature_matching(batch_mean: bool = False, squared: bool = False) -> LossFn:
    """Mean absolute difference of the discriminator's activations on the output from those on real pictures.

    Mean within a layer, then over all layers of all scales; 0 when equal. No gradient flows through the real side.
    The two pictures differ in what the translation changes, so this matches the whole look of the picture and pulls
    the output towards the source a little (where that is the real one): keep the weight below that of the
    classification. Wang et al. (pix2pixHD), 2018, Eq. 4: their code's scale, and PortraitGAN's, is 4 times this for any
    number of layers and of scales, so that their weight of 10 is 40 here.

    Args:
        batch_mean: compare the batch's mean activations (PortraitGAN's Eq. 5 as printed; GANimorph). Pictures need not
            match one by one then, and every sample gets the batch's value.
        squared: squared differences (GANimorph, together with `batch_mean`).
    """

    def loss(inputs: LossInputs) -> Tensor:
        real, fake = _layers(need(inputs.real, "real")), _layers(need(inputs.fake, "fake"))
        if batch_mean:
            size = len(inputs.image)
            real, fake = ([layer.mean(0).expand(size, *layer.shape[1:]) for layer in side] for side in (real, fake))
        differences = [f - r.detach() for r, f in zip(real, fake, strict=True)]
        return torch.stack([per_sample(d.square() if squared else d.abs()) for d in differences]).mean(0)

    return loss


def _code(inputs: LossInputs, of: Pass, kind: str) -> Tensor:
    """The code of the image that went into a pass: of the source in `output`, of the output's image in `cycle`."""
    codes = translation(inputs, of).intermediates
    return need(codes.get(kind), f'{of}.intermediates["{kind}"] (a generator that encodes {kind})')


def _layers(critique: Critique) -> list[Tensor]:
    layers = [layer for scale in critique.features for layer in scale]
    if not layers:
        raise ValueError("expected a critique with features, got none; use a discriminator that returns its features")
    return layers
