"""Checkpoints: a folder of safetensors and JSON that appears whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from geotrans.base import config_from_dict, config_to_dict
from geotrans.train.recipe import Recipe

_NAME = re.compile(r"checkpoint-(\d{8,})\Z")
_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run between two steps.

    Attributes:
        step: steps done.
        seconds: wall-clock time that they took, over all the sessions of the run.
        world: number of processes.
        recipe: what is being trained.
        tensors: state of each network and optimiser, under `part/key`.
    """

    step: int
    seconds: float
    world: int
    recipe: Recipe
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one network or optimiser."""
        return {
            key.removeprefix(f"{name}/"): value for key, value in self.tensors.items() if key.startswith(f"{name}/")
        }


def write_checkpoint(output: Path, checkpoint: Checkpoint, keep: int = 2) -> Path:
    """Write `output/checkpoint-STEP`, then remove all but the newest `keep`.

    A run killed at any moment leaves the older checkpoints whole; what it was writing has a name nobody reads.
    """
    final = output / f"checkpoint-{checkpoint.step:08d}"
    temporary = output / f".{final.name}.tmp"
    for stale in output.glob(".checkpoint-*.tmp"):
        shutil.rmtree(stale)
    temporary.mkdir(parents=True)
    save_file({key: _stored(value) for key, value in checkpoint.tensors.items()}, temporary / _TENSORS)
    state = {
        "step": checkpoint.step,
        "seconds": checkpoint.seconds,
        "world": checkpoint.world,
        "recipe": config_to_dict(checkpoint.recipe),
    }
    (temporary / _STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    for file in (temporary / _TENSORS, temporary / _STATE):
        _flush(file)
    if final.exists():
        shutil.rmtree(final)
    os.replace(temporary, final)
    for old in checkpoints(output)[:-keep]:
        shutil.rmtree(old)
    return final


def checkpoints(output: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [path for path in output.glob("checkpoint-*") if _NAME.match(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, to the CPU.

    Raises:
        ValueError: the folder is damaged; the message says which file.
    """
    try:
        state = json.loads((path / _STATE).read_text(encoding="utf-8"))
        tensors = load_file(path / _TENSORS)
        recipe = config_from_dict(Recipe, state["recipe"])
        return Checkpoint(state["step"], state["seconds"], state["world"], recipe, tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no readable checkpoint ({error}); remove it to go on from the one before"
        ) from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as flat tensors, `parameter number.name`; rates and betas come from the recipe."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, entries in state.items()
        for name, value in entries.items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _stored(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()  # a copy: safetensors refuses tensors that share memory


def _flush(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
