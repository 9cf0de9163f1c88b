"""Who a drawn face is: its measures, colours and hair, and where its 68 landmarks rest.

Convention: the face frame is the image frame [-1, 1], x right and y down, moved by `shift` and scaled by `scale`. Every
measure is in the face frame; a measure has shape (B, 1, 1) and a colour (B, 3, 1, 1), in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from torch import Tensor

from geotrans.data._counter import Draws

R = TypeVar("R")

IDENTITY_DRAWS = 48
SCENE_DRAWS = 16
SCALE = (1.2, 1.3)
SHIFT_X = (-0.03, 0.03)
SHIFT_Y = (0.0, 0.05)

# Columns: top, side (how far the hair stands off the skull), hairline, skew (a side parting), inset, sideburn,
# back half-width, back bottom, bun radius, cover (1 = opaque), curl.
_HAIR = torch.tensor(
    [
        [0.08, 0.025, -0.45, 0.00, 0.035, 0.00, 0.0, -0.3, 0.0, 1.0, 0.0],  # crop
        [0.14, 0.040, -0.43, 0.22, 0.040, 0.02, 0.0, -0.3, 0.0, 1.0, 0.0],  # side parting
        [0.12, 0.080, -0.35, 0.00, 0.075, 0.26, 0.61, 0.44, 0.0, 1.0, 0.0],  # bob with a fringe
        [0.11, 0.065, -0.49, 0.00, 0.070, 0.36, 0.63, 1.10, 0.0, 1.0, 0.0],  # long
        [0.16, 0.060, -0.43, 0.00, 0.045, 0.00, 0.69, 0.26, 0.0, 1.0, 0.022],  # curls
        [0.08, 0.025, -0.48, 0.00, 0.040, 0.02, 0.0, -0.3, 0.2, 1.0, 0.0],  # bun
        [0.03, 0.010, -0.48, 0.00, 0.030, 0.04, 0.0, -0.3, 0.0, 0.55, 0.0],  # buzz cut
        [0.13, 0.070, -0.45, -0.24, 0.070, 0.34, 0.64, 1.10, 0.0, 1.0, 0.0],  # long, side parting
        [0.17, 0.050, -0.45, 0.00, 0.045, 0.02, 0.0, -0.3, 0.0, 1.0, 0.022],  # short curls
    ]
)
HAIR_COLOURS = torch.tensor(
    [
        [0.09, 0.07, 0.08],
        [0.20, 0.12, 0.09],
        [0.36, 0.21, 0.13],
        [0.56, 0.36, 0.20],
        [0.86, 0.67, 0.38],
        [0.70, 0.30, 0.13],
        [0.62, 0.61, 0.62],
        [0.27, 0.15, 0.17],
    ]
)
_IRIS_COLOURS = torch.tensor([[0.30, 0.18, 0.10], [0.42, 0.27, 0.13], [0.24, 0.45, 0.67], [0.28, 0.50, 0.36]])
SKIN = torch.tensor(
    [
        [0.99, 0.87, 0.79],
        [0.96, 0.79, 0.67],
        [0.88, 0.67, 0.52],
        [0.74, 0.52, 0.37],
        [0.55, 0.36, 0.25],
        [0.38, 0.24, 0.17],
    ]
)
_CLOTHES = torch.tensor(
    [
        [0.20, 0.32, 0.47],
        [0.72, 0.29, 0.27],
        [0.93, 0.92, 0.90],
        [0.18, 0.19, 0.22],
        [0.25, 0.48, 0.43],
        [0.87, 0.66, 0.29],
    ]
)
_BACKDROPS = torch.tensor(
    [
        [0.62, 0.76, 0.85],
        [0.93, 0.80, 0.68],
        [0.72, 0.82, 0.70],
        [0.80, 0.74, 0.86],
        [0.86, 0.86, 0.84],
        [0.45, 0.55, 0.62],
    ]
)


@dataclass(frozen=True, slots=True)
class Face:
    """Measures and colours of a batch of faces and of the scenes they sit in."""

    width: Tensor
    level: Tensor
    cranium: Tensor
    chin: Tensor
    taper: Tensor
    eye_x: Tensor
    eye_y: Tensor
    eye_width: Tensor
    eye_up: Tensor
    eye_low: Tensor
    eye_tilt: Tensor
    iris_radius: Tensor
    brow_y: Tensor
    brow_length: Tensor
    brow_thick: Tensor
    brow_arch: Tensor
    brow_slope: Tensor
    nose_y: Tensor
    nose_width: Tensor
    mouth_y: Tensor
    mouth_width: Tensor
    mouth_curve: Tensor
    lip_up: Tensor
    lip_low: Tensor
    lash: Tensor
    blush: Tensor
    freckles: Tensor
    stubble: Tensor
    skin: Tensor
    hair: Tensor
    brow: Tensor
    iris: Tensor
    lips: Tensor
    style: Tensor
    collar: Tensor
    clothes: Tensor
    backdrop: Tensor
    light: Tensor
    shift: Tensor
    scale: Tensor


def take(record: R, rows: slice | Tensor) -> R:
    """The rows of every tensor of a dataclass of tensors, and of those in it."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}  # type: ignore[arg-type]
    return replace(record, **{k: v[rows] if isinstance(v, Tensor) else take(v, rows) for k, v in values.items()})  # type: ignore[type-var]


