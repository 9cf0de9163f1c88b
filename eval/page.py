"""Results as one HTML page: sortable tables, sample strips, history, and no request to any network."""

from __future__ import annotations

from html import escape
from pathlib import Path

from torch import Tensor

from eval.page_history import history_section
from eval.page_table import breakable, table, tip
from eval.results import IDENTITY, BoardResult, Pictures, Results
from eval.scores import arrow, reservations
from eval.strips import SHOWN, Panels, anatomy, column, data_uri, given, longest_flow, overview

_ASSETS = Path(__file__).parent
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def to_html(results: Results) -> str:
    """The page. Its Content-Security-Policy forbids every request, so it reads the same on any machine."""
    sections = "\n".join(_section(board, results) for board in results.boards)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
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
    label = f" · {escape(results.label)}" if results.label else ""
    parts = ['<p class="brand">geotrans</p>', "<h1>Board</h1>", f'<p class="date">{date}{label}</p>']
    if len(results.boards) > 1:
        names = [(_anchor(board), breakable(board.protocol.name)) for board in results.boards]
        links = "".join(f'<li><a href="#{anchor}">{name}</a></li>' for anchor, name in names)
        parts.append(f'<nav aria-label="Protocols"><ul>{links}</ul></nav>')
    return f'<header class="masthead">{"".join(parts)}</header>'


def _section(board: BoardResult, results: Results) -> str:
    protocol, anchor = board.protocol, _anchor(board)
    facts = f"version {protocol.version} · n = {board.n} · seed {protocol.seed} · <code>{protocol.digest()}</code>"
    notes = "".join(f"<li>{escape(note)}</li>" for note in reservations(board))
    parts = [
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">',
        f'<h2 id="{anchor}-title">{breakable(protocol.name)}</h2>',
        f'<p class="lead">{escape(protocol.description)}</p>' if protocol.description else "",
        f'<p class="facts">{facts}</p>',
        table(board),
        f'<ul class="notes">{notes}</ul>' if notes else "",
        history_section(board, results.history),
        _samples(board.pictures.few(SHOWN)) if board.pictures else "",
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _samples(pictures: Pictures) -> str:
    longest = longest_flow(pictures)
    size = pictures.sample.image.shape[-1]
    models = {name: made for name, made in pictures.translations.items() if name != IDENTITY}
    asked = _asked(pictures) if any(pictures.wanted) else ""
    side_by_side = _strip({**given(pictures, longest), **overview(models, longest)}, size, asked)
    parts = "\n".join(
        f'<figure class="anatomy"><figcaption>{breakable(name)}</figcaption>'
        f"{_strip(anatomy(pictures, made, longest), size)}</figure>"
        for name, made in models.items()
        if made.flow is not None or made.mask is not None
    )
    heading = "<h3>Samples</h3>\n"
    if not parts:
        return heading + side_by_side
    return f'{heading}{side_by_side}\n<h3>What moves and what is painted</h3>\n<div class="anatomies">{parts}</div>'


def _asked(pictures: Pictures) -> str:
    """What was asked of each sample, in a column beside its pictures."""
    pairs = zip(pictures.sample.id, (text.replace("_", " ") for text in pictures.wanted), strict=True)
    items = "".join(f"<li{tip(f'{name}: {text}')}><span>{escape(text)}</span></li>" for name, text in pairs)
    return f'<ol class="asked" aria-label="wanted">{items}</ol>'


def _strip(panels: Panels, size: int, asked: str = "") -> str:
    columns = asked + "".join(_panel(name, panel) for name, panel in panels.items())
    kind = "strip labelled" if asked else "strip"
    return (
        f'<div class="{kind}" role="group" aria-label="Samples" tabindex="0" style="--size: {size}px">{columns}</div>'
    )


def _panel(name: str, panel: Tensor) -> str:
    picture = column(panel)
    return (
        f'<figure class="panel"><figcaption>{breakable(name)}</figcaption>'
        f'<img src="{data_uri(picture)}" alt="{escape(name)} of {len(panel)} samples" '
        f'width="{picture.width}" height="{picture.height}"></figure>'
    )


def _footer(results: Results) -> str:
    metrics = {metric.name: metric for board in results.boards for metric in board.metrics}
    meanings = "".join(
        f"<dt>{breakable(metric.name)} {arrow(metric)} <small>v{metric.version}</small></dt>"
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


def _anchor(board: BoardResult) -> str:
    """Two boards of one protocol, with another n say, have different anchors."""
    return escape("".join(c if c.isalnum() else "-" for c in f"{board.protocol.name}-{board.protocol.digest()}"))


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
