"""Rays against a car: the nearest surface behind every place of a picture, exactly.

Along the ray d = ahead + u * right + v * down, the plane n * p = c is at depth (c - n * place) / (n * d), so one over
depth is affine in u and v. A ray enters a convex solid through the farthest of the planes that the camera stands
before, if that comes before it leaves through any of the others. So a plane costs one sum and a few comparisons a ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.data._view_camera import Camera
from geotrans.data._view_car import BODY, CABIN, SIGN, TYRE, Car, Planes

# Faces of wheels follow the planes: for the front axle, then the rear one, left disc and tread, right disc and tread.
FIRST_WHEEL = SIGN.stop
_LEAST = 1e-5  # a camera is never nearer to a plane


@dataclass(frozen=True, slots=True)
class Hits:
    """inverse: 1 / depth of the nearest surface, 0 where there is none. face: its number, uint8. Both (B, K, H, W)."""

    inverse: Tensor
    face: Tensor


def cast(car: Car, planes: Planes, camera: Camera, u: Tensor, v: Tensor) -> Hits:
    """What cameras see at places u, v, which broadcast to (B, K, H, W)."""
    rays = _Rays(camera, u, v)
    hits = Hits(torch.zeros(()), torch.zeros((), dtype=torch.uint8))
    for solid in (BODY, CABIN, SIGN):
        bounds = [(planes.normals[:, number], planes.offsets[:, number], number) for number in solid]
        hits = _nearer(hits, *rays.through(bounds))
    left = torch.tensor([0.0, 1.0, 0.0]).expand(len(camera.place), 3)
    for axle, place in enumerate((car.front_axle, car.rear_axle)):
        enter, leave = rays.cylinder(place, car.wheel)
        for right in (0, 1):
            disc = FIRST_WHEEL + 4 * axle + 2 * right
            side = left * (1 - 2 * right)
            near, far, face = rays.through([(side, car.width + TYRE[1], disc), (-side, TYRE[0] - car.width, disc)])
            face = torch.where(enter < near, disc + 1, face)
            hits = _nearer(hits, torch.minimum(near, enter), torch.maximum(far, leave), face)
    return hits


def _nearer(hits: Hits, near: Tensor, far: Tensor, face: Tensor) -> Hits:
    better = (near > far) & (near > hits.inverse)
    return Hits(torch.where(better, near, hits.inverse), torch.where(better, face, hits.face))


class _Rays:
    """Rays of a batch of cameras. Where they enter and leave is told as 1 / depth."""

    def __init__(self, camera: Camera, u: Tensor, v: Tensor) -> None:
        self.camera, self.u, self.v = camera, u, v

    def along(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Products of the rays with vectors (B, 3), as two summands that are smaller than the sum."""
        axes = (self.camera.ahead, self.camera.right, self.camera.down)
        ahead, right, down = (_wide((vector * axis).sum(1)) for axis in axes)
        return ahead + right * self.u, down * self.v

    def through(self, bounds: Sequence[tuple[Tensor, Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Where rays enter and leave a solid bounded by planes (normal, offset, number), and by which they enter."""
        near = torch.tensor(torch.inf)
        far, face = torch.zeros(()), torch.zeros((), dtype=torch.uint8)
        for normal, offset, number in bounds:
            gap = _wide(offset - (normal * self.camera.place).sum(1))
            before = gap < 0  # the camera is outside of this plane, so that rays can only enter here
            gap = torch.where(before, gap.clamp_max(-_LEAST), gap.clamp_min(_LEAST))
            across, down = (part / gap for part in self.along(normal))
            enter = across.masked_fill(~before, torch.inf) + down
            leave = across.masked_fill(before, -torch.inf) + down
            face = torch.where(enter < near, torch.tensor(number, dtype=torch.uint8), face)
            near, far = torch.minimum(near, enter), torch.maximum(far, leave)
        return near, far, face

    def cylinder(self, x: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Where rays enter and leave endless cylinders along y that stand on the ground; nan beside them."""
        place = self.camera.place
        from_x, from_z = _wide(place[:, 0] - x), _wide(place[:, 2] - radius)
        gap = from_x.square() + from_z.square() - _wide(radius).square()
        inside = gap < 0
        gap = torch.where(inside, gap.clamp_max(-_LEAST), gap.clamp_min(_LEAST))
        (x_u, x_v), (z_u, z_v) = (self.along(axis.expand_as(place)) for axis in torch.eye(3)[[0, 2]])
        along_x, along_z = x_u + x_v, z_u + z_v
        middle = from_x * along_x + from_z * along_z
        root = (middle.square() - gap * (along_x.square() + along_z.square())).sqrt()
        return ((root - middle) / gap).masked_fill(inside, torch.inf), (-root - middle) / gap


def _wide(value: Tensor) -> Tensor:
    return value[:, None, None, None]
