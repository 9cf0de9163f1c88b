"""Models without their numbers: what a config asks for is known before anything of that size is allocated."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from geotrans.base import Model, config_to_dict
from geotrans.layers.convert import check_shapes
from hub.files import tensor_shapes
from hub.folder import WEIGHTS
from registry import Entry

# What the config of a stranger's folder may ask for: widths, sizes and weights of terms lie far below.
MAX_NUMBER = 65_536
MAX_BUFFER_BYTES = 100_000_000


def outline(entry: Entry[Any], cfg: Any) -> Model:
    """The model without its numbers."""
    with torch.device("meta"):
        model: Model = entry.info(cfg)
    return model


def fitting_outline(entry: Entry[Any], cfg: Any, path: Path) -> Model:
    """The outline of a model whose config and weights came from elsewhere, before anything of their size is allocated.

    Raises:
        ValueError: the config asks for sizes that the weights do not have; the message names the first differences.
    """
    shapes, _ = tensor_shapes(path / WEIGHTS)
    _check_numbers(config_to_dict(cfg), path)
    budget = 2 * len(shapes) + 16
    thread, count = threading.get_ident(), 0

    def spend(*_: Any) -> None:
        nonlocal count
        count += threading.get_ident() == thread
        if count > budget:
            raise ValueError(f"{path}: config.json asks for more tensors than the {len(shapes)} in {WEIGHTS}")

    hooks = [register_module_parameter_registration_hook(spend), register_module_buffer_registration_hook(spend)]
    try:
        model = outline(entry, cfg)
    except (RuntimeError, OverflowError, ZeroDivisionError, IndexError) as error:
        raise ValueError(
            f"{path}: no {entry.name} can be built from config.json: {str(error).splitlines()[0]}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    check_shapes(model, shapes)
    size = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    if size > MAX_BUFFER_BYTES:
        raise ValueError(f"{path}: config.json asks for {size} bytes of buffers; expected at most {MAX_BUFFER_BYTES}")
    return model


def _check_numbers(value: Any, path: Path) -> None:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_numbers(item, path)
    elif isinstance(value, (int, float)) and not abs(value) <= MAX_NUMBER:
        raise ValueError(f"{path}: config.json asks for {value}; expected numbers of at most {MAX_NUMBER}")
