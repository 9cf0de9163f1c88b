"""What is behind a drawn person: a studio, a room, a park or a street. Still, and the same in both pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.data._counter import Draws
from geotrans.data._face_canvas import Canvas, Region, ramp, round_box

SCENE_DRAWS = 32

_WALLS = torch.tensor(
    [
        [0.80, 0.86, 0.90],
        [0.93, 0.87, 0.80],
        [0.84, 0.89, 0.82],
        [0.88, 0.84, 0.90],
        [0.91, 0.91, 0.89],
        [0.74, 0.80, 0.84],
        [0.95, 0.83, 0.79],
    ]
)
_FLOORS = torch.tensor([[0.72, 0.60, 0.48], [0.62, 0.58, 0.55], [0.80, 0.74, 0.66], [0.55, 0.48, 0.42]])
_GRASS = torch.tensor([[0.52, 0.68, 0.42], [0.60, 0.72, 0.46], [0.70, 0.68, 0.45]])
_SKY = torch.tensor([[0.66, 0.82, 0.93], [0.78, 0.88, 0.95], [0.97, 0.84, 0.74]])


def make_scene(draws: Tensor, resolution: int) -> Canvas:
    """Backdrops from uniforms (B, SCENE_DRAWS), on a canvas whose frame is the picture's, [-1, 1]."""
    centres = (2 * torch.arange(resolution) + 1) / resolution - 1
    shape = (len(draws), resolution, resolution)
    x, y = centres.expand(shape), centres[:, None].expand(shape)
    canvas = Canvas(x, y, torch.full((len(draws), 1, 1), 2 / resolution))
    kinds = (draws[:, 0] * len(_KINDS)).long()
    for number, kind in enumerate(_KINDS):
        rows = (kinds == number).nonzero()[:, 0]
        if len(rows):
            own = Canvas(x[rows], y[rows], canvas.pixel[rows])
            kind(own, own.whole(), Draws(draws[rows, 1:]))
            canvas.rgb[rows] = own.rgb
    return canvas


def _studio(canvas: Canvas, area: Region, hand: Draws) -> None:
    colour = _colour(hand.jitter(hand.pick(_WALLS), 0.06))
    glow = 1.04 - 0.16 * ((area.x - 0.4 * hand.between(-1, 1)).square() + (area.y + 0.2).square())
    canvas.rgb.copy_((colour * glow[:, None]).clamp(0, 1))
    floor = ramp((area.y - hand.between(0.45, 0.65)) / 0.22)
    canvas.blend(area, 0.5 * floor, colour * 0.80)


def _room(canvas: Canvas, area: Region, hand: Draws) -> None:
    wall, floor = _colour(hand.jitter(hand.pick(_WALLS), 0.05)), _colour(hand.jitter(hand.pick(_FLOORS), 0.05))
    edge = hand.between(0.42, 0.66)
    canvas.rgb.copy_(wall.expand_as(canvas.rgb))
    stripe = 0.5 + 0.5 * (hand.between(12, 26) * area.x).sin()
    canvas.blend(area, hand.chance(0.5) * 0.5 * stripe, wall * 0.90)
    for side in (-1, 1):
        middle_x, middle_y = side * hand.between(0.58, 0.80), hand.between(-0.55, -0.20)
        frame = round_box(
            (area.x - middle_x).abs(), area.y - middle_y, hand.between(0.14, 0.24), hand.between(0.18, 0.30), 0.01
        )
        there = hand.chance(0.6)
        canvas.fill(area, frame, wall * 0.62, opacity=there)
        canvas.fill(area, frame + 0.035, _colour(hand.jitter(hand.pick(_SKY), 0.10)), opacity=there)
    canvas.fill(area, edge - area.y, floor)
    planks = ((area.x / (0.35 + (area.y - edge).clamp_min(0)) * 4) % 1 - 0.5).abs() - 0.46
    canvas.blend(area, 0.5 * canvas.cover(edge - area.y) * ramp(planks * 12 + 0.5), floor * 0.8)
    canvas.fill(area, (area.y - edge).abs() - 0.022, wall * 0.5 + 0.48)


def _park(canvas: Canvas, area: Region, hand: Draws) -> None:
    _sky(canvas, area, hand)
    grass = _colour(hand.jitter(hand.pick(_GRASS), 0.05))
    far = hand.between(0.05, 0.25) - 0.09 * (hand.between(2, 4) * area.x + hand.between(0, 6)).sin()
    canvas.fill(area, far - area.y, grass * 0.6 + 0.30)
    edge = hand.between(0.42, 0.60) - 0.05 * (hand.between(1, 2.5) * area.x + hand.between(0, 6)).sin()
    for side in (-1, 1):
        middle, top, crown = side * hand.between(0.55, 0.92), hand.between(-0.35, 0.0), hand.between(0.17, 0.30)
        there = hand.chance(0.75)
        trunk = torch.maximum((area.x - middle).abs() - 0.035, top - area.y)
        canvas.fill(area, trunk, torch.tensor([0.48, 0.37, 0.28])[:, None, None], opacity=there)
        leaves = torch.hypot(area.x - middle, (area.y - top) / 1.15) - crown
        leaves = leaves - 0.02 * (30 * area.x).sin() * (30 * area.y).sin()
        shade = 1.05 - 0.22 * ramp(0.5 + (area.x - middle + area.y - top) / crown)
        canvas.fill(
            area, leaves, (grass * torch.tensor([0.72, 0.86, 0.72])[:, None, None]) * shade[:, None], opacity=there
        )
    canvas.fill(area, edge - area.y, grass)
    canvas.blend(area, 0.5 * canvas.cover(edge - area.y) * ramp((area.y - edge) / 0.6), grass * 0.82)


def _street(canvas: Canvas, area: Region, hand: Draws) -> None:
    _sky(canvas, area, hand)
    edge = hand.between(0.46, 0.62)
    for depth, (low, high, tone) in enumerate(((-0.75, -0.15, 0.93), (-0.35, 0.25, 0.80))):
        wall = _colour(hand.jitter(hand.pick(_WALLS), 0.10)) * tone
        width, start, mix = hand.between(0.36, 0.58), hand.between(0, 1), hand.between(3, 9)
        house = ((area.x + 2) / width + start).floor()
        height = low + (high - low) * ((house * 12.9898 + mix).sin() * 43.7).remainder(1)
        tint = 1 - 0.14 * ((house * 78.233 + mix).sin() * 27.1).remainder(1)
        canvas.fill(area, height - area.y, wall * tint[:, None])
        if depth:
            across = ((area.x + 2) / width + start).remainder(1)
            pane = torch.maximum(
                ((across * 3).remainder(1) - 0.5).abs() - 0.24, ((area.y - height) / 0.19 - 0.1).remainder(1) - 0.58
            )
            inside = canvas.cover(height + 0.05 - area.y) * canvas.cover(0.12 * pane)
            canvas.blend(area, 0.55 * inside, wall * 0.55)
    ground = _colour(hand.jitter(torch.tensor([[0.70, 0.69, 0.68]]), 0.05))
    canvas.fill(area, edge - area.y, ground)
    canvas.fill(area, (area.y - edge - 0.04).abs() - 0.016, ground * 0.82)


def _sky(canvas: Canvas, area: Region, hand: Draws) -> None:
    sky = _colour(hand.jitter(hand.pick(_SKY), 0.04))
    canvas.rgb.copy_(sky + (1 - sky) * (0.75 * ramp(0.35 + 0.6 * area.y))[:, None])


def _colour(value: Tensor) -> Tensor:
    return value[:, :, None, None]


_KINDS = (_studio, _room, _park, _street)
