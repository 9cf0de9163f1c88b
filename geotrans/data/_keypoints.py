"""PATN's lists of persons: the key points of every picture, and which pictures are pairs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

JOINTS = 18  # OpenPose's, in its order
MISSING = -1.0
_HEADER = "name:keypoints_y:keypoints_x"
_NUMBERS = f"[{JOINTS} numbers]"


class KeyPoints(NamedTuple):
    """Key points by picture.

    rows: the row of each picture, by the stem of its name. joints: (N, 18, 2), (x, y) in pixels of the frame that they
    were found in, pixel centres being whole numbers; NaN in what is missing.
    """

    rows: dict[str, int]
    joints: Tensor


def read_keypoints(path: Path) -> KeyPoints:
    """The key points in a list: after a header, lines `name: [y, y, ...]: [x, x, ...]`, -1 where a joint is missing.

    Raises:
        ValueError: a broken line, or a name that stands there twice; the message has the path and the line's number.
    """
    lines = _lines(path)
    if not lines or lines[0].replace(" ", "") != _HEADER:
        raise ValueError(f"{path}:1: expected the header {_HEADER}, got {_quoted(lines[0] if lines else '')}")
    rows: dict[str, int] = {}
    joints: list[list[list[float]]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        cells = [cell.strip() for cell in line.rsplit(":", 2)]
        columns = [_numbers(cell) for cell in cells[1:]]
        if len(cells) != 3 or not cells[0] or any(column is None for column in columns):
            raise ValueError(f"{path}:{number}: expected name: {_NUMBERS}: {_NUMBERS}, got {_quoted(line)}")
        name = Path(cells[0]).stem
        if name in rows:
            raise ValueError(f"{path}:{number}: {name} has key points already, in another line; remove one")
        rows[name] = len(joints)
        joints.append([column for column in columns if column is not None])
    if not joints:
        raise ValueError(f"{path}: expected a line for each picture after the header, got none")
    places = torch.tensor(joints).permute(0, 2, 1).flip(2)  # from (N, yx, 18) to (N, 18, xy)
    return KeyPoints(rows, torch.where((places == MISSING).any(2, keepdim=True), torch.nan, places))


def read_pairs(path: Path, known: KeyPoints, told: Path) -> list[tuple[str, str]]:
    """The pairs in a list with the columns `from` and `to`, as stems, in its order.

    Args:
        known: the key points of the pictures.
        told: the file that they are from.

    Raises:
        ValueError: a broken line, or a picture that has no key points; the message has the path and the line's number.
    """
    lines = _lines(path)
    header = [cell.strip() for cell in lines[0].split(",")] if lines else []
    if not {"from", "to"} <= set(header):
        raise ValueError(f"{path}:1: expected the header from,to, got {_quoted(lines[0] if lines else '')}")
    places = [header.index(column) for column in ("from", "to")]
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(header) or not all(cells[place] for place in places):
            raise ValueError(f"{path}:{number}: expected {','.join(header)}, got {_quoted(line)}")
        names = [Path(cells[place]).stem for place in places]
        for name in names:
            if name not in known.rows:
                raise ValueError(f"{path}:{number}: expected a picture with key points, got {name!r}, not in {told}")
        pairs.append((names[0], names[1]))
    if not pairs:
        raise ValueError(f"{path}: expected a line for each pair after the header, got none")
    return pairs


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]


def _numbers(cell: str) -> list[float] | None:
    """The numbers in `[1, 2, ...]`; None if it is something else, or not one a joint."""
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    try:
        found = [float(number) for number in cell[1:-1].split(",")]
    except ValueError:
        return None
    return found if len(found) == JOINTS and all(map(math.isfinite, found)) else None


def _quoted(line: str) -> str:
    return repr(line if len(line) <= 60 else f"{line[:60]}...")
