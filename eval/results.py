"""Results as records and as JSON: what was scored, how, with what, and every sample's score.

results.json         the boards, without single samples
samples.json         {protocol: {"ids", "rows": {row: {metric: [score or null, ...]}}}}
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from eval.metrics.base import Score
from eval.protocol import Protocol, is_standard
from geotrans.base import config_from_dict
from geotrans.types import Sample, Translation
from hub import files
from registry import METRICS, PROTOCOLS

SCHEMA = 1
PACKAGES = ("geotrans-gan", "torch", "torchvision", "numpy", "pillow", "lpips", "pytorch-fid")
IDENTITY, REAL = "identity", "real images"
RESULTS, SAMPLES = "results.json", "samples.json"

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
    """

    arch: str = ""
    parameters: int | None = None
    weights_sha256: str | None = None
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one protocol.

    Attributes:
        kind: "identity" and "real" are references: the source returned unchanged, and the truth itself.
        ms_per_image: median over batches; None where no model runs.
        scores: by metric; a metric that the model gives nothing to measure is absent.
        samples: metric -> sample id -> score, or None where the sample has no say.
    """

    name: str
    kind: Kind
    facts: ModelFacts
    ms_per_image: float | None
    scores: dict[str, Score]
    samples: dict[str, dict[str, float | None]] = field(default_factory=dict)

    @property
    def is_reference(self) -> bool:
        """Whether the row is there for comparison and never leads."""
        return self.kind in ("identity", "real")


@dataclass(frozen=True, slots=True)
class Pictures:
    """The first samples of a protocol and what each row made of them."""

    sample: Sample
    translations: dict[str, Translation]


@dataclass(frozen=True, slots=True)
class BoardResult:
    """All rows on one protocol.

    Attributes:
        n: the number of samples each row was scored on.
        left_out: metric or model -> why it is not there.
        pictures: for sample strips; not stored.
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


@dataclass(frozen=True, slots=True)
class Results:
    """One run of the harness."""

    boards: tuple[BoardResult, ...]
    environment: dict[str, Any]
    created: str


def metric_facts(name: str) -> MetricFacts:
    """The facts of a registered metric."""
    entry = METRICS.get(name)
    meaning = (entry.factory.__doc__ or "").strip().partition("\n")[0]
    return MetricFacts(name, entry.info.version, entry.info.unit, entry.info.higher_is_better, meaning)


def environment(device: str = "cpu", batch_size: int | None = None) -> dict[str, Any]:
    """What a number may depend on beside the protocol: versions, machine, code."""
    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "batch_size": batch_size,
        "commit": _commit(),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_json(results: Results) -> dict[str, Any]:
    """The content of results.json."""
    return {
        "schema": SCHEMA,
        "created": results.created,
        "environment": results.environment,
        "boards": [_board_to_json(board) for board in results.boards],
    }


def samples_to_json(results: Results) -> dict[str, Any]:
    """The content of samples.json: one list a metric, in the order of `ids`."""
    return {board.protocol.name: _samples_of(board.rows) for board in results.boards}


def write_results(results: Results, folder: str | Path) -> None:
    """Write results.json and samples.json; each appears whole or not at all."""
    files.write_json(Path(folder) / RESULTS, to_json(results))
    files.write_text(Path(folder) / SAMPLES, json.dumps(samples_to_json(results), allow_nan=False) + "\n")


def read_results(path: str | Path) -> Results:
    """Read a results.json, or the folder it lies in; single samples and pictures are not in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, of another schema, or lacks something; the message says where.
    """
    path = Path(path) / RESULTS if Path(path).is_dir() else Path(path)
    content = files.read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        schema = content.get("schema") if isinstance(content, dict) else None
        raise ValueError(f"{path}: expected results of schema {SCHEMA}, got {schema!r}; score again to renew them")
    try:
        boards = tuple(_board_from_json(board) for board in content["boards"])
        return Results(boards, dict(content["environment"]), str(content["created"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a whole results file: {type(error).__name__} {error}") from error


def _board_to_json(board: BoardResult) -> dict[str, Any]:
    facts = {metric.name: metric for metric in board.metrics}
    return {
        "protocol": {**asdict(board.protocol), "hash": board.protocol.digest(), "standard": board.standard},
        "n": board.n,
        "metrics": [asdict(metric) for metric in board.metrics],
        "left_out": board.left_out,
        "rows": [_row_to_json(row, facts) for row in board.rows],
    }


def _row_to_json(row: Row, facts: Mapping[str, MetricFacts]) -> dict[str, Any]:
    scores = {
        name: {
            **asdict(score),
            "version": facts[name].version,
            "unit": facts[name].unit,
            "higher_is_better": facts[name].higher_is_better,
        }
        for name, score in row.scores.items()
    }
    return {
        "name": row.name,
        "kind": row.kind,
        **asdict(row.facts),
        "ms_per_image": row.ms_per_image,
        "scores": scores,
    }


def _samples_of(rows: Sequence[Row]) -> dict[str, Any]:
    ids = sorted({name for row in rows for values in row.samples.values() for name in values})
    return {
        "ids": ids,
        "rows": {
            row.name: {metric: [_short(values.get(name)) for name in ids] for metric, values in row.samples.items()}
            for row in rows
        },
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _board_from_json(content: Mapping[str, Any]) -> BoardResult:
    stored = {key: value for key, value in content["protocol"].items() if key not in ("hash", "standard")}
    protocol = Protocol(**{**stored, "metrics": tuple(stored["metrics"])})
    if protocol.digest() != content["protocol"]["hash"]:
        raise TypeError(f"the protocol {protocol.name} does not have the hash that stands beside it")
    metrics = tuple(MetricFacts(**metric) for metric in content["metrics"])
    rows = tuple(_row_from_json(row) for row in content["rows"])
    return BoardResult(protocol, metrics, rows, int(content["n"]), dict(content["left_out"]))


def _row_from_json(content: Mapping[str, Any]) -> Row:
    facts = config_from_dict(ModelFacts, {name: content[name] for name in ModelFacts.__dataclass_fields__})
    scores = {
        name: config_from_dict(_StoredScore, {key: score[key] for key in _StoredScore.__dataclass_fields__}).score()
        for name, score in content["scores"].items()
    }
    return Row(content["name"], content["kind"], facts, content["ms_per_image"], scores)


@dataclass(frozen=True, slots=True)
class _StoredScore:
    value: float = 0.0
    n: int = 0
    low: float | None = None
    high: float | None = None

    def score(self) -> Score:
        return Score(self.value, self.n, self.low, self.high)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _commit() -> str | None:
    """The commit of the source tree this runs from; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
