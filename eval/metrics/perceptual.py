"""LPIPS: a learned distance between a result and its truth."""

from __future__ import annotations

from eval.metrics.base import SampleMetric, mean
from registry import register_metric


@register_metric(1, "", False, needs=("truth", "network.lpips_alex"))
def lpips() -> SampleMetric:
    """LPIPS 0.1 with AlexNet and linear heads, on images in [-1, 1]; Zhang et al. 2018."""
    return mean(lambda batch: batch.networks.distance("lpips_alex")(batch.generated, batch.get("truth")))
