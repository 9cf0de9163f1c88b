"""Results in files.

results.json            the boards, without single samples
samples.json            every sample's score: {"boards": [{"protocol", "hash", "n", "ids", "rows", "weights"}], ...}
pictures-PROTOCOL.safetensors   a few samples and what each row made of them
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.metrics.base import Score
from eval.protocol import Protocol
from eval.results import BoardResult, MetricFacts, ModelFacts, Pictures, Point, Results, Row
from geotrans.base import config_from_dict, override
from geotrans.ops.images import from_uint8, to_uint8
from geotrans.types import Sample, Translation
from hub import files
from registry import PROTOCOLS

SCHEMA = 1
RESULTS, SAMPLES = "results.json", "samples.json"
MAX_SAMPLES_BYTES = 500_000_000
_POINT = Point("", "", "", 0, "", "", 0.0)
_LEVELS = ("image", "truth", "warped")  # stored as bytes, as pictures are; the rest in half precision


def to_json(results: Results) -> dict[str, Any]:
    """The content of results.json."""
    content = {
        "schema": SCHEMA,
        "created": results.created,
        "label": results.label,
        "environment": results.environment,
        "boards": [_board_to_json(board) for board in results.boards],
    }
    return content | ({"history": [asdict(point) for point in results.history]} if results.history else {})


def samples_to_json(results: Results) -> dict[str, Any]:
    """The content of samples.json: one list a metric, in the order of `ids`; weights where samples count unequally."""
    return {"schema": SCHEMA, "boards": [_samples_of(board) for board in results.boards]}


def write_results(results: Results, folder: str | Path) -> list[Path]:
    """Write results.json, samples.json and the pictures; each file appears whole or not at all. Returns their paths."""
    folder = Path(folder)
    files.write_json(folder / RESULTS, to_json(results))
    files.write_text(folder / SAMPLES, json.dumps(samples_to_json(results), allow_nan=False) + "\n")
    paths = [folder / RESULTS, folder / SAMPLES]
    for board in results.boards:
        if board.pictures is not None:
            paths.append(folder / _pictures_file(board))
            tensors, names = _pictures_to_tensors(board.pictures)
            facts = {"ids": json.dumps(board.pictures.sample.id), "wanted": json.dumps(board.pictures.wanted)}
            files.write_safetensors(paths[-1], tensors, {**facts, "rows": names})
    return paths


def read_results(path: str | Path, *, whole: bool = False, check: bool = True) -> Results:
    """Read a results.json, or the folder it lies in.

    Args:
        whole: also single samples and pictures, as far as they lie beside it.
        check: refuse a protocol that does not have the hash that stands beside it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, of another schema, or lacks something; the message says where.
    """
    path = results_file(path)
    content = _read(path)
    try:
        boards = tuple(_board_from_json(board, check) for board in content["boards"])
        history = tuple(override(_POINT, point) for point in content.get("history", ()))
        results = Results(
            boards, dict(content["environment"]), str(content["created"]), str(content.get("label", "")), history
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a whole results file: {type(error).__name__} {error}") from error
    return _with_samples(results, path.parent) if whole else results


def results_file(path: str | Path) -> Path:
    """The results.json that a path means: a file, or the folder it lies in."""
    return Path(path) / RESULTS if Path(path).is_dir() else Path(path)


def _read(path: Path, limit: int = files.MAX_JSON_BYTES) -> dict[str, Any]:
    content = files.read_json(path, limit)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        schema = content.get("schema") if isinstance(content, dict) else None
        raise ValueError(f"{path}: expected results of schema {SCHEMA}, got {schema!r}; score again to renew them")
    return content


def _board_to_json(board: BoardResult) -> dict[str, Any]:
    facts = {metric.name: metric for metric in board.metrics}
    protocol = {name: value for name, value in asdict(board.protocol).items() if name != "reported"}
    return {
        "protocol": {**protocol, "hash": board.protocol.digest(), "standard": board.standard},
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
            "signature": row.signatures.get(name, ""),
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


def _board_from_json(content: Mapping[str, Any], check: bool) -> BoardResult:
    protocol = protocol_from_json(content["protocol"])
    if check and protocol.digest() != content["protocol"]["hash"]:
        raise TypeError(f"the protocol {protocol.name} does not have the hash that stands beside it")
    metrics = tuple(MetricFacts(**metric) for metric in content["metrics"])
    rows = tuple(_row_from_json(row) for row in content["rows"])
    return BoardResult(protocol, metrics, rows, int(content["n"]), dict(content["left_out"]))


def protocol_from_json(content: Mapping[str, Any]) -> Protocol:
    """A stored protocol; what the papers reported comes from the registered one of its name."""
    stored = {key: value for key, value in content.items() if key not in ("hash", "standard")}
    for name in ("metrics", "asks"):
        stored[name] = tuple(stored.get(name, ()))
    name = str(stored["name"])
    reported = PROTOCOLS.get(name).factory().reported if name in PROTOCOLS else ()
    return Protocol(**{**stored, "reported": reported})


def _row_from_json(content: Mapping[str, Any]) -> Row:
    facts = config_from_dict(ModelFacts, {n: content[n] for n in ModelFacts.__dataclass_fields__ if n in content})
    scores = {name: _score_from_json(score) for name, score in content["scores"].items()}
    signatures = {name: str(text) for name, score in content["scores"].items() if (text := score.get("signature"))}
    return Row(content["name"], content["kind"], facts, content["ms_per_image"], scores, signatures=signatures)


def _score_from_json(content: Mapping[str, Any]) -> Score:
    known = {f.name: content[f.name] for f in fields(Score) if f.name in ("value", "n") or f.name in content}
    return override(Score(0.0, 0), known)


def _samples_of(board: BoardResult) -> dict[str, Any]:
    ids = sorted({name for row in board.rows for values in row.samples.values() for name in values})

    def table(parts: Mapping[str, Mapping[str, float | None]]) -> dict[str, list[float | None]]:
        return {metric: [_short(values.get(name)) for name in ids] for metric, values in parts.items()}

    return {
        "protocol": board.protocol.name,
        "hash": board.protocol.digest(),
        "n": board.n,
        "ids": ids,
        "rows": {row.name: table(row.samples) for row in board.rows},
        "weights": {row.name: table(row.weights) for row in board.rows if row.weights},
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _with_samples(results: Results, folder: Path) -> Results:
    """The results with what lies beside them."""
    stored: dict[str, dict[str, Any]] = {}
    if (folder / SAMPLES).is_file():
        content = _read(folder / SAMPLES, MAX_SAMPLES_BYTES)
        stored = {f"{board['protocol']} {board['hash']} {board['n']}": board for board in content["boards"]}
    boards = []
    for board in results.boards:
        found = stored.get(board.key, {"ids": [], "rows": {}, "weights": {}})
        rows = tuple(
            replace(
                row,
                samples=_by_id(found["ids"], found["rows"].get(row.name, {})),
                weights=_by_id(found["ids"], found["weights"].get(row.name, {})),
            )
            for row in board.rows
        )
        boards.append(replace(board, rows=rows, pictures=read_pictures(folder / _pictures_file(board))))
    return replace(results, boards=tuple(boards))


def _by_id(ids: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    return {metric: dict(zip(ids, values, strict=True)) for metric, values in columns.items()}


def _pictures_file(board: BoardResult) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", board.protocol.name)
    return f"pictures-{name}-{board.protocol.digest()}.safetensors"


def _pictures_to_tensors(pictures: Pictures) -> tuple[dict[str, Tensor], str]:
    parts = _packed("sample", pictures.sample, ("image", "truth", "flow"))
    for number, translation in enumerate(pictures.translations.values()):
        parts |= _packed(str(number), translation, ("image", "flow", "warped", "residual", "mask"))
    return parts, json.dumps(list(pictures.translations))


def _packed(start: str, record: Sample | Translation, names: Sequence[str]) -> dict[str, Tensor]:
    found = {name: tensor for name in names if (tensor := getattr(record, name)) is not None}
    return {f"{start}/{name}": to_uint8(t) if name in _LEVELS else t.half() for name, t in found.items()}


def read_pictures(path: Path) -> Pictures | None:
    """The pictures in a file; None if there is none.

    Raises:
        ValueError: the file is broken.
    """
    if not path.is_file():
        return None
    tensors, metadata = files.read_safetensors(path)
    parts: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        owner, _, name = key.partition("/")
        parts.setdefault(owner, {})[name] = from_uint8(tensor) if tensor.dtype == torch.uint8 else tensor.float()
    try:
        ids, rows, wanted = (json.loads(metadata[name]) for name in ("ids", "rows", "wanted"))
        sample = Sample(**parts["sample"], id=tuple(ids))
        translations = {name: Translation(**parts[str(number)]) for number, name in enumerate(rows)}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not pictures of a run: {type(error).__name__} {error}") from error
    return Pictures(sample, translations, tuple(wanted))
