"""Scores of two folders of pictures, whatever method made them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from eval import openface
from eval.metrics.base import EvalBatch, Metric
from eval.metrics.sets import SetMetric, Side
from eval.networks import Networks
from eval.protocol import FOLDERS, Protocol
from eval.reading import read_picture, shown
from eval.results import BoardResult, ModelFacts, Row, metric_facts
from eval.signature import Samples, signature
from geotrans.ops.images import list_images
from registry import METRICS

DEFAULT_METRICS = ("fid", "kid", "lpips", "psnr", "ssim", "l1")


def evaluate_folders(
    generated: str | Path,
    reference: str | Path,
    *,
    protocol: Protocol | None = None,
    metrics: Sequence[str] | None = None,
    networks: Networks | None = None,
    limit: int | None = None,
    batch_size: int = 50,
    progress: bool = True,
) -> BoardResult:
    """Score the pictures in `generated` against those in `reference`.

    Distances between sets take all pictures; pairs are matched by file name without its suffix.

    Args:
        protocol: one on folders; None: the usual metrics on whatever is there.
        metrics: registered names; by default the protocol's, as far as they can be had; what cannot is listed under
            `left_out`.
        limit: take only the first pictures of each folder, in order of name.
        batch_size: of memory and speed only.

    Raises:
        FileNotFoundError: a folder is missing or holds no pictures.
        ValueError: a picture cannot be read, a pair differs in size, files have no partner, or a metric needs more than
            two folders.
    """
    networks = networks or Networks()
    made, real = (list_images(folder, recursive=False)[:limit] for folder in (generated, reference))
    strict = metrics is not None
    wanted = tuple(dict.fromkeys(metrics or (protocol.metrics if protocol else DEFAULT_METRICS)))
    reasons = {name: why for name in wanted if (why := _obstacle(name, networks, made, real))}
    if strict and reasons:
        raise ValueError("; ".join(f"{name}: {why}" for name, why in reasons.items()))
    scorers: dict[str, Metric] = {name: METRICS.get(name).factory() for name in wanted if name not in reasons}
    with tqdm(desc="folders", unit="picture", file=sys.stderr, disable=not progress, leave=False) as bar:
        sets = [scorer for scorer in scorers.values() if isinstance(scorer, SetMetric)]
        if sets:
            _score_sets(sets, "generated", made, networks, batch_size, bar.update)
            _score_sets(sets, "real", real, networks, batch_size, bar.update)
        pairwise = {name: scorer for name, scorer in scorers.items() if not isinstance(scorer, SetMetric)}
        if pairwise:
            _score_pairs(pairwise, made, real, networks, batch_size, bar.update)
    place = {"root": str(reference)}
    if protocol is None:
        protocol = Protocol("folders", FOLDERS, "all", len(made), wanted, 0, place)
    else:
        protocol = replace(protocol, n=len(made) if protocol.n else 0, metrics=wanted, dataset_options=place)
    return _board(str(generated), protocol, scorers, made, real, reasons)


def _board(
    name: str,
    protocol: Protocol,
    scorers: Mapping[str, Metric],
    made: Sequence[Path],
    real: Sequence[Path],
    left_out: dict[str, str],
) -> BoardResult:
    scores = {name: score for name, scorer in scorers.items() if (score := scorer.compute()) is not None}
    values = {name: found for name, scorer in scorers.items() if (found := scorer.samples())}
    weights = {name: counts for name, scorer in scorers.items() if (counts := scorer.weights())}
    samples = Samples([path.stem for path in made], len(real))
    signatures = {name: signature(name, score, protocol, samples) for name, score in scores.items()}
    row = Row(name, "folder", ModelFacts(), None, scores, values, weights, signatures)
    return BoardResult(protocol, tuple(map(metric_facts, scorers)), (row,), len(made), left_out)


def batches(paths: Sequence[Path], size: int) -> Iterator[tuple[list[Path], Tensor]]:
    """Pictures in batches of at most `size`; a batch ends where the next picture has other measures."""
    kept: list[Path] = []
    pixels: list[Tensor] = []
    for path in paths:
        picture = read_picture(path, path.parent)
        if pixels and (len(pixels) == size or picture.shape != pixels[0].shape):
            yield kept, torch.stack(pixels)
            kept, pixels = [], []
        kept.append(path)
        pixels.append(picture)
    if pixels:
        yield kept, torch.stack(pixels)


def _obstacle(name: str, networks: Networks, made: Sequence[Path], real: Sequence[Path]) -> str | None:
    """Why a metric cannot be computed from two folders; None if it can."""
    needs = METRICS.get(name).info.needs
    told = ("truth", "real", *openface.NEEDS)
    if beyond := [need for need in needs if need not in told and not need.startswith("network.")]:
        return f"it needs {' and '.join(beyond)}, which two folders do not tell"
    if "real" not in needs and (why := _unmatched(made, real)):
        return why
    if _needs_units(name) and (why := openface.lacking([*made, *real])):
        return why
    return next((why for need in needs if (why := _missing(need, networks))), None)


def _needs_units(name: str) -> bool:
    """Whether a metric reads action units, which files beside the pictures may tell."""
    return any(need in openface.NEEDS for need in METRICS.get(name).info.needs)


def _missing(need: str, networks: Networks) -> str | None:
    kind, _, network = need.partition(".")
    return networks.missing(network) if kind == "network" else None


def _unmatched(made: Sequence[Path], real: Sequence[Path]) -> str | None:
    """What is wrong with the pairing of two folders by stem; None if every file has exactly one partner."""
    for paths in (made, real):
        stems = [path.stem for path in paths]
        if twice := sorted({stem for stem in stems if stems.count(stem) > 1}):
            return f"{paths[0].parent} holds {twice[0]!r} under several suffixes; keep one"
    left, right = ({path.stem for path in paths} for paths in (made, real))
    for alone, paths, other in ((left - right, made, real), (right - left, real, made)):
        if alone:
            return (
                f"{len(alone)} of {len(paths)} files in {paths[0].parent} have no file of that name in "
                f"{other[0].parent}: {shown(sorted(alone))}"
            )
    return None


def _score_sets(
    scorers: Sequence[SetMetric],
    side: Side,
    paths: Sequence[Path],
    networks: Networks,
    batch_size: int,
    done: Callable[[int], object],
) -> None:
    for kept, pixels in batches(paths, batch_size):
        features = {name: networks.feature(name)(pixels) for name in {scorer.feature for scorer in scorers}}
        for scorer in scorers:
            scorer.add(side, features[scorer.feature], tuple(map(str, kept)))
        done(len(kept))


def _score_pairs(
    scorers: dict[str, Metric],
    made: Sequence[Path],
    real: Sequence[Path],
    networks: Networks,
    batch_size: int,
    done: Callable[[int], object],
) -> None:
    partner = {path.stem: path for path in real}
    for kept, pixels in batches(made, batch_size):
        truth = torch.stack([_partner_pixels(path, partner[path.stem], pixels) for path in kept])
        batch = EvalBatch(tuple(path.stem for path in kept), pixels, truth=truth, real=truth, networks=networks)
        if any(map(_needs_units, scorers)):
            batch = openface.with_units(batch, kept, [partner[path.stem] for path in kept])
        for name, scorer in scorers.items():
            try:
                scorer.update(batch)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        done(len(kept))


def _partner_pixels(path: Path, partner: Path, pixels: Tensor) -> Tensor:
    truth = read_picture(partner, partner.parent)
    if truth.shape != pixels.shape[1:]:
        sizes = [f"{p.shape[-1]} x {p.shape[-2]}" for p in (pixels, truth)]
        raise ValueError(f"{path} has {sizes[0]} pixels and {partner} {sizes[1]}; pairs need one size")
    return truth
