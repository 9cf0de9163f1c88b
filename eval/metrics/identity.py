"""Is it still the same person, and can anybody find a face?

Judges of identity return vectors of length 1. One that looks for a face first returns zeros where it finds none: such
results have no say in the mean, and the detection rate beside it counts them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from eval.metrics.base import EvalBatch, SampleMetric
from registry import register_metric


@register_metric(1, "", True, needs=("source", "judge.identity"))
def id_cosine() -> SampleMetric:
    """Cosine between the judge's identity embeddings of result and source: 1 is the same person."""
    return SampleMetric(_where_found(lambda cosine: cosine))


@register_metric(1, "", False, needs=("source", "judge.identity"))
def id_distance() -> SampleMetric:
    """1 - cosine between identity embeddings of result and source, also for each expression alone; as DefGAN.

    The parts are the emotions wanted, where the data names them.
    """
    return SampleMetric(_where_found(lambda cosine: 1 - cosine), _expressions)


@register_metric(1, "%", True, needs=("source", "judge.identity"))
def id_detection_rate() -> SampleMetric:
    """Share of results in which the identity judge finds a face, among those in whose source it finds one.

    100 for a judge that embeds whole pictures and looks for nothing.
    """
    return SampleMetric(_detected)


def found(features: Tensor) -> Tensor:
    """(B,) bool: rows in which something was found. NaN is no answer, and stays an error of who reads it."""
    return (features != 0).any(1)


def _where_found(read: Callable[[Tensor], Tensor]) -> Callable[[EvalBatch], tuple[Tensor, Tensor]]:
    def measure(batch: EvalBatch) -> tuple[Tensor, Tensor]:
        result, source = (batch.feature("identity", "generated").double(), batch.feature("identity", "source").double())
        both = found(result) & found(source)
        value = read(F.cosine_similarity(result, source))
        return torch.where(both, value, 0.0), both

    return measure


def _detected(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    findable = found(batch.feature("identity", "source"))
    return 100.0 * (found(batch.feature("identity", "generated")) & findable), findable


def _expressions(batch: EvalBatch) -> list[str]:
    target = batch.sample.target if batch.sample else None
    if target is None or target.emotion is None:
        return [""] * len(batch.id)
    names = batch.spec.emotion
    places = target.emotion.argmax(1).tolist()
    return [names[place] if place < len(names) else str(place) for place in places]
