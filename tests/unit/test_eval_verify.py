"""Do results stand up? What agrees is said line by line, and so is everything that was touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from registry import METRICS
from tests.eval_kit import fails, run, save_mover, toy_tables
from tests.unit.test_eval_hostile import _fill


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with toy_tables():
        yield


@pytest.fixture
def output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    model = save_mover(tmp_path / "mover")
    metrics = ["attr_changed_accuracy", "flow_epe", "l1", "frechet", "edit_concentration"]
    run("--protocol", "toy_32", "--models", model, "--metrics", *metrics, "--output", tmp_path / "out")
    capsys.readouterr()
    return tmp_path / "out"


def _lines(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, list[str]]:
    code = 0
    try:
        run("verify", *argv)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, capsys.readouterr().out.splitlines()


def _change(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_untouched_results_agree(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = _lines(capsys, output, "--samples", 8)
    assert code == 0
    assert not [line for line in lines if line.startswith("DIFFERS")]
    text = "\n".join(lines)
    assert "agrees   toy_32: protocol " in text
    assert "agrees   toy_32, frechet: network toy_features@unpinned" in text
    assert ": weights " in text
    assert "4 scores with those of their single samples" in text
    assert "scored again: attr_changed_accuracy, edit_concentration, flow_epe, l1" in text
    assert lines[-1] == "verified as far as the lines above say"
    whole = "\n".join(_lines(capsys, output / "results.json", "--samples", 24)[1])
    assert "scored again: attr_changed_accuracy, edit_concentration, flow_epe, frechet, l1" in whole


def _row(content: Any) -> Any:
    return content["boards"][0]["rows"][0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: _row(c)["scores"]["l1"].update(value=0.5), "l1 is 0.5 of n = 24, its samples give "),
        (lambda c: _row(c)["scores"]["l1"].update(n=9), "of n = 9, its samples give "),
        (lambda c: _row(c).update(weights_sha256="0" * 64), "weights 000000000000, here is "),
        (lambda c: c["boards"][0]["protocol"].update(n=1000), "does not have the hash that stands beside it"),
        (lambda c: c["boards"][0]["metrics"][0].update(version=7), "scored with version 7, here is 1"),
        (
            lambda c: _row(c)["scores"]["frechet"].update(signature="metric:frechet|net:toy_features@0123456789ab"),
            "network toy_features@0123456789ab, here unpinned",
        ),
    ],
)
def test_what_was_touched_is_named(
    change: Callable[[Any], None], text: str, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(output / "results.json", change)
    code, lines = _lines(capsys, output, "--samples", 0)
    assert code == 1
    assert any(line.startswith("DIFFERS") and text in line for line in lines), lines
    assert lines[-1] == "does not verify"


def test_scores_that_nobody_gets_again_are_named(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both files were changed alike, so only scoring again shows it."""

    def sample(content: Any) -> None:
        row = next(iter(content["boards"][0]["rows"]))
        content["boards"][0]["rows"][row]["l1"] = [0.001] * 24

    _change(output / "samples.json", sample)
    _change(output / "results.json", lambda c: _row(c)["scores"]["l1"].update(value=0.001))
    assert _lines(capsys, output, "--samples", 0)[0] == 0
    code, lines = _lines(capsys, output, "--samples", 6)
    assert code == 1
    (line,) = (line for line in lines if line.startswith("DIFFERS"))
    assert "scored again, l1: 0.001 then, " in line
    assert "mean of 6 samples" in line


def test_what_cannot_be_checked_is_said(output: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (output / "samples.json").unlink()
    (tmp_path / "mover" / "model.safetensors").unlink()
    with METRICS.temporary():
        del METRICS._entries["flow_epe"]
        code, lines = _lines(capsys, output)
    assert code == 0
    skipped = "\n".join(line for line in lines if line.startswith("skipped"))
    assert "its weights cannot be had" in skipped
    assert "samples.json has no single samples of it" in skipped
    assert "flow_epe: no such metric is registered here" in skipped


def test_folders_are_scored_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, real = _fill(tmp_path / "made", 0), _fill(tmp_path / "real", 9)
    run("--generated", made, "--reference", real, "--metrics", "psnr", "l1", "--output", tmp_path / "out")
    capsys.readouterr()
    code, lines = _lines(capsys, tmp_path / "out", "--samples", 2)
    assert code == 0
    assert any("scored again: l1, psnr" in line for line in lines)
    Image.new("RGB", (32, 32)).save(made / "0.png")
    code, lines = _lines(capsys, tmp_path / "out", "--samples", 2)
    assert code == 1
    assert sum(line.startswith("DIFFERS") for line in lines) == 2


def test_another_reference_is_noticed_though_no_sample_of_it_is_scored_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, real = _fill(tmp_path / "made", 0), _fill(tmp_path / "real", 9)
    run("--generated", made, "--reference", real, "--metrics", "psnr", "--output", tmp_path / "out")
    capsys.readouterr()
    assert any(line.startswith(f"agrees   {real}: pictures ") for line in _lines(capsys, tmp_path / "out")[1])
    Image.new("RGB", (32, 32)).save(real / "2.png")
    code, lines = _lines(capsys, tmp_path / "out", "--samples", 2)
    assert code == 1
    (line,) = (line for line in lines if line.startswith("DIFFERS"))
    assert f"{real}: pictures " in line
    assert ", here " in line


def test_a_wrong_call_is_one_line(output: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "--samples: expected at least 0, got -1" in fails(capsys, "verify", output, "--samples", -1)
    assert "no such file; expected a JSON file" in fails(capsys, "verify", tmp_path / "gone")
    (output / "results.json").write_text("{}")
    assert "expected results of schema 1, got None" in fails(capsys, "verify", output)
