"""Where the parts of a drawn person lie: painter's order, windows, and signed distances in each part's own frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.data._face_canvas import Region, round_box
from geotrans.data._people_body import ARMS, LEGS, PART, Body
from geotrans.data._people_pose import EARS, Pose, radius

_FAR = 9.0  # a distance at which nothing is seen
_MARGIN = 0.03  # of windows, in heights: what antialiasing needs at 16 pixels is cut, and not seen
_ARM_ORDER = (0, 2, 1)  # arm, hand, forearm


@dataclass(frozen=True, slots=True)
class Layer:
    """A part in a window of the picture, with its own coordinates and its signed distance (B, h, w) there.

    `v` is across the picture's plane; `around` is the angle that shows there, of a part that turns, and else v.
    """

    part: str
    area: Region
    u: Tensor
    v: Tensor
    distance: Tensor


def layers(body: Body, pose: Pose, x: Tensor, y: Tensor, *, windows: bool) -> Iterator[Layer]:
    """The parts back to front; arms come twice, behind the body and before it, and are far away in one of the two.

    Args:
        x: (B, H, W) coordinates in the picture, as is y.
        y: with windows, both are those of the pixels' centres; without, of any points.
        windows: only look at the part of the picture in which a part lies for some row of the batch.
    """
    behind = pose.behind[:, :, None, None]
    for part, away in _order(behind):
        shown = torch.ones(len(x), dtype=torch.bool) if away is None else away[:, 0, 0] == 0
        if not shown.any():
            continue
        area = _window(body, pose, part, shown, x, y) if windows else Region(slice(None), slice(None), x, y)
        u, v = local(pose, PART[part], area.x, area.y)
        distance = _distance(body, pose, part, u, v)
        yield Layer(part, area, u, v, distance if away is None else distance + _FAR * away)


def _order(behind: Tensor) -> Iterator[tuple[str, Tensor | None]]:
    arms = [(names[i], side) for side, names in enumerate(ARMS) for i in _ARM_ORDER]
    yield from ((part, 1 - behind[:, side]) for part, side in arms)
    yield "hair", None
    yield from ((part, None) for names in LEGS for part in reversed(names))
    yield from ((part, None) for part in ("pelvis", "skirt", "neck", "torso", "head"))
    yield from ((part, behind[:, side]) for part, side in arms)


def local(pose: Pose, part: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A part's own coordinates (u, v) of points (B, H, W) in the picture."""
    origin, along, across = (frames[:, part, :, None, None] for frames in (pose.origin, pose.along, pose.across))
    x, y = x - origin[:, 0], y - origin[:, 1]
    u, v = ((x * axis[:, 0] + y * axis[:, 1]).div_(axis.square().sum(1)) for axis in (along, across))
    return u, v


def _extent(body: Body, part: str) -> tuple[Tensor, Tensor, Tensor]:
    """The box that holds a part: u from, u to, and |v|, each (B, 1, 1)."""
    if part == "head":
        tall, wide = body.head_height, body.head_width
        return -1.45 * tall, 1.1 * tall, 1.6 * wide
    if part == "hair":
        return -1.85 * body.head_height, 2.1 * body.head_height, 1.7 * body.head_width
    if part == "torso":
        return 0 * body.torso - 0.05, body.torso + body.hem + 0.02, body.shoulder + 0.02
    if part == "pelvis":
        return 0 * body.hip - 0.07, 0 * body.hip + 0.07, body.hip + 0.01
    if part == "skirt":
        return 0 * body.hip - 0.07, body.skirt + 0.02, body.hip + body.flare * body.skirt + 0.03
    number = PART[part]
    thick = torch.maximum(body.start[:, number], body.end[:, number])
    return -thick, body.length[:, number] + thick, thick


def _window(body: Body, pose: Pose, part: str, shown: Tensor, x: Tensor, y: Tensor) -> Region:
    """The window that holds a part in every row in which it is shown."""
    number = PART[part]
    top, bottom, side = (extent[shown] for extent in _extent(body, part))
    origin, along, across = (f[shown, number, None] for f in (pose.origin, pose.along, pose.across))
    middle = origin + 0.5 * (top + bottom) * along
    half = (0.5 * (bottom - top) + _MARGIN) * along.abs() + (side + _MARGIN) * across.abs()
    low, high = (middle - half)[:, 0].amin(0).tolist(), (middle + half)[:, 0].amax(0).tolist()
    spans = []
    for first, last, count in zip(low, high, (x.shape[2], x.shape[1]), strict=True):
        ends = (math.floor((first + 1) / 2 * count), math.ceil((last + 1) / 2 * count))
        start = min(max(ends[0], 0), count - 1)
        spans.append(slice(start, max(min(ends[1], count), start + 1)))
    columns, rows = spans
    return Region(rows, columns, x[:, rows, columns], y[:, rows, columns])


