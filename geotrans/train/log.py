"""What a run says while it runs: a progress bar, `metrics.jsonl`, TensorBoard scalars."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm


class DivergedError(ValueError):
    """A loss or a weight is no longer a finite number."""


class RunningMeans:
    """Means of named values since the last `take`, kept on the device: adding to them waits for nothing."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], tuple[Tensor, int]] = {}

    def add(self, names: tuple[str, ...], values: Tensor) -> None:
        """Add one step's `values` (len(names),)."""
        total, count = self._sums.get(names, (torch.zeros_like(values), 0))
        self._sums[names] = (total + values, count + 1)

    def take(self) -> dict[str, float]:
        """The means, and start anew. This waits for the device."""
        means = {
            name: value / count
            for names, (total, count) in self._sums.items()
            for name, value in zip(names, total.tolist(), strict=True)
        }
        self._sums.clear()
        return means


class RunLog:
    """Progress of a run for people (stderr), for scripts (`metrics.jsonl`) and for TensorBoard where it is installed.

    Args:
        output: the run's folder.
        first: steps done before this session.
        total: steps of the whole run.
        quiet: write nothing at all: for processes other than the first.
    """

    def __init__(self, output: Path, first: int, total: int, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._step, self._time = first, time.perf_counter()
        self._file = output / "metrics.jsonl"
        interval = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            total=total, initial=first, unit="step", disable=quiet, mininterval=interval, smoothing=0.05, leave=True
        )
        self._board = None if quiet else _tensorboard(output / "tensorboard", purge_step=first)
        if not quiet:
            _forget_after(self._file, first)

    def advance(self) -> None:
        """One more step is done."""
        self._bar.update()

    def write(self, step: int, images: int, values: dict[str, float]) -> None:
        """Log `values` as of `step`."""
        now = time.perf_counter()
        rate = (step - self._step) / max(now - self._time, 1e-9)
        self._step, self._time = step, now
        if self.quiet:
            return
        self._bar.set_postfix({name.partition("/")[2]: f"{v:.3g}" for name, v in values.items() if "/" in name})
        line: dict[str, Any] = {"step": step, "images": images, **values, "steps_per_second": round(rate, 3)}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Finish the bar and the files."""
        self._bar.close()
        if self._board is not None:
            self._board.close()


def _tensorboard(folder: Path, purge_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=purge_step or None)


def _forget_after(file: Path, step: int) -> None:
    """Drop the lines that a killed session wrote after the checkpoint from which this one goes on."""
    if not file.exists():
        return
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):  # a line cut off by the kill
            continue
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, file)
