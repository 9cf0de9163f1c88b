"""Several runs on one board: the newest of each row, its history, its samples and its pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from eval.board import to_csv, to_jsonl
from eval.compare import compare
from eval.contestants import contestant, contestant_of
from eval.environment import commit_label
from eval.evaluate import evaluate
from eval.merge import merge
from eval.page import to_html
from eval.protocol import Protocol, create_protocol
from eval.results import BoardResult, Results
from eval.storage import read_results, write_results
from geotrans import create_model
from tests.eval_kit import fails, run, save_mover, toy_tables


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with toy_tables():
        yield


def _protocol() -> Protocol:
    return replace(create_protocol("toy_32"), metrics=("l1", "psnr", "attr_changed_accuracy", "frechet"))


def _results(name: str, gain: float, label: str, created: str) -> Results:
    model = create_model("mover_32")
    model.gain.data.fill_(gain)  # type: ignore[union-attr]
    board = evaluate(_protocol(), [contestant_of(model, name)], progress=False)
    return Results((board,), {"packages": {}}, created, label)


@pytest.fixture(scope="module")
def runs() -> list[Results]:
    with toy_tables():
        return [
            _results("mine", 0.5, "one", "2026-01-01T00:00:00+00:00"),
            _results("mine", 0.9, "two", "2026-01-02T00:00:00+00:00"),
            _results("other", 1.0, "two", "2026-01-03T00:00:00+00:00"),
        ]


def _names(board: BoardResult) -> list[str]:
    return [row.name for row in board.rows]


def test_the_newest_run_of_a_row_is_shown_and_the_others_are_its_history(runs: list[Results]) -> None:
    merged = merge(reversed(runs), None)
    (board,) = merged.boards
    assert _names(board) == ["other", "mine", "identity", "real images"]
    l1 = [point for point in merged.history if (point.row, point.metric) == ("mine", "l1")]
    assert [point.label for point in l1] == ["one", "two"]
    assert l1[1].value == board.rows[1].scores["l1"].value == runs[1].boards[0].rows[0].scores["l1"].value
    assert l1[0].value > l1[1].value
    assert board.pictures is not None
    assert {"mine", "other", "identity"} <= board.pictures.translations.keys()
    assert compare(board, "other", "mine")[0].n == 24  # single samples are still there


def test_merging_again_changes_nothing(runs: list[Results], tmp_path: Path) -> None:
    once = merge(runs, None)
    write_results(once, tmp_path)
    twice = merge([read_results(tmp_path, whole=True), *runs], None)
    assert twice.history == once.history
    assert [row.scores for row in twice.boards[0].rows] == [row.scores for row in once.boards[0].rows]


def test_other_samples_are_another_board(runs: list[Results]) -> None:
    fewer = evaluate(replace(_protocol(), n=12), [], progress=False)
    merged = merge([*runs, Results((fewer,), {"packages": {}}, "2026-01-04")], None)
    assert len(merged.boards) == 2
    assert len(set(to_html(merged).split('<section id="')[1:])) == 2


def test_the_page_draws_a_line_for_every_model_and_metric_with_a_past(runs: list[Results]) -> None:
    page = to_html(merge(runs, None))
    table = page.partition('<table class="history">')[2].partition("</table>")[0]
    assert table.count('<svg class="line"') == 4  # mine alone: other has been scored once
    assert "mine" in table
    assert "other" not in table
    assert 'data-tip="one: ' in table
    assert '<table class="history">' not in to_html(merge(runs[1:], None))


def test_the_command_merges_files_and_spares_its_inputs(
    runs: list[Results], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, results in enumerate(runs):
        write_results(results, tmp_path / str(number))
    run("board", tmp_path / "0" / "results.json", tmp_path / "1", tmp_path / "2", "-o", tmp_path / "all")
    assert "open" in capsys.readouterr().out
    assert _names(read_results(tmp_path / "all").boards[0]) == ["other", "mine", "identity", "real images"]
    assert len(list((tmp_path / "all" / "strips").iterdir())) == 3
    before = (tmp_path / "0" / "results.json").read_bytes()
    assert "holds one of the results; name another folder" in fails(
        capsys, "board", tmp_path / "0", "-o", tmp_path / "0"
    )
    assert (tmp_path / "0" / "results.json").read_bytes() == before
    assert "expected results files, or --from ORG/NAME, and not both" in fails(capsys, "board")
    assert "no such file" in fails(capsys, "board", tmp_path / "gone", "-o", tmp_path / "x")


def test_lines_of_json_say_what_the_csv_says_and_more(runs: list[Results]) -> None:
    lines = [json.loads(line) for line in to_jsonl(runs[0]).splitlines()]
    table = list(csv.DictReader(to_csv(runs[0]).splitlines()))
    assert len(lines) == len(table) == sum(len(row.scores) for row in runs[0].boards[0].rows)
    for line, cells in zip(lines, table, strict=True):
        assert (line["row"], line["metric"], line["label"]) == (cells["row"], cells["metric"], "one")
        assert line["value"] == float(cells["value"])
        assert line["signature"] == cells["signature"] != ""
        assert isinstance(line["higher_is_better"], bool)


def test_results_survive_with_samples_weights_and_pictures(runs: list[Results], tmp_path: Path) -> None:
    write_results(runs[0], tmp_path)
    again = read_results(tmp_path, whole=True)
    old, new = runs[0].boards[0], again.boards[0]
    assert again.label == "one"
    for before, after in zip(old.rows, new.rows, strict=True):
        assert after.scores == before.scores
        assert after.signatures == before.signatures
        assert after.samples.keys() == before.samples.keys()
        for metric, values in before.samples.items():
            assert after.samples[metric] == pytest.approx(values, rel=1e-5)
    assert old.pictures is not None
    assert new.pictures is not None
    assert new.pictures.sample.id == old.pictures.sample.id
    first, second = (pictures.translations["mine"] for pictures in (old.pictures, new.pictures))
    assert first.flow is not None
    assert second.flow is not None
    assert (first.image - second.image).abs().max() <= 1 / 127
    assert (first.flow - second.flow).abs().max() < 1e-3
    (tmp_path / "results.json").rename(tmp_path / "elsewhere.json")
    (tmp_path / "samples.json").write_text("{")
    with pytest.raises(ValueError, match=r"samples\.json: not JSON"):
        read_results(tmp_path / "elsewhere.json", whole=True)


def test_runs_are_called_by_their_label_or_their_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = save_mover(tmp_path / "mover")
    options = ["--protocol", "toy_32", "--metrics", "l1", "--models", model]
    run(*options, "--label", "tuesday", "--compare", model, "identity", "--output", tmp_path / "out")
    assert "l1 ↓" in capsys.readouterr().out
    assert read_results(tmp_path / "out").label == "tuesday"
    assert commit_label(tmp_path) == ""


def test_a_label_is_the_commit_and_a_plus_for_changes(tmp_path: Path) -> None:
    import subprocess

    def git(*argv: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *argv], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    assert commit_label(tmp_path) == git("rev-parse", "--short=10", "HEAD")
    (tmp_path / "file").write_text("two")
    assert commit_label(tmp_path) == git("rev-parse", "--short=10", "HEAD") + "+"
    assert contestant("identity").name == "identity"
