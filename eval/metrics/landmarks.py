"""Are the parts of the face where they shall be?"""

from __future__ import annotations

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch, SampleMetric
from eval.metrics.identity import found
from registry import register_metric

OUTER_EYES = (36, 45)  # iBUG-68


@register_metric(1, "%", False, needs=("sample.target.landmarks", "judge.landmarks"))
def landmark_error() -> SampleMetric:
    """Mean distance between the wanted iBUG-68 landmarks and those found in the result, in % of the eyes' distance.

    Normalised by the distance of the outer eye corners as wanted, as in the 300-W challenge; Sagonas et al. 2013.
    Results without a face have no say; `landmark_detection_rate` counts them.
    """
    return SampleMetric(_error)


@register_metric(1, "%", True, needs=("sample.target.landmarks", "judge.landmarks"))
def landmark_detection_rate() -> SampleMetric:
    """Share of results in which the landmark judge finds a face."""
    return SampleMetric(_detected)


def _detected(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    there = found(_read(batch))
    return 100.0 * there, torch.ones_like(there)


def _error(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    read, wanted = _read(batch), batch.get("sample.target.landmarks").double()
    height, width = batch.generated.shape[-2:]
    pixels = wanted.new_tensor([width / 2, height / 2])
    apart = ((wanted[:, OUTER_EYES[0]] - wanted[:, OUTER_EYES[1]]) * pixels).norm(dim=1)
    distance = ((read.view_as(wanted) - wanted) * pixels).norm(dim=2).mean(1)
    there = found(read)
    return torch.where(there, 100 * distance / apart, 0.0), there


def _read(batch: EvalBatch) -> Tensor:
    """The landmarks (B, 136) that the judge finds in the results; a row of zeros where it finds no face."""
    read, wanted = batch.feature("landmarks", "generated").double(), batch.get("sample.target.landmarks")
    if wanted.shape[1:] != (68, 2) or read.shape != (len(wanted), 136):
        raise ValueError(
            f"the judge {batch.judges['landmarks']} reads {tuple(read.shape)} where the data has {tuple(wanted.shape)} "
            "landmarks; expected (B, 136) and (B, 68, 2)"
        )
    return read
