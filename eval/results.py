"""Results as records: what was scored, how, with what, and every sample's score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from eval.metrics.base import Score
from eval.protocol import Protocol, is_standard
from geotrans.types import Sample, Translation
from registry import METRICS, PROTOCOLS

IDENTITY, REAL = "identity", "real images"

Kind = Literal["model", "identity", "real", "folder"]


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """A column of a board. meaning: the first line of the metric's documentation."""

    name: str
    version: int
    unit: str
    higher_is_better: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a row's model: None for reference rows and for folders.

    Attributes:
        arch: registered name of the network.
        parameters: how many are trained.
        weights_sha256: of model.safetensors.
        training: what the published folder says about its training.
        macs: multiply-accumulates of one picture, see `eval.cost`.
    """

    arch: str = ""
    parameters: int | None = None
    weights_sha256: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    macs: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one protocol.

    Attributes:
        kind: "identity" and "real" are references: the source returned unchanged, and the truth itself.
        ms_per_image: median over batches; None where no model runs.
        scores: by metric; a metric that the model gives nothing to measure is absent.
        samples: metric -> sample id -> score, or None where the sample has no say.
        weights: metric -> sample id -> how much the sample counts; a metric is absent where all count alike.
        signatures: metric -> what the number rests on, see `eval.signature`.
    """

    name: str
    kind: Kind
    facts: ModelFacts
    ms_per_image: float | None
    scores: dict[str, Score]
    samples: dict[str, dict[str, float | None]] = field(default_factory=dict)
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)

    @property
    def is_reference(self) -> bool:
        """Whether the row is there for comparison and never leads."""
        return self.kind in ("identity", "real")


@dataclass(frozen=True, slots=True)
class Pictures:
    """A few samples of a protocol, spread evenly, and what each row made of them.

    Attributes:
        wanted: what was asked of each sample, in words; empty if nobody wrote it down.
    """

    sample: Sample
    translations: dict[str, Translation]
    wanted: tuple[str, ...] = ()

    def few(self, count: int) -> Pictures:
        """At most `count` of the samples, spread evenly."""
        have = len(self.sample.id)
        if have <= count:
            return self
        places = [i * have // count for i in range(count)]
        chosen = torch.tensor(places)
        shown = {name: translation.rows(chosen) for name, translation in self.translations.items()}
        return Pictures(self.sample.rows(chosen), shown, tuple(self.wanted[i] for i in places if self.wanted))


@dataclass(frozen=True, slots=True)
class BoardResult:
    """All rows on one protocol.

    Attributes:
        n: the number of samples each row was scored on.
        left_out: metric or model -> why it is not there.
        pictures: for sample strips and for user studies.
    """

    protocol: Protocol
    metrics: tuple[MetricFacts, ...]
    rows: tuple[Row, ...]
    n: int
    left_out: dict[str, str] = field(default_factory=dict)
    pictures: Pictures | None = None

    @property
    def standard(self) -> bool:
        """Whether these numbers compare with others under the protocol's name. Two folders have no standard."""
        return self.protocol.name not in PROTOCOLS or is_standard(self.protocol)

    @property
    def key(self) -> str:
        """What boards have in common that make one board when they are merged."""
        return f"{self.protocol.name} {self.protocol.digest()} {self.n}"


@dataclass(frozen=True, slots=True)
class Point:
    """One score of one run, for the history of a model.

    Attributes:
        board: `BoardResult.key` of the board it stood on.
        label: what the run calls itself: its --label, or the commit it was made at.
        created: when, as ISO 8601.
    """

    board: str
    row: str
    metric: str
    version: int
    label: str
    created: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """One run of the harness, or several merged.

    Attributes:
        label: what the run calls itself.
        history: every score of the runs that were merged, oldest first.
    """

    boards: tuple[BoardResult, ...]
    environment: dict[str, Any]
    created: str
    label: str = ""
    history: tuple[Point, ...] = ()


def metric_facts(name: str) -> MetricFacts:
    """The facts of a registered metric."""
    entry = METRICS.get(name)
    meaning = (entry.factory.__doc__ or "").strip().partition("\n")[0]
    return MetricFacts(name, entry.info.version, entry.info.unit, entry.info.higher_is_better, meaning)
