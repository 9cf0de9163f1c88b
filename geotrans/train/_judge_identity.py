"""How a judge learns who is shown, and its scores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geotrans.features.judge import IdentityJudge, JudgeConfig, Trunk
from geotrans.train._judge_kind import Kind, Objective
from geotrans.train._judge_pictures import Pictures, Plan


class Identity(Kind):
    """Tells persons apart, in photographs and across modalities."""

    arch = "judge_identity"

    def build(self, plan: Plan, pictures: Pictures) -> IdentityJudge:
        return IdentityJudge(JudgeConfig(embedding=64))

    def objective(self, plan: Plan, judge: Trunk, pictures: Pictures) -> Objective:
        return lambda images, rows: identity_loss(judge(images), pictures.persons[rows])

    def score(self, plan: Plan, judge: Trunk, pictures: Pictures) -> dict[str, Any]:
        return _scores_by_modality(plan, self.read(judge, pictures.images), pictures)

    def reads(self, plan: Plan, judge: Trunk) -> str:
        return "who is drawn: unit vectors, compare by cosine"


def identity_loss(vectors: Tensor, persons: Tensor, scale: float = 16.0) -> Tensor:
    """Each picture must find the others of its person in the batch by cosine (Khosla et al. 2020, eq. 2).

    Args:
        vectors: (B, D) unit vectors.
        persons: (B,) who is shown; everyone at least twice.
        scale: what a cosine is multiplied with: the inverse of the paper's temperature.
    """
    itself = torch.eye(len(vectors), dtype=torch.bool)
    log_share = (scale * vectors @ vectors.T).masked_fill(itself, float("-inf")).log_softmax(1)
    partners = (persons[:, None] == persons[None]) & ~itself
    return -(log_share.masked_fill(~partners, 0).sum(1) / partners.sum(1)).mean()


def _scores_by_modality(plan: Plan, vectors: Tensor, pictures: Pictures) -> dict[str, Any]:
    """Photographs alone, and all modalities against each other."""
    mixed = pictures.tasks == plan.tasks.index("modality")
    kinds = {"photo": ~mixed, "across_modalities": mixed}
    return {kind: identity_scores(vectors[rows], pictures.persons[rows]) for kind, rows in kinds.items()}


def identity_scores(vectors: Tensor, persons: Tensor) -> dict[str, Any]:
    """Verification scores over all pairs of the pictures (N, D), whose rows 2i and 2i + 1 show one scene.

    `partners` are a sample's picture and its truth: what an identity metric compares.
    """
    cosine = vectors @ vectors.T
    upper = torch.ones_like(cosine, dtype=torch.bool).triu(1)
    alike = persons[:, None] == persons[None]
    same, different = cosine[upper & alike], cosine[upper & ~alike]
    partners = (vectors[::2] * vectors[1::2]).sum(1)
    threshold, error = equal_error(same, different)
    return {
        "equal_error_rate": round(error, 5),
        "equal_error_threshold": round(threshold, 4),
        "partners_equal_error_rate": round(equal_error(partners, different)[1], 5),
        "cosine_same": round(same.mean().item(), 4),
        "cosine_partners": round(partners.mean().item(), 4),
        "cosine_different": round(different.mean().item(), 4),
        "cosine_different_std": round(different.std().item(), 4),
        "persons_n": len(set(persons.tolist())),
        "same_n": len(same),
        "partners_n": len(partners),
        "different_n": len(different),
    }


def equal_error(same: Tensor, different: Tensor) -> tuple[float, float]:
    """The threshold at which as large a share of `same` lies below as of `different` lies above, and that share."""
    same, different = same.sort().values, different.sort().values
    misses = torch.arange(len(same)) / len(same)  # of same pairs below same[i]
    alarms = 1 - torch.searchsorted(different, same) / len(different)
    best = int((misses - alarms).abs().argmin())
    return same[best].item(), (misses[best] + alarms[best]).item() / 2
