"""Sampling correctness: a flow shall point to where the source looks like the target, whatever moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.affine import flows
from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.losses.frozen import frozen
from geotrans.ops.resample import resample_gaussian
from geotrans.ops.warp import from_corner_units, warp
from registry import register_loss

Maps = Callable[[Tensor, Sequence[str]], Sequence[Tensor]]
Sampling = Literal["gaussian", "bilinear", "bilinear_published"]

EPSILON = 1e-8
AT_ONCE = 1024  # places of the target that are compared with all of the source


@register_loss("output", "truth")
def flow_sampling(
    feature: str | Maps = "vgg19", layers: Sequence[str] = ("relu4_1", "relu3_1"), sampling: Sampling = "gaussian"
) -> LossFn:
    """How unlike the target's features the source's are where the flow points to. GFLA, Eq. 2 and 3.

    The mean over places of exp(-similarity / best similarity) - 1/e, added up over the layers: 0 where every place has
    found its best match, up to 1 - 1/e. Needs no true flow, and no picture from the generator. The constant is the
    authors' code's, as are the weights 5 (20 while the flow is trained alone). Negative features count as 0; VGG's are
    none, and where similarities may be negative, the best one may be close to 0.

    Of a generator that shows flows of several sizes ("flow_0", ... from the coarsest on) each counts, else its flow; of
    one with several references, those of each.

    Args:
        feature: see `perc_vgg19`; GFLA's VGG sees pictures without ImageNet's normalisation.
        layers: one a flow, the finest flow's last; a flow is resized to its layer's maps.
        sampling: "gaussian" means of 16 pixels, whose gradient sees further but which are blurred, so that the loss is
            above 0 even at the right flow; or "bilinear". "bilinear_published" is what the authors' code does: it moves
            by (W - 1) / W of the flow.

    Raises:
        ValueError: an unknown sampling; when first computed, if there are more flows than layers, or the feature has no
            such layers or no maps.
    """
    if sampling not in (known := get_args(Sampling)):
        raise ValueError(f"sampling: expected one of {', '.join(known)}, got {sampling!r}")
    maps = frozen(feature, "maps")

    def loss(inputs: LossInputs) -> Tensor:
        references, truth = flows(need(inputs.output, "output")), need(inputs.truth, "truth")
        several = inputs.image.ndim == 5
        pictures = inputs.image.unbind(1) if several else [inputs.image] * len(references)
        terms: list[Tensor] = []
        for image, found in zip(pictures, references, strict=True):
            if len(found) > len(layers):
                raise ValueError(f"layers: expected one for each of {len(found)} flows, got {', '.join(layers)}")
            chosen = list(layers)[-len(found) :]
            with torch.no_grad():
                sources, targets = ([m.relu() for m in maps(shown.detach(), chosen)] for shown in (image, truth))
            scales = zip(sources, targets, found, strict=True)
            terms += [sampling_correctness(*scale, sampling=sampling) for scale in scales]
        return torch.stack(terms).sum(0)

    return loss


def sampling_correctness(source: Tensor, target: Tensor, flow: Tensor, *, sampling: Sampling = "gaussian") -> Tensor:
    """The loss at one scale, (B,): the mean of `place_correctness` over places."""
    return per_sample(place_correctness(source, target, flow, sampling=sampling))


def place_correctness(source: Tensor, target: Tensor, flow: Tensor, *, sampling: Sampling = "gaussian") -> Tensor:
    """exp(-similarity / best similarity) - 1/e at every place of the target, (B, H, W); masked means are made of it.

    Args:
        source: (B, C, H, W) features of the source.
        target: (B, C, H, W) features of the target.
        flow: (B, 2, h, w), normalised; its nearest values are taken at the size of the features.
    """
    dtype = torch.promote_types(source.dtype, torch.float32)
    source, target, flow = source.to(dtype), target.to(dtype), flow.to(dtype)
    if flow.shape[2:] != source.shape[2:]:
        flow = F.interpolate(flow, source.shape[2:], mode="nearest")
    found = F.cosine_similarity(_sampled(source, flow, sampling), target, dim=1, eps=EPSILON)
    return torch.exp(-found / (best_similarity(source, target) + EPSILON)) - math.exp(-1)


def best_similarity(source: Tensor, target: Tensor) -> Tensor:
    """The largest cosine between each place of the target and any of the source: (B, H, W)."""
    ours, theirs = (x.flatten(2) / (x.flatten(2).norm(dim=1, keepdim=True) + EPSILON) for x in (source, target))
    parts = [(part.mT @ ours).max(2).values for part in theirs.split(AT_ONCE, dim=2)]
    return torch.cat(parts, dim=1).view(len(target), *target.shape[2:])


def _sampled(source: Tensor, flow: Tensor, sampling: Sampling) -> Tensor:
    if sampling == "gaussian":
        return resample_gaussian(source, flow)
    return warp(source, flow if sampling == "bilinear" else from_corner_units(flow))
