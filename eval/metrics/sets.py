"""Metrics of whole sets of pictures: the features of both sides, and how far a score would spread.

An interval here comes from the infinitesimal jackknife (Jaeckel 1972): the first-order influence of every sample on the
score, and from their variance a standard error. It tells how far the score of n other samples would lie from this one,
around the expectation at this n. It does not bridge the bias that a score of few samples has against one of infinitely
many. Drawing samples again, with doublets, would widen the distance itself and is not used.
"""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch, Metric

Side = Literal["generated", "real"]
SIDES: tuple[Side, ...] = ("generated", "real")
Z95 = 1.959964  # a normal distribution holds 95 % within so many standard deviations


class Rows:
    """Named rows of features, in an order that depends on nothing but their names.

    Args:
        limit: keep no more rows than this, a random choice made by the names: neither order nor batches change it.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._names: list[str] = []
        self._parts: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._names)

    def add(self, rows: Tensor, names: Sequence[str]) -> None:
        """Take in (N, D) features."""
        self._parts.append(rows)
        self._names += names
        if self._limit is not None and len(self) > 2 * self._limit:
            self._names, kept = self._chosen()
            self._parts = [kept]

    def merge(self, other: Rows) -> None:
        """Take in all rows of `other`."""
        if len(other):
            names, rows = other._chosen()
            self.add(rows, names)

    def named(self) -> tuple[list[str], Tensor]:
        """Names and rows (N, D) in float64, in the order of their names' digests."""
        names, rows = self._chosen()
        return names, rows.double()

    def _chosen(self) -> tuple[list[str], Tensor]:
        digests = [hashlib.sha256(name.encode()).digest() for name in self._names]
        order = sorted(range(len(digests)), key=digests.__getitem__)[: self._limit]
        return [self._names[i] for i in order], torch.cat(self._parts)[order]


@dataclass(frozen=True, slots=True)
class Influence:
    """How far each sample of one side moves a score, to first order.

    Attributes:
        names: of the samples that are looked at.
        values: (len(names),), the derivative of the score by the sample's weight, up to a constant.
        n: the number of samples on this side; more than names where only some are looked at.
    """

    names: Sequence[str]
    values: Tensor
    n: int


def standard_error(a: Influence, b: Influence) -> float:
    """Standard error of a score of two sets.

    Where both sides bear the same names, a result and its own truth, a pair is drawn as one.
    """
    if a.n == b.n and a.names == b.names:
        return math.sqrt(float((a.values + b.values).var()) / a.n)
    return math.sqrt(float(a.values.var()) / a.n + float(b.values.var()) / b.n)


class SetMetric(Metric):
    """A score of two sets of pictures in one network's features.

    Attributes:
        least: the number of pictures a side below which there is no score.
    """

    least = 2

    def __init__(self, feature: str) -> None:
        """feature: a judge's role or a registered feature."""
        self.feature = feature

    def update(self, batch: EvalBatch) -> None:
        for side in SIDES:
            self.add(side, batch.feature(self.feature, side), batch.id)

    def add(self, side: Side, features: Tensor, ids: Sequence[str]) -> None:
        """Take in (N, D) features of one side; the sides may differ in number.

        Raises:
            ValueError: a feature is not finite; the message names the sample.
        """
        broken = (~torch.isfinite(features)).any(1).nonzero()
        if len(broken):
            raise ValueError(f"the {self.feature} features of sample {ids[int(broken[0])]} ({side}) are not finite")
        self._take(side, features.detach().cpu(), ids)

    @abstractmethod
    def _take(self, side: Side, features: Tensor, ids: Sequence[str]) -> None:
        """Take in finite features."""


class RowsMetric(SetMetric):
    """A score that needs all rows of both sides at once; they stay in memory as they come."""

    def __init__(self, feature: str) -> None:
        super().__init__(feature)
        self.rows: dict[Side, Rows] = {side: Rows() for side in SIDES}

    def _take(self, side: Side, features: Tensor, ids: Sequence[str]) -> None:
        self.rows[side].add(features, ids)

    def merge(self, other: RowsMetric) -> None:
        for side in SIDES:
            self.rows[side].merge(other.rows[side])

    def _named(self, side: Side) -> tuple[list[str], Tensor]:
        """Names and rows of a side.

        Raises:
            ValueError: there are too few.
        """
        if len(self.rows[side]) < self.least:
            raise ValueError(f"expected at least {self.least} images a side, got {len(self.rows[side])}")
        return self.rows[side].named()
