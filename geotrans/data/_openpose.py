"""JSON files of OpenPose, and of AlphaPose in its format: the joints of the persons in one picture."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

JOINTS = 18
_BODY25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)  # the 18 joints among OpenPose's 25
_KEY = "pose_keypoints_2d"


def read_openpose(path: Path) -> Tensor:
    """The joints of the person that is surest, (18, 2) in pixels; NaN in what is missing.

    Raises:
        ValueError: the file shows nobody, or is something else; the message has its path.
    """
    try:
        people = json.loads(path.read_text(encoding="utf-8-sig"))["people"]
        rows = [torch.tensor(person[_KEY], dtype=torch.float32).view(-1, 3) for person in people]
    except (ValueError, KeyError, TypeError, RuntimeError, UnicodeDecodeError) as error:
        told = f'expected {{"people": [{{"{_KEY}": [x, y, certainty, ...]}}]}}'
        raise ValueError(f"{path}: {told}: {type(error).__name__}: {error}") from error
    if not rows:
        raise ValueError(f"{path}: shows nobody; leave the frame out")
    found = max(rows, key=lambda row: float(row[:, 2].sum()))
    if len(found) == len(_BODY25) + 7:
        found = found[list(_BODY25)]
    if len(found) != JOINTS or not found.isfinite().all():
        raise ValueError(f"{path}: expected 18 or 25 joints (x, y, certainty), got {len(found)}")
    return torch.where(found[:, 2:] > 0, found[:, :2], torch.nan)
