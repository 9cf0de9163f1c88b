"""Results as one HTML page: sortable tables, sample strips, and no request to any network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from torch import Tensor

from eval.results import IDENTITY, BoardResult, MetricFacts, Pictures, Results, Row
from eval.scores import ABSENT, MetricColumn, arrow, format_count, interval, metric_columns, reservations
from eval.strips import Panels, anatomy, column, data_uri, given, longest_flow

_ASSETS = Path(__file__).parent
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def to_html(results: Results) -> str:
    """The page. Its Content-Security-Policy forbids every request, so it reads the same on any machine."""
    sections = "\n".join(_section(board) for board in results.boards)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
<title>geotrans board</title>
<style>
{_asset("board.css")}</style>
</head>
<body>
{_masthead(results)}
<main>
{sections}
</main>
{_footer(results)}
<script>
{_asset("board.js")}</script>
</body>
</html>
"""


def _masthead(results: Results) -> str:
    date = f'<time datetime="{escape(results.created)}">{escape(results.created[:10])}</time>'
    parts = ['<p class="brand">geotrans</p>', "<h1>Board</h1>", f'<p class="date">{date}</p>']
    if len(results.boards) > 1:
        names = [(_anchor(board), _breakable(board.protocol.name)) for board in results.boards]
        links = "".join(f'<li><a href="#{anchor}">{name}</a></li>' for anchor, name in names)
        parts.append(f'<nav aria-label="Protocols"><ul>{links}</ul></nav>')
    return f'<header class="masthead">{"".join(parts)}</header>'


