"""What was asked of a sample, in words: for pages that people read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eval.protocol import Protocol
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Sample

_CHANGED = 0.5
_MOVED = 0.1


def told(protocol: Protocol, have: ConditionSpec) -> ConditionSpec:
    """The columns of a protocol's data that it is about: those that a judge reads; all where there is none."""
    roles = {*protocol.judges, *protocol.asks}
    about = [name for name in VECTOR_FIELDS if name in roles] or VECTOR_FIELDS
    others: dict[str, Any] = {name: () for name in VECTOR_FIELDS if name not in about}
    return replace(have, **others)


def wanted(sample: Sample, spec: ConditionSpec) -> tuple[str, ...]:
    """A line a sample: "Smiling, no Big_Nose", "happy", "AU12 0.8"; empty where nothing of that kind is asked.

    Args:
        spec: the columns of the sample's conditions.
    """
    if sample.target is None:
        return ("",) * len(sample.id)
    return tuple(", ".join(_parts(row, sample.source, sample.target, spec)) for row in range(len(sample.id)))


def _parts(row: int, source: Condition | None, target: Condition, spec: ConditionSpec) -> list[str]:
    parts: list[str] = []
    for field in VECTOR_FIELDS[:-1]:  # a style is no word
        columns, after = getattr(spec, field), getattr(target, field)
        if not columns or after is None:
            continue
        values = after[row].tolist()
        old = None if source is None or (before := getattr(source, field)) is None else before[row].tolist()
        if field in ("attributes", "aus"):
            least = _CHANGED if field == "attributes" else _MOVED
            changed = [i for i, value in enumerate(values) if old is None or abs(value - old[i]) >= least]
            parts += [_column(columns[i], values[i], is_unit=field == "aus") for i in changed]
        elif old is None or values.index(max(values)) != old.index(max(old)):
            parts.append(columns[values.index(max(values))])
    return parts


def _column(name: str, value: float, *, is_unit: bool) -> str:
    if is_unit:
        return f"{name} {value:.1f}"
    return name if value >= _CHANGED else f"no {name}"
