"""Drawing a face at rest, back to front: backdrop, hair, shoulders, head, features, fringe.

Features that come in pairs are drawn once, on the mirrored half plane. Windows are boxes of the face frame, wide enough
for every identity and displacement.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from geotrans.data import _face_features as features
from geotrans.data._face_canvas import Canvas, Region, ramp, round_box, spot
from geotrans.data._face_folds import draw_folds, folds
from geotrans.data._face_identity import Face
from geotrans.data._face_motion import Paint


def draw(canvas: Canvas, face: Face, paint: Paint) -> None:
    """Draw everything."""
    whole = canvas.whole()
    _backdrop(canvas, whole, face)
    _hair_behind(canvas, whole, face)
    _body(canvas, face)
    inside = _head(canvas, whole, face)
    _cheeks(canvas, face, inside)
    features.nose(canvas, face)
    features.mouth(canvas, face, paint)
    features.eyes(canvas, face, paint)
    draw_folds(canvas, face, paint)
    _hair_front(canvas, whole, face, inside)
    features.brows(canvas, face)


def painted(canvas: Canvas, face: Face, paint: Paint) -> Iterator[tuple[Region, Tensor]]:
    """How much of each pixel is painted for an expression, window by window."""
    yield from ((area, (amount - 0.08).clamp_min(0)) for area, amount in folds(canvas, face, paint))
    if (paint.gap_up + paint.gap_low).max() > 1e-4:
        mouth = features.mouth_area(canvas)
        yield mouth, canvas.cover(features.mouth_inside(mouth, face, paint) - 0.012)
    if paint.closure.max() > 0.02:
        eyes = features.eye_area(canvas)
        yield eyes, canvas.cover(features.lid_closed(eyes, face, paint))


def _backdrop(canvas: Canvas, area: Region, face: Face) -> None:
    canvas.rgb.copy_(face.backdrop)
    glow = (1 - 0.35 * ((area.x - 0.25 * face.light) ** 2 + (area.y + 0.25) ** 2)).clamp_min(0)
    if canvas.line is None:
        canvas.rgb.mul_((0.74 + 0.34 * glow)[:, None]).clamp_(max=1)


def _style(face: Face, column: int) -> Tensor:
    return face.style[:, column]


def _curls(face: Face, area: Region) -> Tensor:
    """How far curly hair bulges beyond its outline."""
    return _style(face, 10) * (1 + (23.0 * area.x).sin() * (23.0 * area.y).sin())


def _hair_behind(canvas: Canvas, area: Region, face: Face) -> None:
    half_width, bottom = _style(face, 6), _style(face, 7)
    top = face.level - face.cranium - _style(face, 0)
    centre, half_height = 0.5 * (top + bottom), 0.5 * (bottom - top)
    back = round_box(
        area.x.abs(), area.y - centre, half_width, half_height, torch.minimum(0.92 * half_width, half_height)
    )
    bun = torch.sqrt(area.x**2 + (area.y - top + 0.02) ** 2) - _style(face, 8)
    back = back - _curls(face, area)
    distance = torch.minimum(torch.where(half_width > 0, back, 1.0), torch.where(_style(face, 8) > 0, bun, 1.0))
    canvas.fill(area, distance, face.hair * 0.80)


def _body(canvas: Canvas, face: Face) -> None:
    area = canvas.region(-1, 1, 0.22, 1)
    across = area.x.abs()
    neck_width = 0.40 * face.width + 0.9 * (area.y - 0.74).clamp_min(0) ** 2
    canvas.fill(area, torch.maximum(across - neck_width, 0.3 - area.y), face.skin * 0.93)
    under_chin = spot(area.x / 0.34, (area.y - face.level - face.chin + 0.02) / 0.20)
    canvas.shade(area, 0.75 * under_chin * canvas.cover(across - neck_width), face.skin * 0.55)
    shoulders = round_box(across, area.y - 1.30, 0.86 - 0.1 * face.taper, 0.46, 0.34)
    crew, open_neck = 0.93 - 0.55 * across**2, 1.06 - 0.95 * across
    neckline = torch.lerp(crew, open_neck, face.collar)
    cloth = torch.maximum(shoulders, 0.75 * (neckline - area.y))
    canvas.fill(area, shoulders, face.skin * 0.93)
    canvas.fill(area, cloth, face.clothes)
    trim = canvas.cover((cloth + 0.022).abs() - 0.012) * canvas.cover(0.05 + cloth - shoulders)
    canvas.blend(area, 0.30 * trim, face.clothes * 0.4)
    canvas.shade(area, 0.20 * canvas.cover(cloth) * ramp(0.5 + area.x * face.light), face.clothes * 0.55)


def _outline(face: Face, x: Tensor, y: Tensor) -> Tensor:
    """Distance from the middle of the head, where the head's outline is at 1."""
    down = y - face.level
    height = torch.where(down > 0, face.chin, face.cranium)
    rise = down / height
    side = x / (face.width * (1 - face.taper * rise.clamp_min(0)))
    return torch.sqrt(side * side + rise * rise)


