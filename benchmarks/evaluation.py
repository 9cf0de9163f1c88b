"""Scores of sets of pictures against what one would run instead: Frechet distance, its memory, one pass for all.

Distances go from means and covariances in memory to the number, or from features. The peer is pytorch-fid's own
function, which takes scipy's matrix root. Passes read two folders of drawn pictures; they need the weights of the FID
network and of LPIPS (`geotrans download --with-metrics`), and are left out where these are missing.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import torch
from interleaved import column, timed
from torch import Tensor

from eval.folders import FolderWork
from eval.metrics.frechet import FeatureSet, frechet_distance, frechet_with_error
from eval.networks import Networks
from geotrans.data.synthface import synthface
from geotrans.ops.images import write_image

DIM = 2048
METRICS = ("fid", "kid", "precision", "recall", "lpips")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of timing (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=24, help="in each folder (default: %(default)s)")
    parser.add_argument("--only", choices=["distance", "memory", "passes"], help="only this part")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(_peak(options.peak))
        return
    print(f"{options.rounds} rounds, {options.threads} threads; CPU seconds: other work on the machine counts less")
    parts: dict[str, Callable[[], None]] = {
        "distance": lambda: _distances(options),
        "memory": lambda: _memory(),
        "passes": lambda: _passes(options),
    }
    for name, run in parts.items():
        if options.only in (None, name):
            run()


def _features(n: int, seed: int) -> Tensor:
    """Features whose variances fall off as those of a trained network do."""
    draw = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, -2, DIM)
    mix = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0)))[0]
    return (torch.randn(n, DIM, generator=draw) * scale) @ mix + 0.01 * seed


def _set(features: Tensor) -> FeatureSet:
    filled = FeatureSet()
    for block in features.split(50):
        filled.add(block)
    return filled


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), np.cov(features, rowvar=False)


def _distances(options: argparse.Namespace) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance

    warnings.simplefilter("ignore")  # scipy's, about singular matrices
    for n in (500, 5000):
        a, b = _features(n, 1), _features(n, 2)
        x, y = (rows.double().numpy() for rows in (a, b))
        moments, sets = (*_moments(x), *_moments(y)), (_set(a), _set(b))
        ways: dict[str, Callable[[], object]] = {
            "pytorch-fid": partial(calculate_frechet_distance, *moments),
            "geotrans": partial(frechet_distance, *sets),
            "pytorch-fid, moments too": lambda x=x, y=y: calculate_frechet_distance(*_moments(x), *_moments(y)),  # type: ignore[misc]
            "geotrans, moments too": lambda a=a, b=b: frechet_distance(_set(a), _set(b)),  # type: ignore[misc]
            "geotrans, with interval": partial(frechet_with_error, *sets),
        }
        print(f"\nFrechet distance of {n} and {n} features of {DIM}, from moments")
        _table(ways, options)
        print(f"  pytorch-fid {ways['pytorch-fid']():.8g}, geotrans {ways['geotrans']():.8g}")


def _table(ways: Mapping[str, Callable[[], object]], options: argparse.Namespace) -> None:
    times = timed(ways, options.rounds, torch.device("cpu"))
    for name in times:
        print(f"  {name:26s}{column(times, name)}")


def _memory() -> None:
    print(f"\nPeak memory beyond the start, one side of {DIM} features that come in batches of 50")
    for n in (5_000, 50_000):
        for way in ("streamed", "kept"):
            command = [sys.executable, sys.argv[0], "--peak", f"{way} {n}"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"  {way:10s} N = {n:6d} {float(done.stdout):8.0f} MB")


def _peak(what: str) -> float:
    """Megabytes that moments need: streamed, or of an array of all features, as other packages keep them."""
    way, count = what.split()
    n = int(count)
    draw = torch.Generator().manual_seed(0)
    np.cov(np.random.default_rng(0).random((4, 3)), rowvar=False)
    before = _high_water()
    if way == "streamed":
        features = FeatureSet()
        for start in range(0, n, 50):
            features.add(torch.rand(50, DIM, generator=draw), [str(i) for i in range(start, start + 50)])
        features.moments()
    else:
        rows = np.empty((n, DIM))
        for start in range(0, n, 50):
            rows[start : start + 50] = torch.rand(50, DIM, generator=draw).numpy()
        np.cov(rows, rowvar=False)
    return _high_water() - before


def _high_water() -> float:
    """Megabytes of this process at its peak. Linux: getrusage would count what the parent held when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 2**10


def _passes(options: argparse.Namespace) -> None:
    networks = Networks()
    for network in ("inception_fid", "lpips_alex"):
        if why := networks.missing(network):
            print(f"\npasses left out: {why}")
            return
    with tempfile.TemporaryDirectory() as folder:
        made, real = Path(folder) / "made", Path(folder) / "real"
        faces = synthface(split="test", resolution=128).batch(range(options.pictures))
        assert faces.truth is not None
        for place, pictures in ((made, faces.image), (real, faces.truth)):
            for i, picture in enumerate(pictures):
                write_image(place / f"{i:03d}.png", picture)

        def score(*metrics: str) -> None:
            FolderWork(made, real, metrics=metrics, networks=networks).board(progress=False)

        ways = {
            "one after the other": lambda: [score(name) for name in METRICS] and None,
            "all at once": lambda: score(*METRICS),
            "pytorch-fid and lpips": lambda: _by_packages(made, real),
        }
        print(f"\n{', '.join(METRICS)} of {options.pictures} and {options.pictures} pictures of 128 pixels")
        _table(ways, options)
        print("  pytorch-fid and lpips: fid and lpips alone, one pair after the other")


def _by_packages(made: Path, real: Path) -> None:
    import lpips
    from pytorch_fid.fid_score import calculate_fid_given_paths

    from geotrans.ops.images import read_image

    quiet = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
        warnings.simplefilter("ignore")
        calculate_fid_given_paths([str(made), str(real)], 50, "cpu", 2048, num_workers=0)
        distance = lpips.LPIPS(net="alex", verbose=False).eval()
    with torch.no_grad():
        for path in sorted(made.iterdir()):
            distance(read_image(path), read_image(real / path.name))


if __name__ == "__main__":
    main()
