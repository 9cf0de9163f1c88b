"""What a frozen judge reads off a result: attributes and emotion."""

from __future__ import annotations

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch, SampleMetric, mean
from registry import register_metric


@register_metric(1, "%", True, needs=("sample.target.attributes", "judge.attributes"))
def attr_accuracy() -> SampleMetric:
    """Share of the wanted attributes that the judge reads in the result, those that were to stay included."""
    return SampleMetric(_all_attributes)


@register_metric(1, "%", True, needs=("sample.target.attributes", "sample.source.attributes", "judge.attributes"))
def attr_changed_accuracy() -> SampleMetric:
    """Share of the wanted attributes that the judge reads in the result, counting only those that were to change."""
    return SampleMetric(_changed_attributes)


@register_metric(1, "%", True, needs=("sample.target.emotion", "judge.emotion"))
def emotion_accuracy() -> SampleMetric:
    """Share of results in which the judge finds the wanted emotion likeliest."""
    return mean(_emotion_right)


def _all_attributes(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    right = _right(batch)
    return 100 * right.sum(1), right.new_ones(right.shape).sum(1)


def _changed_attributes(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    wanted, before = batch.get("sample.target.attributes") >= 0.5, batch.get("sample.source.attributes") >= 0.5
    changed = (wanted != before).double()
    return 100 * (changed * _right(batch)).sum(1), changed.sum(1)


def _right(batch: EvalBatch) -> Tensor:
    """(B, A): 1 where the judge reads the wanted attribute."""
    wanted = batch.get("sample.target.attributes") >= 0.5
    return ((reading(batch, "attributes") >= 0.5) == wanted).double()


def _emotion_right(batch: EvalBatch) -> Tensor:
    wanted = batch.get("sample.target.emotion").argmax(1)
    return 100 * (reading(batch, "emotion").argmax(1) == wanted).double()


def reading(batch: EvalBatch, part: str) -> Tensor:
    """What the judge reads off the results in place of `sample.target.PART`, checked for shape and for NaN."""
    read, wanted, judge = batch.feature(part, "generated"), batch.get(f"sample.target.{part}"), batch.judges.get(part)
    if read.shape != wanted.shape:
        raise ValueError(
            f"the judge {judge} reads {tuple(read.shape)} where the data has {tuple(wanted.shape)} {part}; "
            "the protocol needs a judge trained on its columns"
        )
    broken = (~torch.isfinite(read)).any(1).nonzero()
    if len(broken):
        raise ValueError(f"the judge {judge} returns NaN for sample {batch.id[int(broken[0])]}")
    return read
