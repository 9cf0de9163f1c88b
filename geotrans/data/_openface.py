"""CSV files of OpenFace 2: action unit intensities and 68 landmarks, a row a face."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

INTENSITY = 5.0  # the strongest of FACS
_POINTS = 68


@dataclass(frozen=True, slots=True)
class FaceRow:
    """A row of a CSV file: cells by column name, and where it stands, for messages."""

    cells: Mapping[str, str]
    place: str

    def number(self, column: str) -> float:
        """A cell as a number.

        Raises:
            ValueError: there is no such column, or no finite number in it.
        """
        if column not in self.cells:
            raise ValueError(f"{self.place}: there is no column {column}")
        try:
            value = float(self.cells[column])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{self.place}: {column}: expected a number, got {self.cells[column]!r}")
        return value

    def tracked(self) -> bool:
        """Whether a face was found: OpenFace writes rows of zeros with success 0 where there was none."""
        return "success" not in self.cells or self.number("success") > 0


def read_rows(path: Path) -> Iterator[FaceRow]:
    """The rows, one after the other; names and cells without the blanks that OpenFace writes after its commas.

    Raises:
        ValueError: the file is not a CSV file, or a row is longer or shorter than the header.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, skipinitialspace=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            for line in lines:
                place = f"{path}, line {lines.line_num}"
                if line and len(line) != len(header):
                    raise ValueError(f"{place}: expected {len(header)} cells as in the header, got {len(line)}")
                if line:
                    yield FaceRow(dict(zip(header, line, strict=True)), place)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: cannot be read as CSV: {error}") from error


def face_row(path: Path) -> FaceRow:
    """The row of the most certain face in the CSV file of one picture.

    Raises:
        ValueError: the file holds no row.
    """
    rows = list(read_rows(path))
    if not rows:
        raise ValueError(f"{path}: expected a header and a row for each face, got no row")
    if "confidence" not in rows[0].cells:
        return rows[0]
    return max(rows, key=lambda row: row.number("confidence"))


def intensities(row: FaceRow, units: Sequence[str]) -> list[float]:
    """Action units in [0, 1]: the columns `AU01_r`, ..., divided by 5.

    Raises:
        ValueError: a column is missing, or a value is not in 0..5.
    """
    found = []
    for unit in units:
        value = row.number(f"{unit}_r")
        if not 0 <= value <= INTENSITY:
            raise ValueError(f"{row.place}: {unit}_r: expected an intensity in 0..5, got {value}")
        found.append(value / INTENSITY)
    return found


def landmarks(row: FaceRow) -> Tensor:
    """The columns x_0, ..., x_67, y_0, ..., y_67: (68, 2) in pixels."""
    return torch.tensor([[row.number(f"{axis}_{point}") for axis in "xy"] for point in range(_POINTS)])
