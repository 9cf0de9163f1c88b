"""The folds of a drawn face that its expression shows: soft, painted, in the face at rest."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from geotrans.data._face_canvas import Canvas, Region, ramp, spot
from geotrans.data._face_identity import Face
from geotrans.data._face_motion import Paint


def folds(canvas: Canvas, face: Face, paint: Paint) -> Iterator[tuple[Region, Tensor]]:
    """How dark the folds of an expression are, (B, h, w) in [0, 1], window by window; those at rest are left out."""
    kinds = (
        (paint.smile, (-0.52, 0.52, 0.0, 0.62), _smile_fold),
        (paint.raise_fold, (-0.40, 0.40, -0.66, -0.04), _forehead_fold),
        (paint.frown, (-0.18, 0.18, -0.40, 0.08), _frown_fold),
        (paint.squint, (-0.62, 0.62, -0.22, 0.24), _crows_feet),
        (paint.wrinkle, (-0.20, 0.20, -0.16, 0.30), _bridge_fold),
        (paint.dimple, (0.04, 0.48, 0.24, 0.66), _dimple),
        (paint.pout, (-0.24, 0.24, 0.40, 0.90), _chin_fold),
    )
    for strength, window, shape in kinds:
        if strength.max() > 0:
            area = canvas.region(*window)
            yield area, (strength * shape(area, face)).clamp(0, 1)


def _crease(offset: Tensor, width: float) -> Tensor:
    return (1 - (offset / width) ** 2).clamp_min(0) ** 2


def _smile_fold(area: Region, face: Face) -> Tensor:
    across, down = area.x.abs(), area.y - face.nose_y
    path = face.nose_width + 0.050 + 0.80 * (down + 0.02).clamp_min(0) - 1.2 * (down + 0.02).clamp_min(0) ** 2
    return 0.42 * _crease(across - path, 0.022) * ramp(down * 10 + 0.3) * ramp((0.19 - down) * 9)


def _forehead_fold(area: Region, face: Face) -> Tensor:
    across, above = area.x.abs(), area.y - face.brow_y
    lines = _crease(above + 0.115 - 0.10 * across**2, 0.014) + _crease(above + 0.170 - 0.08 * across**2, 0.013)
    return 0.34 * lines * ramp((0.27 - across) * 7)


def _frown_fold(area: Region, face: Face) -> Tensor:
    return 0.55 * _crease(area.x.abs() - 0.042, 0.014) * ramp((0.062 - (area.y - face.brow_y).abs()) * 22)


def _crows_feet(area: Region, face: Face) -> Tensor:
    out = (area.x.abs() - face.eye_x - face.eye_width - 0.06) / 0.045
    down = area.y - face.eye_y - 0.01
    lines = _crease(down - 0.03 * out, 0.010) + _crease(down - 0.03 - 0.05 * out, 0.010)
    return 0.30 * lines * (1 - out * out).clamp_min(0)


def _bridge_fold(area: Region, face: Face) -> Tensor:
    across, down = area.x.abs(), area.y - face.eye_y - 0.045
    return (
        0.50
        * (_crease(down - 0.6 * across, 0.012) + _crease(down - 0.05 - 0.6 * across, 0.012))
        * ramp((0.085 - across) * 22)
    )


def _dimple(area: Region, face: Face) -> Tensor:
    return 0.60 * spot((area.x - face.mouth_width - 0.05) / 0.03, (area.y - face.mouth_y) / 0.06)


def _chin_fold(area: Region, face: Face) -> Tensor:
    below = area.y - face.mouth_y - face.lip_low - 0.095
    return 0.45 * _crease(below - 3.0 * area.x**2, 0.018) * ramp((0.115 - area.x.abs()) * 16)


def draw_folds(canvas: Canvas, face: Face, paint: Paint) -> None:
    """Draw the folds of an expression."""
    for area, amount in folds(canvas, face, paint):
        canvas.blend(area, amount, face.skin * torch.tensor([0.62, 0.48, 0.46])[:, None, None])
        canvas.stroke(area, 1.4 * (amount - 0.12).clamp_min(0))
