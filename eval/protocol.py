"""A protocol: everything that a score depends on besides the model."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from geotrans.data.base import Dataset
from geotrans.factory import create_dataset
from registry import DATASETS, PROTOCOLS


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which samples, and which metrics with which judges.

    Attributes:
        name: its registered name.
        dataset: registered dataset.
        split: split of the dataset; samples 0..n-1 of it are scored.
        n: number of samples.
        metrics: registered metrics, in the order of the board's columns.
        resolution: side of the pictures.
        dataset_options: further options of the dataset.
        judges: role -> registered feature, for metrics that need a judge.
        seed: of the dataset.
        version: bump it with every change that moves a score.
        builtin: needs no files, and is part of the run without arguments.
        description: one line for readers of the board.
    """

    name: str
    dataset: str
    split: str
    n: int
    metrics: tuple[str, ...]
    resolution: int
    dataset_options: dict[str, Any] = field(default_factory=dict)
    judges: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    version: int = 1
    builtin: bool = False
    description: str = ""

    def digest(self) -> str:
        """Twelve hex digits that change with anything that moves a score; metrics carry versions of their own."""
        facts = asdict(self)
        for name in ("metrics", "builtin", "description"):
            del facts[name]
        facts["dataset_options"].pop("root", None)  # the place of a folder on one machine
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def create_protocol(
    name: str, *, limit: int | None = None, seed: int | None = None, data: str | None = None
) -> Protocol:
    """The protocol of that name, or a variant of it, which has another digest.

    Args:
        limit: score only the first samples.
        seed: of the dataset.
        data: the folder of a dataset that reads files.

    Raises:
        UnknownNameError: no protocol has that name; the message lists close ones.
        ValueError: limit is below 2, or the dataset reads no folder.
    """
    protocol: Protocol = PROTOCOLS.get(name).factory()
    if limit is not None:
        if limit < 2:
            raise ValueError(f"limit: expected at least 2 samples, got {limit}")
        protocol = replace(protocol, n=min(limit, protocol.n))
    if seed is not None:
        protocol = replace(protocol, seed=seed)
    if data is not None:
        if "root" not in inspect.signature(DATASETS.get(protocol.dataset).factory).parameters:
            raise ValueError(f"{name} draws its own pictures and reads no folder; leave out --data")
        protocol = replace(protocol, dataset_options={**protocol.dataset_options, "root": data})
    return protocol


def is_standard(protocol: Protocol) -> bool:
    """Whether scores under `protocol` compare with those that others report under its name."""
    standard: Protocol = PROTOCOLS.get(protocol.name).factory()
    return protocol.digest() == standard.digest()


def open_dataset(protocol: Protocol) -> Dataset:
    """The dataset that a protocol scores on.

    Raises:
        ValueError: the split has fewer samples than the protocol asks for.
    """
    dataset = create_dataset(
        protocol.dataset,
        split=protocol.split,
        resolution=protocol.resolution,
        seed=protocol.seed,
        **protocol.dataset_options,
    )
    if len(dataset) < protocol.n:
        raise ValueError(
            f"{protocol.name} scores {protocol.n} samples, but {protocol.dataset} has {len(dataset)} in its split "
            f"{protocol.split!r}; use --limit {len(dataset)}"
        )
    return dataset
