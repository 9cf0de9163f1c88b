"""How a score reads, whatever it is written on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from eval.metrics.base import Score
from eval.results import BoardResult, MetricFacts
from eval.signature import differences

ABSENT = "-"
_DIGITS = {"%": 1, "dB": 2, "px": 2}
_FAR = 6  # median deviations from the median: beyond, a model is off the scale of the others


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """A metric's column on one board.

    Attributes:
        digits: decimals shown: fixed for %, dB and px, else as many as the largest number is worth.
        leaders: names of the best models. References never lead, and a single model leads nothing.
        low: lower end of a scale for the models' intervals; one far from the others does not stretch it.
        high: its upper end; not above `low` where there is nothing to compare.
    """

    metric: MetricFacts
    digits: int
    leaders: frozenset[str]
    low: float = 0.0
    high: float = 0.0

    def text(self, value: float) -> str:
        """The value with the column's digits."""
        return f"{value:.{self.digits}f}"


def metric_columns(board: BoardResult) -> list[MetricColumn]:
    """The columns of a board in its protocol's order."""
    return [_metric_column(board, metric) for metric in board.metrics]


def _metric_column(board: BoardResult, metric: MetricFacts) -> MetricColumn:
    scored = [row for row in board.rows if metric.name in row.scores]
    largest = max((abs(row.scores[metric.name].value) for row in scored), default=0.0)
    digits = _DIGITS.get(metric.unit, 4 if largest < 10 else 2 if largest < 1000 else 0)
    values = {row.name: row.scores[metric.name].value for row in scored if not row.is_reference}
    if len(values) < 2:
        return MetricColumn(metric, digits, frozenset())
    best = (max if metric.higher_is_better else min)(values.values())
    leaders = frozenset(name for name, value in values.items() if value == best)
    middle = median(values.values())
    reach = _FAR * median(abs(value - middle) for value in values.values())
    near = [row.scores[metric.name] for row in scored if abs(values.get(row.name, math.inf) - middle) <= reach]
    ends = [end for score in near for end in (score.value, *(interval(score) or ()))]
    return MetricColumn(metric, digits, leaders, min(ends, default=0.0), max(ends, default=0.0))


def format_count(value: int | None) -> str:
    """A number of parameters: 950, 12.3k, 8.4M."""
    if not value:
        return ABSENT
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{suffix}"
    return str(value)


def interval(score: Score) -> tuple[float, float] | None:
    """The ends of a score's 95 % interval, if it has one."""
    return None if score.low is None or score.high is None else (score.low, score.high)


def arrow(metric: MetricFacts) -> str:
    """Up where more is better, down where less is."""
    return "↑" if metric.higher_is_better else "↓"


def headline(board: BoardResult) -> str:
    """What a board is, in a line."""
    protocol = board.protocol
    return f"{protocol.name} v{protocol.version} ({protocol.digest()}), n = {board.n}, seed {protocol.seed}"


def reservations(board: BoardResult) -> list[str]:
    """What a reader has to know before comparing: a changed protocol, and what is left out and why."""
    notes = []
    if not board.standard:
        notes.append(
            f"Not the standard {board.protocol.name} (other n, seed or data): compare its numbers only with each other."
        )
    notes += [f"{role} is read by {board.protocol.judges[role]}" for role in _brought(board)]
    notes += [f"{metric.name} of {a} and {b} rest on different things: {why}" for metric, a, b, why in clashes(board)]
    together: dict[str, list[str]] = {}
    for name, why in board.left_out.items():
        together.setdefault(why, []).append(name)
    return notes + [f"Left out: {', '.join(names)}: {why}" for why, names in together.items()]


def clashes(board: BoardResult) -> list[tuple[MetricFacts, str, str, str]]:
    """Columns whose numbers do not compare: metric, two rows, and in what they differ."""
    found = []
    for metric in board.metrics:
        signed = [(row.name, text) for row in board.rows if (text := row.signatures.get(metric.name))]
        for name, text in signed[1:]:
            if why := differences(signed[0][1], text):
                found.append((metric, signed[0][0], name, "; ".join(why)))
                break
    return found


def _brought(board: BoardResult) -> list[str]:
    return [role for role in board.protocol.asks if role in board.protocol.judges]
