"""Action units of two folders from the CSV files that OpenFace 2 writes, and what is said where they are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.folders import FolderWork
from eval.metrics.action_units import intraclass_correlation
from geotrans.data._face_motion import AUS

METRICS = ("au_mae", "au_icc", "au_accuracy")


def _fill(folder: Path, values: np.ndarray, *, success: int = 1) -> Path:
    """Pictures and beside each a file as OpenFace writes it: blanks after commas, intensities in 0..5."""
    folder.mkdir()
    header = ["face", "confidence", "success", *(f"{unit}_r" for unit in AUS)]
    for i, row in enumerate(values):
        Image.new("RGB", (16, 16), (i, i, i)).save(folder / f"{i:02d}.png")
        cells = ["0", "0.98", str(success), *(f"{5 * value:.4f}" for value in row)]
        (folder / f"{i:02d}.csv").write_text(", ".join(header) + "\n" + ", ".join(cells) + "\n")
    return folder


def _values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((12, len(AUS))).round(3)


def test_scores_are_those_of_the_files(tmp_path: Path) -> None:
    a, b = _values(0), 0.8 * _values(0) + 0.2 * _values(1)
    made, real = _fill(tmp_path / "made", a), _fill(tmp_path / "real", b)
    row = FolderWork(made, real, metrics=METRICS, batch_size=5).board(progress=False).rows[0]
    assert row.scores["au_mae"].value == pytest.approx(np.abs(a - b).mean(), abs=1e-4)
    assert row.scores["au_icc"].value == pytest.approx(intraclass_correlation(a, b).mean(), abs=1e-3)
    assert set(row.scores["au_icc"].parts) == set(AUS)
    assert row.scores["au_accuracy"].value == pytest.approx(100 * ((a >= 0.1) == (b >= 0.1)).mean(), abs=0.5)


@pytest.mark.parametrize("side", ["made", "real"])
def test_a_missing_file_is_named(side: str, tmp_path: Path) -> None:
    made, real = _fill(tmp_path / "made", _values(0)), _fill(tmp_path / "real", _values(1))
    (tmp_path / side / "03.csv").unlink()
    with pytest.raises(ValueError, match=rf"au_mae: .*{side}/03\.csv is missing: run OpenFace's FaceLandmarkImg"):
        FolderWork(made, real, metrics=METRICS).board(progress=False)


def test_a_picture_without_a_face_is_an_error(tmp_path: Path) -> None:
    made, real = _fill(tmp_path / "made", _values(0), success=0), _fill(tmp_path / "real", _values(1))
    with pytest.raises(ValueError, match=r"made/00\.csv, line 2: OpenFace found no face"):
        FolderWork(made, real, metrics=METRICS).board(progress=False)
