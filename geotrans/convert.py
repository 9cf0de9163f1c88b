"""Official checkpoints into models. A family's converter is the function `convert_<family>` in its model file."""

from __future__ import annotations

import inspect
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geotrans.base import Model
from geotrans.factory import arch_of, save_folder
from hub.files import read_safetensors, sha256
from registry import DISCRIMINATORS, GENERATORS, UnknownNameError, suggest

PREFIX = "convert_"


def converters() -> dict[str, Callable[..., Model]]:
    """Family name -> converter, for every `convert_*` function of a module that registers a model."""
    modules = {table.get(name).factory.__module__ for table in (GENERATORS, DISCRIMINATORS) for name in table}
    return {
        name.removeprefix(PREFIX): function
        for module in sorted(modules)
        for name, function in vars(sys.modules[module]).items()
        if name.startswith(PREFIX) and inspect.isfunction(function) and function.__module__ == module
    }


def convert(family: str, state: Mapping[str, Tensor], **options: Any) -> Model:
    """Build the model that an official state dict belongs to.

    Args:
        family: a key of `converters()`.
        state: official names -> tensors.
        options: what the shapes do not tell, as the family's converter names it.

    Raises:
        LookupError: no such family.
        TypeError: an option that the family does not have.
        ValueError: keys or shapes are not those of the official code.
    """
    known = converters()
    if family not in known:
        raise UnknownNameError(f"no family is named {family!r}; {suggest(family, known)}")
    names = list(inspect.signature(known[family]).parameters)[1:]
    for name in options:
        if name not in names:
            raise TypeError(f"{family} has no option {name!r}; {suggest(name, names)}")
    return known[family](state, **options)


def convert_file(family: str, source: Path, folder: Path, **options: Any) -> Model:
    """Convert a checkpoint file and write it as a published folder; on any error nothing is written."""
    model = convert(family, read_checkpoint(source), **options)
    card = (
        f"# {family} (converted)\n\nOfficial weights of the {family} family, renamed key by key.\n\n"
        f"- source file: `{source.name}`, sha256 `{sha256(source)}`\n"
        f"- the licence of the original weights applies\n"
    )
    save_folder(model, folder, arch=arch_of(model, converters()[family].__module__), tag="converted", readme=card)
    return model


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth`, `.ckpt` or `.safetensors` file; pickled code is refused, never run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, holds something else than tensors, or wants to run code.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a .pth, .ckpt or .safetensors checkpoint")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: refused, it holds more than tensors ({reason})") from None
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a whole PyTorch checkpoint ({' '.join(str(error).split())[:200]})") from None
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ValueError(f"{path}: expected a state dict (names to tensors), got {type(loaded).__name__}")
    return dict(loaded)
