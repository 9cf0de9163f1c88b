"""Losses that compare pictures by the feature maps of a frozen network: what is shown, and the texture it has.

Every one takes the network as an option: the name of a registered feature with a method `maps`, which is loaded at the
first use, or a function `(image (B, 3, H, W), layers) -> maps`. `vgg19` is what the papers use and must be on the
machine; `synthface_features` knows the drawings of the built-in benchmark, and needs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.losses.frozen import frozen
from registry import register_loss

Layers = Sequence[str] | None
Maps = Callable[[Tensor, Layers], Sequence[Tensor]]
Distance = Callable[[Tensor, Tensor], Tensor]


@register_loss("output", "truth")
def perc_vgg19(feature: str | Maps = "vgg19", layers: Layers = None, weights: Sequence[float] | None = None) -> LossFn:
    """Mean absolute difference of the output's feature maps from the paired target's, added up over layers; 0 if equal.

    With its defaults, on relu1_1, relu2_1, ..., relu5_1, the content loss of GFLA, whose VGG sees pictures without
    ImageNet's normalisation. pix2pixHD weights the same layers 1/32, 1/16, 1/8, 1/4, 1. Johnson et al., 2016.

    Args:
        layers: names that the feature knows; None: its own choice.
        weights: one a layer; None: 1 each.

    Raises:
        ValueError: when first computed, if the feature has no such layers, has no maps, or cuts the gradient; or if
            there are not as many weights as layers.
    """

    def difference(got: Tensor, wanted: Tensor) -> Tensor:
        return per_sample((got - wanted).abs())

    compare = _compared(feature, layers, weights, difference)

    def loss(inputs: LossInputs) -> Tensor:
        return compare(need(inputs.output, "output").image, need(inputs.truth, "truth"))

    return loss


@register_loss("output", "truth")
def style_vgg19(
    feature: str | Maps = "vgg19",
    layers: Layers = ("relu2_2", "relu3_4", "relu4_4", "relu5_2"),
    weights: Sequence[float] | None = None,
    raw: bool = False,
) -> LossFn:
    """Mean absolute difference of the output's Gram matrices from the paired target's; 0 if equal. GFLA.

    Added up over layers, which by default are GFLA's; Gram matrices as in `gram`. See `perc_vgg19` for the options.

    Args:
        raw: nothing is divided by a number of elements: sums of products, and the sum of their absolute differences,
            as papers print them.
    """

    def difference(got: Tensor, wanted: Tensor) -> Tensor:
        return _over_pairs((gram(got, raw) - gram(wanted, raw)).abs(), raw)

    compare = _compared(feature, layers, weights, difference)

    def loss(inputs: LossInputs) -> Tensor:
        return compare(need(inputs.output, "output").image, need(inputs.truth, "truth"))

    return loss


@register_loss("output", "other")
def texture_gram(
    feature: str | Maps = "vgg19",
    layers: Layers = None,
    weights: Sequence[float] | None = None,
    raw: bool = False,
) -> LossFn:
    """Mean squared difference of the output's Gram matrices from those of a real picture of the target's modality.

    Added up over layers; 0 if equal. Textures need no pairs: `other` may show somebody else. PortraitGAN, Eq. 8 and 9,
    which leaves the matrices' scale open: Gram matrices as in `gram`, so that a weight means the same at any
    resolution. See `perc_vgg19` for the options.

    Args:
        raw: the squared Frobenius norm of the difference of sums of products, as the paper prints it: for a layer
            C^4 H^2 W^2 times as much.
    """

    def difference(got: Tensor, wanted: Tensor) -> Tensor:
        return _over_pairs((gram(got, raw) - gram(wanted, raw)).square(), raw)

    compare = _compared(feature, layers, weights, difference)

    def loss(inputs: LossInputs) -> Tensor:
        return compare(need(inputs.output, "output").image, need(inputs.other, "other"))

    return loss


def gram(maps: Tensor, raw: bool = False) -> Tensor:
    """Inner products of the channels of feature maps (B, C, H, W) over places, / (C * H * W) unless raw: (B, C, C)."""
    flat = maps.flatten(2)
    products = flat @ flat.mT
    return products if raw else products / flat[0].numel()


def _over_pairs(differences: Tensor, raw: bool) -> Tensor:
    """Over pairs of channels, (B, C, C) -> (B,): the mean, or the sum if raw."""
    return differences.flatten(1).sum(1) if raw else per_sample(differences)


def _compared(feature: str | Maps, layers: Layers, weights: Sequence[float] | None, distance: Distance) -> Distance:
    maps = frozen(feature, "maps")

    def compare(image: Tensor, wanted: Tensor) -> Tensor:
        with torch.no_grad():
            fixed = maps(wanted.detach(), layers)
        distances = [distance(*pair) for pair in zip(maps(image, layers), fixed, strict=True)]
        if weights is not None and len(weights) != len(distances):
            raise ValueError(f"weights: expected one for each of {len(distances)} layers, got {len(weights)}")
        scaled = distances if weights is None else [w * d for w, d in zip(weights, distances, strict=True)]
        return torch.stack(scaled).sum(0)

    return compare
