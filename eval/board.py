"""Results as a table for the terminal, as Markdown, CSV and JSON lines; `eval.page` makes the HTML page."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.page import to_html
from eval.protocol import Reported
from eval.results import BoardResult, Results, Row
from eval.scores import ABSENT, MetricColumn, arrow, format_count, headline, interval, metric_columns, reservations
from eval.strips import SHOWN, anatomy, longest_flow
from geotrans.ops.images import write_image
from geotrans.viz import titled_grid
from hub import files

STRIPS = "strips"


def write_board(results: Results, folder: str | Path) -> list[Path]:
    """Write board.md, board.csv, board.jsonl, board.html and strips/ into a folder; returns their paths."""
    folder = Path(folder)
    texts = {
        "board.md": to_markdown(results),
        "board.csv": to_csv(results),
        "board.jsonl": to_jsonl(results),
        "board.html": to_html(results),
    }
    for name, text in texts.items():
        files.write_text(folder / name, text)
    return [*(folder / name for name in texts), *_write_strips(results, folder / STRIPS)]


def to_terminal(results: Results, width: int = 120) -> str:
    """Aligned tables, one a protocol; `*` marks the best model of a column. What is too wide goes on below."""
    return "\n\n".join(_terminal_board(board, width) for board in results.boards)


def to_markdown(results: Results) -> str:
    """Tables with the best model of each column in bold."""
    return "\n\n".join(_markdown_board(board) for board in results.boards) + "\n"


def to_csv(results: Results) -> str:
    """One line for each protocol, row and metric."""
    lines = list(_records(results))
    columns = [name for name in (lines[0] if lines else ()) if name not in _IN_JSON_ONLY]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**line, "higher_is_better": str(line["higher_is_better"]).lower()} for line in lines)
    return out.getvalue()


def to_jsonl(results: Results) -> str:
    """One JSON object a line for each protocol, row and metric: what the CSV says, parts, label and time too."""
    return "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in _records(results))


_IN_JSON_ONLY = ("parts", "label", "created")


def _records(results: Results) -> Iterator[dict[str, Any]]:
    for board in results.boards:
        for row in board.rows:
            for metric in board.metrics:
                if score := row.scores.get(metric.name):
                    yield {
                        "protocol": board.protocol.name,
                        "hash": board.protocol.digest(),
                        "row": row.name,
                        "kind": row.kind,
                        "parameters": row.facts.parameters,
                        "macs": row.facts.macs,
                        "ms_per_image": row.ms_per_image,
                        "metric": metric.name,
                        "version": metric.version,
                        "value": score.value,
                        "low": score.low,
                        "high": score.high,
                        "n": score.n,
                        "unit": metric.unit,
                        "higher_is_better": metric.higher_is_better,
                        "signature": row.signatures.get(metric.name, ""),
                        "parts": score.parts,
                        "label": results.label,
                        "created": results.created,
                    }


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a plain-text table: its title, and what it says of a row (value, half-width of the interval)."""

    title: str
    cell: Callable[[Row], tuple[str, str]]


def _columns(board: BoardResult, mark: Callable[[str], str]) -> list[_Column]:
    columns = [_metric_column(column, mark) for column in metric_columns(board)]
    if any(row.facts.parameters for row in board.rows):
        columns.append(_Column("params", lambda row: (format_count(row.facts.parameters), "")))
    if any(row.facts.macs for row in board.rows):
        columns.append(_Column("MACs", lambda row: (format_count(row.facts.macs), "")))
    if any(row.ms_per_image is not None for row in board.rows):
        columns.append(_Column("ms/image", lambda row: (_milliseconds(row.ms_per_image), "")))
    return columns


def _metric_column(column: MetricColumn, mark: Callable[[str], str]) -> _Column:
    metric = column.metric

    def cell(row: Row) -> tuple[str, str]:
        score = row.scores.get(metric.name)
        if score is None:
            return ABSENT, ""
        text = column.text(score.value)
        ends = interval(score)
        spread = "" if ends is None else f"±{column.text((ends[1] - ends[0]) / 2)}"
        return mark(text) if row.name in column.leaders else text, spread

    return _Column(f"{metric.name} {metric.unit}{arrow(metric)}", cell)


