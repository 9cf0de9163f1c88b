"""Drawing a face at rest, back to front: backdrop, hair, shoulders, head, features, fringe.

Features that come in pairs are drawn once, on the mirrored half plane. Windows are boxes of the face frame, wide enough
for every identity and displacement.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from geotrans.data._face_canvas import Canvas, Region, ramp, spot
from geotrans.data._face_identity import Face, brow_line, lip_top, seam_line
from geotrans.data._face_motion import Paint

_SHADOW = torch.tensor([0.50, 0.28, 0.22])[:, None, None]
_WHITE = torch.tensor([1.0, 1.0, 1.0])[:, None, None]
_SCLERA = torch.tensor([0.97, 0.96, 0.95])[:, None, None]
_INK = torch.tensor([0.10, 0.06, 0.06])[:, None, None]
_MOUTH = torch.tensor([0.32, 0.07, 0.09])[:, None, None]
_TONGUE = torch.tensor([0.78, 0.33, 0.34])[:, None, None]
_TEETH = torch.tensor([0.98, 0.97, 0.94])[:, None, None]


def draw(canvas: Canvas, face: Face, paint: Paint) -> None:
    """Draw everything."""
    whole = canvas.whole()
    _backdrop(canvas, whole, face)
    _hair_behind(canvas, whole, face)
    _body(canvas, face)
    inside = _head(canvas, whole, face)
    _cheeks(canvas, face, inside)
    _nose(canvas, face)
    _mouth(canvas, face, paint)
    _eyes(canvas, face, paint)
    _folds(canvas, face, paint)
    _hair_front(canvas, whole, face, inside)
    _brows(canvas, face)


def painted(canvas: Canvas, face: Face, paint: Paint) -> Iterator[tuple[Region, Tensor]]:
    """How much of each pixel is painted for an expression, window by window."""
    yield from ((area, (amount - 0.08).clamp_min(0)) for area, amount in folds(canvas, face, paint))
    if (paint.gap_up + paint.gap_low).max() > 1e-4:
        mouth = mouth_area(canvas)
        yield mouth, canvas.cover(mouth_inside(mouth, face, paint) - 0.012)
    if paint.closure.max() > 0.02:
        eyes = eye_area(canvas)
        yield eyes, canvas.cover(lid_closed(eyes, face, paint))


def _backdrop(canvas: Canvas, area: Region, face: Face) -> None:
    canvas.rgb.copy_(face.backdrop)
    glow = (1 - 0.35 * ((area.x - 0.25 * face.light) ** 2 + (area.y + 0.25) ** 2)).clamp_min(0)
    if canvas.line is None:
        canvas.rgb.mul_((0.74 + 0.34 * glow)[:, None]).clamp_(max=1)


def _round_box(
    x: Tensor, y: Tensor, half_width: Tensor | float, half_height: Tensor | float, radius: Tensor | float
) -> Tensor:
    """Signed distance to a box with round corners; `x` >= 0."""
    corner_x, corner_y = x - half_width + radius, y.abs() - half_height + radius
    outside = torch.sqrt(corner_x.clamp_min(0) ** 2 + corner_y.clamp_min(0) ** 2)
    return outside + torch.maximum(corner_x, corner_y).clamp_max(0) - radius


def _style(face: Face, column: int) -> Tensor:
    return face.style[:, column]


def _curls(face: Face, area: Region) -> Tensor:
    """How far curly hair bulges beyond its outline."""
    return _style(face, 10) * (1 + (23.0 * area.x).sin() * (23.0 * area.y).sin())


def _hair_behind(canvas: Canvas, area: Region, face: Face) -> None:
    half_width, bottom = _style(face, 6), _style(face, 7)
    top = face.level - face.cranium - _style(face, 0)
    centre, half_height = 0.5 * (top + bottom), 0.5 * (bottom - top)
    back = _round_box(
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
    shoulders = _round_box(across, area.y - 1.30, 0.86 - 0.1 * face.taper, 0.46, 0.34)
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


def _nose(canvas: Canvas, face: Face) -> None:
    area = canvas.region(-0.36, 0.36, -0.26, 0.46)
    across, down = area.x.abs(), area.y - face.nose_y
    dark, width = face.skin * 0.66, face.nose_width
    side = area.x * torch.where(face.light > 0, -1.0, 1.0)  # the bridge's shadow falls away from the light
    bridge = spot((side - 0.055) / 0.075, (down + 0.13) / 0.26)
    canvas.shade(area, 0.34 * bridge, dark)
    canvas.shade(area, 0.45 * spot(area.x / (1.5 * width), (down - 0.045) / 0.075), dark)
    wing = torch.sqrt(((across - 0.62 * width) / (0.52 * width)) ** 2 + ((down + 0.005) / 0.062) ** 2)
    ball = torch.sqrt((area.x / (0.78 * width)) ** 2 + ((down + 0.012) / 0.066) ** 2)
    shape = (torch.minimum(wing, ball) - 1) * 0.055
    canvas.blend(area, 0.55 * canvas.cover(shape) * ramp(0.5 + down * 14), face.skin * 0.94)
    rim = (1 - ((wing - 1).abs() * 0.055 / (0.020 + 0.3 * canvas.pixel)) ** 2).clamp_min(0)
    rim = rim * ramp((across - 0.55 * width) / (0.5 * width)) * ramp(2.2 - 20 * (down + 0.07).abs())
    canvas.blend(area, 0.62 * rim, face.skin * torch.tensor([0.62, 0.50, 0.48])[:, None, None])
    under = (1 - ((down - 0.048 + 0.9 * across * across) / (0.014 + 0.3 * canvas.pixel)) ** 2).clamp_min(0) * ramp(
        (1.1 * width - across) * 30
    )
    canvas.blend(area, 0.40 * under, face.skin * torch.tensor([0.58, 0.45, 0.43])[:, None, None])
    hole = torch.sqrt(((across - 0.42 * width) / (0.27 * width)) ** 2 + ((down - 0.032) / 0.018) ** 2)
    nostril = canvas.cover((hole - 1) * 0.018)
    canvas.blend(area, 0.72 * nostril, face.skin * torch.tensor([0.32, 0.20, 0.20])[:, None, None])
    canvas.shade(
        area,
        0.55 * spot(area.x / 0.045, (down + 0.025) / 0.045) + 0.22 * spot(area.x / 0.03, (down + 0.14) / 0.13),
        _WHITE,
    )
    canvas.stroke(area, torch.maximum(nostril, 0.85 * rim))
    canvas.stroke(area, 0.7 * under)


def _lip_frame(face: Face, area: Region) -> tuple[Tensor, Tensor, Tensor]:
    """Place along the mouth, -1 to 1 between the corners; the parabola 1 - place^2; the height below the seam."""
    place = area.x / face.mouth_width
    return place, 1 - place * place, area.y - seam_line(face, place.clamp(-1.3, 1.3))


def mouth_inside(area: Region, face: Face, paint: Paint) -> Tensor:
    """Signed distance to the opening between the lips; positive everywhere if they are closed."""
    _, arch, offset = _lip_frame(face, area)
    open_up, open_low = paint.gap_up * arch, paint.gap_low * arch
    closed = 0.004 * (1 - ramp((paint.gap_up + paint.gap_low) / 0.008)) + 1.0 * (paint.gap_up + paint.gap_low < 1e-4)
    beyond = area.x.abs() - face.mouth_width
    return torch.maximum(torch.maximum(-open_up - offset, offset - open_low) + closed, beyond)


def mouth_area(canvas: Canvas) -> Region:
    """The window the mouth is in."""
    return canvas.region(-0.42, 0.42, 0.20, 0.76)


def _mouth(canvas: Canvas, face: Face, paint: Paint) -> None:
    area = mouth_area(canvas)
    place, arch, offset = _lip_frame(face, area)
    canvas.shade(
        area, 0.34 * spot(area.x / (0.75 * face.mouth_width), (offset - face.lip_low - 0.035) / 0.05), face.skin * 0.62
    )
    upper = torch.maximum(-offset - face.lip_up * lip_top(place), offset)
    bow = 0.35 * face.lip_up * (1 - (place * 4.5) ** 2).clamp_min(0)
    lower = torch.maximum(offset - face.lip_low * arch, -offset)
    inside_width = area.x.abs() - face.mouth_width
    canvas.fill(area, torch.maximum(upper + bow, inside_width), face.lips * 0.88, outline=0.5)
    canvas.fill(area, torch.maximum(lower, inside_width), face.lips, outline=0.5)
    canvas.shade(
        area,
        0.40 * spot(area.x / (0.5 * face.mouth_width), (offset - 0.5 * face.lip_low) / (0.40 * face.lip_low)),
        _WHITE,
    )
    seam = canvas.cover(offset.abs() - 0.0075) * canvas.cover(inside_width)
    canvas.blend(area, 0.85 * seam, face.lips * 0.38)
    corner = spot((area.x.abs() - face.mouth_width + 0.004) / 0.026, offset / 0.024)
    canvas.blend(area, 0.7 * corner, face.skin * 0.45)
    canvas.stroke(area, torch.maximum(seam, corner))
    if (paint.gap_up + paint.gap_low).max() > 1e-4:
        _mouth_inside(canvas, area, face, paint)


def _mouth_inside(canvas: Canvas, area: Region, face: Face, paint: Paint) -> None:
    place, arch, offset = _lip_frame(face, area)
    opening = mouth_inside(area, face, paint)
    coverage = canvas.cover(opening)
    canvas.fill(area, opening, _MOUTH, outline=0.6)
    height = (paint.gap_up + paint.gap_low).clamp_min(1e-3)
    depth = (offset + paint.gap_up * arch) / height  # 0 at the upper lip, 1 at the lower
    tongue = spot(place / 0.75, (depth - 1.0) / 0.40)
    canvas.blend(area, coverage * 0.9 * ramp(3 * tongue), _TONGUE)
    teeth = coverage * (1 - ramp((depth - 0.34 * arch) * 9)) * ramp((0.93 - place.abs()) * 8)
    canvas.blend(area, teeth, _TEETH)


def eye_area(canvas: Canvas) -> Region:
    """The window the eyes are in."""
    return canvas.region(-0.50, 0.50, -0.34, 0.24)


def _eye_frame(face: Face, area: Region) -> tuple[Tensor, Tensor]:
    """Place along an eye, -1 = inner and 1 = outer corner, and the height below the line between its corners."""
    place = (area.x.abs() - face.eye_x) / face.eye_width
    return place, area.y - face.eye_y + face.eye_tilt * face.eye_width * place


def lid_closed(area: Region, face: Face, paint: Paint) -> Tensor:
    """Signed distance to what a lowered lid covers of the eyes."""
    place, below = _eye_frame(face, area)
    arch = 1 - place * place
    lid = torch.lerp(-face.eye_up, face.eye_low, paint.closure) * arch
    covered = torch.maximum(-face.eye_up * arch - below, below - lid)
    reach = 0.5 * face.lash + 0.02  # the lashes move with the lid
    return torch.maximum(covered - reach, place.abs() * face.eye_width - face.eye_width - 0.02) + 1.0 * (
        paint.closure < 0.02
    )


def _eyes(canvas: Canvas, face: Face, paint: Paint) -> None:
    area = eye_area(canvas)
    place, below = _eye_frame(face, area)
    arch = 1 - place * place
    top, bottom = -face.eye_up * arch, face.eye_low * arch
    canvas.shade(area, 0.32 * spot(place / 1.45, (below + 0.6 * face.eye_up) / (1.5 * face.eye_up)), face.skin * 0.60)
    steep = torch.sqrt(1 + (2 * face.eye_up / face.eye_width * place) ** 2)
    opening = torch.maximum(top - below, below - bottom) / steep
    coverage = canvas.cover(opening)
    canvas.fill(area, opening, _SCLERA, outline=0.0)
    canvas.shade(area, 0.45 * coverage * ramp(1 - (below - top) * 16), face.skin * 0.5)
    _iris(canvas, area, face, coverage)
    lid = torch.lerp(-face.eye_up, face.eye_low, paint.closure) * arch
    skin_lid = canvas.cover(opening) * canvas.cover(below - lid) * (paint.closure > 0.02)
    canvas.blend(area, skin_lid, face.skin * torch.tensor([0.88, 0.80, 0.78])[:, None, None])
    _lashes(canvas, area, face, place, below, lid, steep)


def _iris(canvas: Canvas, area: Region, face: Face, coverage: Tensor) -> None:
    side = torch.where(area.x > 0, face.eye_x, -face.eye_x)
    x, y = area.x - side, area.y - face.eye_y + 0.014
    radius = torch.sqrt(x * x + y * y)
    canvas.blend(area, coverage * canvas.cover(radius - face.iris_radius), face.iris * 0.55)
    canvas.blend(area, coverage * canvas.cover(radius - 0.80 * face.iris_radius), face.iris)
    canvas.shade(area, coverage * 0.6 * spot(x / face.iris_radius, (y - 0.03) / 0.04), (face.iris * 1.7).clamp(max=1))
    pupil = coverage * canvas.cover(radius - 0.46 * face.iris_radius)
    canvas.blend(area, pupil, _INK)
    canvas.stroke(area, torch.maximum(pupil, coverage * canvas.cover((radius - face.iris_radius).abs() - 0.008)))
    shine = torch.sqrt((x + 0.024) ** 2 + (y + 0.024) ** 2) - 0.0185
    glint = coverage * canvas.cover(shine)
    canvas.blend(area, 0.95 * glint, _WHITE)
    if canvas.line is not None:
        canvas.line[:, area.rows, area.columns].mul_(1 - glint)


def _lashes(canvas: Canvas, area: Region, face: Face, place: Tensor, below: Tensor, lid: Tensor, steep: Tensor) -> None:
    within = canvas.cover((place.abs() - 1.0) * face.eye_width)
    thick = face.lash * (0.75 + 0.45 * place.clamp(-1, 1)) + 0.003
    lash = canvas.cover((below - lid).abs() / steep - thick) * within
    canvas.blend(area, lash, _INK)
    wing = spot((place - 1.06) / 0.24, (below + 0.004) / (1.9 * face.lash))
    canvas.blend(area, wing, _INK)
    rim = canvas.cover((below - face.eye_low * (1 - place * place)).abs() / steep - 0.006) * within
    canvas.blend(area, 0.40 * rim, face.skin * 0.42)
    crease = (1 - ((below + face.eye_up * (1.42 - 0.9 * place * place)) / (0.011 + 0.3 * canvas.pixel)) ** 2).clamp_min(
        0
    )
    canvas.blend(area, 0.45 * crease * ramp((1.0 - place.abs()) * 5), face.skin * 0.55)
    canvas.stroke(area, torch.maximum(lash, 0.6 * rim))


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


def _folds(canvas: Canvas, face: Face, paint: Paint) -> None:
    for area, amount in folds(canvas, face, paint):
        canvas.blend(area, amount, face.skin * torch.tensor([0.62, 0.48, 0.46])[:, None, None])
        canvas.stroke(area, 1.4 * (amount - 0.12).clamp_min(0))


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


def _brows(canvas: Canvas, face: Face) -> None:
    area = canvas.region(-0.52, 0.52, -0.46, 0.02)
    place = (area.x.abs() - face.eye_x - 0.015) / face.brow_length
    inner = place.clamp(-1.15, 1.15)
    thick = face.brow_thick * (1.05 - 0.40 * inner - 0.25 * inner**2)
    distance = (area.y - brow_line(face, inner)).abs() - thick
    distance = torch.maximum(distance, (place.abs() - 1.03) * face.brow_length)
    canvas.blend(area, 0.92 * canvas.cover(distance), face.brow)
    canvas.stroke(area, canvas.cover(distance))
