"""Colours of a drawn person's parts. Every texture is a function of a part's own coordinates, so it moves with it."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.data._face_canvas import Canvas, ramp, spot
from geotrans.data._people_body import PART, Body, Look
from geotrans.data._people_parts import Layer, head_shapes
from geotrans.data._people_pose import EYES, Pose, radius


def paint(canvas: Canvas, body: Body, look: Look, pose: Pose, layer: Layer) -> None:
    """Lay one part on the canvas."""
    kind = layer.part.partition("_")[0]
    if kind == "head":
        _head(canvas, body, look, pose, layer)
        return
    if kind == "torso":
        colour = _torso(canvas, body, look, around(body, pose, layer), layer)
    elif kind in ("arm", "forearm"):
        colour = _sleeve(canvas, body, look, layer)
    elif kind in ("thigh", "shin", "pelvis"):
        colour = _leg(canvas, body, look, layer)
    elif kind == "skirt":
        colour = _skirt(canvas, body, look, layer)
    elif kind == "hair":
        colour = look.hair * 0.80
    else:
        colour = {"foot": look.shoes, "hand": look.skin, "neck": look.skin * 0.90}[kind]
    canvas.fill(layer.area, layer.distance, colour * _roundness(body, layer))


def around(body: Body, pose: Pose, layer: Layer) -> Tensor:
    """The angle around a turning part that shows at each point, (B, h, w)."""
    turn = pose.turn[:, PART[layer.part], None, None]
    return (layer.v / radius(body, layer.part)).clamp(-1, 1).asin() - turn


def _roundness(body: Body, layer: Layer) -> Tensor:
    """Shade towards the rim, as of something round, (B, 1, h, w)."""
    thick = {"torso": 0.085, "skirt": 0.08, "pelvis": 0.08, "hair": 0.07}.get(layer.part)
    width = thick if thick is not None else body.start[:, PART[layer.part]]
    depth = 0.12 if layer.part == "pelvis" else 0.28
    return (1.03 - depth * ramp(1 + 1.25 * layer.distance / width))[:, None]


def _fabric(canvas: Canvas, look: Look, u: Tensor, v: Tensor) -> Tensor:
    """The shirt's cloth, (B, 3, h, w), with the second colour by pattern."""
    across, along = ((2 * ((place / look.period) % 1 - 0.5)).abs() for place in (u, v))  # triangle waves in [0, 1]
    soft = 2 * canvas.pixel / look.period
    rings, bars = (((wave - 0.5) / soft + 0.5).clamp(0, 1) for wave in (across, along))
    dots = ((0.62 - torch.hypot(across, along)) / soft + 0.5).clamp(0, 1)
    weight = [look.pattern[:, number] for number in range(4)]
    amount = weight[0] * rings + weight[1] * bars + weight[2] * 0.5 * (rings + bars) + weight[3] * dots
    return torch.lerp(look.shirt, look.accent, amount[:, None])


def _torso(canvas: Canvas, body: Body, look: Look, angle: Tensor, layer: Layer) -> Tensor:
    u, v = layer.u, angle * radius(body, "torso")
    colour = _fabric(canvas, look, u, v)
    block, logo, jacket = (look.pattern[:, number] for number in (4, 5, 6))
    colour = colour.lerp(look.accent, (block * canvas.cover(0.54 * body.torso - u))[:, None])
    mark = torch.hypot(u - 0.105, v)
    badge = torch.where(look.band > 0, (u - 0.105).abs() + v.abs() - 0.052, mark - 0.042)
    colour = colour.lerp(look.accent, (logo * canvas.cover(badge))[:, None])
    colour = colour.lerp(look.shirt, (logo * canvas.cover(mark - 0.017))[:, None])
    colour = colour.lerp(look.accent, (jacket * canvas.cover(v.abs() - 0.030))[:, None])
    belt = look.dress * canvas.cover((u - body.torso + 0.045).abs() - 0.013)
    colour = colour.lerp(look.accent * 0.7, belt[:, None])
    neck = torch.hypot(v / 0.042, (u + 0.020) / (0.040 * look.collar)) - 1
    colour = colour.lerp(0.75 * colour, canvas.cover(0.04 * neck - 0.012)[:, None])
    return colour.lerp(look.skin * 0.95, canvas.cover(0.04 * neck)[:, None])


def _sleeve(canvas: Canvas, body: Body, look: Look, layer: Layer) -> Tensor:
    """Cloth down to the sleeve's end, in lengths of the upper arm; the forearm's counts from 1."""
    number = PART[layer.part]
    start = 1.0 if layer.part.startswith("forearm") else 0.0
    edge = layer.u - (look.sleeve - start) * body.length[:, number]
    cloth = _fabric(canvas, look, layer.u + start * 0.155, layer.v)
    cloth = torch.where(look.pattern[:, 6:7] > 0, look.shirt, cloth)
    cuff = canvas.cover((edge + 0.010).abs() - 0.007)
    cloth = cloth.lerp(0.72 * cloth, cuff[:, None])
    return look.skin.lerp(cloth, canvas.cover(edge)[:, None])


