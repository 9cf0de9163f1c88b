"""What a metric sees, what it returns, and the two kinds there are.

A metric is a registered factory `() -> Metric`. Its `needs` name what it cannot do without: paths into an `EvalBatch`
("truth", "sample.flow", "translation.mask", "cycle"), judges of the protocol ("judge.identity"), or networks
("network.lpips_alex").
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
from torch import Tensor

from eval.networks import Networks
from geotrans.types import ConditionSpec, Sample, Translation

M = TypeVar("M", bound="Metric")
Picture = Literal["generated", "source", "truth", "real"]

RESAMPLES = 1000
BOOTSTRAP_SEED = 0
_BLOCK = 1_000_000  # numbers drawn at once


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value over a set of samples.

    Attributes:
        n: the number of samples the value rests on.
        low: lower end of the 95 % interval: of a mean by bootstrap, of a distance between sets by jackknife, where it
            is about the expectation at this n and not at infinitely many samples.
        high: its upper end.
        parts: the value for each expression, action unit, ... alone, where a metric tells them apart.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvalBatch:
    """A batch of results and all that is known about it. Pictures are uint8 (B, 3, H, W), as a file would hold them.

    Attributes:
        id: a stable name a row.
        generated: what is scored.
        source: what it was made from.
        truth: what it should have been, row by row.
        real: pictures of the wanted kind, for distances between sets; rows need not correspond.
        translation: how the model made it.
        sample: the dataset's record.
        networks: where frozen networks come from.
        judges: role ("attributes", "identity", ...) -> registered feature that plays it here.
        known: features of source, truth and real, shared between the batches of several models on the same samples.
        spec: names of the columns of the sample's conditions.
        cycle: the results translated back to the source's condition.
        variants: (B, V, 3, H, W) further results for the same sources and targets, in V random styles.
    """

    id: tuple[str, ...]
    generated: Tensor
    source: Tensor | None = None
    truth: Tensor | None = None
    real: Tensor | None = None
    translation: Translation | None = None
    sample: Sample | None = None
    networks: Networks = field(default_factory=Networks)
    judges: Mapping[str, str] = field(default_factory=dict)
    known: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    spec: ConditionSpec = ConditionSpec()
    cycle: Tensor | None = None
    variants: Tensor | None = None
    _own: dict[tuple[str, str], Tensor] = field(default_factory=dict)

    def feature(self, name: str, of: Picture) -> Tensor:
        """The features (B, D) of a picture; each is computed once however many metrics read it.

        Args:
            name: a judge's role, or a registered feature.

        Raises:
            ValueError: the batch has no such picture.
        """
        name = self.judges.get(name, name)
        cache = self._own if of == "generated" else self.known
        if (name, of) not in cache:
            if of == "real" and self.real is self.truth and self.truth is not None:
                return self.feature(name, "truth")
            picture = self.get(of)
            store = None if of == "generated" else self.networks.store
            cache[name, of] = self.networks.known(name, picture, store)
        return cache[name, of]

    def get(self, path: str) -> Tensor:
        """The tensor at an attribute path such as "truth" or "sample.flow".

        Raises:
            ValueError: it is not there.
        """
        value = self._find(path)
        if not isinstance(value, Tensor):
            raise ValueError(f"the metric needs {path}, which this batch does not have")
        return value

    def with_reading(self, role: str, values: Tensor) -> EvalBatch:
        """The same batch with what a judge reads off the results, (B, D), known beforehand."""
        name = f"{role} measured beforehand"
        return replace(self, judges={**self.judges, role: name}, _own={**self._own, (name, "generated"): values})

    def lacks(self, needs: Iterable[str]) -> list[str]:
        """Those of a metric's needs that this batch cannot meet; networks are not looked at."""
        return [need for need in needs if not self._has(need)]

    def _has(self, need: str) -> bool:
        kind, _, rest = need.partition(".")
        if kind == "judge":
            return rest in self.judges
        return kind == "network" or self._find(need) is not None

    def _find(self, path: str) -> Any:
        value: Any = self
        for part in path.split("."):
            value = getattr(value, part, None)
        return value


def made_by_model(need: str) -> bool:
    """Whether only a model's own run can tell what a metric needs."""
    return need.startswith("translation.") or need in ("cycle", "variants")


