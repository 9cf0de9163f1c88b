"""How scores moved from run to run, as one small line for each model and metric."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from eval.page_table import breakable, tip
from eval.results import BoardResult, MetricFacts, Point
from eval.scores import arrow, metric_columns

_WIDTH, _HEIGHT, _EDGE = 132, 40, 5


def history_section(board: BoardResult, points: Sequence[Point]) -> str:
    """A table of lines, a row a model; empty where no score was taken twice."""
    columns = {column.metric.name: column for column in metric_columns(board)}
    lines: dict[str, dict[str, list[Point]]] = {}
    for point in points:
        metric = columns.get(point.metric)
        if point.board == board.key and metric is not None and point.version == metric.metric.version:
            lines.setdefault(point.row, {}).setdefault(point.metric, []).append(point)
    shown = {row: {name: found for name, found in own.items() if len(found) > 1} for row, own in lines.items()}
    shown = {row.name: shown[row.name] for row in board.rows if not row.is_reference and shown.get(row.name)}
    if not shown:
        return ""
    metrics = [metric for metric in board.metrics if any(metric.name in own for own in shown.values())]
    heads = "".join(f'<th scope="col">{_head(metric)}</th>' for metric in metrics)
    rows = "".join(
        f'<tr><th scope="row">{breakable(row)}</th>'
        + "".join(f"<td>{_line(own[m.name], m) if m.name in own else ''}</td>" for m in metrics)
        + "</tr>"
        for row, own in shown.items()
    )
    return (
        f'<h3>History</h3>\n<div class="scroll" role="region" aria-label="History of {escape(board.protocol.name)}" '
        f'tabindex="0"><table class="history"><thead><tr><th scope="col">Model</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _head(metric: MetricFacts) -> str:
    return f'{breakable(metric.name)} <span class="unit">{escape(f"{metric.unit} {arrow(metric)}".strip())}</span>'


def _line(points: Sequence[Point], metric: MetricFacts) -> str:
    """Runs from left to right, oldest first; the band is the 95 % interval where there is one."""
    ends = [end for p in points for end in (p.value, p.low, p.high) if end is not None]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def place(number: int, value: float) -> tuple[float, float]:
        x = _EDGE + (_WIDTH - 2 * _EDGE) * number / max(1, len(points) - 1)
        return x, _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * (value - low) / span

    spots = [place(number, point.value) for number, point in enumerate(points)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    band = _band(
        [
            (place(number, point.low), place(number, point.high))
            for number, point in enumerate(points)
            if point.low is not None and point.high is not None
        ]
    )
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"{tip(_about(point, metric))}/>'
        for point, (x, y) in zip(points, spots, strict=True)
    )
    first, last = points[0], points[-1]
    said = f"{metric.name}: {first.value:.4g} at {_when(first)}, {last.value:.4g} at {_when(last)}"
    return (
        f'<svg class="line" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(said)}">{band}<polyline points="{path}"/>{dots}</svg>'
        f'<span class="ends"><span>{first.value:.4g}</span><span>{last.value:.4g}</span></span>'
    )


def _band(ends: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> str:
    if len(ends) < 2:
        return ""
    outline = [*(low for low, _ in ends), *(high for _, high in reversed(ends))]
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in outline)}"/>'


def _about(point: Point, metric: MetricFacts) -> str:
    text = f"{_when(point)}: {point.value:.6g} {metric.unit}".strip()
    return text if not point.label else f"{text}\n{point.created}"


def _when(point: Point) -> str:
    return point.label or point.created[:16].replace("T", " ")
