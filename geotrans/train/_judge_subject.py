"""How a judge learns who is shown and how at once: one network for identities, poses or conditions, and distances."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.features.judge import Trunk
from geotrans.features.subject import SubjectConfig, SubjectJudge
from geotrans.train._judge_identity import identity_loss, identity_scores
from geotrans.train._judge_kind import Kind, Objective
from geotrans.train._judge_pictures import RESOLUTION, Pictures, Plan
from geotrans.train._judge_reading import chosen_labels, read_columns, reading_loss, reading_scores
from geotrans.types import ConditionSpec

_POSE = "structure"
_POSE_WEIGHT = 200.0  # of squared errors, in units of half a picture


class Subject(Kind):
    """Tells subjects apart, and reads the joints of their pose or the parts of a condition that the tasks name."""

    arch = "judge_subject"

    def build(self, plan: Plan, pictures: Pictures) -> SubjectJudge:
        if plan.tasks == (_POSE,):
            return SubjectJudge(SubjectConfig(joints=pictures.labels.shape[1] // 2))
        return SubjectJudge(SubjectConfig(condition=read_columns(plan, pictures.spec)))

    def objective(self, plan: Plan, judge: Trunk, pictures: Pictures) -> Objective:
        if not isinstance(judge, SubjectJudge):
            raise TypeError(f"expected a SubjectJudge, got {type(judge).__name__}")
        spec: ConditionSpec = judge.cfg.condition
        labels = pictures.labels if judge.cfg.joints else chosen_labels(spec, pictures)

        def loss(images: Tensor, rows: Tensor) -> Tensor:
            who, read = judge.split(judge(images))
            wanted = labels[rows]
            if judge.cfg.joints:
                reading = _POSE_WEIGHT * joint_loss(read, wanted)
            else:
                reading = reading_loss(spec, spec.split(read), wanted, torch.ones_like(wanted))
            return identity_loss(who, pictures.persons[rows]) + reading

        return loss

    def score(self, plan: Plan, judge: Trunk, pictures: Pictures) -> dict[str, Any]:
        size = judge.cfg.identity
        out = self.read(judge, pictures.images)
        scores: dict[str, Any] = {"identity": identity_scores(out[:, :size], pictures.persons)}
        if judge.cfg.joints:
            return {**scores, **joint_scores(out[:, size:], pictures.labels)}
        spec: ConditionSpec = judge.cfg.condition
        return {**scores, **reading_scores(plan, spec, spec.split(out[:, size:]), pictures)}

    def reads(self, plan: Plan, judge: Trunk) -> str:
        who = "who is drawn: unit vectors, compare by cosine"
        if judge.cfg.joints:
            return f"{who}; where {judge.cfg.joints} joints are, (x, y) in [-1, 1]"
        columns = (f"{name}: {', '.join(getattr(judge.cfg.condition, name))}" for name in plan.tasks)
        return "; ".join((who, *columns))


def joint_loss(read: Tensor, joints: Tensor) -> Tensor:
    """Mean squared error of the joints' places, (B, 2 * joints) both; those that are NaN do not count."""
    known = joints.isfinite()
    return F.mse_loss(read[known], joints[known])


def joint_scores(read: Tensor, joints: Tensor) -> dict[str, Any]:
    """How far joints are from where they should be, in pixels."""
    distance = (read - joints).view(len(read), -1, 2).norm(dim=2) * RESOLUTION / 2
    distance = distance[distance.isfinite()]
    return {
        "joints_mean_error_px": round(distance.mean().item(), 3),
        "joints_within_2px": round((distance < 2).float().mean().item(), 4),
        "joints_n": len(distance),
    }
