"""Learned distances: between a result and its truth, and among results that shall differ.

LPIPS is that of Zhang et al. 2018, version 0.1 with linear heads, on images in [-1, 1]. The nets do not compare with
each other. `perceptual` is its like on the protocol's own judge, which is always there.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch, SampleMetric, mean
from geotrans.ops.images import from_uint8
from geotrans.ops.limbs import pose_mask
from registry import register_metric


@register_metric(1, "", False, needs=("truth", "network.lpips_alex"))
def lpips() -> SampleMetric:
    """LPIPS 0.1 with AlexNet and linear heads, on images in [-1, 1]; Zhang et al. 2018.

    What papers call LPIPS; `lpips_alex` is the same number.
    """
    return _to_truth("lpips_alex")


@register_metric(1, "", False, needs=("truth", "network.lpips_alex"))
def lpips_alex() -> SampleMetric:
    """LPIPS to the truth with AlexNet, the same number as `lpips`; Zhang et al. 2018."""
    return _to_truth("lpips_alex")


@register_metric(1, "", False, needs=("truth", "network.lpips_vgg"))
def lpips_vgg() -> SampleMetric:
    """LPIPS to the truth with VGG-16, about twice the numbers of AlexNet; Zhang et al. 2018."""
    return _to_truth("lpips_vgg")


@register_metric(1, "", False, needs=("truth", "network.lpips_squeeze"))
def lpips_squeeze() -> SampleMetric:
    """LPIPS to the truth with SqueezeNet; Zhang et al. 2018."""
    return _to_truth("lpips_squeeze")


@register_metric(1, "", False, needs=("truth", "sample.target.structure", "network.lpips_alex"))
def mask_lpips() -> SampleMetric:
    """LPIPS (AlexNet) of result and truth, both 0 (grey) outside the wanted pose's mask; as GFLA on Market-1501.

    The mask covers the limbs between the 18 OpenPose joints of the wanted structure; see `pose_mask`.
    """
    return mean(_masked)


@register_metric(1, "", False, needs=("truth", "judge.features"))
def perceptual() -> SampleMetric:
    """Distance to the truth in the inner layers of the features' judge, as LPIPS without its linear heads.

    0 if equal, 2 where the layers have nothing in common; see `geotrans.features.maps`. Judges do not compare.
    """
    return mean(lambda batch: _judged(batch, batch.generated, batch.get("truth")))


@register_metric(1, "", False, needs=("truth", "sample.target.structure", "judge.features"))
def mask_perceptual() -> SampleMetric:
    """`perceptual` of result and truth, both 0 (grey) outside the wanted pose's mask; the mask as in `mask_lpips`."""
    return mean(lambda batch: _judged(batch, *_masked_pictures(batch)))


@register_metric(1, "", False, needs=("truth", "sample.target.structure"))
def mask_l1() -> SampleMetric:
    """Mean absolute difference to the truth inside the wanted pose's mask, black is -1 and white is 1.

    The mask as in `mask_lpips`; a sample in which it is empty has no score.
    """
    return SampleMetric(_masked_difference)


@register_metric(1, "", True, needs=("variants", "network.lpips_alex"))
def lpips_diversity() -> SampleMetric:
    """Mean LPIPS (AlexNet) over all pairs of results for one input in several random styles; as MUNIT, StarGAN v2.

    With ten styles there are 45 pairs an input. 0: the style changes nothing.
    """
    return mean(_diversity)


def _to_truth(net: str) -> SampleMetric:
    return mean(lambda batch: batch.networks.distance(net)(batch.generated, batch.get("truth")))


def _masked(batch: EvalBatch) -> Tensor:
    return batch.networks.distance("lpips_alex")(*_masked_pictures(batch))


def _judged(batch: EvalBatch, generated: Tensor, truth: Tensor) -> Tensor:
    return batch.networks.distance(f"maps_{batch.judges['features']}")(generated, truth)


def _masked_pictures(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    """Result and truth in [-1, 1], 0 outside of the mask."""
    mask = _mask(batch)
    return from_uint8(batch.generated) * mask, from_uint8(batch.get("truth")) * mask


def _masked_difference(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    mask = _mask(batch).double()
    difference = (batch.generated.double() - batch.get("truth").double()).abs().mean(1, keepdim=True) / 127.5
    area = mask.flatten(1).sum(1)
    there = (area > 0).double()
    return (difference * mask).flatten(1).sum(1) / area.clamp(min=1), there


def _mask(batch: EvalBatch) -> Tensor:
    """(B, 1, H, W)."""
    height, width = batch.generated.shape[-2:]
    return pose_mask(batch.get("sample.target.structure"), (height, width))


def _diversity(batch: EvalBatch) -> Tensor:
    variants = batch.get("variants")
    distance = batch.networks.distance("lpips_alex")
    pairs = combinations(range(variants.shape[1]), 2)
    return torch.stack([distance(variants[:, i], variants[:, j]) for i, j in pairs]).mean(0)
