"""Two pictures of one car, and where what one shows is in the other."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.data._view_camera import Camera
from geotrans.data._view_car import Car, Planes, make_planes
from geotrans.data._view_cast import Hits, cast
from geotrans.data._view_paint import paint
from geotrans.ops.warp import identity_grid

_RAYS = torch.tensor([[-3.0, -1.0], [-1.0, 3.0], [1.0, -3.0], [3.0, 1.0]]) / 4  # of a pixel; 2 is its width
_SOFT = 1.2  # pixels at the car's middle, over which painted edges are smoothed
_SLACK = 2e-3  # of a depth, within which two surfaces are one
_FALL = 0.04  # how much darker the backdrop is below than in the middle


def draw_views(
    car: Car, source: Camera, target: Camera, tint: Tensor, resolution: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The source and the target, (B, 3, H, W) in [-1, 1], the true backward flow (B, 2, H, W), visibility (B, 1, H, W).

    Args:
        tint: (B, 3) of the backdrop, in [0, 1].
    """
    planes, grid = make_planes(car), identity_grid(resolution, resolution)[0]
    u, v = grid[None, None, :1, :, 0], grid[None, None, :, :1, 1]
    backdrop = (tint[:, :, None, None] * (1 - _FALL * v)).expand(-1, -1, -1, resolution)
    image, truth = (_picture(car, planes, camera, u, v, backdrop) for camera in (source, target))
    return image, truth, *_motion(car, planes, source, target, u, v)


def _picture(car: Car, planes: Planes, camera: Camera, u: Tensor, v: Tensor, backdrop: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1]: the mean of four rays a pixel."""
    shifts = _RAYS[None, :, :, None, None] / u.shape[3]
    u, v = u + shifts[:, :, 0], v + shifts[:, :, 1]
    hits = cast(car, planes, camera, u, v)
    index, points = _surface(hits, camera, u, v)
    row, ray, line, column = index
    rays = backdrop[:, :, None].repeat(1, 1, len(_RAYS), 1, 1)
    rays[row, :, ray, line, column] = paint(
        car, planes, row, hits.face[index], points.T.contiguous(), _SOFT / u.shape[3]
    ).T
    return 2 * rays.mean(2) - 1


def _motion(car: Car, planes: Planes, source: Camera, target: Camera, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Where the source shows what is at the target's pixel centres, and whether it does; the backdrop stays."""
    hits = cast(car, planes, target, u, v)
    index, points = _surface(hits, target, u, v)
    here = torch.cat([u.expand(1, 1, v.shape[2], -1), v.expand(1, 1, -1, u.shape[3])], dim=1)
    there, depth = here.repeat(len(hits.inverse), 1, 1, 1), torch.zeros_like(hits.inverse)
    row, _, line, column = index
    there[row, 0, line, column], there[row, 1, line, column], depth[index] = source.rows(row).project(points)
    nearest = cast(car, planes, source, there[:, :1], there[:, 1:]).inverse
    visible = (nearest <= depth * (1 + _SLACK)) & (there.abs() <= 1).all(dim=1, keepdim=True)
    return there - here, visible.float()


def _surface(hits: Hits, camera: Camera, u: Tensor, v: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Where rays hit, as an index into (B, K, H, W), and the points (N, 3) that they hit."""
    index = hits.inverse.nonzero(as_tuple=True)
    at_u, at_v = (value.expand_as(hits.inverse)[index] for value in (u, v))
    return index, camera.rows(index[0]).points(at_u, at_v, 1 / hits.inverse[index])