def _head(canvas: Canvas, area: Region, face: Face) -> Tensor:
    """Ears and head; returns the signed distance to the head's outline."""
    across = area.x.abs()
    ear_x, ear_y = (across - face.width - 0.012) / 0.062, (area.y - face.level - 0.07) / 0.115
    ear = (torch.sqrt(ear_x**2 + ear_y**2) - 1) * 0.062
    canvas.fill(area, ear, face.skin * 0.92)
    canvas.shade(area, 0.5 * spot(ear_x * 1.5, ear_y * 1.4), face.skin * 0.62)
    radius = _outline(face, area.x, area.y)
    distance = (radius - 1) * (0.45 + 0.2 * (area.y - face.level).abs())
    if not canvas.shading:
        canvas.fill(area, distance, face.skin)
        return distance
    lit = (0.55 * area.x * face.light - 0.30 * area.y).clamp(-0.4, 0.4)
    tone = 1.0 + 0.16 * lit - 0.17 * ramp(2.2 * (radius - 0.58))
    canvas.fill(area, distance, (face.skin * tone[:, None]).clamp(max=1))
    return distance


def _cheeks(canvas: Canvas, face: Face, inside: Tensor) -> None:
    area = canvas.region(-0.58, 0.58, -0.12, 0.90)
    within = canvas.cover(inside[:, area.rows, area.columns])
    across = area.x.abs()
    cheek = spot((across - face.eye_x - 0.07) / 0.19, (area.y - face.nose_y + 0.02) / 0.15)
    canvas.blend(area, 0.75 * face.blush * cheek * within, face.skin * torch.tensor([1.0, 0.66, 0.62])[:, None, None])
    canvas.shade(
        area,
        within * face.stubble * ramp((area.y - 0.24) * 3.5) * spot(area.x / 0.6, (area.y - 0.52) / 0.42) * 1.6,
        face.hair * 0.7,
    )
    grain = ((area.x * 61.0).sin() * (area.y * 53.0).sin() * (area.x * 23.0 + area.y * 31.0).cos()).clamp_min(
        0.45
    ) - 0.45
    speckle = grain * spot((across - 0.2) / 0.24, (area.y - face.nose_y + 0.07) / 0.14)
    canvas.shade(area, 2.4 * face.freckles * speckle, face.skin * torch.tensor([0.66, 0.48, 0.38])[:, None, None])


def _hair_front(canvas: Canvas, area: Region, face: Face, inside: Tensor) -> None:
    top, side, hairline = _style(face, 0), _style(face, 1), _style(face, 2)
    across = area.x.abs()
    up = area.y - face.level
    tall = torch.where(up > 0, 0.95, face.cranium + top)
    cap = (torch.sqrt((across / (face.width + side)) ** 2 + (up / tall) ** 2) - 1) * 0.55 - _curls(face, area)
    open_width = face.width - _style(face, 4)
    open_top = hairline - face.level + _style(face, 3) * area.x
    bend = (across / open_width) ** 2
    opening = torch.where(up > 0, across - open_width, (torch.sqrt(bend * bend + (up / open_top) ** 2) - 1) * 0.42)
    ends = up - _style(face, 5) - 0.10
    front = torch.maximum(torch.maximum(cap, -opening), ends)
    cover = _style(face, 9)
    canvas.fill(area, front, face.hair, opacity=cover)
    if canvas.shading:
        body = canvas.cover(front) * cover
        ring = torch.sqrt((area.x / 0.62) ** 2 + ((area.y - 0.1) / 0.80) ** 2)
        strands = 0.5 + 0.5 * torch.sin(46.0 * area.x / (1.25 + area.y).clamp_min(0.3))
        gloss = (1 - ((ring - 0.86 - 0.02 * strands) / 0.10) ** 2).clamp_min(0) ** 2
        light = ramp(0.6 + 0.8 * area.x * face.light)
        canvas.shade(area, body * (0.34 * gloss * light), face.hair * 0.5 + 0.5)
        canvas.shade(area, 0.22 * body * strands, face.hair * 0.55)
        shadow = (1 - (front / 0.075) ** 2).clamp_min(0) * canvas.cover(-front) * canvas.cover(inside) * cover
        canvas.shade(area, 0.30 * shadow * ramp((0.02 - up) * 8), face.skin * 0.5)
