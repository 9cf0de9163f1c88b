"""Judges that tell who is shown and how: one frozen network for identity, pose, and distances between pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geotrans.features.judge import LICENCE, PINS, JudgeConfig, Trunk, TrunkFeature, bundled_judge
from registry import register_feature


@dataclass(frozen=True)
class SubjectConfig(JudgeConfig):
    """What a judge of subjects is built from.

    Attributes:
        identity: size of an identity vector.
        joints: how many joints of a pose it reads.
    """

    embedding: int = 256
    identity: int = 64
    joints: int = 0


class SubjectJudge(Trunk):
    """Tells whether two pictures show one subject, and reads a pose or a condition, off the same features."""

    config_class = SubjectConfig

    def __init__(self, cfg: SubjectConfig) -> None:
        super().__init__(cfg)
        self.who = nn.Linear(cfg.embedding, cfg.identity)
        self.heads = nn.Linear(cfg.embedding, cfg.condition.size + 2 * cfg.joints)
        nn.init.normal_(self.heads.weight, std=0.01)

    def forward(self, image: Tensor) -> Tensor:
        """(B, identity + columns) of (B, 3, H, W) in [-1, 1]: a unit vector; then the condition's columns as logits and
        values, and the joints' (x, y) in [-1, 1]."""
        features = self.features(image)
        return torch.cat([F.normalize(self.who(features)), self.heads(features)], dim=1)

    def split(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` returns, in two: the identity vectors and the readings."""
        return out[:, : self.cfg.identity], out[:, self.cfg.identity :]


class SubjectFeature(TrunkFeature[SubjectJudge]):
    """One part of what a judge of subjects tells.

    Args:
        part: `identity` (unit vectors), `features`, or `joints` (x, y of each in turn, in [-1, 1]).
    """

    def __init__(self, judge: SubjectJudge, part: str) -> None:
        super().__init__(judge)
        self.part = part

    def embed(self, image: Tensor) -> Tensor:
        """(B, D) of (B, 3, H, W) in [-1, 1]."""
        if self.part == "features":
            return self.judge.features(image)
        who, read = self.judge.split(self.judge(image))
        return who if self.part == "identity" else read[:, read.shape[1] - 2 * self.judge.cfg.joints :]


@register_feature(dim=64, licence=LICENCE, sha256=PINS["judge_synthpeople_64"])
def synthpeople_identity() -> SubjectFeature:
    """Unit vectors whose cosine says whether two `synthpeople` pictures show one person in the same clothes."""
    return SubjectFeature(bundled_judge(SubjectJudge, "judge_synthpeople_64"), "identity")


@register_feature(dim=256, licence=LICENCE, sha256=PINS["judge_synthpeople_64"])
def synthpeople_features() -> SubjectFeature:
    """The `synthpeople` judge's penultimate layer, for Frechet distances without any download."""
    return SubjectFeature(bundled_judge(SubjectJudge, "judge_synthpeople_64"), "features")


@register_feature(dim=36, licence=LICENCE, sha256=PINS["judge_synthpeople_64"])
def synthpeople_joints() -> SubjectFeature:
    """Where the 18 joints of a `synthpeople` picture are: x, y of each in turn, in [-1, 1]."""
    return SubjectFeature(bundled_judge(SubjectJudge, "judge_synthpeople_64"), "joints")


@register_feature(dim=64, licence=LICENCE, sha256=PINS["judge_synthviews_64"])
def synthviews_identity() -> SubjectFeature:
    """Unit vectors whose cosine says whether two `synthviews` pictures show one car, from whatever side."""
    return SubjectFeature(bundled_judge(SubjectJudge, "judge_synthviews_64"), "identity")


@register_feature(dim=256, licence=LICENCE, sha256=PINS["judge_synthviews_64"])
def synthviews_features() -> SubjectFeature:
    """The `synthviews` judge's penultimate layer, for Frechet distances without any download."""
    return SubjectFeature(bundled_judge(SubjectJudge, "judge_synthviews_64"), "features")
