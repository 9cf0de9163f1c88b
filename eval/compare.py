"""Is one row better than another, or is it luck? Paired tests on the scores of the same samples.

Under the hypothesis that both rows are alike, each sample's two scores could as well have changed places. The p-value
is the share of random exchanges that move the difference at least as far from zero (Fisher's permutation test;
two-sided, 10,000 exchanges, the observed one counted too). The interval is the paired percentile bootstrap's, 95 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.results import BoardResult, MetricFacts, Results, Row
from eval.scores import arrow, headline
from eval.signature import differences
from eval.storage import read_results, results_file
from registry import suggest

EXCHANGES = 10_000
LEVEL = 0.05
_CHUNK = 500
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two rows under one metric, on the samples that both have a score for.

    Attributes:
        difference: first minus second.
        low: lower end of the difference's 95 % interval.
        high: its upper end.
        p: of the permutation test.
        n: number of samples.
        better: name of the row that is better, if the difference is beyond chance at 5 % over all metrics compared
            (Holm's correction); else empty.
    """

    metric: MetricFacts
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    better: str = ""


def compare(board: BoardResult, first: str, second: str, *, seed: int = 0) -> list[Comparison]:
    """Every metric of a board that has scores of single samples, for two of its rows.

    Raises:
        LookupError: the board has no such row; the message lists close names.
        ValueError: a row has no scores of single samples, or the two were scored on different samples.
    """
    rows = [_row(board, name) for name in (first, second)]
    found = []
    for metric in board.metrics:
        values = [row.samples.get(metric.name) for row in rows]
        if values[0] is None or values[1] is None:
            continue
        shared = [name for name, value in values[0].items() if value is not None and values[1].get(name) is not None]
        if values[0].keys() != values[1].keys():
            raise ValueError(
                f"{first} and {second} were scored on different samples of {board.protocol.name}; score them together"
            )
        if not shared:
            continue
        weights = [row.weights.get(metric.name, {}) for row in rows]
        sides = [
            (
                np.array([float(value[name] or 0.0) for name in shared]),
                np.array([weight.get(name, 1.0) for name in shared]),
            )
            for value, weight in zip((values[0], values[1]), weights, strict=True)
        ]
        found.append(_compared(metric, sides[0], sides[1], seed))
    if not found:
        raise ValueError(
            f"{first} and {second} share no scores of single samples on {board.protocol.name}; samples.json has to lie "
            "beside results.json"
        )
    return _holm(found, first, second)


def to_text(board: BoardResult, first: str, second: str, comparisons: Sequence[Comparison]) -> str:
    """The comparisons as an aligned table."""
    lines = [["metric", "first", "second", "difference", "95 % interval", "p", "n", "better"]]
    for found in comparisons:
        digits = max(2, 4 - len(f"{abs(found.first):.0f}"))
        name = f"{found.metric.name} {found.metric.unit}".strip() + f" {arrow(found.metric)}"
        numbers = [f"{found.first:.{digits}f}", f"{found.second:.{digits}f}", f"{found.difference:+.{digits}f}"]
        ends = f"{found.low:+.{digits}f} to {found.high:+.{digits}f}"
        better = {first: "first", second: "second"}.get(found.better, "-")
        lines.append([name, *numbers, ends, f"{found.p:.4f}", str(found.n), better])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join(
            cell.ljust(width) if place in (0, 7) else cell.rjust(width) for place, cell, width in _cells(line, widths)
        )
        for line in lines
    ]
    all_of_them = "" if len(comparisons) == 1 else f" over all {len(comparisons)} metrics (Holm)"
    notes = [
        f"paired permutation test, {EXCHANGES:,} exchanges; better: beyond chance at {100 * LEVEL:.0f} %{all_of_them}"
    ]
    rows = [_row(board, name) for name in (first, second)]
    for found in comparisons:
        signatures = [row.signatures.get(found.metric.name, "") for row in rows]
        if all(signatures) and (why := differences(*signatures)):
            notes.append(f"{found.metric.name} does not compare: {'; '.join(why)}")
    return "\n".join(
        [headline(board), f"first:  {first}", f"second: {second}", "", *map(str.rstrip, table), "", *notes]
    )


