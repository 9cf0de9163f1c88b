"""Scores of two folders of pictures, whatever method made them."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from eval import openface
from eval.feature_store import FeatureStore
from eval.metrics.base import EvalBatch, Metric
from eval.metrics.sets import SIDES, SetMetric, Side
from eval.networks import Networks
from eval.protocol import FOLDERS, Protocol
from eval.reading import read_picture, shown
from eval.results import BoardResult, ModelFacts, Row, metric_facts
from eval.shards import PARTIAL, Part, Shard, Store, shards, store_of
from eval.signature import Samples, network_names, signature
from geotrans.ops.images import list_images
from hub import files
from registry import METRICS

DEFAULT_METRICS = ("fid", "kid", "lpips", "psnr", "ssim", "l1")
_CAN_BE_GIVEN = {
    "source": "name the folder of sources with --source",
    "judge.identity": "name a judge with --judge identity=facenet_vggface2_aligned, say",
}
Found = Mapping[Side, tuple[Sequence[Path], Tensor]]


class FolderWork:
    """Two folders with all that is scored on them. Each picture is read once, and seen once by each network.

    Distances between sets take all pictures; pairs are matched by file name without its suffix.

    Args:
        generated: the folder of results.
        reference: the folder that they are compared with.
        source: the folder of what they were made from, for metrics that ask for it.
        protocol: one on folders; None: the usual metrics on whatever is there.
        metrics: registered names; by default the protocol's, as far as they can be had; what cannot is listed under
            `left_out`.
        judges: role -> registered feature, or what `eval.judges` names a folder; "identity" is one.
        limit: take only the first pictures of each folder, in order of name.
        batch_size: of memory and speed only.
        output: the folder in which finished parts are kept for later runs and other processes; None: nowhere.

    Attributes:
        shards: ranges of pictures that are scored together.

    Raises:
        FileNotFoundError: a folder is missing or holds no pictures.
        ValueError: files have no partner, or a metric needs more than two folders.
    """

    def __init__(
        self,
        generated: str | Path,
        reference: str | Path,
        *,
        source: str | Path | None = None,
        protocol: Protocol | None = None,
        metrics: Sequence[str] | None = None,
        judges: Mapping[str, str] | None = None,
        networks: Networks | None = None,
        limit: int | None = None,
        batch_size: int = 50,
        output: str | Path | None = None,
    ) -> None:
        self.name, self.networks, self.batch_size = str(generated), networks or Networks(), batch_size
        self.judges = dict(judges or {})
        self.made, self.real = (list_images(folder, recursive=False)[:limit] for folder in (generated, reference))
        protocol = protocol or Protocol(FOLDERS, FOLDERS, "all", 1, DEFAULT_METRICS, 0)
        self.protocol = replace(
            protocol,
            n=len(self.made) if protocol.n else 0,
            metrics=tuple(metrics or protocol.metrics),
            dataset_options={"root": str(reference)} | ({"source": str(source)} if source else {}),
            judges=self.judges,
            asks=tuple(self.judges),
        )
        self._source = by_stem(source)
        reasons = {name: self._obstacle(name) for name in self.protocol.metrics}
        self.left_out = {name: why for name, why in reasons.items() if why}
        if metrics is not None and self.left_out:
            raise ValueError("; ".join(f"{name}: {why}" for name, why in self.left_out.items()))
        kinds = {name: METRICS.get(name).factory() for name in reasons if name not in self.left_out}
        self._sets = [name for name, metric in kinds.items() if isinstance(metric, SetMetric)]
        self._pairwise = [name for name in kinds if name not in self._sets]
        if self._pairwise:
            partner = {path.stem: path for path in self.real}
            self.real = [partner[path.stem] for path in self.made]
        self._count = max(len(self.made), len(self.real))
        self.shards = shards(self._count, batch_size)
        self._store, self._key, self._features = Store(), "", None
        if output is not None:
            self._store = store_of(self.protocol, output, 0, str(self.networks.device))
            self._key = _digest(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in self._files())
            self._features = FeatureStore(Path(output) / PARTIAL / "features")

    def board(self, *, progress: bool = True) -> BoardResult:
        """The scores of all pictures.

        Raises:
            ValueError: a picture cannot be read, or a pair differs in size.
        """
        found = self.score(self.shards, progress=progress)
        scorers = {name: found[name] for name in self.protocol.metrics if name in found}
        scores = {name: score for name, scorer in scorers.items() if (score := scorer.compute()) is not None}
        values = {name: known for name, scorer in scorers.items() if (known := scorer.samples())}
        weights = {name: counts for name, scorer in scorers.items() if (counts := scorer.weights())}
        samples = Samples(
            [path.stem for path in self.made], len(self.real), content_digest(self.real, self._source, self.made)
        )
        signatures = {name: signature(name, score, self.protocol, samples) for name, score in scores.items()}
        row = Row(self.name, "folder", ModelFacts(), None, scores, values, weights, signatures)
        return BoardResult(self.protocol, tuple(map(metric_facts, scorers)), (row,), len(self.made), self.left_out)

    def score(self, some: Iterable[Shard], *, progress: bool = True) -> dict[str, Metric]:
        """What each metric gathers over some of the shards; errors as `board`."""
        some = list(some)
        sets, pairwise = _fresh(self._sets), _fresh(self._pairwise)
        total = sum(len(paths) for shard in some for paths in self._paths(shard).values())
        with tqdm(
            total=total, desc="folders", unit="picture", file=sys.stderr, disable=not progress, leave=False
        ) as bar:
            for shard in some:
                part = self._store.load(self._key, shard) if pairwise else None
                done = part is not None or not pairwise
                part = part or Part(_fresh(self._pairwise))
                for found in self._pictures(shard) if sets or not done else ():
                    self._add_to_sets(sets.values(), found)
                    if not done:
                        self._add_pairs(part.metrics, found)
                    bar.update(sum(len(paths) for paths, _ in found.values()))
                if not done:
                    self._store.save(self._key, shard, part)
                for name, metric in pairwise.items():
                    metric.merge(part.metrics[name])
        return {**sets, **pairwise}

    def _paths(self, shard: Shard) -> dict[Side, list[Path]]:
        sides: dict[Side, list[Path]] = {"generated": self.made, "real": self.real}
        places = {side: [place * len(paths) // self._count for place in shard] for side, paths in sides.items()}
        return {side: paths[slice(*places[side])] for side, paths in sides.items()}

    def _pictures(self, shard: Shard) -> Iterator[Found]:
        """Batches of both sides, row by row where metrics compare pairs."""
        paths = self._paths(shard)
        if not self._pairwise:
            for side in SIDES:
                for batch in batches(paths[side], self.batch_size):
                    yield {side: batch}
            return
        partner = dict(zip(paths["generated"], paths["real"], strict=True))
        for made, pixels in batches(paths["generated"], self.batch_size):
            real = [partner[path] for path in made]
            truth = torch.stack([_partner_pixels(path, partner[path], pixels) for path in made])
            yield {"generated": (made, pixels), "real": (real, truth)}

    def _add_to_sets(self, sets: Iterable[Metric], found: Found) -> None:
        scorers = [scorer for scorer in sets if isinstance(scorer, SetMetric)]
        for side, (paths, pixels) in found.items():
            store = self._features if side == "generated" else self.networks.store
            for name in {scorer.feature for scorer in scorers}:
                features = self.networks.known(name, pixels, store)
                for scorer in scorers:
                    if scorer.feature == name:
                        scorer.add(side, features, tuple(map(str, paths)))

    def _add_pairs(self, scorers: Mapping[str, Metric], found: Found) -> None:
        (made, pixels), (real, truth) = found["generated"], found["real"]
        names = tuple(path.stem for path in made)
        source = None
        if self._source:
            source = torch.stack([_partner_pixels(path, self._source[path.stem], pixels) for path in made])
        batch = EvalBatch(names, pixels, source, truth, truth, networks=self.networks, judges=self.judges)
        if any(map(_needs_units, scorers)):
            batch = openface.with_units(batch, made, real)
        for name, scorer in scorers.items():
            try:
                scorer.update(batch)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error

    def _files(self) -> list[Path]:
        """All that scores depend on."""
        pictures = [*self.made, *self.real, *self._source.values()]
        return pictures + (openface.tables(pictures) if any(map(_needs_units, self._pairwise)) else [])

    def _obstacle(self, name: str) -> str | None:
        """Why a metric cannot be computed from two folders; None if it can."""
        needs = METRICS.get(name).info.needs
        metric, fewest = METRICS.get(name).factory(), min(len(self.made), len(self.real))
        if isinstance(metric, SetMetric) and fewest < metric.least:
            return f"it needs at least {metric.least} pictures in each folder, got {fewest}"
        told = {"truth", "real", *openface.NEEDS, *(f"judge.{role}" for role in self.judges)}
        told |= {"source"} if self._source else set()
        if beyond := [need for need in needs if need not in told and not need.startswith("network.")]:
            can = [text for need, text in _CAN_BE_GIVEN.items() if need in beyond]
            hint = f"; {' and '.join(can)}" if len(can) == len(beyond) else ""
            return f"it needs {' and '.join(beyond)}, which two folders do not tell{hint}"
        if "real" not in needs and (why := _unmatched(self.made, self.real)):
            return why
        if "source" in needs and (without := [path.stem for path in self.made if path.stem not in self._source]):
            return f"the folder of sources has no file for {len(without)} of {len(self.made)}: {shown(without)}"
        if _needs_units(name) and (why := openface.lacking([*self.made, *self.real])):
            return why
        return next(
            (why for network in network_names(needs, self.protocol) if (why := self.networks.missing(network))), None
        )


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


def by_stem(folder: str | Path | None) -> dict[str, Path]:
    """The pictures in a folder by their names without suffix; none where there is no folder."""
    return {path.stem: path for path in list_images(folder, recursive=False)} if folder else {}


def content_digest(real: Iterable[Path], source: Mapping[str, Path], made: Iterable[Path]) -> str:
    """Twelve hex digits of all that results are compared with, whatever the files are called: by what they hold.

    Args:
        source: name of a result -> its source; those of results that are not among `made` do not count.
    """
    sources = [source[path.stem] for path in made if path.stem in source]
    return _digest(sorted(map(files.sha256, [*real, *sources])))


def _fresh(names: Iterable[str]) -> dict[str, Metric]:
    return {name: METRICS.get(name).factory() for name in names}


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _needs_units(name: str) -> bool:
    """Whether a metric reads action units, which files beside the pictures may tell."""
    return any(need in openface.NEEDS for need in METRICS.get(name).info.needs)


def _unmatched(made: Sequence[Path], real: Sequence[Path]) -> str | None:
    """What is wrong with the pairing of two folders by stem; None if every file has exactly one partner."""
    for paths in (made, real):
        counts = Counter(path.stem for path in paths)
        if twice := sorted(stem for stem, count in counts.items() if count > 1):
            return f"{paths[0].parent} holds {twice[0]!r} under several suffixes; keep one"
    left, right = ({path.stem for path in paths} for paths in (made, real))
    for alone, paths, other in ((left - right, made, real), (right - left, real, made)):
        if alone:
            return (
                f"{len(alone)} of {len(paths)} files in {paths[0].parent} have no file of that name in "
                f"{other[0].parent}: {shown(sorted(alone))}"
            )
    return None


def _partner_pixels(path: Path, partner: Path, pixels: Tensor) -> Tensor:
    truth = read_picture(partner, partner.parent)
    if truth.shape != pixels.shape[1:]:
        sizes = [f"{p.shape[-1]} x {p.shape[-2]}" for p in (pixels, truth)]
        raise ValueError(f"{path} has {sizes[0]} pixels and {partner} {sizes[1]}; pairs need one size")
    return truth
