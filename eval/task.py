"""The samples that a protocol scores: a dataset's own, or its pictures under the protocol's targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from eval.protocol import Protocol, open_dataset
from geotrans.data._files import Pictures
from geotrans.data.persons import PosePairs
from geotrans.ops.images import to_uint8
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Sample
from registry import suggest

_SAME = 0.5  # a column shows its target if it is closer than this


class Task:
    """Samples 0..n-1 of a protocol, and the real pictures that results are compared with as a set.

    Where a protocol names targets, each picture becomes a sample for every target that it does not show already, the
    targets in their order. A target replaces the attributes it names and keeps the others; of an emotion, a modality
    and action units it is the whole vector, and columns it does not name are 0. The real pictures are those that show a
    target; where targets are action units, which no two pictures share, they are all pictures. A protocol with a
    `real_split` takes the pictures of that.

    Attributes:
        n: number of samples.
        reals: number of real pictures of their own; None: the truths stand for them, or what the dataset offers.

    Raises:
        ValueError: the split has fewer samples than the protocol asks for, the dataset has no targets, or a target is
            not of its columns.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.dataset = open_dataset(protocol)
        own: ConditionSpec = self.dataset.spec
        self.spec = replace(own, landmarks=False) if protocol.targets else own  # targets move no landmarks
        self._pairs: list[tuple[int, Condition]] = []
        self._names: list[str] = []
        self._real: list[int] | None = None
        self._portraits: PosePairs | None = None
        if protocol.real_split:
            self._portraits = _portraits(protocol)
            self._real = list(range(len(self._portraits.names)))
        if protocol.targets:
            self._aim(protocol)
        have = len(self._pairs) if protocol.targets else len(self.dataset)
        if have < max(protocol.n, 1):
            raise ValueError(
                f"{protocol.name} scores {protocol.n} samples, but {protocol.dataset} has {have} in its split "
                f"{protocol.split!r}; use --limit {have}"
            )
        self.n = protocol.n or have
        self.reals = None if self._real is None else len(self._real)

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            ValueError: a file behind an index is broken, or samples have no target.
        """
        if not self._pairs:
            return self.dataset.batch(indices)
        rows = [self._pairs[index] for index in indices]
        sample = self.dataset.batch([row for row, _ in rows])
        columns = {
            name: torch.cat([getattr(target, name) for _, target in rows])
            for name in VECTOR_FIELDS
            if getattr(rows[0][1], name) is not None
        }
        ids = tuple(f"{name}-{self._names[index]}" for name, index in zip(sample.id, indices, strict=True))
        return replace(sample, target=Condition(**columns), id=ids)

    def real(self, indices: Sequence[int]) -> Tensor:
        """Real pictures of a task that has its own, uint8 (B, 3, H, W)."""
        assert self._real is not None
        if self._portraits is not None:
            return to_uint8(self._portraits.pictures([self._real[index] for index in indices]))
        return to_uint8(self.dataset.batch([self._real[index] for index in indices]).image)

    def _aim(self, protocol: Protocol) -> None:
        if not isinstance(self.dataset, Pictures):
            raise ValueError(
                f"{protocol.name}: targets need labelled pictures, which {protocol.dataset} does not serve"
            )
        part, columns = _part(protocol, self.spec)
        labels = getattr(self.dataset.table.labels, part)
        shown = torch.zeros(len(labels), dtype=torch.bool)
        aims = []
        for name, values in protocol.targets.items():
            places = [columns.index(column) for column in values]
            wanted = torch.tensor([float(value) for value in values.values()])
            has = ((labels[:, places] - wanted).abs() < _SAME).all(1)
            if part == "aus":
                has = torch.zeros_like(has)
            shown |= has
            aims.append((name, places, wanted, has))
        for row in range(len(labels)):
            for name, places, wanted, has in aims:
                if has[row]:
                    continue
                vector = labels[row : row + 1].clone() if part == "attributes" else torch.zeros(1, len(columns))
                vector[:, places] = wanted
                self._pairs.append((row, Condition(**{part: vector})))
                self._names.append(name)
        self._real = list(range(len(labels))) if part == "aus" else shown.nonzero()[:, 0].tolist()


def _portraits(protocol: Protocol) -> PosePairs:
    """The pictures of a protocol's `real_split`."""
    found = open_dataset(replace(protocol, split=protocol.real_split))
    if not isinstance(found, PosePairs):
        raise ValueError(
            f"{protocol.name}: real_split is for pairs of persons, which {protocol.dataset} does not serve"
        )
    return found


def _part(protocol: Protocol, spec: ConditionSpec) -> tuple[str, tuple[str, ...]]:
    """The part of the condition that a protocol's targets are of, and its columns."""
    named = sorted({column for values in protocol.targets.values() for column in values})
    for part in ("attributes", "aus", "emotion", "modality"):
        if set(named) <= set(columns := getattr(spec, part)):
            return part, columns
    known = [column for part in VECTOR_FIELDS for column in getattr(spec, part)]
    strange = [column for column in named if column not in known] or named
    raise ValueError(f"{protocol.name}: {protocol.dataset} has no column {strange[0]!r}; {suggest(strange[0], known)}")
