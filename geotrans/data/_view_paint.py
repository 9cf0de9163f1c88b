"""What a car's surface looks like. Colours are fixed to the car, shade too: a point looks the same from everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.data._view_car import BODY, CABIN, SIGN, WINDOWS, Car, Planes
from geotrans.data._view_cast import FIRST_WHEEL

_DARK = 0.13  # tyres, sills, grilles
_CREAM, _PLATE, _RED = (torch.tensor([c]).T for c in ((1.0, 0.97, 0.80), (0.97, 0.95, 0.85), (0.83, 0.10, 0.10)))


class _Surface:
    """Points of the surfaces of N cars, and the colour (3, N) that they have so far.

    normal: three of (N,). soft: over which distance edges are smoothed.
    """

    def __init__(self, car: Car, points: Tensor, normal: Tensor, soft: float) -> None:
        self.car, self.soft = car, soft
        self.x, self.y, self.z = points
        self.nx, self.ny, self.nz = normal
        self.colour = torch.zeros_like(points)

    def inside(self, distance: Tensor) -> Tensor:
        """1 where a signed distance is negative, smoothly (N,)."""
        return (0.5 - distance / self.soft).clamp_(0, 1)

    def lay(self, amount: Tensor, colour: Tensor | float) -> None:
        """Mix a colour (3, N) or a grey in by `amount` (N,)."""
        colour = torch.as_tensor(colour, dtype=self.colour.dtype)
        self.colour.add_(amount * (colour - self.colour))

    def shaded(self) -> Tensor:
        """The colour under a lamp above the car, somewhat to the front and to one side."""
        lit = (0.30 * self.nx + self.car.light * self.ny + 0.85 * self.nz).clamp_min(0)
        return self.colour.mul_(0.66 + 0.42 * lit).clamp_(0, 1)


def paint(car: Car, planes: Planes, rows: Tensor, face: Tensor, points: Tensor, soft: float) -> Tensor:
    """Colours (3, N) in [0, 1] of surface points (3, N).

    Args:
        rows: (N,) which car of the batch a point is on.
        face: (N,) the number of its face.
        soft: over which distance edges are smoothed.
    """
    colours = torch.empty_like(points)
    for solid, painter in ((BODY, _body), (CABIN, _cabin), (SIGN, _sign)):
        chosen = ((face >= solid.start) & (face < solid.stop)).nonzero()[:, 0]
        row, plane = rows[chosen], face[chosen].long()
        normal = planes.normals[row, plane].T.contiguous()
        surface = _Surface(car.rows(row), points[:, chosen], normal, soft)
        painter(surface, planes, row, plane)
        colours[:, chosen] = surface.shaded()
    chosen = (face >= FIRST_WHEEL).nonzero()[:, 0]
    colours[:, chosen] = _wheels(car.rows(rows[chosen]), face[chosen].long() - FIRST_WHEEL, points[:, chosen], soft)
    return colours


def _body(s: _Surface, planes: Planes, rows: Tensor, plane: Tensor) -> None:
    car, height = s.car, s.car.belt - s.car.floor
    up = s.z - car.floor
    flank = (s.ny.abs() > 0.8).float()
    s.lay(torch.ones_like(up), car.paint)
    s.lay(car.two_tone * s.inside(up - 0.45 * height), car.second)
    s.lay(car.stripes * (1 - flank) * _stripes(s), car.accent)
    s.lay(car.band * flank * s.inside((up - car.band_place * height).abs() - 0.035), car.accent)
    for door in (car.screen - 0.12, car.pillar, 0.7 * car.back - 0.05):
        s.lay(0.4 * flank * s.inside((s.x - door).abs() - 0.006), 0.0)
    away = (s.x - car.roundel_place).hypot(up - 0.55 * height)
    s.lay(car.roundel * flank * s.inside(away - 0.42 * height), 0.96)
    s.lay(car.roundel * flank * s.inside(away - 0.27 * height), torch.where(s.y > 0, car.badge, car.second))
    s.lay(s.inside(up - 0.05), _DARK)
    for axle in (car.front_axle, car.rear_axle):
        arch = (s.x - axle).hypot(s.z - car.wheel) - 1.2 * car.wheel
        s.lay((s.ny.abs() > 0.6) * (s.nz < 0.4) * s.inside(arch), _DARK / 2)
    _ends(s, up, height)


def _ends(s: _Surface, up: Tensor, height: Tensor) -> None:
    """Bumpers, plates, headlights and a grille, tail lights."""
    front, rear = s.nx > 0.5, s.nx < -0.5
    s.lay((s.nx.abs() > 0.85) * s.inside((up - 0.09).abs() - 0.035), 0.72)
    level = up - 0.56 * height
    side = s.y.abs() - 0.70 * s.car.width
    lamp = side.hypot(level)
    s.lay(front * s.inside(lamp - 0.10), 0.35)
    s.lay(front * s.inside(lamp - 0.08), _CREAM)
    s.lay(front * s.inside(torch.maximum(s.y.abs() - 0.45 * s.car.width, level.abs() - 0.06)), _DARK)
    s.lay(rear * s.inside(torch.maximum(side.abs() - 0.08, level.abs() - 0.07)), _RED)
    s.lay((front | rear) * s.inside(torch.maximum(s.y.abs() - 0.14, (up - 0.10).abs() - 0.045)), _PLATE)


def _cabin(s: _Surface, planes: Planes, rows: Tensor, plane: Tensor) -> None:
    car = s.car
    s.lay(torch.ones_like(s.x), car.top)
    s.lay(car.stripes * (s.nz > 0.6) * _stripes(s), car.accent)
    pane = torch.maximum(s.z - car.roof + 0.10, car.belt + 0.035 - s.z)
    for window in WINDOWS:
        nx, ny, nz = planes.normals[rows, window].unbind(1)
        frame = s.x * nx + s.y * ny + s.z * nz - planes.offsets[rows, window] + 0.055
        pane = torch.maximum(pane, frame.masked_fill(plane == window, -1.0))
    closed = (1 - car.glazed) * (car.pillar - s.x)
    posts = torch.maximum(0.03 - (s.x - car.pillar).abs(), closed.masked_fill(car.glazed > 0, -1.0))
    pane = torch.where(s.ny.abs() > 0.6, torch.maximum(pane, posts), pane)
    glass = s.inside(pane) * (s.nz < 0.97)
    s.lay(glass, car.glass)
    shine = ((s.x + s.y + 1.2 * s.z) % 0.55 - 0.12).abs() - 0.05
    s.lay(0.3 * glass * s.inside(shine), 0.9)


def _stripes(s: _Surface) -> Tensor:
    """One along the middle, or two."""
    return s.inside((s.y.abs() - s.car.stripe_place).abs() - s.car.stripe_width)


def _sign(s: _Surface, planes: Planes, rows: Tensor, plane: Tensor) -> None:
    """Its halves differ."""
    s.lay(torch.ones_like(s.y), s.car.accent)
    s.lay(s.inside(-s.y), s.car.badge)


def _wheels(car: Car, face: Tensor, points: Tensor, soft: float) -> Tensor:
    """Tyres, and rims with spokes on the outer discs; `face` counts from the first wheel's."""
    tread, left = face % 2, 1 - face // 2 % 2 * 2
    axle = torch.where(face < 4, car.front_axle, car.rear_axle)
    x, z = (points[0] - axle) / car.wheel, points[2] / car.wheel - 1
    s = _Surface(car, points, torch.stack([tread * x, (1 - tread) * left, tread * z]), soft)
    away, turn = x.hypot(z), torch.atan2(z, x)
    outer = (1 - tread) * (points[1].abs() > car.width)
    s.lay(torch.ones_like(x), _DARK)
    s.lay(outer * s.inside((away - 0.66) * car.wheel), car.rim)
    between = 0.35 * away - 0.25 - 0.5 * (turn * car.spokes).cos()
    gap = torch.maximum(torch.maximum(between, away - 0.56), 0.18 - away)
    s.lay(outer * s.inside(gap * car.wheel), 0.3)
    return s.shaded()