def _distance(body: Body, pose: Pose, part: str, u: Tensor, v: Tensor) -> Tensor:
    if part == "torso":
        return _torso(body, u, v)
    if part == "pelvis":
        return round_box(v.abs(), u + 0.004, 0.95 * body.hip, 0.056, 0.05)
    if part == "skirt":
        half = 0.5 * (body.skirt + 0.05)
        width = body.hip - 0.004 + body.flare * (u + 0.05).clamp_min(0)
        return torch.where(body.skirted > 0, round_box(v.abs(), u + 0.05 - half, width, half, 0.012), _FAR)
    if part == "hair":
        return _hair(body, u, v)
    if part == "head":
        skin, ears, cap = head_shapes(body, pose.turn[:, PART["head"], None, None], u, v)
        return torch.minimum(torch.minimum(skin, ears), cap)
    number = PART[part]
    length, start, end = (table[:, number] for table in (body.length, body.start, body.end))
    share = (u / length).clamp(0, 1)
    return torch.hypot(u - share * length, v) - torch.lerp(start, end, share)


def torso_width(body: Body, u: Tensor) -> Tensor:
    """Half-width of the torso: shoulders, waist and hips on a parabola."""
    share = (u / body.torso).clamp(0, 1.2)
    bend = 0.5 * (body.shoulder + body.hip) - body.waist
    return torch.lerp(body.shoulder, body.hip, share) - 4 * bend * share * (1 - share)


def _torso(body: Body, u: Tensor, v: Tensor) -> Tensor:
    half = 0.5 * (body.torso + body.hem + 0.022)
    slope = 0.016 * (v.abs() / body.shoulder)  # shoulders slope
    return round_box(v.abs(), u + 0.022 - half - 0.5 * slope, torso_width(body, u), half - 0.5 * slope, 0.030)


def _style(body: Body, column: int) -> Tensor:
    return body.hair[:, column]


def curls(body: Body, u: Tensor, v: Tensor) -> Tensor:
    """How far curly hair bulges beyond its outline."""
    return 0.005 * _style(body, 8) * (1 + (130.0 * u).sin() * (130.0 * v).sin())


def _hair(body: Body, u: Tensor, v: Tensor) -> Tensor:
    """Hair behind the head, and a bun."""
    wide, tall = body.head_width, body.head_height
    top, bottom = -(1 + _style(body, 0)) * tall, _style(body, 5) * tall
    half, width = 0.5 * (bottom - top), _style(body, 4) * wide
    back = round_box(v.abs(), u - 0.5 * (bottom + top), width, half, 0.92 * torch.minimum(width, half))
    bun = torch.hypot(u - _style(body, 7) * tall, v) - _style(body, 6) * tall
    back, bun = (torch.where(_style(body, column) > 0, distance, _FAR) for column, distance in ((4, back), (6, bun)))
    return torch.minimum(back, bun) - curls(body, u, v)


def head_shapes(body: Body, turn: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Signed distances to the face with its skull, to the ears, and to the hair's outer outline."""
    wide, tall = body.head_width, body.head_height
    rise = u / tall
    jaw = wide * (1 - 0.16 * rise.clamp(0, 1).square())
    skin = (torch.hypot(v / jaw, rise) - 1) * 0.5 * (wide + tall)
    ears = skin.new_full((), _FAR)
    for side in (-1, 1):
        middle = radius(body, "head") * (side * EARS + turn).sin()
        ears = torch.minimum(ears, torch.hypot((v - middle) / 0.7, u - 0.12 * tall) - 0.017)
    ears = torch.where(_style(body, 3) > 0.3, _FAR, ears)  # long hair covers them
    thick = _style(body, 0)
    cap = (torch.hypot(v / (wide * (1.04 + 0.6 * thick)), u / (tall * (1 + thick))) - 1) * 0.5 * (wide + tall)
    cap = torch.maximum(cap - curls(body, u, v), u - _style(body, 3) * tall)
    return skin, ears, cap
