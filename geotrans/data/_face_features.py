"""The features of a drawn face: nose, mouth, eyes, brows; and where its mouth and its lids are painted."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.data._face_canvas import Canvas, Region, ramp, spot
from geotrans.data._face_identity import Face, brow_line, lip_top, seam_line
from geotrans.data._face_motion import Paint

_WHITE = torch.tensor([1.0, 1.0, 1.0])[:, None, None]
_SCLERA = torch.tensor([0.97, 0.96, 0.95])[:, None, None]
_INK = torch.tensor([0.10, 0.06, 0.06])[:, None, None]
_MOUTH = torch.tensor([0.32, 0.07, 0.09])[:, None, None]
_TONGUE = torch.tensor([0.78, 0.33, 0.34])[:, None, None]
_TEETH = torch.tensor([0.98, 0.97, 0.94])[:, None, None]


def nose(canvas: Canvas, face: Face) -> None:
    """Draw bridge, tip, wings and nostrils."""
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


def mouth(canvas: Canvas, face: Face, paint: Paint) -> None:
    """Draw the lips and what is between them."""
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


def eyes(canvas: Canvas, face: Face, paint: Paint) -> None:
    """Draw both eyes, with lids and lashes."""
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


def brows(canvas: Canvas, face: Face) -> None:
    """Draw both brows."""
    area = canvas.region(-0.52, 0.52, -0.46, 0.02)
    place = (area.x.abs() - face.eye_x - 0.015) / face.brow_length
    inner = place.clamp(-1.15, 1.15)
    thick = face.brow_thick * (1.05 - 0.40 * inner - 0.25 * inner**2)
    distance = (area.y - brow_line(face, inner)).abs() - thick
    distance = torch.maximum(distance, (place.abs() - 1.03) * face.brow_length)
    canvas.blend(area, 0.92 * canvas.cover(distance), face.brow)
    canvas.stroke(area, canvas.cover(distance))
