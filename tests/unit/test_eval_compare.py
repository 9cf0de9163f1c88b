"""Paired tests between two rows: against all exchanges by hand, with weights, and through the command."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from eval.compare import compare, to_text
from eval.metrics.base import Score
from eval.protocol import Protocol
from eval.results import BoardResult, MetricFacts, ModelFacts, Results, Row
from eval.storage import write_results
from tests.eval_kit import fails, run

UP, DOWN = MetricFacts("right", 1, "%", True, "Right."), MetricFacts("off", 1, "", False, "Off.")
PROTOCOL = Protocol("toy", "toy", "test", 10, ("right", "off"), 8)


def _row(name: str, samples: Mapping[str, list[float | None]], weights: list[float] | None = None) -> Row:
    values = {metric: {f"s{i}": value for i, value in enumerate(found)} for metric, found in samples.items()}
    counted = {metric: {f"s{i}": w for i, w in enumerate(weights)} for metric in samples} if weights else {}
    scores = {metric: Score(0.0, len(found)) for metric, found in samples.items()}
    return Row(name, "model", ModelFacts(), 1.0, scores, values, counted)


def _board(*rows: Row) -> BoardResult:
    return BoardResult(PROTOCOL, (UP, DOWN), rows, 10)


def test_p_is_the_share_of_exchanges_that_move_the_difference_as_far() -> None:
    draw = np.random.default_rng(5)
    a, b = draw.normal(0.6, 1, 9), draw.normal(0, 1, 9)
    (found,) = compare(_board(_row("a", {"right": list(a)}), _row("b", {"right": list(b)})), "a", "b")
    flips = [np.mean(np.array(signs) * (a - b)) for signs in itertools.product((1, -1), repeat=9)]
    exact = np.mean(np.abs(flips) >= abs(np.mean(a - b)) - 1e-12)
    assert found.p == pytest.approx(exact, abs=0.02)
    assert 0.05 < exact < 0.9  # a case where it matters
    assert found.difference == pytest.approx(float(np.mean(a - b)))
    assert (found.first, found.second, found.n) == (pytest.approx(a.mean()), pytest.approx(b.mean()), 9)
    assert found.low < found.difference < found.high
    spread = (a - b).std() / 3
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.25)
    assert found.better == ""


def test_weights_give_the_difference_of_the_boards_numbers() -> None:
    values, weights = [100.0, 0.0, 50.0, 100.0], [1.0, 3.0, 2.0, 1.0]
    first, second = _row("a", {"right": list(values)}, weights), _row("b", {"right": [0.0, 0.0, 50.0, 0.0]}, weights)
    (found,) = compare(_board(first, second), "a", "b")
    assert found.first == pytest.approx((100 + 0 + 100 + 100) / 7)
    assert found.second == pytest.approx(100 / 7)


def test_equal_rows_are_not_told_apart_and_unequal_ones_are() -> None:
    same = [float(i) for i in range(30)]
    better = [value - 2 + (i % 3) for i, value in enumerate(same)]
    rows = _row("a", {"right": same, "off": better}), _row("b", {"right": same, "off": same})
    right, off = compare(_board(*rows), "a", "b")
    assert (right.p, right.better, right.low, right.high) == (1.0, "", 0.0, 0.0)
    assert off.p < 0.001
    assert off.better == "a"  # less is better
    assert compare(_board(*rows), "b", "a")[1].better == "a"
    text = to_text(_board(*rows), "b", "a", compare(_board(*rows), "b", "a"))
    (line,) = (line for line in text.splitlines() if line.startswith("off "))
    assert line.endswith("second")


def test_samples_that_one_row_has_no_score_for_are_left_out() -> None:
    rows = _row("a", {"right": [1.0, None, 3.0]}), _row("b", {"right": [0.0, 5.0, 1.0]})
    (found,) = compare(_board(*rows), "a", "b")
    assert (found.n, found.difference) == (2, pytest.approx(1.5))


def test_rows_on_other_samples_are_refused() -> None:
    other = Row("b", "model", ModelFacts(), 1.0, {"right": Score(0, 1)}, {"right": {"t0": 1.0, "t1": 0.0}})
    with pytest.raises(ValueError, match="were scored on different samples of toy; score them together"):
        compare(_board(_row("a", {"right": [1.0, 2.0]}), other), "a", "b")


def test_the_command_needs_no_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = _row("a", {"right": [90.0, 80, 70, 95, 85, 99, 81]}), _row("b", {"right": [9.0, 8, 7, 5, 5, 9, 1]})
    write_results(Results((_board(*rows),), {"packages": {}}, "2026-01-01"), tmp_path)
    run("compare", tmp_path, "a", "b")
    run("compare", tmp_path / "results.json", "a", "b", "--protocol", "toy")
    first, second = capsys.readouterr().out.split("toy v1")[1:]
    assert first.strip() == second.strip()
    assert "+79.43" in first
    for argv, text in (
        (("a", "c"), "toy has no row 'c'; there are: a, b"),
        (("a", "b", "--protocol", "tory"), "no board of 'tory'; did you mean 'toy'"),
    ):
        assert text in fails(capsys, "compare", tmp_path, *argv)
    (tmp_path / "samples.json").unlink()
    assert "samples.json has to lie beside results.json" in fails(capsys, "compare", tmp_path, "a", "b")
