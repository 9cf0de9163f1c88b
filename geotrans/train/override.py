"""`--set path=value`: one field of a recipe from text, typed by the field."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from geotrans.base import config_from_dict
from registry import suggest

C = TypeVar("C")


def set_fields(config: C, assignments: Sequence[str]) -> C:
    """Apply `path=value` texts to a frozen config, one after the other.

    A path goes into nested configs (`g_optim.lr`), into options (`generator_options.width`) and into tuples, by name or
    place (`g_losses.cycle_l1.weight`, `g_losses.0.weight`, `g_optim.betas.0`). Tuples of plain values are written with
    commas, `none` empties an optional field, and records are written in JSON.

    Raises:
        ValueError: no `=`, an unknown path, or a value of another type than the field's; the path is in it.
    """
    for text in assignments:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise ValueError(f"--set: expected field=value, got {text!r}")
        config = _assign(config, type(config), path.strip().split("."), value.strip(), path.strip())
    return config


def _assign(node: Any, hint: Any, keys: list[str], text: str, path: str) -> Any:
    if not keys:
        return _parse(hint, text, path)
    key, rest = keys[0], keys[1:]
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        hints = typing.get_type_hints(type(node))
        if key not in hints:
            raise ValueError(f"{path}: {type(node).__name__} has no field {key!r}; {suggest(key, hints)}")
        return dataclasses.replace(node, **{key: _assign(getattr(node, key), hints[key], rest, text, path)})
    if isinstance(node, Mapping):
        return {**node, key: _assign(node.get(key), Any, rest, text, path)}
    if isinstance(node, tuple):
        place = _place(node, key, path)
        item = typing.get_args(hint)
        kind = item[0] if item[-1:] == (...,) else item[place] if item else Any
        return (*node[:place], _assign(node[place], kind, rest, text, path), *node[place + 1 :])
    raise ValueError(f"{path}: {'.'.join(path.split('.')[: -len(keys)])} is {node!r}, which has no {key!r}")


def _place(items: tuple[Any, ...], key: str, path: str) -> int:
    names = [str(getattr(item, "name", place)) for place, item in enumerate(items)]
    if key in names:
        return names.index(key)
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    raise ValueError(f"{path}: there is no {key!r}; {suggest(key, names)}")


def _parse(hint: Any, text: str, path: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    wanted = getattr(hint, "__name__", str(hint)) if origin is None else str(hint).replace("typing.", "")
    try:
        if hint is Any:
            return _literal(text)
        if origin in (typing.Union, types.UnionType):
            if text.lower() == "none" and type(None) in args:
                return None
            return _parse(next(arg for arg in args if arg is not type(None)), text, path)
        if origin is typing.Literal:
            return {str(arg): arg for arg in args}[text]
        if hint is bool:
            return {"true": True, "false": False}[text.lower()]
        if hint in (int, float, str):
            return hint(text)
        return _parse_nested(hint, origin, args, text, path)
    except (KeyError, TypeError, ValueError) as error:
        if str(error).startswith(path):
            raise
        raise ValueError(f"{path}: expected {wanted}, got {text!r}") from error


def _parse_nested(hint: Any, origin: Any, args: tuple[Any, ...], text: str, path: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return config_from_dict(hint, json.loads(text))
    if origin is tuple and dataclasses.is_dataclass(args[0]):
        return tuple(config_from_dict(args[0], item) for item in json.loads(text))  # type: ignore[arg-type]
    if origin is tuple:
        parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
        kinds = [args[0]] * len(parts) if args[-1:] == (...,) else list(args)
        return tuple(_parse(kind, part, path) for kind, part in zip(kinds, parts, strict=True))
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, got {text!r}")
    return value


def _literal(text: str) -> Any:
    """An option's value: JSON where it is JSON (numbers, true, null, lists), else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