def compare_results(results: Results, first: str, second: str, protocol: str | None = None) -> str:
    """The comparisons of two rows on every board that has both, or on one protocol's.

    Raises:
        LookupError: no board has both rows, or there is no such protocol.
        ValueError: see `compare`.
    """
    boards = [board for board in results.boards if protocol in (None, board.protocol.name)]
    if not boards:
        known = [board.protocol.name for board in results.boards]
        raise LookupError(f"the results have no board of {protocol!r}; {suggest(str(protocol), known)}")
    both = [board for board in boards if {first, second} <= {row.name for row in board.rows}]
    if not both:
        for name in (first, second):
            for board in boards:
                _row(board, name)
        raise LookupError(f"no board has both {first} and {second}")
    return "\n\n".join(to_text(board, first, second, compare(board, first, second)) for board in both)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `geotrans-eval compare`."""
    parser.add_argument("results", type=Path, help="results.json with samples.json beside it, or their folder")
    parser.add_argument("first", metavar="A", help="name of a row")
    parser.add_argument("second", metavar="B", help="name of another")
    parser.add_argument("--protocol", metavar="NAME", help="only this board")


def run(arguments: argparse.Namespace) -> list[str]:
    """The lines that `geotrans-eval compare` prints."""
    results = read_results(results_file(arguments.results), whole=True)
    return [compare_results(results, arguments.first, arguments.second, arguments.protocol)]


def _row(board: BoardResult, name: str) -> Row:
    for row in board.rows:
        if row.name == name:
            return row
    raise LookupError(f"{board.protocol.name} has no row {name!r}; {suggest(name, [row.name for row in board.rows])}")


def _compared(
    metric: MetricFacts, first: tuple[Numbers, Numbers], second: tuple[Numbers, Numbers], seed: int
) -> Comparison:
    """Two rows' scores (values, weights) of the same samples; a row's number is its weighted mean."""
    totals = np.stack([first[0] * first[1], second[0] * second[1]])  # (2, n)
    weights = np.stack([first[1], second[1]])
    a, b = totals.sum(1) / weights.sum(1)
    n = totals.shape[1]
    generator = np.random.default_rng(seed)
    beyond, drawn = 0, []
    for start in range(0, EXCHANGES, _CHUNK):
        size = min(_CHUNK, EXCHANGES - start)
        swap = generator.integers(0, 2, (size, n)).astype(np.float64)
        moved = totals.sum(1)[:, None] + np.stack([1, -1])[:, None] * (swap @ (totals[1] - totals[0]))
        counted = weights.sum(1)[:, None] + np.stack([1, -1])[:, None] * (swap @ (weights[1] - weights[0]))
        exchanged = _ratio(moved[0], counted[0]) - _ratio(moved[1], counted[1])
        beyond += int((np.abs(exchanged) >= abs(a - b) - 1e-12 * max(abs(a), abs(b), 1e-300)).sum())
        picked = generator.integers(0, n, (size, n))
        sums, counts = totals[:, picked].sum(2), weights[:, picked].sum(2)
        drawn.append(_ratio(sums[0], counts[0]) - _ratio(sums[1], counts[1]))
    low, high = np.quantile(np.concatenate(drawn), (0.025, 0.975))
    p = (beyond + 1) / (EXCHANGES + 1)
    return Comparison(metric, float(a), float(b), float(a - b), float(low), float(high), p, n)


def _ratio(total: Numbers, weight: Numbers) -> Numbers:
    """total / weight, 0 where nothing counts."""
    ratio: Numbers = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return ratio


def _holm(found: list[Comparison], first: str, second: str) -> list[Comparison]:
    """Which differences are beyond chance when so many are tested at once; Holm 1979."""
    order = sorted(range(len(found)), key=lambda place: found[place].p)
    beyond: dict[int, bool] = {}
    for rank, place in enumerate(order):
        before = rank == 0 or beyond[order[rank - 1]]
        beyond[place] = before and found[place].p <= LEVEL / (len(found) - rank)
    named = []
    for place, one in enumerate(found):
        leads = first if (one.difference > 0) == one.metric.higher_is_better else second
        named.append(replace(one, better=leads if beyond[place] and one.difference else ""))
    return named


def _cells(line: Sequence[str], widths: Sequence[int]) -> Iterable[tuple[int, str, int]]:
    return [(place, cell, width) for place, (cell, width) in enumerate(zip(line, widths, strict=True))]
