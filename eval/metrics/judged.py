"""What a frozen judge reads off a result: attributes and identity."""

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


@register_metric(1, "", True, needs=("source", "judge.identity"))
def id_cosine() -> SampleMetric:
    """Cosine between the judge's identity embeddings of result and source: 1 is the same person."""
    return mean(lambda batch: F.cosine_similarity(*(_embedding(batch, of) for of in ("generated", "source"))))


def _all_attributes(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    right = _right(batch)
    return 100 * right.sum(1), right.new_ones(right.shape).sum(1)


def _changed_attributes(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    wanted, before = batch.get("sample.target.attributes") >= 0.5, batch.get("sample.source.attributes") >= 0.5
    changed = (wanted != before).double().cpu()
    return 100 * (changed * _right(batch)).sum(1), changed.sum(1)


def _right(batch: EvalBatch) -> Tensor:
    """(B, A): 1 where the judge reads the wanted attribute."""
    read, wanted = batch.feature("attributes", "generated"), batch.get("sample.target.attributes")
    if read.shape != wanted.shape:
        raise ValueError(
            f"the judge {batch.judges.get('attributes')} reads {tuple(read.shape)} where the data has "
            f"{tuple(wanted.shape)} attributes; the protocol needs a judge trained on its columns"
        )
    if not torch.isfinite(read).all():
        row = int((~torch.isfinite(read)).any(1).nonzero()[0])
        raise ValueError(f"the judge {batch.judges.get('attributes')} returns NaN for sample {batch.id[row]}")
    return ((read.cpu() >= 0.5) == (wanted.cpu() >= 0.5)).double()


def _embedding(batch: EvalBatch, of: str) -> Tensor:
    return batch.feature("identity", "generated" if of == "generated" else "source").double()