def _terminal_board(board: BoardResult, width: int) -> str:
    columns = _columns(board, lambda text: text + "*")
    titles = [re.split(r"(?<=_)| ", column.title) for column in columns]  # broken at underscores: columns stay narrow
    height = max((len(title) for title in titles), default=1)
    grid = [["", *("" for _ in range(height - 1)), *(line for row in board.rows for line in (row.name, ""))]]
    for column, title in zip(columns, titles, strict=True):
        cells = [column.cell(row) for row in board.rows]
        # the mark hangs out on the right, so that digits stay below each other
        values = [line if line.endswith("*") else f"{line} " for cell in cells for line in cell]
        grid.append([*[""] * (height - len(title)), *(f"{part} " for part in title), *values])
    widths = [max(map(len, lines)) for lines in grid]
    blocks: list[list[int]] = [[]]
    for place, size in enumerate(widths[1:], start=1):
        if blocks[-1] and widths[0] + sum(widths[i] + 1 for i in blocks[-1]) + size + 1 > width:
            blocks.append([])
        blocks[-1].append(place)
    tables = ["\n".join(_lines(grid, widths, block)) for block in blocks]
    return "\n\n".join([headline(board), *tables, *reservations(board), *map(_reported_text, board.protocol.reported)])


def _reported_text(reported: Reported) -> str:
    """The papers' own numbers, indented, so that nobody takes them for ours."""
    lines = [["", *reported.columns]]
    lines += [[name, *(ABSENT if v is None else f"{v:g}" for v in values)] for name, values in reported.rows.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["    " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([f"As reported, not ranked with the above: {reported.source}. {reported.note}".rstrip(), *texts])


def _lines(grid: list[list[str]], widths: list[int], block: list[int]) -> list[str]:
    lines = []
    for i, name in enumerate(grid[0]):
        cells = [name.ljust(widths[0]), *(grid[place][i].rjust(widths[place]) for place in block)]
        lines.append(" ".join(cells).rstrip())
    return [line for line in lines if line]


def _markdown_board(board: BoardResult) -> str:
    columns = _columns(board, lambda text: f"**{text}**")
    lines = [
        "| | " + " | ".join(column.title for column in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for row in board.rows:
        name = f"*{row.name}*" if row.is_reference else row.name.replace("|", "\\|")
        cells = [" ".join(part for part in column.cell(row) if part) for column in columns]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    meanings = [f"- `{metric.name}` v{metric.version}: {metric.meaning}" for metric in board.metrics]
    reported = [_reported_markdown(one) for one in board.protocol.reported]
    return "\n\n".join(
        [f"### {headline(board)}", "\n".join(lines), "\n".join(meanings), *reservations(board), *reported]
    )


def _reported_markdown(reported: Reported) -> str:
    lines = [
        f"As reported: {reported.source}. {reported.note} Not ranked with the above.\n".replace("  ", " "),
        "| *method* | " + " | ".join(f"*{column}*" for column in reported.columns) + " |",
        "|---|" + "---:|" * len(reported.columns),
    ]
    for name, values in reported.rows.items():
        cells = [ABSENT if value is None else f"*{value:g}*" for value in values]
        lines.append("| " + " | ".join([f"*{name}*", *cells]) + " |")
    return "\n".join(lines)


def _milliseconds(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def _write_strips(results: Results, folder: Path) -> list[Path]:
    paths = []
    for board in results.boards:
        if board.pictures is None:
            continue
        pictures = board.pictures.few(SHOWN)
        longest = longest_flow(pictures)
        for name, translation in pictures.translations.items():
            path = folder / f"{board.protocol.name}-{_file_name(name)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, titled_grid(anatomy(pictures, translation, longest), scale=2))
            paths.append(path)
    return paths


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
