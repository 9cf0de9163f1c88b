"""A board's table in HTML: sortable heads, intervals as bars, what a number rests on under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from eval.metrics.base import Score
from eval.protocol import Reported
from eval.results import BoardResult, MetricFacts, Row
from eval.scores import ABSENT, MetricColumn, arrow, format_count, interval, metric_columns

_FEW = 5  # columns: with fewer a table does not spread over the page


def table(board: BoardResult) -> str:
    """The table, its legend, the papers' own numbers, and what the numbers rest on."""
    columns = metric_columns(board)
    has_cost = any(row.ms_per_image is not None for row in board.rows)
    heads = [_sort_head("Model", "", "ascending", "text"), *(_metric_head(column.metric) for column in columns)]
    if has_cost:
        heads.append(_sort_head("params", "Trained parameters.", "ascending", "number"))
        heads.append(_sort_head("MACs", "Multiply-accumulates for one picture.", "ascending", "number"))
        heads.append(_sort_head("ms/image", "Median over batches; see the environment below.", "ascending", "number"))
    groups = {
        "models": [row for row in board.rows if not row.is_reference],
        "references": [row for row in board.rows if row.is_reference],
    }
    bodies = [
        f'<tbody class="{kind}">\n' + "\n".join(_row(row, columns, has_cost) for row in rows) + "\n</tbody>"
        for kind, rows in groups.items()
        if rows
    ]
    kind = "board few" if len(columns) < _FEW else "board"
    parts = [
        _controls(board),
        f'<div class="scroll" role="region" aria-label="Scores on {escape(board.protocol.name)}" tabindex="0">\n'
        f'<table class="{kind}">\n<thead><tr>{"".join(heads)}</tr></thead>\n{"".join(bodies)}\n</table></div>',
        f'<p class="legend">{_legend(board.rows, len(groups["models"]))}</p>',
        *(_reported(reported) for reported in board.protocol.reported),
        _signatures(board),
    ]
    return "\n".join(part for part in parts if part)


def tip(text: str) -> str:
    """The attribute that shows a text under the pointer."""
    return f' data-tip="{escape(text)}"' if text else ""


def breakable(name: str) -> str:
    """A name that may break after underscores, dots and slashes."""
    text = escape(name)
    for mark in "_./":
        text = text.replace(mark, f"{mark}<wbr>")
    return text


def _controls(board: BoardResult) -> str:
    """Filters; the script shows them, as they do nothing without it."""
    if len(board.rows) < 2:
        return ""
    name = escape(board.protocol.name)
    choices = "".join(
        f'<label><input type="checkbox" data-column="{place}" checked> {escape(metric.name)}</label>'
        for place, metric in enumerate(board.metrics, start=1)
    )
    return (
        f'<form class="controls" role="search" aria-label="Filter {name}" hidden>'
        '<label class="find">Rows <input type="search" placeholder="part of a name"></label>'
        '<label><input type="checkbox" class="show-references" checked> references</label>'
        f'<details><summary>Columns</summary><div class="choices">{choices}</div></details></form>'
    )


def _legend(rows: Sequence[Row], models: int) -> str:
    parts = []
    if any(interval(score) for row in rows for score in row.scores.values()):
        parts.append("±: half of the 95 % interval.")
    if models > 1:
        parts.append("The bars show intervals on a scale that a column's models share; what is far off it has none.")
        parts.append("<strong>Bold</strong>: the best model of a column.")
    if any(row.is_reference for row in rows):
        parts.append("Rows in italics are references.")
    return " ".join(parts)


def _metric_head(metric: MetricFacts) -> str:
    better, first = ("higher", "descending") if metric.higher_is_better else ("lower", "ascending")
    text = f"{metric.meaning} Version {metric.version}; {better} is better."
    return _sort_head(metric.name, text, first, "number", f"{metric.unit} {arrow(metric)}".strip())


def _sort_head(name: str, text: str, first: str, kind: str, detail: str = "") -> str:
    tail = f'<span class="unit">{escape(detail)}</span>' if detail else ""
    button = f'<button type="button"{tip(text)}>{breakable(name)}{tail}</button>'
    return f'<th scope="col" class="{kind}" data-first="{first}">{button}</th>'


