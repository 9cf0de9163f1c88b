"""The figure of interpolated landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from geotrans.base import Generator
from geotrans.figures.conditions import edited, known_source
from geotrans.figures.layout import Rows, shown, translated
from geotrans.ops.landmarks import draw_landmarks
from geotrans.types import Sample


def landmark_interpolation(
    model: Generator, sample: Sample, edits: Sequence[str] = (), *, steps: int = 6, title: str = ""
) -> Tensor:
    """Landmarks on the straight way from the source's to the target's, and the picture for each (PortraitGAN, Fig. 4).

    The modality stays the source's. Take the sample from pairs that differ in expression: `faces(task="emotion")`.

    Args:
        edits: more rows, each with this modality instead (PortraitGAN, Fig. 9).
        steps: pictures in a row, at least 2.

    Raises:
        ValueError: the model reads no landmarks, or the sample does not know those of source and target.
    """
    spec = model.cfg.condition
    if not spec.landmarks:
        raise ValueError(f"{type(model).__name__} reads no landmarks; take a model that does, like PortraitGAN")
    if steps < 2:
        raise ValueError(f"steps: expected at least 2, got {steps}")
    source, target = known_source(spec, sample), sample.target
    if target is None or target.landmarks is None or source.landmarks is None:
        raise ValueError("nobody knows the landmarks of both source and target here; use the built-in faces")
    shares = torch.linspace(0, 1, steps).tolist()
    points = [torch.lerp(source.landmarks, target.landmarks, share) for share in shares]
    kept = {"result": source, **{edit: edited(spec, sample, edit) for edit in edits}}
    found = {
        name: [translated(model, sample, replace(condition, landmarks=place)).image for place in points]
        for name, condition in kept.items()
    }
    drawn = [_drawn(place, sample.image.shape[-1]) for place in points]
    rows = Rows(["source", *(f"{share:.3g}" for share in shares), *["target"][: sample.truth is not None]])
    for face, image in enumerate(sample.image):
        truth = [] if sample.truth is None else [sample.truth[face]]
        rows.add("landmarks", None, *(picture[face] for picture in drawn), *[None for _ in truth])
        for name, results in found.items():
            end = truth if name == "result" else [None for _ in truth]
            rows.add(name, image, *(result[face] for result in results), *end)
    note = shown(sample, "numbers: from the source's landmarks (0) to the target's (1)")
    return rows.drawn(title, note, group=1 + len(found))


def _drawn(landmarks: Tensor, side: int) -> Tensor:
    """Lines on black, (B, 3, side, side)."""
    return draw_landmarks(landmarks, side, side, line_width=max(1.0, side / 128)).expand(-1, 3, -1, -1)
