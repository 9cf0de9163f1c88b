"""The cameras of `synthviews`: 18 azimuths and 3 elevations on a sphere around a car.

Convention: x points to the car's front, y to its left, z up, and half of a car's length is about 1. A picture is
[-1, 1], u right and v down. Azimuth 0 looks at the front, 90 at the left side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

AZIMUTHS = tuple(range(0, 360, 20))
ELEVATIONS = (0, 10, 20)

_DISTANCE = 4.5
_FOCAL = 3.7
_CENTRE = (0.0, 0.0, 0.55)


@dataclass(frozen=True, slots=True)
class Camera:
    """Where cameras stand, and their axes, each (B, 3). The ray through (u, v) is ahead + u * right + v * down."""

    place: Tensor
    ahead: Tensor
    right: Tensor
    down: Tensor

    def rows(self, index: Tensor) -> Camera:
        """A camera for each of `index` (N,)."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def points(self, u: Tensor, v: Tensor, depth: Tensor) -> Tensor:
        """What cameras see at (u, v), each (B,), in a depth (B,): points (B, 3)."""
        return self.place + depth[:, None] * (self.ahead + u[:, None] * self.right + v[:, None] * self.down)

    def project(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where cameras see points (B, 3): u, v and 1 / depth, each (B,)."""
        away = points - self.place
        inverse = 1 / (away * self.ahead).sum(1)
        u, v = ((away * axis).sum(1) * inverse * _FOCAL**2 for axis in (self.right, self.down))
        return u, v, inverse


def make_camera(azimuth: Tensor, elevation: Tensor) -> Camera:
    """Cameras by the numbers (B,) of their azimuths and elevations."""
    turn, rise = torch.tensor(AZIMUTHS)[azimuth] * math.pi / 180, torch.tensor(ELEVATIONS)[elevation] * math.pi / 180
    east, north, flat, up = turn.cos(), turn.sin(), rise.cos(), rise.sin()
    outward = torch.stack([flat * east, flat * north, up], dim=1)
    right = torch.stack([-north, east, torch.zeros_like(turn)], dim=1)
    down = torch.stack([up * east, up * north, -flat], dim=1)
    return Camera(torch.tensor(_CENTRE) + _DISTANCE * outward, -outward, right / _FOCAL, down / _FOCAL)
