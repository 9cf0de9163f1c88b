"""The Frechet distance between two sets of features, and the metrics made of it.

Dowson and Landau 1982, eq. 4: |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2), with unbiased covariances.
"""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import Tensor

from eval.metrics.base import EvalBatch, Metric, Score
from registry import register_metric

ADVISED = 2048
_BLOCK = 512
_log = logging.getLogger(__name__)
_warned: set[str] = set()

Side = Literal["generated", "real"]


class FeatureSet:
    """A growing set of features in float64: its rows while there are fewer than columns, then only its moments."""

    def __init__(self) -> None:
        self.n = 0
        self._rows: list[Tensor] = []
        self._folded = 0
        self._mean = torch.zeros(0, dtype=torch.float64)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Take in (N, D) features.

        Raises:
            ValueError: not of that shape, or of another D than before.
        """
        if features.ndim != 2 or (self.n and features.shape[1] != self.dim):
            raise ValueError(f"expected features (N, {self.dim if self.n else 'D'}), got {tuple(features.shape)}")
        self.n += len(features)
        self._rows.append(features.detach().cpu().double())
        if self.n >= self.dim and self.n - self._folded >= _BLOCK:
            self._fold()

    def merge(self, other: FeatureSet) -> None:
        """Take in all rows of `other`."""
        if other._folded:
            self._combine(other._folded, other._mean, other._scatter)
            self.n += other._folded
        for rows in other._rows:
            self.add(rows)

    @property
    def dim(self) -> int:
        """D, once something was added."""
        return self._rows[0].shape[1] if self._rows else len(self._mean)

    def rows(self) -> Tensor | None:
        """All rows (N, D), unless they were folded into moments or are no fewer than columns."""
        return torch.cat(self._rows) if not self._folded and self.n < self.dim else None

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (D,) and unbiased covariance (D, D)."""
        self._fold()
        return self._mean, self._scatter / (self.n - 1)

    def _fold(self) -> None:
        if self._rows:
            rows = torch.cat(self._rows)
            centre = rows.mean(0)
            self._combine(len(rows), centre, (rows - centre).T @ (rows - centre))
            self._rows = []

    def _combine(self, n: int, mean: Tensor, scatter: Tensor) -> None:
        """Chan, Golub and LeVeque 1983: moments of the union of two sets."""
        if not self._folded:
            self._folded, self._mean, self._scatter = n, mean, scatter
            return
        total = self._folded + n
        step = mean - self._mean
        self._scatter = self._scatter + scatter + torch.outer(step, step) * (self._folded * n / total)
        self._mean = self._mean + step * (n / total)
        self._folded = total


def frechet_distance(a: FeatureSet, b: FeatureSet) -> float:
    """The Frechet distance between Gaussians fitted to two sets; exact also where covariances are singular.

    Raises:
        ValueError: a set has fewer than two rows, or their features have different sizes.
    """
    for features in (a, b):
        if features.n < 2:
            raise ValueError(f"a Frechet distance needs at least 2 images a side, got {features.n}")
    if a.dim != b.dim:
        raise ValueError(f"expected features of one size, got {a.dim} and {b.dim}")
    rows_a, rows_b = a.rows(), b.rows()
    if rows_a is not None and rows_b is not None:
        return _from_rows(rows_a, rows_b)
    (mean_a, cov_a), (mean_b, cov_b) = a.moments(), b.moments()
    if rows_a is not None:
        cross = _cross_of_rows(rows_a, cov_b)
    elif rows_b is not None:
        cross = _cross_of_rows(rows_b, cov_a)
    else:
        cross = _cross_of_moments(cov_a, cov_b)
    return _assemble(mean_a - mean_b, cov_a.trace() + cov_b.trace(), cross)


def _from_rows(a: Tensor, b: Tensor) -> float:
    mean_a, mean_b = a.mean(0), b.mean(0)
    x, y = (a - mean_a) / (len(a) - 1) ** 0.5, (b - mean_b) / (len(b) - 1) ** 0.5
    cross = torch.linalg.svdvals(x @ y.T).sum()
    return _assemble(mean_a - mean_b, x.square().sum() + y.square().sum(), cross)


def _cross_of_rows(rows: Tensor, covariance: Tensor) -> Tensor:
    x = (rows - rows.mean(0)) / (len(rows) - 1) ** 0.5
    return _sum_of_roots(x @ covariance @ x.T)


def _cross_of_moments(a: Tensor, b: Tensor) -> Tensor:
    lower, failed = torch.linalg.cholesky_ex(a)
    if failed:
        values, vectors = torch.linalg.eigh(a)
        lower = vectors * values.clamp(min=0).sqrt()
    return _sum_of_roots(lower.T @ b @ lower)


def _sum_of_roots(matrix: Tensor) -> Tensor:
    values: Tensor = torch.linalg.eigvalsh((matrix + matrix.T) / 2)
    return values.clamp(min=0).sqrt().sum()


def _assemble(shift: Tensor, traces: Tensor, cross: Tensor) -> float:
    return max(0.0, float(shift.square().sum() + traces - 2 * cross))


class FrechetMetric(Metric):
    """The Frechet distance between results and real pictures in one network's features."""

    def __init__(self, feature: str) -> None:
        """feature: a judge's role or a registered feature."""
        self.feature = feature
        self.sets: dict[Side, FeatureSet] = {"generated": FeatureSet(), "real": FeatureSet()}

    def update(self, batch: EvalBatch) -> None:
        for side in self.sets:
            self.add(side, batch.feature(self.feature, side), batch.id)

    def add(self, side: Side, features: Tensor, ids: tuple[str, ...]) -> None:
        """Take in (N, D) features of one side; the sides may differ in number.

        Raises:
            ValueError: a feature is not finite; the message names the sample.
        """
        broken = (~torch.isfinite(features)).any(1).nonzero()
        if len(broken):
            raise ValueError(f"the {self.feature} features of sample {ids[int(broken[0])]} ({side}) are not finite")
        self.sets[side].add(features)

    def merge(self, other: FrechetMetric) -> None:
        for side, features in self.sets.items():
            features.merge(other.sets[side])

    def compute(self) -> Score | None:
        generated, real = self.sets["generated"], self.sets["real"]
        n = min(generated.n, real.n)
        if n < ADVISED and self.feature not in _warned:
            _warned.add(self.feature)
            _log.warning("a Frechet distance from %d images is biased upwards: compare it only at the same n", n)
        return Score(frechet_distance(generated, real), n)


@register_metric(1, "", False, needs=("real", "judge.features"))
def frechet() -> FrechetMetric:
    """Frechet distance in the judge's penultimate features between the results and the true pictures of the split."""
    return FrechetMetric("features")


@register_metric(1, "", False, needs=("real", "network.inception_fid"))
def fid() -> FrechetMetric:
    """FID: Frechet distance in the pool3 features of pytorch-fid's Inception; Heusel et al. 2017."""
    return FrechetMetric("inception_fid")
