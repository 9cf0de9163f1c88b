"""The registered warps: each lowers its parameters to a backward flow, which `ops.warp.warp` samples.

Convention, for every function: `(params, height, width) -> flow (B, 2, H, W)`, backward, channels (x, y), normalised so
that 2 is the image's width or height, align_corners=False. Zero params give zero flow.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geotrans.ops.flow import from_pixels, resize
from geotrans.ops.splat import normalise, splat
from geotrans.ops.warp import check_flow, identity_grid
from registry import register_warp


@register_warp(params=lambda batch, height, width: (batch, 2, height, width))
def flow(params: Tensor, height: int, width: int) -> Tensor:
    """The params are the flow, (B, 2, h, w) of any size."""
    return resize(params, (height, width))


@register_warp(params=lambda batch, height, width: (batch, 6))
def affine(params: Tensor, height: int, width: int) -> Tensor:
    """An affine map of the normalised plane, from the output's positions to the source's.

    Args:
        params: (B, 6) or (B, 2, 3), row by row what is added to the identity [[1, 0, 0], [0, 1, 0]]; the last column is
            the translation. Units are normalised, so that a rotation of an image that is not square also shears it.
        height: of the flow.
        width: of the flow.

    Raises:
        ValueError: another shape.
    """
    if params.shape[1:] not in ((6,), (2, 3)):
        raise ValueError(f"affine params: expected shape (B, 6) or (B, 2, 3), got {tuple(params.shape)}")
    grid = identity_grid(height, width, device=params.device, dtype=params.dtype)[0]
    matrix = params.reshape(-1, 2, 3)
    return torch.einsum("bij,hwj->bihw", matrix[:, :, :2], grid) + matrix[:, :, 2, None, None]


@register_warp(params=lambda batch, height, width: (batch, 9, 2))
def tps(params: Tensor, height: int, width: int) -> Tensor:
    """A thin plate spline through the displacements of k x k control points; it meets each exactly.

    Args:
        params: (B, k * k, 2) displacement (x, y) of each control point, normalised. Control points form a regular grid
            from -1 to 1 (the image's outer edges), row by row; k >= 2.
        height: of the flow.
        width: of the flow.

    Raises:
        ValueError: another shape, or a number of points that is not a square.
    """
    side = math.isqrt(params.shape[1]) if params.ndim == 3 else 0
    if side < 2 or side * side != params.shape[1] or params.shape[2] != 2:
        raise ValueError(f"tps params: expected shape (B, k * k, 2) with k >= 2, got {tuple(params.shape)}")
    # float64: the spline's system is badly conditioned (4e4 at 16 x 16 points)
    ticks = torch.linspace(-1, 1, side, device=params.device, dtype=torch.float64)
    controls = torch.cartesian_prod(ticks, ticks).flip(1)
    pixels = identity_grid(height, width, device=params.device, dtype=torch.float64).view(-1, 2)
    weights = _spline_weights(pixels, controls).to(params.dtype).view(height, width, -1)
    return torch.einsum("hwk,bki->bihw", weights, params)


@register_warp(params=lambda batch, height, width: (batch, 2, height, width))
def grid_integral(params: Tensor, height: int, width: int, *, max_step: float = 2.5) -> Tensor:
    """Integrate the steps from one sampling position to the next: x along rows, y along columns, never folding.

    A step is max_step * sigmoid(params + logit(1 / max_step)) pixels, so that params 0 is a step of one pixel. The
    first column (row) stays where it is; positions end at the centre of the last. Paper: DefGAN, after
    https://arxiv.org/abs/1806.06503, whose increments of at most 5 / N are max_step = 2.5 * (N - 1) / N.

    Args:
        params: (B, 2, h, w) unbounded; integrated at its own size, then resized.
        height: of the flow.
        width: of the flow.
        max_step: the longest step in pixels of the params' grid, above 1.

    Raises:
        ValueError: another shape, or max_step is not above 1.
    """
    check_flow(params, "grid_integral params")
    if max_step <= 1:
        raise ValueError(f"max_step: expected more than 1, the step of the identity, got {max_step}")
    # step - 1, written with tanh(params / 2) instead of sigmoid: exactly 0 at 0, so nothing accumulates along a row
    half = (params / 2).tanh()
    excess = 2 * (max_step - 1) * half / (max_step - (max_step - 2) * half)
    along_x = excess[:, 0].cumsum(2) - excess[:, 0]
    along_y = excess[:, 1].cumsum(1) - excess[:, 1]
    moved = from_pixels(torch.stack([along_x, along_y], dim=1))
    return resize(_stay_inside(moved), (height, width))


@register_warp(params=lambda batch, height, width: (batch, 2, height, width))
def grid_displacement(params: Tensor, height: int, width: int, *, limit: float = 5 / 128) -> Tensor:
    """Move every pixel on its own, by at most `limit` in x and in y. It may fold.

    Paper: DefGAN, the reading of its maximum offset of 5 pixels as a displacement, at 128 pixels.

    Args:
        params: (B, 2, h, w) unbounded; the flow is 2 * limit * tanh(params), resized.
        height: of the flow.
        width: of the flow.
        limit: the largest displacement as a fraction of the image's side.
    """
    check_flow(params, "grid_displacement params")
    return resize(2 * limit * params.tanh(), (height, width))


@register_warp(params=lambda batch, height, width: (batch, 2, height, width))
def forward_splat(params: Tensor, height: int, width: int) -> Tensor:
    """Lower a *forward* flow to a backward one: minus itself, splatted to where it points, averaged by coverage.

    Exact for a constant flow of whole pixels; for smooth flows right to first order in their gradient. Where the
    forward flow leaves holes (it magnifies by more than 2, or uncovers background) the result is 0, and where it folds
    it is the mean of the layers, with no order of depth. `ops.flow.invert` is exact, but needs a flow without folds.

    Args:
        params: (B, 2, h, w) forward flow at the source's pixels, normalised; resized before it is splatted.
        height: of the flow.
        width: of the flow.
    """
    forward = resize(params, (height, width))
    return normalise(*splat(-forward, forward))


def _stay_inside(moved: Tensor) -> Tensor:
    """Limit a flow so that it samples between the centres of the first and the last pixel."""
    base = identity_grid(moved.shape[2], moved.shape[3], device=moved.device, dtype=moved.dtype).permute(0, 3, 1, 2)
    first, last = base[:, :, :1, :1], base[:, :, -1:, -1:]
    return torch.minimum(torch.maximum(moved, first - base), last - base)


def _spline_weights(points: Tensor, controls: Tensor) -> Tensor:
    """The (P, K) matrix that takes values at K controls to the spline's values at P points."""
    count = controls.shape[0]
    system = controls.new_zeros(count + 3, count + 3)
    system[:count, :count] = _bending(controls, controls)
    system[:count, count:] = _affine_basis(controls)
    system[count:, :count] = system[:count, count:].T
    basis = torch.cat([_bending(points, controls), _affine_basis(points)], dim=1)
    inverse: Tensor = torch.linalg.inv(system)
    return basis @ inverse[:, :count]


def _bending(points: Tensor, controls: Tensor) -> Tensor:
    """r^2 log r^2 between every point and every control."""
    squared = (points[:, None] - controls[None]).square().sum(-1)
    return torch.xlogy(squared, squared)


def _affine_basis(points: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(points[:, :1]), points], dim=1)
