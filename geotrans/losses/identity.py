"""Losses that keep who is in the picture."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, Picture, need
from geotrans.losses.frozen import frozen
from registry import register_loss

Embed = Callable[[Tensor], Tensor]


@register_loss("output")
def id_cosine(feature: str | Embed = "synthface_identity", of: Picture = "image") -> LossFn:
    """1 - cosine between embeddings of the output and of the source image, in [0, 2]; 0 for one and the same image.

    Args:
        feature: a frozen, differentiable function of images (B, 3, H, W) in [-1, 1] -> (B, D), or the name of a
            registered feature that has one as its method `embed` (called itself it takes bytes, through which no
            gradient passes). A named one is loaded at the first use and moved to the images' device. The default knows
            the drawn faces of the built-in benchmark and no others.
        of: what is compared with the source: the final image, or the warped one, before painting (DefGAN, Eq. 12).

    Raises:
        ValueError: `of` is neither; or, when first computed, the feature takes bytes only or cuts the gradient.
    """
    if of not in ("image", "warped"):
        raise ValueError(f"of: expected 'image' or 'warped', got {of!r}")
    embed = frozen(feature, "embed")

    def loss(inputs: LossInputs) -> Tensor:
        output = need(inputs.output, "output")
        image = output.image if of == "image" else need(output.warped, "output.warped (a generator that warps)")
        with torch.no_grad():
            wanted = embed(inputs.image)
        return 1 - F.cosine_similarity(embed(image), wanted, dim=1)

    return loss
