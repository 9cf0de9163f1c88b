"""A metric's state as tensors and JSON values, so that a part of a run survives the process that made it.

What a metric has gathered is what its attributes hold: numbers, text, tensors, arrays, and lists, tuples, dicts and
records of them. Functions are not stored: the metric's factory makes them again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.metrics.base import Metric

Tensors = dict[str, Tensor]
_PLAIN = (bool, int, float, str, type(None))
_SKIP = object()


def snapshot(metric: Metric) -> tuple[Any, Tensors]:
    """All that a metric has gathered.

    Raises:
        TypeError: an attribute is of a kind that cannot be stored.
    """
    tensors: Tensors = {}
    return _fields(metric, tensors, type(metric).__name__), tensors


def restore(metric: Metric, values: Any, tensors: Tensors) -> None:
    """Put a snapshot into a metric fresh from its factory.

    Raises:
        ValueError: the snapshot is of another metric, or broken.
    """
    try:
        _fill(metric, values, tensors)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"the stored state does not fit {type(metric).__name__}: {error}") from error


def _fields(record: object, tensors: Tensors, where: str) -> dict[str, Any]:
    packed = {name: _pack(value, tensors, f"{where}.{name}") for name, value in vars(record).items()}
    return {name: value for name, value in packed.items() if value is not _SKIP}


def _pack(value: Any, tensors: Tensors, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (Tensor, np.ndarray)):
        name = str(len(tensors))
        tensors[name] = value.clone() if isinstance(value, Tensor) else torch.from_numpy(value.copy())
        return {"tensor" if isinstance(value, Tensor) else "array": name}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_pack(item, tensors, where) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_pack(key, tensors, where), _pack(item, tensors, where)] for key, item in value.items()]}
    if callable(value):
        return _SKIP
    if hasattr(value, "__dict__"):
        return {"record": _fields(value, tensors, where)}
    raise TypeError(f"{where}: a {type(value).__name__} cannot be stored; keep tensors, numbers, lists and dicts")


def _fill(record: object, values: dict[str, Any], tensors: Tensors) -> None:
    for name, value in values.items():
        setattr(record, name, _unpack(value, tensors, getattr(record, name)))


def _unpack(value: Any, tensors: Tensors, there: Any) -> Any:
    """The stored value. there: what the fresh metric has in its place; records are filled, not made."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind in ("tensor", "array"):
        return tensors[content] if kind == "tensor" else tensors[content].numpy()
    if kind in ("list", "tuple"):
        items = [_unpack(item, tensors, None) for item in content]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        known = there if isinstance(there, dict) else {}
        keys = [_unpack(key, tensors, None) for key, _ in content]
        return {key: _unpack(item, tensors, known.get(key)) for key, (_, item) in zip(keys, content, strict=True)}
    if kind != "record" or there is None:
        raise TypeError(f"cannot rebuild a {kind}")
    _fill(there, content, tensors)
    return there