def _leg(canvas: Canvas, body: Body, look: Look, layer: Layer) -> Tensor:
    """Trousers down to their end, in lengths of the thigh; the shin's counts from 1. Skirts have tights or skin."""
    if layer.part == "pelvis":
        belt = canvas.cover((layer.u + 0.035).abs() - 0.010)
        return look.trousers.lerp(0.45 * look.trousers, belt[:, None])
    start = 1.0 if layer.part.startswith("shin") else 0.0
    edge = layer.u - (look.leg - start) * body.length[:, PART[layer.part]]
    cloth = look.trousers.lerp(look.accent, (look.band * canvas.cover(layer.v.abs() - 0.011))[:, None])
    cloth = cloth.lerp(0.75 * cloth, canvas.cover((edge + 0.009).abs() - 0.006)[:, None])
    return look.skin.lerp(cloth, canvas.cover(edge)[:, None])


def _skirt(canvas: Canvas, body: Body, look: Look, layer: Layer) -> Tensor:
    cloth = torch.where(look.dress[:, None] > 0, _fabric(canvas, look, layer.u + body.torso, layer.v), look.skirt)
    fold = 0.06 * (95.0 * layer.v / (1 + 2 * layer.u.clamp_min(0))).sin()
    hem = canvas.cover((layer.u - body.skirt + 0.020).abs() - 0.008)
    cloth = cloth * (1 + fold)[:, None]
    return cloth.lerp(look.accent * 0.9, (look.band * hem)[:, None]).clamp(0, 1)


def _head(canvas: Canvas, body: Body, look: Look, pose: Pose, layer: Layer) -> None:
    turn = pose.turn[:, PART["head"], None, None]
    u, v, area = layer.u, layer.v, layer.area
    skin, ears, cap = head_shapes(body, turn, u, v)
    angle = around(body, pose, layer)
    down = u / body.head_height
    canvas.fill(area, ears, look.skin * 0.88)
    rim = 1.03 - 0.20 * ramp(1 + skin / 0.035)
    canvas.fill(area, skin, look.skin * rim[:, None])
    seen = canvas.cover(skin)
    _features(canvas, look, layer, angle, down, seen)
    hairline = _hair_column(body, 1) + _hair_column(body, 2) * angle
    temple = 0.95 + 0.05 * _hair_column(body, 3)
    opening = torch.minimum((down - hairline) * body.head_height, (temple - angle.abs()) * radius(body, "head"))
    hair = torch.maximum(
        torch.maximum(opening, down * body.head_height - _hair_column(body, 3) * body.head_height), cap
    )
    strands = 1.0 + 0.10 * (26.0 * angle + 3.0 * down).sin() - 0.22 * ramp(1 + cap / 0.03)
    canvas.fill(area, hair, (look.hair * strands[:, None]).clamp(0, 1))
    knit = 0.92 + 0.08 * (40.0 * angle).sin()
    hat = torch.maximum(cap, (down + 0.42) * body.head_height)
    brim = canvas.cover((down + 0.50).abs() * body.head_height - 0.010)
    wool = (look.accent * knit[:, None]).lerp(look.accent * 0.7, brim[:, None])
    canvas.fill(area, hat, wool.clamp(0, 1), opacity=look.hat)


def _hair_column(body: Body, column: int) -> Tensor:
    return body.hair[:, column]


def _features(canvas: Canvas, look: Look, layer: Layer, angle: Tensor, down: Tensor, seen: Tensor) -> None:
    """Cheeks, eyes, brows, nose and mouth, at angles around the head and depths in its half-heights."""
    area, side = layer.area, angle.abs()
    unit = 0.085  # of these coordinates, in heights
    cheek = spot((side - 0.50) / 0.26, (down - 0.34) / 0.20)
    canvas.blend(area, look.blush * seen * cheek, look.skin * torch.tensor([1.0, 0.62, 0.60])[:, None, None])
    eye = torch.hypot((side - EYES) / 0.95, down - 0.02)
    canvas.blend(
        area, 0.85 * seen * canvas.cover(unit * (eye - 0.155)), torch.tensor([0.97, 0.96, 0.94])[:, None, None]
    )
    canvas.blend(area, seen * canvas.cover(unit * (eye - 0.115)), look.iris)
    brow = torch.hypot((side - EYES - 0.01) / 2.6, down + 0.24 - 0.10 * (side - EYES)) - 0.065
    canvas.blend(area, 0.8 * seen * canvas.cover(unit * brow), look.hair * 0.6)
    nose = torch.hypot(angle / 0.9, (down - 0.26) / 0.8) - 0.075
    canvas.blend(area, 0.6 * seen * canvas.cover(unit * nose), look.skin * 0.74)
    mouth = torch.maximum((down - 0.52 + 0.9 * angle.square()).abs() - 0.055, side - 0.27)
    canvas.blend(area, seen * canvas.cover(unit * mouth), look.lips)