def _row(row: Row, columns: Sequence[MetricColumn], has_cost: bool) -> str:
    name = f'<th scope="row" data-value="{escape(row.name)}"{tip(_about(row))}>{breakable(row.name)}</th>'
    cells = [name, *(_cell(row, column) for column in columns)]
    if has_cost:
        cells.append(_number(row.facts.parameters or None, format_count(row.facts.parameters)))
        cells.append(_number(row.facts.macs or None, format_count(row.facts.macs)))
        cells.append(_number(row.ms_per_image, f"{row.ms_per_image or 0:.2f}"))
    return f"<tr>{''.join(cells)}</tr>"


def _about(row: Row) -> str:
    digest = row.facts.weights_sha256
    parts = [row.facts.arch if row.kind == "model" else "", f"weights {digest[:12]}" if digest else ""]
    parts += [f"{name} {value}" for name, value in row.facts.training.items()]
    return ", ".join(part for part in parts if part)


def _cell(row: Row, column: MetricColumn) -> str:
    metric, score = column.metric, row.scores.get(column.metric.name)
    if score is None:
        return _number(None, "")
    text, small = column.text(score.value), ""
    about = f"{metric.name} {score.value:.6g} {metric.unit}".strip() + f", n = {score.n}"
    if (ends := interval(score)) is not None:
        low, high = (column.text(end) for end in ends)
        small = f'<span class="interval">±{column.text((ends[1] - ends[0]) / 2)}</span>{_bar(score, column)}'
        about += f", 95 % interval {low} to {high}"
    if score.parts:
        about += "\n" + ", ".join(f"{name} {column.text(value)}" for name, value in score.parts.items())
    if signature := row.signatures.get(metric.name):
        about += "\n" + signature.replace("|", " | ")
    best = row.name in column.leaders
    value = f'<strong>{text}<span class="hidden"> (best)</span></strong>' if best else text
    kind = "number best" if best else "number"
    return f'<td class="{kind}" data-value="{score.value!r}"{tip(about)}>{value}{small}</td>'


def _bar(score: Score, column: MetricColumn) -> str:
    """The interval as a bar with a mark at the value, on the scale of the column."""
    ends = interval(score)
    if ends is None or column.high <= column.low or not column.low <= score.value <= column.high:
        return ""
    start, stop, at = (
        100 * (min(max(x, column.low), column.high) - column.low) / (column.high - column.low)
        for x in (*ends, score.value)
    )
    return (
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="whole" y="2.5" width="100" height="1"/>'
        f'<rect x="{start:.2f}" y="1.5" width="{max(stop - start, 0.6):.2f}" height="3"/>'
        f'<rect class="at" x="{at - 0.7:.2f}" width="1.4" height="6"/></svg>'
    )


def _number(value: float | None, text: str) -> str:
    if value is None:
        return f'<td class="number absent">{ABSENT}</td>'
    return f'<td class="number" data-value="{value!r}">{text}</td>'


def _reported(reported: Reported) -> str:
    heads = "".join(f'<th scope="col" class="number">{escape(column)}</th>' for column in reported.columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="number">{ABSENT if value is None else f"{value:g}"}</td>' for value in values)
        + "</tr>"
        for name, values in reported.rows.items()
    )
    note = f" {escape(reported.note)}" if reported.note else ""
    return (
        f'<div class="scroll reported" role="region" aria-label="As reported" tabindex="0">'
        f"<p>As reported: {escape(reported.source)}.{note} Not ranked with the scores above.</p>"
        f'<table><thead><tr><th scope="col">Method</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _signatures(board: BoardResult) -> str:
    items = []
    for metric in board.metrics:
        found = dict.fromkeys(text for row in board.rows if (text := row.signatures.get(metric.name)))
        items += [f"<li><code>{breakable(text.replace('|', ' | '))}</code></li>" for text in found]
    if not items:
        return ""
    return f'<details><summary>What the numbers rest on</summary><ul class="signatures">{"".join(items)}</ul></details>'
