"""Drawn faces for folders in miniature: each reader of files comes with one, for tests and first trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from geotrans.data.synthface import synthface
from geotrans.ops.images import resize, write_image
from geotrans.types import Condition, Sample

SIDE = 64


def drawn_faces(count: int, task: str = "attributes") -> tuple[Sample, Condition, Condition]:
    """Pairs of `synthface` that differ in `task`: the pictures, and what is known of `image` and of `truth`."""
    sample = synthface("train", SIDE, task=task).batch(range(count))
    assert sample.source is not None
    assert sample.target is not None
    return sample, sample.source, sample.target


def write_face(path: Path, image: Tensor, height: int = SIDE, width: int = SIDE) -> None:
    """Write a face (3, 64, 64), as wide as the picture and in its middle; the rows at its rim are repeated."""
    face = resize(image[None], width)
    above = (height - width) // 2
    rows = [min(max(row - above, 0), width - 1) for row in range(height)]
    write_image(path, face[:, :, rows])


def write_landmarks(path: Path, landmarks: Tensor) -> None:
    """Write landmarks (68, 2), in units of a face of 64 pixels, as NPZ in pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, landmarks=((landmarks + 1) * SIDE / 2 - 0.5).numpy())
