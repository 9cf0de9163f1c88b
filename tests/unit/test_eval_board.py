"""What a board shows: leaders, references, intervals, absent scores, and names that are no markup."""

from __future__ import annotations

import csv
import json

import pytest

import eval.networks as networks_module
from eval.board import to_csv, to_jsonl, to_markdown, to_terminal
from eval.metrics.base import Score
from eval.networks import Networks
from eval.page import to_html
from eval.protocol import Protocol
from eval.results import BoardResult, Kind, MetricFacts, ModelFacts, Results, Row
from eval.scores import format_count, metric_columns, reservations
from geotrans.features.external import PublishedWeights

UP = MetricFacts("accuracy", 2, "%", True, "Share that is right.")
DOWN = MetricFacts("long_named_error", 1, "", False, "How far off.")


def _row(name: str, up: float | None, down: float | None, kind: Kind = "model") -> Row:
    scores = {}
    if up is not None:
        scores["accuracy"] = Score(up, 10, up - 1, up + 1)
    if down is not None:
        scores["long_named_error"] = Score(down, 10)
    return Row(name, kind, ModelFacts("arch", 12_345), 1.5, scores)


def _board(*rows: Row) -> BoardResult:
    protocol = Protocol("toy", "toy", "test", 10, ("accuracy", "long_named_error"), 8)
    return BoardResult(protocol, (UP, DOWN), rows, 10, {"a": "gone", "b": "gone", "c": "lost"})


BOARD = _board(
    _row("one", 90, 0.5),
    _row("two", 80, 0.25),
    _row("<b>&three", None, 0.25),
    _row("identity", 99, 0, "identity"),
    _row("real images", 100, None, "real"),
)
RESULTS = Results((BOARD,), {"packages": {"torch": "2"}, "python": "3"}, "2026-01-01T00:00:00+00:00")


def test_leaders_are_the_best_models_and_never_references() -> None:
    accuracy, error = metric_columns(BOARD)
    assert accuracy.leaders == {"one"}
    assert error.leaders == {"two", "<b>&three"}


def test_a_single_model_leads_nothing() -> None:
    board = _board(_row("one", 90, 0.5), _row("identity", 10, 1, "identity"))
    assert all(not column.leaders for column in metric_columns(board))


def test_a_column_has_one_number_of_digits() -> None:
    columns = metric_columns(_board(_row("one", 90, 0.5), _row("two", 80, 70)))
    assert [column.text(0.5) for column in columns] == ["0.5", "0.50"]
    assert [column.text(0.5) for column in metric_columns(BOARD)] == ["0.5", "0.5000"]


def test_reasons_are_told_once() -> None:
    assert reservations(BOARD) == ["Left out: a, b: gone", "Left out: c: lost"]


@pytest.mark.parametrize("width", [44, 120])
def test_the_terminal_table_keeps_to_its_width_and_its_columns(width: int) -> None:
    lines = to_terminal(RESULTS, width).splitlines()
    table = [line for line in lines if not line.startswith(("Left out", "toy v1"))]
    assert max(map(len, table)) <= width
    (one,) = [line for line in lines if line.startswith("one ") and "90.0*" in line]
    (two,) = [line for line in lines if line.startswith("two ") and "80.0" in line]
    assert one.index("90.0") == two.index("80.0")  # the mark does not move the digits
    assert any(line.strip().startswith("±1.0") for line in lines)
    (real,) = [line for line in lines if line.startswith("real images") and "100.0" in line]
    assert "*" not in real


def test_markdown_marks_the_best_and_says_what_a_column_means() -> None:
    text = to_markdown(RESULTS)
    assert "| one | **90.0** ±1.0 | 0.5000 | 12.3k | 1.50 |" in text
    assert "| *real images* | 100.0 ±1.0 | - |" in text
    assert "- `accuracy` v2: Share that is right." in text


def test_csv_has_a_line_for_every_score() -> None:
    lines = list(csv.DictReader(to_csv(RESULTS).splitlines()))
    assert len(lines) == sum(len(row.scores) for row in BOARD.rows)
    first = lines[0]
    assert (first["row"], first["metric"], first["version"], first["value"], first["low"]) == (
        *("one", "accuracy", "2"),
        *("90", "89"),
    )
    assert lines[1]["low"] == ""


def test_costs_and_parts_are_in_files_and_on_the_page() -> None:
    score = Score(90, 10, parts={"happy": 95.5, "sad": 84.5})
    row = Row("one", "model", ModelFacts("arch", 12_345, macs=678), 1.5, {"accuracy": score})
    results = Results((_board(row),), {}, "2026-01-01T00:00:00+00:00")
    (line,) = csv.DictReader(to_csv(results).splitlines())
    assert (line["parameters"], line["macs"], line["ms_per_image"]) == ("12345", "678", "1.5")
    assert json.loads(to_jsonl(results))["parts"] == {"happy": 95.5, "sad": 84.5}
    assert "happy 95.5, sad 84.5" in to_html(results)


def test_a_model_far_off_does_not_stretch_the_scale_of_the_others() -> None:
    board = _board(*(_row(str(up), up, None) for up in (90, 92, 95, 20)))
    column = metric_columns(board)[0]
    assert (column.low, column.high) == (89, 96)
    page = to_html(Results((board,), {}, "2026-01-01T00:00:00+00:00"))
    assert page.count('<svg class="bar"') == 3
    alone = metric_columns(_board(_row("one", 90, None), _row("identity", 99, None, "identity")))[0]
    assert alone.low == alone.high  # one model has no scale


def test_the_page_escapes_names_and_marks_references() -> None:
    page = to_html(RESULTS)
    assert "<b>&three" not in page
    assert "&lt;b&gt;&amp;three" in page
    models, references = page.split('<tbody class="references">')
    assert 'data-value="real images"' in references
    assert "(best)" in models
    assert "(best)" not in references
    assert 'data-tip="Share that is right. Version 2; higher is better."' in models
    assert "n = 10, 95 % interval 89.0 to 91.0" in models


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0, "-"), (950, "950"), (12_345, "12.3k"), (8_400_000, "8.4M"), (2e9, "2.0G")]
)
def test_format_count(value: int | None, text: str) -> None:
    assert format_count(value) == text


def test_networks_are_fetched_only_when_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(PublishedWeights, "fetch", lambda weights: fetched.append(weights.name.split("-")[0]))
    monkeypatch.setattr(networks_module, "create_feature", lambda name: lambda images: images)
    monkeypatch.setattr(networks_module.lpips, "lpips_distance", lambda net: lambda a, b: a)
    for download in (False, True):
        networks = Networks(download=download)
        networks.feature("inception_fid")
        networks.distance("lpips_alex")
        assert fetched == (["pt_inception", "alexnet"] if download else [])
