"""Losses that keep who is in the picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geotrans.losses.base import LossFn, LossInputs, need
from registry import FEATURES, register_loss

Embed = Callable[[Tensor], Tensor]


@register_loss("output")
def id_cosine(feature: str | Embed = "synthface_identity") -> LossFn:
    """1 - cosine between embeddings of the output and of the source image, in [0, 2]; 0 for one and the same image.

    Args:
        feature: a frozen, differentiable function of images (B, 3, H, W) in [-1, 1] -> (B, D), or the name of a
            registered feature that has one as its method `embed` (called itself it takes bytes, through which no
            gradient passes). A named one is loaded at the first use and moved to the images' device. The default knows
            the drawn faces of the built-in benchmark and no others.

    Raises:
        ValueError: when first computed, if no gradient passes through the feature.
    """
    load = cache(lambda: _named(feature) if isinstance(feature, str) else feature)

    def loss(inputs: LossInputs) -> Tensor:
        embed, image = load(), need(inputs.output, "output").image
        with torch.no_grad():
            wanted = embed(inputs.image)
        got = embed(image)
        if image.requires_grad and torch.is_grad_enabled() and not got.requires_grad:
            raise ValueError("id_cosine needs a differentiable feature, and this one cuts the gradient; use another")
        return 1 - F.cosine_similarity(got, wanted, dim=1)

    return loss


def _named(name: str) -> Embed:
    network = FEATURES.get(name).factory()
    if not hasattr(network, "embed"):
        raise ValueError(
            f"the feature {name!r} takes bytes only (it has no method embed); pass a differentiable function"
        )

    def embed(image: Tensor) -> Tensor:
        if isinstance(network, nn.Module):
            network.to(image.device)
        features: Tensor = network.embed(image)
        return features

    return embed
