"""A toy car: the measures, colours and decoration that make it one of many, and the planes that bound it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from geotrans.data._counter import Draws

CAR_DRAWS = 64
TYRE = (0.14, 0.035)  # how far a wheel reaches into the car's side and out of it

# Planes are numbered solid by solid.
BODY, CABIN, SIGN = range(14), range(14, 22), range(22, 28)
WINDOWS = CABIN[:4]  # before, behind, left, right

SHAPES = ("saloon", "hatchback", "van", "pickup", "coupe", "bus")
# Foot of the windscreen and of the rear window, slopes of both, the cabin's height, how far hood and trunk fall.
_SHAPES = torch.tensor(
    [
        [0.42, -0.60, 0.26, 0.22, 0.38, 0.07, 0.05],
        [0.40, -0.88, 0.26, 0.14, 0.40, 0.07, 0.00],
        [0.62, -0.92, 0.16, 0.03, 0.54, 0.08, 0.00],
        [0.40, -0.18, 0.20, 0.05, 0.40, 0.06, 0.00],
        [0.24, -0.70, 0.30, 0.34, 0.31, 0.09, 0.07],
        [0.80, -0.94, 0.06, 0.02, 0.56, 0.02, 0.00],
    ]
)
_PAINTS = torch.tensor(
    [
        [0.85, 0.16, 0.15],
        [0.96, 0.55, 0.13],
        [0.98, 0.79, 0.18],
        [0.42, 0.69, 0.25],
        [0.10, 0.52, 0.42],
        [0.20, 0.66, 0.80],
        [0.16, 0.38, 0.78],
        [0.24, 0.22, 0.55],
        [0.58, 0.28, 0.66],
        [0.93, 0.45, 0.62],
        [0.93, 0.92, 0.89],
        [0.56, 0.60, 0.64],
        [0.22, 0.24, 0.28],
        [0.55, 0.33, 0.20],
    ]
)
_WHITE, _BLACK, _CLOSE = 0.95, 0.13, 0.6
_Triple = tuple[Tensor, Tensor, Tensor]
_Pairs = list[tuple[_Triple, _Triple]]


@dataclass(frozen=True, slots=True)
class Car:
    """Measures (B,), colours (3, B) in [0, 1], and for each decoration 1 or 0, (B,)."""

    shape: Tensor
    length: Tensor
    width: Tensor
    floor: Tensor
    belt: Tensor
    roof: Tensor
    wheel: Tensor
    front_axle: Tensor
    rear_axle: Tensor
    screen: Tensor
    back: Tensor
    screen_slope: Tensor
    back_slope: Tensor
    hood_drop: Tensor
    trunk_drop: Tensor
    pillar: Tensor
    glazed: Tensor
    sign: Tensor
    two_tone: Tensor
    stripes: Tensor
    stripe_place: Tensor
    stripe_width: Tensor
    band: Tensor
    band_place: Tensor
    roundel: Tensor
    roundel_place: Tensor
    spokes: Tensor
    light: Tensor
    paint: Tensor
    second: Tensor
    top: Tensor
    accent: Tensor
    badge: Tensor
    glass: Tensor
    rim: Tensor

    def rows(self, index: Tensor) -> Car:
        """A car for each of `index` (N,)."""
        return replace(self, **{f.name: getattr(self, f.name)[..., index] for f in fields(self)})


def make_car(draws: Tensor) -> Car:
    """A batch of cars from uniforms (B, CAR_DRAWS)."""
    draw = Draws(draws)

    def number(low: float, high: float) -> Tensor:
        return draw.between(low, high)[:, 0, 0]

    def chance(probability: float) -> Tensor:
        return draw.chance(probability)[:, 0, 0]

    shape = draw.pick(torch.arange(len(SHAPES)))
    screen, back, screen_slope, back_slope, cabin, hood, trunk = _SHAPES[shape].unbind(1)
    wheel = number(0.22, 0.28)
    belt = 2 * wheel + number(0.09, 0.15)
    paint, second, accent, badge = (draw.jitter(draw.pick(_PAINTS), 0.05).T for _ in range(4))
    second, accent = _apart(second, paint), _apart(accent, paint)
    return Car(
        shape=shape,
        length=number(0.92, 1.0),
        width=number(0.46, 0.54),
        floor=wheel * number(0.6, 0.8),
        belt=belt,
        roof=belt + cabin + number(-0.04, 0.04),
        wheel=wheel,
        front_axle=number(0.54, 0.62),
        rear_axle=-number(0.52, 0.62),
        screen=screen + number(-0.04, 0.04),
        back=(back + number(-0.04, 0.04)).clamp_min(-0.88),
        screen_slope=screen_slope * number(0.8, 1.2),
        back_slope=back_slope * number(0.8, 1.2),
        hood_drop=hood * number(0.7, 1.2),
        trunk_drop=trunk * number(0.7, 1.2),
        pillar=number(-0.2, 0.1),
        glazed=1 - chance(0.2),
        sign=chance(0.25),
        two_tone=chance(0.3),
        stripes=chance(0.4),
        stripe_place=number(0.0, 0.16),
        stripe_width=number(0.035, 0.07),
        band=chance(0.35),
        band_place=number(0.3, 0.8),
        roundel=chance(0.4),
        roundel_place=number(-0.15, 0.15),
        spokes=draw.pick(torch.arange(4.0, 7.0)),
        light=number(-0.5, 0.5),
        paint=paint,
        second=second,
        top=torch.where(chance(0.35) > 0, second, paint),
        accent=accent,
        badge=badge,
        glass=torch.tensor([[0.20], [0.27], [0.34]]) + number(0, 0.1),
        rim=number(0.62, 0.92).expand(3, -1),
    )


def _apart(colour: Tensor, other: Tensor) -> Tensor:
    """A colour; white or near-black where it is too close to another."""
    away = torch.where(other.mean(0) < 0.55, _WHITE, _BLACK)
    return torch.where((colour - other).abs().sum(0) < _CLOSE, away, colour)


@dataclass(frozen=True, slots=True)
class Planes:
    """The planes that bound convex solids; p is inside of one if normal * p <= offset for all of its planes.

    normals: (B, P, 3), of length 1. offsets: (B, P).
    """

    normals: Tensor
    offsets: Tensor


def make_planes(car: Car) -> Planes:
    """The planes of the body, the cabin and the sign on its roof. Where a car has no sign, the sign holds no point."""
    zero, one = torch.zeros_like(car.length), torch.ones_like(car.length)
    length, width, floor, belt, roof = car.length, car.width, car.floor, car.belt, car.roof
    screen, back, height = car.screen, car.back, roof - belt
    middle = (screen - car.screen_slope + back + car.back_slope) / 2
    low = 0.3 * one  # where the body is longest and widest
    # A normal, and a point of the plane.
    body: _Pairs = [
        ((one, zero, 0.16 * one), (length, zero, low)),
        ((-one, zero, 0.10 * one), (-length, zero, low)),
        *[((zero, side * one, 0.13 * one), (zero, side * width, low)) for side in (1, -1)],
        ((zero, zero, one), (zero, zero, belt)),
        ((zero, zero, -one), (zero, zero, floor)),
        ((car.hood_drop, zero, length - screen), (screen, zero, belt)),
        ((-car.trunk_drop, zero, back + length), (back, zero, belt)),
        *[((zero, side * one, 0.9 * one), (zero, side * (width - 0.075), belt)) for side in (1, -1)],
        *[
            ((end * one, side * one, 0.1 * one), (end * (length - 0.11), side * width, low))
            for end in (1, -1)
            for side in (1, -1)
        ],
    ]
    cabin: _Pairs = [
        ((height, zero, car.screen_slope), (screen, zero, belt)),
        ((-height, zero, car.back_slope), (back, zero, belt)),
        *[((zero, side * height, 0.07 * one), (zero, side * (width - 0.05), belt)) for side in (1, -1)],
        ((zero, zero, one), (zero, zero, roof)),
        ((zero, zero, -one), (zero, zero, belt - 0.03)),
        *[((zero, side * one, one), (zero, side * (width - 0.16), roof)) for side in (1, -1)],
    ]
    sign: _Pairs = [
        *[((end * one, zero, 0.3 * one), (middle + end * 0.09, zero, roof)) for end in (1, -1)],
        *[((zero, side * one, 0.2 * one), (zero, side * 0.24 * one, roof)) for side in (1, -1)],
        ((zero, zero, one), (zero, zero, roof + 1.1 * car.sign - 1)),
        ((zero, zero, -one), (zero, zero, roof - 0.01)),
    ]
    pairs = [*body, *cabin, *sign]
    normals = normalize(torch.stack([torch.stack(normal, dim=1) for normal, _ in pairs], dim=1), dim=2)
    points = torch.stack([torch.stack(point, dim=1) for _, point in pairs], dim=1)
    return Planes(normals, (normals * points).sum(2))
