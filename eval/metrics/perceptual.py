"""LPIPS, a learned distance: between a result and its truth, and among results that shall differ.

Zhang et al. 2018, version 0.1 with linear heads, on images in [-1, 1]. The nets do not compare with each other.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from eval.metrics._pose import pose_mask
from eval.metrics.base import EvalBatch, SampleMetric, mean
from geotrans.ops.images import from_uint8
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


@register_metric(1, "", True, needs=("variants", "network.lpips_alex"))
def lpips_diversity() -> SampleMetric:
    """Mean LPIPS (AlexNet) over all pairs of results for one input in several random styles; as MUNIT, StarGAN v2.

    With ten styles there are 45 pairs an input. 0: the style changes nothing.
    """
    return mean(_diversity)


def _to_truth(net: str) -> SampleMetric:
    return mean(lambda batch: batch.networks.distance(net)(batch.generated, batch.get("truth")))


def _masked(batch: EvalBatch) -> Tensor:
    height, width = batch.generated.shape[-2:]
    mask = pose_mask(batch.get("sample.target.structure"), (height, width))
    pictures = (from_uint8(picture) * mask for picture in (batch.generated, batch.get("truth")))
    return batch.networks.distance("lpips_alex")(*pictures)


def _diversity(batch: EvalBatch) -> Tensor:
    variants = batch.get("variants")
    distance = batch.networks.distance("lpips_alex")
    pairs = combinations(range(variants.shape[1]), 2)
    return torch.stack([distance(variants[:, i], variants[:, j]) for i, j in pairs]).mean(0)
