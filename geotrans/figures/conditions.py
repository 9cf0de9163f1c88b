"""What a figure asks of a model, written as text, and the conditions that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from geotrans.data.synthface import EMOTION_AUS
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Sample
from registry import suggest

TARGET = "target"
_ONE_HOT = ("emotion", "modality", "view")
_RESTING = ("neutral", "photo")  # columns of a picture in which nothing has been changed yet


def edited(spec: ConditionSpec, sample: Sample, edit: str) -> Condition:
    """The condition that `edit` asks for, for the whole batch.

    Args:
        spec: of the model; the sample's conditions are in its columns.
        edit: columns joined by pluses, each with a value or without (then 1), such as "AU12" or "AU06+AU12=0.5"; all
            else stays as in the source, but for what excludes it ("sad" ends "happy"). An emotion, for a model that
            reads action units and no emotions: its action units, and all others at 0. "target": the sample's own.

    Raises:
        ValueError: no such column, a value outside [0, 1], or no known target or landmarks.
    """
    if edit == TARGET:
        if sample.target is None:
            raise ValueError(f"nobody knows a target of these pictures; name columns instead: {columns_of(spec)}")
        return sample.target
    source = known_source(spec, sample)
    if edit in _expressions(spec):
        aus = [EMOTION_AUS[edit].get(name, 0.0) for name in spec.aus]
        return replace(source, aus=sample.image.new_tensor(aus).expand(len(sample.image), -1))
    condition = source
    for part in edit.split("+"):
        condition = _with_column(spec, condition, *_column(part.strip()))
    return condition


def known_source(spec: ConditionSpec, sample: Sample) -> Condition:
    """The condition of the sample's own pictures; where nobody knows it: 0, and neutral or photo if there are such.

    Raises:
        ValueError: the model reads landmarks, or a map, and the sample has none.
    """
    if sample.source is not None:
        return sample.source
    if spec.landmarks or spec.structure:
        what = "landmarks" if spec.landmarks else "a structure map"
        raise ValueError(f"the model reads {what}, which a picture alone does not tell; use the built-in faces")
    at_rest = [float(column in _RESTING) for name in VECTOR_FIELDS for column in getattr(spec, name)]
    return spec.split(sample.image.new_tensor(at_rest).repeat(len(sample.image), 1)) if at_rest else Condition()


def chosen_edits(spec: ConditionSpec, edits: Sequence[str], most: int) -> tuple[str, ...]:
    """What is asked for, each once. If that is nothing, expressions or the columns one by one, at most `most`."""
    if edits:
        return tuple(dict.fromkeys(edits))
    columns = [name for part in VECTOR_FIELDS if part != "style" for name in getattr(spec, part)]
    found = [*_expressions(spec)] or columns
    return tuple(name for name in found if name not in _RESTING)[:most] or (TARGET,)


def blend(source: Condition, target: Condition, share: float) -> Condition:
    """The condition on the straight way from one to the other, landmarks included: the source at 0, the target at 1."""
    values: dict[str, Tensor | None] = {}
    for name in (field.name for field in fields(Condition)):
        start, end = getattr(source, name), getattr(target, name)
        values[name] = end if start is None or end is None else torch.lerp(start, end, share)
    return Condition(**values)


def activity(spec: ConditionSpec, condition: Condition, batch: int) -> Tensor:
    """How far from rest each row is, (B,): the sum of its columns that are neither neutral nor photo nor style."""
    total = torch.zeros(batch)
    for name in VECTOR_FIELDS:
        value: Tensor | None = getattr(condition, name)
        if name != "style" and value is not None:
            total = total + value[:, [column not in _RESTING for column in getattr(spec, name)]].sum(1)
    return total


def columns_of(spec: ConditionSpec) -> str:
    """The names of all columns, for messages."""
    return ", ".join(name for part in VECTOR_FIELDS for name in getattr(spec, part)) or "no columns"


def _expressions(spec: ConditionSpec) -> tuple[str, ...]:
    """The emotions that the spec's action units can show; none if it has columns for emotions."""
    if spec.emotion or not spec.aus:
        return ()
    return tuple(name for name, aus in EMOTION_AUS.items() if set(aus) <= set(spec.aus))


def _column(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        number = float(value) if equals else 1.0
    except ValueError:
        raise ValueError(f"{text}: expected COLUMN or COLUMN=VALUE with a number, such as AU12=0.5") from None
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: expected a value from 0 to 1, got {value}")
    return name, number


def _with_column(spec: ConditionSpec, condition: Condition, name: str, value: float) -> Condition:
    for part in VECTOR_FIELDS:
        columns: Sequence[str] = getattr(spec, part)
        if name in columns:
            before: Tensor = getattr(condition, part)
            after = (1 - value) * before if part in _ONE_HOT else before.clone()
            after[:, columns.index(name)] = value + (after[:, columns.index(name)] if part in _ONE_HOT else 0)
            return replace(condition, **{part: after})
    known = [column for part in VECTOR_FIELDS for column in getattr(spec, part)]
    raise ValueError(f"the model has no column {name!r}; {suggest(name, [*known, *_expressions(spec)])}")
