"""How fast the built-in datasets draw: pictures a second, each next to the plainest drawing of the same size.

A sample counts as two pictures, source and truth; it also holds landmarks, true flow and visibility. The yardstick is
`shapes`: one signed distance a pixel. Rounds are interleaved, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import time

import torch

from geotrans.data.base import Dataset
from geotrans.data.shapes import shapes
from geotrans.data.synthface import TASKS, synthface


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=64, help="pixels a side (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="samples a batch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="batches a dataset (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    datasets: dict[str, Dataset] = {"shapes": shapes(resolution=options.resolution)}
    for task in TASKS:
        datasets[f"synthface/{task}"] = synthface(resolution=options.resolution, task=task)
    times: dict[str, list[float]] = {name: [] for name in datasets}
    for turn in range(options.rounds + 1):
        for name, dataset in datasets.items():
            times[name].append(_seconds(dataset, turn * options.batch, options.batch))
    best = {name: 2 * options.batch / min(seconds[1:]) for name, seconds in times.items()}
    print(f"{options.resolution} px, batch {options.batch}, {options.threads} threads, best of {options.rounds} rounds")
    for name, rate in best.items():
        print(f"{name:22s} {rate:8.0f} pictures/s   {rate / best['shapes']:.3f} of shapes")


def _seconds(dataset: Dataset, start: int, count: int) -> float:
    before = time.perf_counter()
    dataset.batch(range(start, start + count))
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
