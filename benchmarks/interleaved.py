"""Several ways to compute the same, next to the first of them; for the scripts beside this one.

Rounds are interleaved and every other one runs backwards, so that other work on the machine falls on all ways alike.
Times are CPU seconds, all threads together, or seconds between synchronisations on a GPU. A ratio is the median over
the rounds of the first way's time over this one's, with the lowest and the highest. A peak is what a run, forward and
backward, needs beside its inputs, in a process of its own on a CPU, after a first run that loads the code.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Way:
    """How to compute it, and the tensors that get a gradient."""

    run: Callable[[], Tensor]
    leaves: list[Tensor]

    def forward(self) -> None:
        """Run without gradients."""
        with torch.no_grad():
            self.run()

    def both(self) -> None:
        """Run forward and backward, with ones as the upstream gradient."""
        out = self.run()
        torch.autograd.grad(out, self.leaves, torch.ones_like(out))


Case = Callable[[torch.device], Mapping[str, Way]]


def main(cases: Mapping[str, Case], description: str | None) -> None:
    """Parse the command line and print a table a case.

    Args:
        cases: name -> a function that makes the ways; the first of them is what the others are compared with.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of timing (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--case", choices=list(cases), action="append", help="only this one; may be given again")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    peaks = {name: peak_megabytes(cases[name], device) for name in options.case or cases}  # before anything has run
    print(f"{options.rounds} rounds, {options.threads} threads, {device}")
    for name, peak in peaks.items():
        ways = cases[name](device)
        forward = timed({way: made.forward for way, made in ways.items()}, options.rounds, device)
        both = timed({way: made.both for way, made in ways.items()}, options.rounds, device)
        print(f"\n{name:34s}{'forward':>34s}{'forward and backward':>34s}{'peak':>12s}")
        for way in ways:
            print(f"  {way:32s}{column(forward, way)}{column(both, way)}{peak[way]:9.0f} MB")


def timed(runs: Mapping[str, Callable[[], None]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of every round."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times: dict[str, list[float]] = {way: [] for way in runs}
    for turn in range(rounds + 1):
        for way in list(runs) if turn % 2 else list(reversed(runs)):
            start = clock()
            runs[way]()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[way].append(clock() - start)
    return {way: seconds[1:] for way, seconds in times.items()}  # the first round warms up


def column(times: Mapping[str, list[float]], way: str) -> str:
    """Milliseconds, and how many times as fast as the first way."""
    ratios = [a / b for a, b in zip(next(iter(times.values())), times[way], strict=True)]
    spread = f"x{statistics.median(ratios):.2f} [{min(ratios):.2f}..{max(ratios):.2f}]"
    return f"{1e3 * statistics.median(times[way]):10.1f} ms {spread:>20s}"


def peak_megabytes(case: Case, device: torch.device) -> dict[str, float]:
    """The peak of every way. On a CPU it reads Linux's counters, with glibc, and is not a number elsewhere."""
    if device.type == "cuda":
        return {way: cuda_megabytes(made) for way, made in case(device).items()}
    if not Path("/proc/self/clear_refs").exists() or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        return {way: float("nan") for way in case(device)}
    context = multiprocessing.get_context("fork")
    peaks: dict[str, float] = {}
    for way in case(device):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=lambda: sender.send(cpu_megabytes(case(device)[way])))  # noqa: B023
        child.start()
        peaks[way] = receiver.recv()
        child.join()
    return peaks


def cpu_megabytes(way: Way) -> float:
    """By how much the process grows at most."""
    way.both()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts again from where it is
    before = resident("VmRSS")
    way.both()
    return (resident("VmHWM") - before) / 2**10


def resident(counter: str) -> int:
    """A counter of this process, in kB."""
    found = re.search(rf"{counter}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found.group(1)) if found else 0


def cuda_megabytes(way: Way) -> float:
    """By how much the allocated memory grows at most."""
    way.both()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    way.both()
    return (torch.cuda.max_memory_allocated() - before) / 2**20