def make_face(identity: Tensor, scene: Tensor) -> Face:
    """A batch of faces from uniforms: `identity` (B, IDENTITY_DRAWS) and `scene` (B, SCENE_DRAWS)."""
    person, place = Draws(identity), Draws(scene)
    skin = person.jitter(person.along(SKIN), 0.025)
    hair = person.jitter(person.pick(HAIR_COLOURS), 0.035)
    lips = skin * torch.tensor([0.92, 0.60, 0.60]) + person.between(0.0, 0.07)[:, :, 0] * torch.tensor([1.0, 0.1, 0.25])
    level = person.between(-0.03, 0.01)
    eye_y = level + person.between(0.0, 0.03)
    return Face(
        width=person.between(0.45, 0.53),
        level=level,
        cranium=person.between(0.62, 0.68),
        chin=person.between(0.66, 0.74),
        taper=person.between(0.10, 0.27),
        eye_x=person.between(0.205, 0.235),
        eye_y=eye_y,
        eye_width=person.between(0.115, 0.138),
        eye_up=person.between(0.075, 0.10),
        eye_low=person.between(0.042, 0.056),
        eye_tilt=person.between(-0.10, 0.16),
        iris_radius=person.between(0.064, 0.074),
        brow_y=eye_y - person.between(0.185, 0.21),
        brow_length=person.between(0.125, 0.145),
        brow_thick=person.between(0.017, 0.031),
        brow_arch=person.between(0.008, 0.024),
        brow_slope=person.between(-0.10, 0.10),
        nose_y=person.between(0.195, 0.225),
        nose_width=person.between(0.088, 0.108),
        mouth_y=person.between(0.41, 0.435),
        mouth_width=person.between(0.155, 0.19),
        mouth_curve=person.between(-0.006, 0.014),
        lip_up=person.between(0.030, 0.044),
        lip_low=person.between(0.042, 0.060),
        lash=person.between(0.011, 0.022),
        blush=person.between(0.05, 0.40),
        freckles=person.chance(0.2) * person.between(0.25, 0.6),
        stubble=person.chance(0.22) * person.between(0.15, 0.4),
        skin=_colour(skin),
        hair=_colour(hair),
        brow=_colour(hair * 0.72 + skin * 0.06),
        iris=_colour(person.jitter(person.pick(_IRIS_COLOURS), 0.05)),
        lips=_colour(lips.clamp(0, 1)),
        style=person.pick(_HAIR)[:, :, None, None],
        collar=place.chance(0.5),
        clothes=_colour(place.jitter(place.pick(_CLOTHES), 0.06)),
        backdrop=_colour(place.jitter(place.pick(_BACKDROPS), 0.07)),
        light=place.between(-1.0, 1.0),
        shift=torch.cat([place.between(*SHIFT_X), place.between(*SHIFT_Y)], dim=2),
        scale=place.between(*SCALE),
    )


def _colour(value: Tensor) -> Tensor:
    return value[:, :, None, None]


