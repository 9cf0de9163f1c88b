"""Deformation grids that are integrated from increments, as Deforming Autoencoders define them.

Paper: https://arxiv.org/abs/1806.06503, section 3.2 (the spatial integral and its two regularisers). Differences: none.

Convention, for every function: a grid is (B, 2, H, W), channels (x, y), absolute positions in [-1, 1] between the
*centres* of the first and the last pixel (align_corners=True), as in the paper's code.
`grid_to_flow` leaves that world.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.ops.warp import check_flow, from_corner_units


def base_grid(
    height: int, width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """The grid that changes nothing, (1, 2, H, W)."""
    x = torch.linspace(-1, 1, width, device=device, dtype=dtype)
    y = torch.linspace(-1, 1, height, device=device, dtype=dtype)
    return torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)])[None]


def integral(increments: Tensor) -> Tensor:
    """Running sums (B, 2, H, W), the pixel itself included: of channel 0 along x, of channel 1 along y."""
    check_flow(increments, "increments")
    return torch.stack([increments[:, 0].cumsum(2), increments[:, 1].cumsum(1)], dim=1)


def integral_grid(increments: Tensor, *, shift: float = 1.2) -> Tensor:
    """The deformation grid clamp(integral - shift, -1, 1).

    Args:
        increments: (B, 2, H, W), not negative, so that the grid never folds. The paper's decoder makes them with
            sigmoid * 5 / N for N x N pixels; a constant 2 / (N - 1) has the step of the identity.
        shift: where the sum starts. At 1.2 no constant increment gives the identity: the first columns repeat.
    """
    return (integral(increments) - shift).clamp(-1, 1)


def grid_residual(grid: Tensor) -> Tensor:
    """What a grid does beyond the identity: grid - base grid. The paper's TV term is the L1 sum of its differences."""
    check_flow(grid, "grid")
    return grid - base_grid(grid.shape[2], grid.shape[3], device=grid.device, dtype=grid.dtype)


def grid_to_flow(grid: Tensor) -> Tensor:
    """The flow, in the library's units, that samples the pixels of `grid`."""
    return from_corner_units(grid_residual(grid))


def bias_reduce(residual: Tensor) -> Tensor:
    """Mean square of the batch's mean residual, a scalar: 0 when the deformations of a batch cancel out."""
    return residual.mean(0).square().mean()
