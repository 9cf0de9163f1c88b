"""Protocols of users: one Python file that registers them, or one TOML file that describes one.

name = "my_faces_128"
dataset = "paired_folder"
split = "test"
n = 500
metrics = ["psnr", "lpips", "id_cosine"]
resolution = 128
description = "Faces of my laboratory, without and with glasses."

[dataset_options]
domains = ["without", "with"]

[judges]
identity = "synthface_identity"
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from eval.protocol import FOLDERS, Protocol
from geotrans.features.timm import PREFIX
from registry import DATASETS, FEATURES, METRICS, PROTOCOLS, suggest

_OURS = ("builtin", "reported")
MAX_BYTES = 100_000


def load_protocol(name: str) -> str:
    """The name of a protocol that is registered, or that of a TOML file, registered from now on.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not TOML, or says something that a protocol does not understand.
        UnknownNameError: neither a protocol nor a file has that name.
    """
    if not name.endswith(".toml"):
        PROTOCOLS.get(name)
        return name
    protocol = read_protocol(name)
    if protocol.name in PROTOCOLS:
        if PROTOCOLS.get(protocol.name).factory() != protocol:
            raise ValueError(f"{name}: another protocol is named {protocol.name!r}; rename yours")
        return protocol.name

    def factory() -> Protocol:
        return protocol

    factory.__name__ = protocol.name
    PROTOCOLS.register(factory, None)
    return protocol.name


def read_protocol(path: str | Path) -> Protocol:
    """The protocol that a TOML file describes, its names looked up; errors as for `load_protocol`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a protocol in TOML")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes; a protocol has at most {MAX_BYTES}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not TOML: {error}") from error
    known = {f.name: f for f in fields(Protocol) if f.name not in _OURS}
    if unknown := sorted(content.keys() - known.keys()):
        raise ValueError(f"{path}: a protocol has no key {unknown[0]!r}; {suggest(unknown[0], known)}")
    needed = [name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in needed if name not in content]:
        raise ValueError(f"{path}: missing {', '.join(missing)}")
    hints = typing.get_type_hints(Protocol)
    return _checked(path, Protocol(**{name: _value(path, name, value, hints[name]) for name, value in content.items()}))


def load_plugin(path: str | Path) -> types.ModuleType:
    """Run a Python file that registers protocols, metrics, models or anything else; it can do whatever you can.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: it does not run; the message says why.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a Python file that registers something")
    name = f"geotrans_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: not a Python file; expected one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file raises is the user's mistake
        sys.modules.pop(name, None)
        raise ImportError(f"{path} does not run: {type(error).__name__}: {error}") from error
    return module


def _value(path: Path, name: str, value: Any, hint: Any) -> Any:
    """A value of TOML as the field wants it."""
    if typing.get_origin(hint) is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if hint in (str, int, bool) and type(value) is hint:
        return value
    if typing.get_origin(hint) is dict and isinstance(value, dict) and _fits(value, typing.get_args(hint)[1]):
        return value
    wanted = {str: "text", int: "a whole number", bool: "true or false"}.get(hint)
    if wanted is None:
        wanted = "a list of names" if typing.get_origin(hint) is tuple else "a table"
    raise ValueError(f"{path}: {name}: expected {wanted}, got {value!r}")


def _fits(table: dict[str, Any], item: Any) -> bool:
    if item is Any:
        return True
    if isinstance(item, types.GenericAlias):
        return all(isinstance(value, dict) and _fits(value, typing.get_args(item)[1]) for value in table.values())
    kinds = (int, float) if item is float else (item,)
    return all(isinstance(value, kinds) and not isinstance(value, bool) for value in table.values())


def _checked(path: Path, protocol: Protocol) -> Protocol:
    """The protocol, if every name in it is known."""
    try:
        if protocol.dataset != FOLDERS:
            DATASETS.get(protocol.dataset)
        for metric in protocol.metrics:
            METRICS.get(metric)
        for feature in protocol.judges.values():
            if not feature.startswith(PREFIX):
                FEATURES.get(feature)
    except LookupError as error:
        raise ValueError(f"{path}: {error}") from error
    if protocol.n < 0 or protocol.resolution < 0 or not protocol.name.isidentifier():
        raise ValueError(
            f"{path}: expected a name of letters, digits and _, and n and resolution of at least 0; got "
            f"{protocol.name!r}, {protocol.n}, {protocol.resolution}"
        )
    return protocol