def rest_landmarks(face: Face, closure: Tensor, gap_up: Tensor, gap_low: Tensor) -> Tensor:
    """iBUG-68 points (B, 68, 2) in the face frame before motion.

    Args:
        closure: (B, 1, 1), 0 = lids open as in rest, 1 = closed.
        gap_up: (B, 1, 1) how far the upper inner lip stands above the seam.
        gap_low: (B, 1, 1) how far the lower inner lip stands below it.
    """
    parts = [_jaw(face), _brows(face), _nose(face), _eyes(face, closure), _mouth(face, gap_up, gap_low)]
    return torch.cat(parts, dim=1)


def _points(x: Tensor, y: Tensor) -> Tensor:
    """(B, n) and (B, n), each possibly broadcast, to (B, n, 2)."""
    rows, columns = max(len(x), len(y)), max(x.shape[1], y.shape[1])
    return torch.stack([x.expand(rows, columns), y.expand(rows, columns)], dim=-1)


def _flat(value: Tensor) -> Tensor:
    return value[:, :, 0]


def _jaw(face: Face) -> Tensor:
    angle = torch.linspace(0, math.pi, 17)
    down = angle.sin()
    x = -_flat(face.width) * (1 - _flat(face.taper) * down) * angle.cos()
    return _points(x, _flat(face.level) + _flat(face.chin) * down)


def brow_line(face: Face, along: Tensor) -> Tensor:
    """Height of a brow's middle line at `along`, -1 = inner end and 1 = outer end."""
    return face.brow_y - face.brow_arch * (1 - along * along) + face.brow_slope * face.brow_length * along


def _brows(face: Face) -> Tensor:
    along = torch.linspace(-1, 1, 5)
    x = _flat(face.eye_x) + 0.015 + _flat(face.brow_length) * along
    right = _points(x, brow_line(face, along[None, None])[:, 0])
    return torch.cat([_mirrored(right).flip(1), right], dim=1)


def _mirrored(points: Tensor) -> Tensor:
    return points * torch.tensor([-1.0, 1.0])


def _nose(face: Face) -> Tensor:
    top, base = _flat(face.eye_y), _flat(face.nose_y)
    bridge = _points(torch.zeros(1, 4), top + (base - 0.055 - top) * torch.linspace(0, 1, 4))
    across = torch.linspace(-1, 1, 5)
    return torch.cat([bridge, _points(_flat(face.nose_width) * across, base + 0.035 * (1 - across**2))], dim=1)


def _eyes(face: Face, closure: Tensor) -> Tensor:
    along = torch.tensor([-1.0, -0.42, 0.42, 1.0, 0.42, -0.42])  # right eye: inner corner, upper, outer corner, lower
    low = _flat(face.eye_low)
    height = torch.lerp(-_flat(face.eye_up), low, _flat(closure))
    curve = 1 - along**2
    y = torch.where(torch.arange(6) < 3, height * curve, low * curve)
    y = _flat(face.eye_y) + y - _flat(face.eye_tilt) * _flat(face.eye_width) * along
    right = _points(_flat(face.eye_x) + _flat(face.eye_width) * along, y)
    left = _mirrored(right)[:, [3, 2, 1, 0, 5, 4]]
    return torch.cat([left, right], dim=1)


def seam_line(face: Face, along: Tensor) -> Tensor:
    """Height of the line between the closed lips at `along`, -1 to 1 between the corners."""
    return face.mouth_y - face.mouth_curve * along * along


def lip_top(along: Tensor) -> Tensor:
    """Profile of the upper lip, 0 at the corners, with a Cupid's bow; `along` in [-1, 1]."""
    square = along * along
    return (1 - square) * (0.78 + 1.1 * square)


def _mouth(face: Face, gap_up: Tensor, gap_low: Tensor) -> Tensor:
    outer, inner = torch.linspace(-1, 1, 7), torch.linspace(-0.86, 0.86, 5)
    width = _flat(face.mouth_width)
    outer_seam, inner_seam = (seam_line(face, along[None, None])[:, 0] for along in (outer, inner))
    top = _points(width * outer, outer_seam - _flat(face.lip_up) * lip_top(outer))
    bottom = _points(width * outer, outer_seam + _flat(face.lip_low) * (1 - outer**2))
    inner_top = _points(width * inner, inner_seam - _flat(gap_up) * (1 - inner**2))
    inner_bottom = _points(width * inner, inner_seam + _flat(gap_low) * (1 - inner**2))
    return torch.cat([top, bottom[:, 1:-1].flip(1), inner_top, inner_bottom[:, 1:-1].flip(1)], dim=1)