def _section(board: BoardResult) -> str:
    protocol, anchor = board.protocol, _anchor(board)
    facts = f"version {protocol.version} · n = {board.n} · seed {protocol.seed} · <code>{protocol.digest()}</code>"
    notes = "".join(f"<li>{escape(note)}</li>" for note in reservations(board))
    parts = [
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">',
        f'<h2 id="{anchor}-title">{_breakable(protocol.name)}</h2>',
        f'<p class="lead">{escape(protocol.description)}</p>' if protocol.description else "",
        f'<p class="facts">{facts}</p>',
        _table(board),
        f'<ul class="notes">{notes}</ul>' if notes else "",
        _samples(board.pictures) if board.pictures else "",
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _table(board: BoardResult) -> str:
    columns = metric_columns(board)
    has_cost = any(row.ms_per_image is not None for row in board.rows)
    heads = [_sort_head("Model", "", "ascending", "text"), *(_metric_head(column.metric) for column in columns)]
    if has_cost:
        heads.append(_sort_head("params", "Trained parameters.", "ascending", "number"))
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
    return (
        f'<div class="scroll" role="region" aria-label="Scores on {escape(board.protocol.name)}" tabindex="0">\n'
        f'<table class="board">\n<thead><tr>{"".join(heads)}</tr></thead>\n{"".join(bodies)}\n</table></div>\n'
        f'<p class="legend">{_legend(board.rows, len(groups["models"]))}</p>'
    )


def _legend(rows: Sequence[Row], models: int) -> str:
    parts = []
    if any(interval(score) for row in rows for score in row.scores.values()):
        parts.append("±: half of the 95 % bootstrap interval.")
    if models > 1:
        parts.append("<strong>Bold</strong>: the best model of a column.")
    if any(row.is_reference for row in rows):
        parts.append("Rows in italics are references.")
    return " ".join(parts)


def _metric_head(metric: MetricFacts) -> str:
    better, first = ("higher", "descending") if metric.higher_is_better else ("lower", "ascending")
    tip = f"{metric.meaning} Version {metric.version}; {better} is better."
    return _sort_head(metric.name, tip, first, "number", f"{metric.unit} {arrow(metric)}".strip())


def _sort_head(name: str, tip: str, first: str, kind: str, detail: str = "") -> str:
    tail = f'<span class="unit">{escape(detail)}</span>' if detail else ""
    button = f'<button type="button"{_tip(tip)}>{_breakable(name)}{tail}</button>'
    return f'<th scope="col" class="{kind}" data-first="{first}">{button}</th>'


def _row(row: Row, columns: Sequence[MetricColumn], has_cost: bool) -> str:
    name = f'<th scope="row" data-value="{escape(row.name)}"{_tip(_about(row))}>{_breakable(row.name)}</th>'
    cells = [name, *(_cell(row, column) for column in columns)]
    if has_cost:
        cells.append(_number(row.facts.parameters or None, format_count(row.facts.parameters)))
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
    tip = f"{metric.name} {score.value:.6g} {metric.unit}".strip() + f", n = {score.n}"
    if (ends := interval(score)) is not None:
        low, high = (column.text(end) for end in ends)
        small = f'<span class="interval">±{column.text((ends[1] - ends[0]) / 2)}</span>'
        tip += f", 95 % interval {low} to {high}"
    best = row.name in column.leaders
    value = f'<strong>{text}<span class="hidden"> (best)</span></strong>' if best else text
    kind = "number best" if best else "number"
    return f'<td class="{kind}" data-value="{score.value!r}"{_tip(tip)}>{value}{small}</td>'


def _number(value: float | None, text: str) -> str:
    if value is None:
        return f'<td class="number absent">{ABSENT}</td>'
    return f'<td class="number" data-value="{value!r}">{text}</td>'


def _samples(pictures: Pictures) -> str:
    longest = longest_flow(pictures)
    size = pictures.sample.image.shape[-1]
    models = {name: made for name, made in pictures.translations.items() if name != IDENTITY}
    overview = _strip({**given(pictures, longest), **{name: made.image for name, made in models.items()}}, size)
    parts = "\n".join(
        f'<figure class="anatomy"><figcaption>{_breakable(name)}</figcaption>'
        f"{_strip(anatomy(pictures, made, longest), size)}</figure>"
        for name, made in models.items()
        if made.flow is not None or made.mask is not None
    )
    heading = f'<h3>Samples</h3>\n<p class="legend">{escape(", ".join(pictures.sample.id))}</p>\n'
    if not parts:
        return heading + overview
    return f'{heading}{overview}\n<h3>What moves and what is painted</h3>\n<div class="anatomies">{parts}</div>'


def _strip(panels: Panels, size: int) -> str:
    columns = "".join(_panel(name, panel) for name, panel in panels.items())
    return f'<div class="strip" role="group" aria-label="Samples" tabindex="0" style="--size: {size}px">{columns}</div>'


def _panel(name: str, panel: Tensor) -> str:
    picture = column(panel)
    return (
        f'<figure class="panel"><figcaption>{_breakable(name)}</figcaption>'
        f'<img src="{data_uri(picture)}" alt="{escape(name)} of {len(panel)} samples" '
        f'width="{picture.width}" height="{picture.height}"></figure>'
    )


def _footer(results: Results) -> str:
    metrics = {metric.name: metric for board in results.boards for metric in board.metrics}
    meanings = "".join(
        f"<dt>{_breakable(metric.name)} {arrow(metric)} <small>v{metric.version}</small></dt>"
        f"<dd>{escape(metric.meaning)}</dd>"
        for metric in metrics.values()
    )
    facts = {name: value for name, value in results.environment.items() if name != "packages"}
    facts |= results.environment.get("packages", {})
    environment = "".join(
        f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
        if value is not None
    )
    return (
        f'<footer><section><h2>Metrics</h2><dl class="meanings">{meanings}</dl></section>'
        f'<section><h2>Environment</h2><dl class="environment">{environment}</dl></section>'
        f'<p class="date">Scored {escape(results.created)}</p></footer>'
    )


def _tip(text: str) -> str:
    return f' data-tip="{escape(text)}"' if text else ""


def _anchor(board: BoardResult) -> str:
    return escape("".join(c if c.isalnum() else "-" for c in board.protocol.name))


def _breakable(name: str) -> str:
    """A name that may break after underscores and dots."""
    return escape(name).replace("_", "_<wbr>").replace(".", ".<wbr>")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
