"""Official checkpoints into models. A family's converter is the function `convert_<family>` in its model file."""

from __future__ import annotations

import inspect
import pickle
import re
import struct
import sys
import typing
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geotrans.base import Model
from geotrans.publishing import arch_of, save_folder
from hub.files import read_safetensors, sha256
from registry import DISCRIMINATORS, GENERATORS, UnknownNameError, suggest

PREFIX = "convert_"

# What a checkpoint may unpack to, in sizes of its file: networks that share tensors state them more than once.
MAX_GROWTH = 4
MAX_DEPTH = 3

# What damaged or made-up files raise in the unpickler and below it.
_BROKEN = (
    *(RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError, AssertionError),
    *(ArithmeticError, MemoryError, ImportError, struct.error, zipfile.BadZipFile),
)


class _Refused(ValueError):
    """A file that is whole, and refused."""


def converters() -> dict[str, Callable[..., Model]]:
    """Family name -> converter, for every `convert_*` function of a module that registers a model."""
    modules = {table.get(name).factory.__module__ for table in (GENERATORS, DISCRIMINATORS) for name in table}
    return {
        name.removeprefix(PREFIX): function
        for module in sorted(modules)
        for name, function in vars(sys.modules[module]).items()
        if name.startswith(PREFIX) and inspect.isfunction(function) and function.__module__ == module
    }


def converter(family: str) -> Callable[..., Model]:
    """The converter of a family.

    Raises:
        LookupError: no such family; the message lists close names.
    """
    known = converters()
    if family not in known:
        raise UnknownNameError(f"no family is named {family!r}; {suggest(family, known)}")
    return known[family]


def converter_options(family: str) -> dict[str, tuple[Any, Any]]:
    """The options of a family's converter, what the shapes do not tell: name -> (type, default)."""
    function = converter(family)
    hints, parameters = typing.get_type_hints(function), inspect.signature(function).parameters
    return {name: (hints[name], parameters[name].default) for name in list(parameters)[1:]}


def convert(family: str, state: Mapping[str, Any], /, **options: Any) -> Model:
    """Build the model that an official state dict belongs to, in eval mode.

    Args:
        family: a key of `converters()`.
        state: official names -> tensors. For a file of several networks, names -> state dicts: the names are then put
            before the keys, as in "a.enc_content...".
        options: what the shapes do not tell, as the family's converter names it.

    Raises:
        LookupError: no such family.
        TypeError: an option that the family does not have.
        ValueError: keys or shapes are not those of the official code.
    """
    function, names = converter(family), converter_options(family)
    for name in options:
        if name not in names:
            raise TypeError(f"{family} has no option {name!r}; {suggest(name, names)}")
    tensors = _flat(state)
    if not tensors:
        raise ValueError("the checkpoint is empty; expected a state dict (names to tensors)")
    return function(tensors, **options).eval()


def _flat(state: Mapping[Any, Any], prefix: str = "", depth: int = 1) -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for key, value in state.items():
        name = f"{prefix}{key}"
        if isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta:
            flat[name] = value.detach()
        elif isinstance(value, Mapping) and depth < MAX_DEPTH:
            flat |= _flat(value, f"{name}.", depth + 1)
        else:
            raise ValueError(f"{name}: expected a tensor (or a state dict of them), got {type(value).__name__}")
    return flat


def convert_file(family: str, path: Path, folder: Path, /, **options: Any) -> Model:
    """Convert a checkpoint file and write it as a published folder; on any error nothing is written."""
    model = convert(family, read_checkpoint(path), **options)
    given = "".join(f"- {name}: `{value}`\n" for name, value in options.items())
    card = (
        f"# {family} (converted)\n\nOfficial weights of the {family} family, renamed key by key.\n\n"
        f"- source file: `{path.name}`, sha256 `{sha256(path)}`\n{given}"
        f"- the licence of the original weights applies\n"
    )
    save_folder(model, folder, arch=arch_of(model, converter(family).__module__), tag="converted", readme=card)
    return model


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The tensors of a `.pth`, `.ckpt` or `.safetensors` file; pickled code is refused, never run.

    Returns:
        Names -> tensors, or names -> state dicts where the file holds several networks.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, holds something else than tensors, wants to run code, or unpacks to many times
            its size.
    """
    if path.suffix == ".safetensors":
        return dict(read_safetensors(path)[0])
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a .pth, .ckpt or .safetensors checkpoint")
    try:
        _check_growth(path, _unpacked_size(path))
        with warnings.catch_warnings(action="ignore"):  # of formats that are old, or broken
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own text advises to load the file without this protection.
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"refused, it holds more than tensors ({found[1]})" if found else "not a whole PyTorch checkpoint"
        raise ValueError(f"{path}: {what}") from None
    except _Refused:
        raise
    except _BROKEN as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path}: not a whole PyTorch checkpoint ({told})") from None
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded:
        raise ValueError(f"{path}: expected a state dict (names to tensors), got {type(loaded).__name__}")
    try:
        tensors = _flat(loaded)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    _check_growth(path, sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
    return tensors


def _unpacked_size(path: Path) -> int:
    """What the archive's entries unpack to, in bytes; 0 for the format of before PyTorch 1.6, which is no archive."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return 0
        with zipfile.ZipFile(file) as archive:
            return sum(entry.file_size for entry in archive.infolist())


def _check_growth(path: Path, size: int) -> None:
    """Refuse a file of few bytes that stands for many: a compressed archive, a number repeated over a large shape."""
    limit = MAX_GROWTH * path.stat().st_size
    if size > limit:
        raise _Refused(f"{path}: refused, it unpacks to {size} bytes; expected at most {limit} of a file of its size")
