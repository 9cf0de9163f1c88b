"""Scores and a sample strip into published folders: what a board says of a model travels with its weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from eval.results import BoardResult, Results, Row
from geotrans.ops.images import write_image
from geotrans.viz import sheet
from hub.card import SAMPLES, update
from hub.download import resolve
from hub.files import read_json, write_json, write_text
from hub.folder import CARD, read_config
from hub.folder import RESULTS as FOLDER_RESULTS
from registry import parse_model_name


def record(results: Results) -> list[Path]:
    """Write every model's scores and samples into the results.json, the card and the picture of its published folder.

    Scores of the same protocol that stand there already are replaced; the rest of the files stays. The picture shows
    samples of the model's first board.

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
    drawn: set[Path] = set()
    folders = []
    for board, row in rows:
        folder = resolve(parse_model_name(row.name))
        if board.pictures is not None and folder not in drawn:
            picture = sheet(board.pictures.sample, board.pictures.translations[row.name], scale=2, rows=3)
            write_image(folder / SAMPLES[0], picture)
            drawn.add(folder)
        folders.append(_record(board, row, results))
    return folders


def _record(board: BoardResult, row: Row, results: Results) -> Path:
    folder = resolve(parse_model_name(row.name))
    stored = read_json(folder / FOLDER_RESULTS) if (folder / FOLDER_RESULTS).is_file() else {}
    protocol = f"{board.protocol.name} v{board.protocol.version}"
    scores = {
        fact.name: {
            **asdict(row.scores[fact.name]),
            "unit": fact.unit,
            "version": fact.version,
            "signature": row.signatures.get(fact.name, ""),
        }
        for fact in board.metrics
        if fact.name in row.scores
    }
    entry = {"scores": scores, "created": results.created, "packages": results.environment["packages"]}
    stored["scores"] = {**stored.get("scores", {}), protocol: entry}
    write_json(folder / FOLDER_RESULTS, stored)
    name = "{arch}.{tag}".format(**read_config(folder))
    text = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else f"# {name}\n"
    picture = SAMPLES[0] if (folder / SAMPLES[0]).is_file() else ""
    write_text(folder / CARD, update(text, name, stored, picture=picture))
    return folder
