"""What figures are drawn of: faces of a built-in dataset's test split, or pictures from files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from geotrans.base import Generator
from geotrans.data.base import Dataset
from geotrans.faces import find_face
from geotrans.factory import create_dataset
from geotrans.figures.conditions import activity
from geotrans.ops.condition import draw_style, pick
from geotrans.ops.images import read_image, resize
from geotrans.types import VECTOR_FIELDS, ConditionSpec, Sample
from registry import DATASETS

Crop = Literal["auto", "face", "whole"]

PICTURES_OF_A_PERSON = 4  # in synthface they follow one another

BUILT_IN = ("synthface", "shapes")
NOTHING = ConditionSpec()
_CANDIDATES, _SMALL = 64, 16


def faces(
    model: Generator,
    rows: int = 4,
    *,
    index: Sequence[int] = (),
    seed: int = 0,
    at_rest: bool = True,
    task: str = "",
    data: str = "",
    options: Mapping[str, Any] | None = None,
) -> Sample:
    """Pictures of a test split, with their conditions in the model's columns.

    Args:
        rows: how many.
        index: which ones; by default they are drawn, each of another person.
        seed: of that draw, and of style codes.
        at_rest: prefer faces that show the least of what the model changes.
        task: of the dataset, what differs in its pairs; by default what the model changes.
        data: name of a dataset; by default the built-in one that has the model's columns.
        options: of the dataset.

    Raises:
        ValueError: no built-in dataset has the columns that the model reads, or `rows` is below 1.
        IndexError: an index is outside the split.
    """
    if rows < 1:
        raise ValueError(f"rows: expected at least 1, got {rows}")
    spec = model.cfg.condition
    dataset = _open(spec, model.cfg.resolution, task, data, options or {})
    generator = torch.Generator().manual_seed(seed)
    if not index:
        small = _open(spec, _SMALL, task, data, options or {})  # the same faces, quicker to draw
        index = _drawn(small, spec, rows, at_rest, generator)
    sample = dataset.batch(index)
    source, target = (
        None if condition is None else pick(spec, condition, dataset.spec, draw_style(spec, len(index), generator))
        for condition in (sample.source, sample.target)
    )
    return replace(sample, source=source, target=target)


def pictures(model: Generator, files: Sequence[str | Path], crop: Crop = "auto", *, seed: int = 0) -> Sample:
    """Files as the model sees them: square, at its resolution. Their conditions are unknown.

    Args:
        crop: the face that is found (face), the middle square (whole), or the face if there is one (auto).
        seed: of style codes. A model that reads nothing else, or nothing at all, always has a target.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file is no picture, or no face is found in it and `crop` is "face".
    """
    spec = model.cfg.condition
    image = torch.cat([resize(_square(file, crop), model.cfg.resolution) for file in files])
    style = draw_style(spec, len(image), torch.Generator().manual_seed(seed))
    target = None if missing(spec, NOTHING) else pick(spec, None, NOTHING, style)
    return Sample(image, target=target, id=tuple(Path(file).name for file in files))


def open_test(name: str, resolution: int, task: str, options: Mapping[str, Any]) -> Dataset:
    """The test split of a dataset; `task` is for those that have tasks."""
    known = inspect.signature(DATASETS.get(name).factory).parameters
    fixed = {"split": "test", "resolution": resolution, "task": task}
    return create_dataset(name, **{**options, **{key: value for key, value in fixed.items() if key in known and value}})


def task_of(spec: ConditionSpec) -> str:
    """What differs in the pairs of `synthface` that a model with these columns is shown on."""
    if spec.modality:
        return "modality"
    if spec.aus or spec.emotion:
        return "emotion"
    return "attributes" if spec.attributes else ""


def missing(spec: ConditionSpec, have: ConditionSpec) -> list[str]:
    """Columns that `spec` reads and `have` does not have; style codes are drawn, so nobody lacks them."""
    parts = [part for part in VECTOR_FIELDS if part != "style"]
    lacking = [name for part in parts for name in getattr(spec, part) if name not in getattr(have, part)]
    if spec.landmarks and not have.landmarks:
        lacking.append("landmarks")
    if spec.structure and spec.structure != have.structure:
        lacking.append("a structure map")
    return lacking


def _open(spec: ConditionSpec, resolution: int, task: str, data: str, options: Mapping[str, Any]) -> Dataset:
    for name in (data,) if data else BUILT_IN:
        dataset = open_test(name, resolution, task or task_of(spec), options)
        if not (lacking := missing(spec, dataset.spec)):
            return dataset
        if data:
            raise ValueError(f"the model reads {', '.join(lacking)}, which {data} does not have")
    wanted = missing(spec, NOTHING)
    raise ValueError(f"no built-in dataset has all that the model reads ({', '.join(wanted)}); give pictures instead")


def _drawn(dataset: Dataset, spec: ConditionSpec, rows: int, at_rest: bool, generator: torch.Generator) -> list[int]:
    people = torch.arange(0, len(dataset), PICTURES_OF_A_PERSON)
    pool = people[torch.randperm(len(people), generator=generator)[: max(rows, _CANDIDATES)]].tolist()
    if len(pool) < rows:
        raise ValueError(f"rows: the test split has {len(pool)} people, got {rows}")
    if not at_rest:
        return pool[:rows]
    labels = replace(spec, style=())
    effort = activity(labels, pick(labels, dataset.batch(pool).source, dataset.spec, None), len(pool))
    return [pool[place] for place in effort.argsort(stable=True)[:rows].tolist()]


def _square(file: str | Path, crop: Crop) -> Tensor:
    image = read_image(file)
    region = None if crop == "whole" else find_face(image)
    if region is not None:
        return region.cut(image)
    if crop == "face":
        raise ValueError(f"{file}: no face found; use crop whole to take the whole picture")
    height, width = image.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, :, top : top + side, left : left + side]