class Metric(ABC):
    """Collects batches; the score depends neither on their size nor on their order."""

    @abstractmethod
    def update(self, batch: EvalBatch) -> None:
        """Take a batch in.

        Raises:
            ValueError: the batch lacks what the metric needs, or a score is not finite; the message names the sample.
        """

    @abstractmethod
    def merge(self: M, other: M) -> None:
        """Take in all that `other` has seen."""

    @abstractmethod
    def compute(self) -> Score | None:
        """The score; None if no sample held anything to measure."""

    def samples(self) -> dict[str, float | None]:
        """The value of each sample by id, in order of id; empty for scores of whole sets."""
        return {}

    def weights(self) -> dict[str, float]:
        """How much each sample of `samples` counts, by id; empty where all count alike."""
        return {}


Measure = Callable[[EvalBatch], tuple[Tensor, Tensor]]
Groups = Callable[[EvalBatch], Sequence[str]]


class SampleMetric(Metric):
    """A ratio of sums over samples: each sample gives a total and a weight, and one without weight has no say.

    A plain mean is the case where every weight is 1; an accuracy over changed attributes has their number as weight.
    """

    def __init__(self, measure: Measure, groups: Groups | None = None) -> None:
        """Say what is measured.

        Args:
            measure: EvalBatch -> (total (B,), weight (B,)), weights at least 0.
            groups: EvalBatch -> a name a sample; the score's `parts` hold the ratio of each.
        """
        self._measure = measure
        self._groups = groups
        self._rows: list[tuple[str, float, float, str]] = []

    def update(self, batch: EvalBatch) -> None:
        total, weight = self._measure(batch)
        groups = self._groups(batch) if self._groups else [""] * len(batch.id)
        rows = list(zip(batch.id, total.double().tolist(), weight.double().tolist(), groups, strict=True))
        for name, top, bottom, _ in rows:
            if not (math.isfinite(top) and math.isfinite(bottom)):
                raise ValueError(f"sample {name} scores {top / bottom if bottom else top}; expected a finite number")
        self._rows += rows

    def merge(self, other: SampleMetric) -> None:
        self._rows += other._rows

    def compute(self) -> Score | None:
        rows = sorted(self._rows)
        total, weight = (np.array([row[i] for row in rows], dtype=np.float64) for i in (1, 2))
        if not weight.sum() > 0:
            return None
        low, high = bootstrap_interval(total, weight)
        value = float(total.sum() / weight.sum())
        return Score(value, int((weight > 0).sum()), low, high, _parts([row[3] for row in rows], total, weight))

    def samples(self) -> dict[str, float | None]:
        return {name: total / weight if weight else None for name, total, weight, _ in sorted(self._rows)}

    def weights(self) -> dict[str, float]:
        found = {name: weight for name, _, weight, _ in sorted(self._rows)}
        return found if any(weight != 1 for weight in found.values()) else {}


def _parts(groups: Sequence[str], total: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    parts = {}
    for group in sorted(set(groups) - {""}):
        chosen = np.array([name == group for name in groups])
        if bottom := weight[chosen].sum():
            parts[group] = float(total[chosen].sum() / bottom)
    return parts


def mean(measure: Callable[[EvalBatch], Tensor], groups: Groups | None = None) -> SampleMetric:
    """The metric that averages `measure`, EvalBatch -> (B,), over samples."""

    def weighted(batch: EvalBatch) -> tuple[Tensor, Tensor]:
        value = measure(batch).double()
        return value, value.new_ones(value.shape)

    return SampleMetric(weighted, groups)


def resamples(size: int) -> Iterator[np.ndarray]:
    """Places of `size` samples drawn again with replacement, `RESAMPLES` times in blocks (draws, size); seeded."""
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    block = max(1, _BLOCK // size)
    for start in range(0, RESAMPLES, block):
        yield generator.integers(0, size, (min(block, RESAMPLES - start), size))


def bootstrap_interval(total: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of sum(total) / sum(weight) when samples are drawn again; seeded."""
    sums = [(total[drawn].sum(1), weight[drawn].sum(1)) for drawn in resamples(len(total))]
    top, bottom = (np.concatenate(part) for part in zip(*sums, strict=True))
    low, high = np.quantile(top[bottom > 0] / bottom[bottom > 0], (0.025, 0.975))
    return float(low), float(high)
