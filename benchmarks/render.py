"""How fast the built-in datasets draw: pictures a second, each next to the plainest drawing of the same size.

A sample counts as two pictures, source and truth; it also holds landmarks or joints, true flow and visibility. The
yardstick is `shapes`: one signed distance a pixel. Rounds are interleaved, and the second rate is by CPU time, all
threads together: other work on the machine slows the first rate, not the second.
"""

from __future__ import annotations

import argparse
import time

import torch

from geotrans.data.base import Dataset
from geotrans.data.shapes import shapes
from geotrans.data.synthface import TASKS, synthface
from geotrans.data.synthpeople import synthpeople
from geotrans.data.synthviews import synthviews


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
    datasets["synthpeople"] = synthpeople(resolution=options.resolution)
    datasets["synthviews"] = synthviews(resolution=options.resolution)
    wall: dict[str, list[float]] = {name: [] for name in datasets}
    cpu: dict[str, list[float]] = {name: [] for name in datasets}
    for turn in range(options.rounds + 1):
        for name, dataset in datasets.items():
            before = time.perf_counter(), time.process_time()
            dataset.batch(range(turn * options.batch, (turn + 1) * options.batch))
            wall[name].append(time.perf_counter() - before[0])
            cpu[name].append(time.process_time() - before[1])
    print(f"{options.resolution} px, batch {options.batch}, {options.threads} threads, best of {options.rounds} rounds")
    for name in datasets:
        by_wall, by_cpu = (2 * options.batch / min(times[name][1:]) for times in (wall, cpu))
        ratio = min(cpu["shapes"][1:]) / min(cpu[name][1:])
        print(f"{name:22s} {by_wall:8.0f} pictures/s {by_cpu:8.0f} pictures/CPU s   {ratio:.3f} of shapes")


if __name__ == "__main__":
    main()
