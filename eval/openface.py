"""Action units that OpenFace 2 measured beforehand: `a.csv` beside `a.png`, in both of two folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch
from geotrans.data._face_motion import AUS
from geotrans.data._openface import face_row, intensities
from geotrans.types import Condition, ConditionSpec, Sample

NEEDS = ("sample.target.aus", "judge.aus")


def lacking(pictures: Sequence[Path]) -> str | None:
    """What is missing for the action units of these pictures; None if nothing is."""
    for path in tables(pictures):
        if not path.is_file():
            return f"{path} is missing: run OpenFace's FaceLandmarkImg on both folders and put its CSV files there"
    return None


def tables(pictures: Sequence[Path]) -> list[Path]:
    """The files beside pictures."""
    return [picture.with_suffix(".csv") for picture in pictures]


def read_units(pictures: Sequence[Path]) -> Tensor:
    """Intensities of the 17 action units in [0, 1], (N, 17).

    Raises:
        ValueError: a file cannot be read, or OpenFace found no face in a picture; the message has its path.
    """
    return torch.tensor([_units(path) for path in tables(pictures)])


def with_units(batch: EvalBatch, made: Sequence[Path], real: Sequence[Path]) -> EvalBatch:
    """The batch with what OpenFace reads off the results, and as wanted what it reads off their truths."""
    target = Condition(aus=read_units(real))
    sample = Sample(batch.get("truth").float(), target=target, id=batch.id)
    return replace(batch, sample=sample, spec=ConditionSpec(aus=AUS)).with_reading("aus", read_units(made))


def _units(path: Path) -> list[float]:
    row = face_row(path)
    if not row.tracked():
        raise ValueError(f"{row.place}: OpenFace found no face; take the picture out of both folders, and report it")
    return intensities(row, AUS)
