"""A protocol: everything that a score depends on besides the model."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from geotrans.data.base import Dataset
from geotrans.factory import create_dataset
from registry import DATASETS, PROTOCOLS

FOLDERS = "folders"  # in place of a dataset: two folders of pictures


@dataclass(frozen=True, slots=True)
class Reported:
    """Numbers of a paper, as they are printed there. They are shown beside a board and never ranked with it.

    Attributes:
        source: paper and table.
        columns: what each number is, in the paper's words.
        rows: method -> one number a column; None where the paper has none.
        note: why ours may differ.
    """

    source: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which samples, and which metrics with which judges.

    Attributes:
        name: its registered name.
        dataset: registered dataset, or "folders": pictures that are there already, generated and reference.
        split: split of the dataset; samples 0..n-1 of it are scored.
        n: number of samples; 0: all that the split holds.
        metrics: registered metrics, in the order of the board's columns; each once, and `kid` beside every `fid`.
        resolution: side of the pictures; 0: whatever the folders hold.
        dataset_options: further options of the dataset.
        judges: role -> registered feature, for metrics that need a judge.
        seed: of the dataset.
        version: bump it with every change that moves a score.
        builtin: needs no files, and is part of the run without arguments.
        description: one line for readers of the board.
        targets: for a dataset of labelled pictures without targets: name -> column -> value. Every picture becomes a
            sample for each target that it does not show already; see `eval.task`.
        real_split: of pairs of persons, the split whose pictures, each once, are what results are compared with as a
            set; empty: the truths of the samples.
        asks: roles of judges that nobody ships, which --judge names; metrics that need them are left out without.
        reported: what the paper printed.
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
    targets: dict[str, dict[str, float]] = field(default_factory=dict)
    real_split: str = ""
    asks: tuple[str, ...] = ()
    reported: tuple[Reported, ...] = ()

    def __post_init__(self) -> None:
        """FID is biased where pictures are few, KID is not: nobody sees the one without the other."""
        names = [name for metric in self.metrics for name in ((metric, "kid") if metric == "fid" else (metric,))]
        object.__setattr__(self, "metrics", tuple(dict.fromkeys(names)))

    @property
    def on_folders(self) -> bool:
        """Whether it compares folders of pictures and runs no model."""
        return self.dataset == FOLDERS

    def digest(self) -> str:
        """Twelve hex digits that change with anything that moves a score; metrics carry versions of their own.

        A judge that whoever runs the protocol has to bring is no part of it: signatures name it.
        """
        facts = asdict(self)
        for name in ("metrics", "builtin", "description", "asks", "reported"):
            del facts[name]
        for name in ("targets", "real_split"):
            if not facts[name]:
                del facts[name]
        for place in ("root", "source"):  # folders on one machine
            facts["dataset_options"].pop(place, None)
        facts["judges"] = {role: name for role, name in self.judges.items() if role not in self.asks}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def create_protocol(
    name: str,
    *,
    limit: int | None = None,
    seed: int | None = None,
    data: str | None = None,
    judges: Mapping[str, str] | None = None,
) -> Protocol:
    """The protocol of that name, or a variant of it, which has another digest.

    Args:
        limit: score only the first samples.
        seed: of the dataset.
        data: the folder of a dataset that reads files.
        judges: role -> feature, in place of the protocol's own.

    Raises:
        UnknownNameError: no protocol has that name; the message lists close ones.
        ValueError: limit is below 2, the dataset reads no folder, or a judge has a role that no metric asks for.
    """
    protocol: Protocol = PROTOCOLS.get(name).factory()
    if limit is not None:
        if limit < 2:
            raise ValueError(f"limit: expected at least 2 samples, got {limit}")
        protocol = replace(protocol, n=min(limit, protocol.n or limit))
    if seed is not None:
        protocol = replace(protocol, seed=seed)
    if data is not None:
        if protocol.on_folders or "root" not in inspect.signature(DATASETS.get(protocol.dataset).factory).parameters:
            raise ValueError(f"{name} draws its own pictures and reads no folder; leave out --data")
        protocol = replace(protocol, dataset_options={**protocol.dataset_options, "root": data})
    if judges:
        if unknown := sorted(set(judges) - {*protocol.judges, *protocol.asks}):
            roles = ", ".join(sorted({*protocol.judges, *protocol.asks})) or "none"
            raise ValueError(f"{name} has no judge of {', '.join(unknown)}; it has judges of: {roles}")
        protocol = replace(protocol, judges={**protocol.judges, **judges})
    return protocol


def is_standard(protocol: Protocol) -> bool:
    """Whether scores under `protocol` compare with those that others report under its name."""
    standard: Protocol = PROTOCOLS.get(protocol.name).factory()
    return protocol.digest() == standard.digest()


def obstacle(protocol: Protocol) -> str | None:
    """Why a protocol cannot be run with what is installed; None if it can."""
    if not protocol.on_folders and protocol.dataset not in DATASETS:
        return f"no dataset is named {protocol.dataset!r}"
    return None


def open_dataset(protocol: Protocol) -> Dataset:
    """The dataset that a protocol scores on.

    Raises:
        ValueError: the protocol is on folders, which are no dataset.
    """
    if protocol.on_folders:
        raise ValueError(f"{protocol.name} scores folders of pictures: pass --generated DIR and --reference DIR")
    return create_dataset(
        protocol.dataset,
        split=protocol.split,
        resolution=protocol.resolution,
        seed=protocol.seed,
        **protocol.dataset_options,
    )
