"""Samples as files, translated by a program that knows nothing of this library, and scored."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hub import files
from tests.eval_kit import fails, run, save_mover, toy_tables


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with toy_tables():
        yield


def _invert_and_move(folder: Path, output: Path) -> None:
    """The toy's task in numpy: three pixels to the right, other colours."""
    output.mkdir()
    for path in folder.iterdir():
        pixels = np.asarray(Image.open(path))
        moved = np.concatenate([pixels[:, :1].repeat(3, 1), pixels[:, :-3]], axis=1)
        Image.fromarray(255 - moved).save(output / path.name)


def test_another_programs_results_are_scored_beside_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("export", "toy_32", tmp_path / "samples")
    assert "--generated RESULTS --protocol toy_32" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "samples" / "samples.csv").read_text().splitlines()))
    assert len(rows) == 24 == len(list((tmp_path / "samples" / "truth").iterdir()))
    assert rows[1] == {"id": "toy-1", "wanted": "no Bright", "source:Bright": "1", "target:Bright": "0"}
    _invert_and_move(tmp_path / "samples" / "source", tmp_path / "made")
    model = save_mover(tmp_path / "mover")
    argv = ("--models", model, "--generated", tmp_path / "made", "--protocol", "toy_32", "--metrics", "l1", "psnr")
    run(*argv, "--output", tmp_path / "out", "--compare", tmp_path / "made", model)
    out = capsys.readouterr().out
    assert "paired permutation test" in out
    (board,) = files.read_json(tmp_path / "out" / "results.json")["boards"]
    found = {row["name"]: row["scores"]["psnr"]["value"] for row in board["rows"] if "psnr" in row["scores"]}
    assert found[str(tmp_path / "made")] > 45
    assert found["identity"] < 20
    line = fails(capsys, *argv, "--output", tmp_path / "other", "--compare", "made", model)
    assert "--compare: there will be no row 'made'" in line
    assert not (tmp_path / "other").exists()


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert "is not empty; choose another folder" in fails(capsys, "export", "toy_32", tmp_path)
    assert "no protocol is named 'toy_33'" in fails(capsys, "export", "toy_33", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
