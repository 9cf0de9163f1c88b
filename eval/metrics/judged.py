"""What a frozen judge reads off a result: attributes, action units, emotion and identity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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


@register_metric(1, "", False, needs=("sample.target.aus", "judge.aus"))
def au_mae() -> SampleMetric:
    """Mean absolute difference between the wanted action units and those the judge reads, in [0, 1] (FACS / 5)."""
    return mean(lambda batch: (_reading(batch, "aus") - batch.get("sample.target.aus")).abs().mean(1))


@register_metric(1, "%", True, needs=("sample.target.emotion", "judge.emotion"))
def emotion_accuracy() -> SampleMetric:
    """Share of results in which the judge finds the wanted emotion likeliest."""
    return mean(_emotion_right)


@register_metric(1, "", True, needs=("source", "judge.identity"))
def id_cosine() -> SampleMetric:
    """Cosine between the judge's identity embeddings of result and source: 1 is the same person."""
    return mean(_identity_cosine)


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
    return ((_reading(batch, "attributes") >= 0.5) == wanted).double()


def _emotion_right(batch: EvalBatch) -> Tensor:
    wanted = batch.get("sample.target.emotion").argmax(1)
    return 100 * (_reading(batch, "emotion").argmax(1) == wanted).double()


def _reading(batch: EvalBatch, part: str) -> Tensor:
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


def _identity_cosine(batch: EvalBatch) -> Tensor:
    return F.cosine_similarity(
        batch.feature("identity", "generated").double(), batch.feature("identity", "source").double()
    )
