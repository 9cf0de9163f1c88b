"""A run in parts: each process scores some, and what a killed run had finished is there when it is run again.

OUTPUT/.partial/RUN/ROW/START-STOP.safetensors     what one row gathered over samples START..STOP-1

RUN stands for everything that decides the parts besides the row: protocol, data, versions of metrics and packages, and
the library's source. A part is written under another name and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import Tensor

from eval.environment import code_digest, package_versions, source_digest
from eval.metrics.base import Metric
from eval.networks import network_digest
from eval.protocol import Protocol
from eval.signature import network_names
from eval.state import restore, snapshot
from geotrans.types import Sample, Translation, cat
from hub import files
from registry import DATASETS, METRICS

PARTIAL = ".partial"
SAMPLES_A_SHARD = 200
Shard = tuple[int, int]


@dataclass
class Part:
    """What one row gathered over some of the samples.

    Attributes:
        seconds: per image, one value a batch.
        ids: of the samples.
        samples: those whose pictures are kept, and `translations` what the row made of them.
        wanted: what was asked of those samples, in words.
        macs: multiply-accumulates of one picture; None where no model runs.
    """

    metrics: dict[str, Metric] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    translations: list[Translation] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    macs: int | None = None

    def merge(self, other: Part) -> None:
        """Take in a later part.

        Raises:
            ValueError: the parts were scored with different metrics.
        """
        if not self.ids:
            self.metrics = other.metrics
        elif self.metrics.keys() != other.metrics.keys():
            odd = ", ".join(sorted(self.metrics.keys() ^ other.metrics.keys()))
            raise ValueError(f"some samples have a score in {odd} and others do not; the model's parts must not vary")
        else:
            for name, metric in self.metrics.items():
                metric.merge(other.metrics[name])
        self.seconds += other.seconds
        self.ids += other.ids
        self.samples += other.samples
        self.translations += other.translations
        self.wanted += other.wanted
        self.macs = self.macs or other.macs


def shards(n: int, batch_size: int) -> list[Shard]:
    """Ranges of samples, of whole batches and about 200 samples each; they depend on nothing else."""
    step = -(-SAMPLES_A_SHARD // batch_size) * batch_size
    return [(start, min(start + step, n)) for start in range(0, n, step)]


@dataclass(frozen=True, slots=True)
class Store:
    """Where the parts of one protocol's run lie. folder: None keeps nothing."""

    folder: Path | None = None

    def load(self, key: str | None, shard: Shard) -> Part | None:
        """A finished part; None if it is not there. A broken file counts as not there."""
        path = self._path(key, shard)
        if path is None or not path.is_file():
            return None
        try:
            tensors, metadata = files.read_safetensors(path)
            return _unpack(json.loads(metadata["values"]), tensors)
        except (ValueError, KeyError, LookupError, TypeError):
            return None

    def save(self, key: str | None, shard: Shard, part: Part) -> None:
        """Keep a finished part, if there is anywhere to keep it."""
        path = self._path(key, shard)
        if path is not None:
            values, tensors = _pack(part)
            files.write_safetensors(path, tensors, {"values": json.dumps(values)})

    def _path(self, key: str | None, shard: Shard) -> Path | None:
        if self.folder is None or key is None:
            return None
        return self.folder / key / f"{shard[0]:07d}-{shard[1]:07d}.safetensors"


def store_of(protocol: Protocol, output: str | Path, pictures: int, device: str) -> Store:
    """The place for parts of a protocol's run with what is installed now."""
    metrics = {name: METRICS.get(name) for name in protocol.metrics}
    facts = [
        asdict(replace(protocol, reported=(), description="")),
        {name: [entry.info.version, source_digest(entry.factory)] for name, entry in metrics.items()},
        {
            name: network_digest(name)
            for entry in metrics.values()
            for name in network_names(entry.info.needs, protocol)
        },
        source_digest(DATASETS.get(protocol.dataset).factory) if protocol.dataset in DATASETS else "",
        [package_versions(), code_digest(), device.partition(":")[0], pictures],
    ]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return Store(Path(output) / PARTIAL / f"{protocol.name}-{key}")


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that score together.

    Attributes:
        wait: returns when all have come so far.
        leave: say goodbye to the others; to be called at the end.
    """

    rank: int = 0
    size: int = 1
    wait: Callable[[], None] = lambda: None
    leave: Callable[[], None] = lambda: None

    @property
    def leads(self) -> bool:
        """Whether this is the process that merges and writes."""
        return self.rank == 0

    def share(self, all_shards: Sequence[Shard]) -> list[Shard]:
        """The shards that this process scores."""
        return list(all_shards[self.rank :: self.size])


def team(device: str) -> Team:
    """The processes that `accelerate launch` started with this one; this one alone without it."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Team()
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu", timeout=timedelta(days=1))
    return Team(state.process_index, state.num_processes, state.wait_for_everyone, state.destroy_process_group)


def _pack(part: Part) -> tuple[dict[str, Any], dict[str, Tensor]]:
    tensors: dict[str, Tensor] = {}
    metrics = {}
    for name, metric in part.metrics.items():
        values, own = snapshot(metric)
        metrics[name] = values
        tensors |= {f"metric/{name}/{key}": tensor for key, tensor in own.items()}
    shown: list[str] = []
    if part.samples:
        sample, translation = cat(part.samples), cat(part.translations)
        shown = list(sample.id)
        tensors |= _fields("sample", sample, ("image", "truth", "flow"))
        tensors |= _fields("translation", translation, ("image", "flow", "warped", "residual", "mask"))
    facts = {"seconds": part.seconds, "ids": part.ids, "shown": shown, "wanted": part.wanted, "macs": part.macs}
    return {"metrics": metrics, **facts}, tensors


def _unpack(values: dict[str, Any], tensors: dict[str, Tensor]) -> Part:
    part = Part(**{name: values[name] for name in ("seconds", "ids", "wanted", "macs")})
    for name, state in values["metrics"].items():
        start = f"metric/{name}/"
        own = {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
        metric = METRICS.get(name).factory()
        restore(metric, state, own)
        part.metrics[name] = metric
    if values["shown"]:
        given, made = (_group(tensors, kind) for kind in ("sample", "translation"))
        part.samples, part.translations = [Sample(**given, id=tuple(values["shown"]))], [Translation(**made)]
    return part


def _fields(kind: str, record: Sample | Translation, names: Sequence[str]) -> dict[str, Tensor]:
    parts = {f"{kind}/{name}": getattr(record, name) for name in names}
    return {name: tensor.detach().cpu().clone() for name, tensor in parts.items() if tensor is not None}


def _group(tensors: dict[str, Tensor], kind: str) -> dict[str, Any]:
    return {key.partition("/")[2]: tensor for key, tensor in tensors.items() if key.partition("/")[0] == kind}
