"""How a judge learns to read conditions off pictures, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.features.judge import Judge, JudgeConfig, Trunk
from geotrans.train._judge_kind import Kind, Objective
from geotrans.train._judge_pictures import Pictures, Plan
from geotrans.types import Condition, ConditionSpec


class Reading(Kind):
    """Reads the parts of a condition that the plan's tasks name."""

    arch = "judge"

    def build(self, plan: Plan, pictures: Pictures) -> Judge:
        return Judge(JudgeConfig(condition=read_columns(plan, pictures.spec)))

    def objective(self, plan: Plan, judge: Trunk, pictures: Pictures) -> Objective:
        spec: ConditionSpec = judge.cfg.condition
        labels, weights = chosen_labels(spec, pictures), _weights(plan, spec, pictures)
        return lambda images, rows: reading_loss(spec, judge(images), labels[rows], weights[rows])

    def score(self, plan: Plan, judge: Trunk, pictures: Pictures) -> dict[str, Any]:
        spec: ConditionSpec = judge.cfg.condition
        return reading_scores(plan, spec, spec.split(self.read(judge, pictures.images)), pictures)

    def reads(self, plan: Plan, judge: Trunk) -> str:
        return "; ".join(f"{name}: {', '.join(getattr(judge.cfg.condition, name))}" for name in plan.tasks)


def read_columns(plan: Plan, have: ConditionSpec) -> ConditionSpec:
    """The columns of the data that a plan's judge reads."""
    return ConditionSpec(**{name: getattr(have, name) for name in plan.tasks})


def chosen_labels(spec: ConditionSpec, pictures: Pictures) -> Tensor:
    """(N, columns of the spec)."""
    return spec.vector(spec.select(pictures.spec.split(pictures.labels), pictures.spec), len(pictures.labels))


def reading_loss(spec: ConditionSpec, read: Condition, labels: Tensor, weights: Tensor) -> Tensor:
    """How far a judge's reading is from the labels: cross-entropies, and 20 times the squared error of the AUs.

    Args:
        read: of B pictures, as a `Judge` returns it.
        labels: (B, columns).
        weights: (B, columns): 1 where a label counts.
    """
    truth, counts = spec.split(labels), spec.split(weights)
    total = labels.new_zeros(())
    for name in ("attributes", "view"):
        if getattr(spec, name):
            losses = F.binary_cross_entropy_with_logits(getattr(read, name), getattr(truth, name), reduction="none")
            total = total + _mean(losses, getattr(counts, name))
    if read.aus is not None and truth.aus is not None and counts.aus is not None:
        losses = (read.aus - truth.aus).square()  # not absolute: most AUs rest, and a median would never leave 0
        total = total + 20 * _mean(losses, counts.aus)
    for name in ("emotion", "modality"):
        if getattr(spec, name):
            losses = F.cross_entropy(getattr(read, name), getattr(truth, name), reduction="none")
            total = total + _mean(losses, getattr(counts, name)[:, 0])
    return total


def reading_scores(plan: Plan, spec: ConditionSpec, readings: Condition, pictures: Pictures) -> dict[str, Any]:
    """Accuracies and errors of what was read, each with the number of pictures behind it."""
    truths = spec.split(chosen_labels(spec, pictures))
    scores: dict[str, Any] = {}
    for number, name in enumerate(plan.tasks):
        own = pictures.tasks == number
        value, truth, columns = getattr(readings, name)[own], getattr(truths, name)[own], getattr(spec, name)
        if name in ("attributes", "view"):
            scores[f"{name}_accuracy"] = _by_column(columns, ((value > 0) == (truth > 0.5)).float())
        elif name == "aus":
            scores["aus_mean_absolute_error"] = _by_column(columns, (value.clamp(0, 1) - truth).abs())
        else:
            scores[f"{name}_accuracy"] = round((value.argmax(1) == truth.argmax(1)).float().mean().item(), 4)
        scores[f"{name}_n"] = int(own.sum())
    return scores


def _weights(plan: Plan, spec: ConditionSpec, pictures: Pictures) -> Tensor:
    """(N, columns): 1 where a label counts: everywhere, but an emotion only where one was acted."""
    columns: list[Tensor] = []
    for number, name in enumerate(plan.tasks):
        counts = (pictures.tasks == number) | (name != "emotion")
        columns.append(counts.float()[:, None].expand(-1, len(getattr(spec, name))))
    return torch.cat(columns, dim=1)


def _by_column(names: Sequence[str], values: Tensor) -> dict[str, float]:
    means = values.mean(0).tolist()
    return {"mean": round(sum(means) / len(means), 4), **{n: round(m, 4) for n, m in zip(names, means, strict=True)}}


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    return (values * counts).sum() / counts.sum().clamp(min=1)
