"""Is the person in the wanted pose?"""

from __future__ import annotations

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch, SampleMetric
from geotrans.ops.limbs import joints_of
from registry import register_metric


@register_metric(1, "px", False, needs=("sample.target.structure", "judge.joints"))
def joint_error() -> SampleMetric:
    """Mean distance between the joints that the judge reads in the result and those of the wanted pose.

    Joints that the wanted pose does not show do not count. The judge's own error on true pictures is on its card.
    """
    return SampleMetric(_error)


def _error(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    wanted = joints_of(batch.get("sample.target.structure")).double()
    read = batch.feature("joints", "generated").double()
    if read.shape != (len(wanted), wanted.shape[1] * 2):
        raise ValueError(
            f"the judge {batch.judges.get('joints')} reads {read.shape[1]} numbers where the pose has "
            f"{wanted.shape[1]} joints (x, y); the protocol needs a judge of that pose"
        )
    height, width = batch.generated.shape[-2:]
    half = wanted.new_tensor([width / 2, height / 2])
    distance = ((read.view_as(wanted) - wanted) * half).norm(dim=2)
    seen = wanted.isfinite().all(2)
    return torch.where(seen, distance, 0).sum(1), seen.sum(1)
