"""Scores into published folders: what a board says of a model travels with its weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from eval.results import BoardResult, Results, Row
from hub.download import resolve
from hub.files import read_json, write_json, write_text
from hub.folder import CARD
from hub.folder import RESULTS as FOLDER_RESULTS
from registry import parse_model_name

HEADING = "## Scores"


def record(results: Results) -> list[Path]:
    """Write every model's scores into the results.json and the card of its published folder.

    Scores of the same protocol that stand there already are replaced; the rest of both files stays.

    Raises:
        ValueError: the scores are of two folders of pictures, or not of a whole protocol; nothing is written.
    """
    rows = [(board, row) for board in results.boards for row in board.rows if row.kind == "model"]
    if not rows:
        raise ValueError("--record: there is no model whose folder could take the scores")
    partial = sorted({board.protocol.name for board, _ in rows if not board.standard})
    if partial:
        names = ", ".join(partial)
        raise ValueError(f"--record: {names} was not run as it stands; leave --limit, --seed and --data out")
    return [_record(board, row, results) for board, row in rows]


def _record(board: BoardResult, row: Row, results: Results) -> Path:
    folder = resolve(parse_model_name(row.name))
    stored = read_json(folder / FOLDER_RESULTS) if (folder / FOLDER_RESULTS).is_file() else {}
    protocol = f"{board.protocol.name} v{board.protocol.version}"
    scores = {
        fact.name: {**asdict(row.scores[fact.name]), "unit": fact.unit, "version": fact.version}
        for fact in board.metrics
        if fact.name in row.scores
    }
    entry = {"scores": scores, "created": results.created, "packages": results.environment["packages"]}
    stored["scores"] = {**stored.get("scores", {}), protocol: entry}
    write_json(folder / FOLDER_RESULTS, stored)
    card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else f"# {row.name}\n"
    write_text(folder / CARD, card.partition(HEADING)[0].rstrip() + "\n\n" + _section(stored["scores"]))
    return folder


def _section(scores: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    lines = [HEADING, ""]
    for protocol, entry in sorted(scores.items()):
        lines += [f"`{protocol}`, 95 % bootstrap intervals:", ""]
        lines += ["| metric | value | interval | n |", "|---|---|---|---|"]
        for name, score in entry["scores"].items():
            ends = "" if score["low"] is None else f"{score['low']:.4g} to {score['high']:.4g}"
            lines.append(f"| {name} ({score['unit']}) | {score['value']:.4g} | {ends} | {score['n']} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
