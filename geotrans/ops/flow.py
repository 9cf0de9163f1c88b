"""Algebra of backward flows: units, sizes, composition, inverse, folds, errors.

Convention, for every function: a flow is (B, 2, H, W), channels (x, y), normalised so that 2 is the image's width or
height, align_corners=False; it stands at the output's pixels and points to the source's, out(p) = in(p + flow(p)).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.ops.images import Box, unpad
from geotrans.ops.splat import splat
from geotrans.ops.warp import check_flow, warp


def to_pixels(flow: Tensor) -> Tensor:
    """The flow in pixels of its own grid: x * W / 2, y * H / 2."""
    check_flow(flow)
    height, width = flow.shape[2:]
    return torch.cat([flow[:, :1] * (width / 2), flow[:, 1:] * (height / 2)], dim=1)


def from_pixels(flow: Tensor) -> Tensor:
    """The inverse of `to_pixels`: pixels of the flow's own grid to normalised units."""
    check_flow(flow)
    height, width = flow.shape[2:]
    return torch.cat([flow[:, :1] * (2 / width), flow[:, 1:] * (2 / height)], dim=1)


def resize(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """The same motion on a grid of (height, width): bilinear, smoothed where it shrinks; values need no rescaling."""
    check_flow(flow)
    if flow.shape[2:] == size:
        return flow
    shrinks = size[0] < flow.shape[2] or size[1] < flow.shape[3]
    return F.interpolate(flow, size, mode="bilinear", align_corners=False, antialias=shrinks)


def crop(flow: Tensor, box: Box) -> Tensor:
    """Cut a flow as `images.unpad` cuts its image: the motion in pixels stays, so the normalised values grow."""
    return from_pixels(unpad(to_pixels(flow), box))


def compose(first: Tensor, second: Tensor) -> Tensor:
    """One flow for two warps: `warp(x, compose(first, second))` is `warp(warp(x, first), second)`.

    The value at p is second(p) + first(p + second(p)). Equal up to the smoothing of the second bilinear sampling, and
    away from the borders: outside its grid `first` goes on with its edge values, where a warped image has zeros.
    """
    return second + warp(first, second, padding="border")


def invert(flow: Tensor, iterations: int = 20) -> Tensor:
    """The flow g that undoes `flow`: `compose(flow, g)` is 0, so `warp(warp(x, flow), g)` gives x back.

    Fixed point of g(p) = -flow(p + g(p)), starting at 0. Where the flow is a contraction, |flow(p) - flow(q)| <=
    L |p - q| with L < 1 (then it has no folds), each iteration multiplies the error by L: 20 by 1e-6 at L = 0.5, by
    0.1 at L = 0.9. Elsewhere it need not converge; `compose(flow, g)` shows what is left. Gradients run through all
    iterations.

    Raises:
        ValueError: iterations is below 1.
    """
    check_flow(flow)
    if iterations < 1:
        raise ValueError(f"iterations: expected at least 1, got {iterations}")
    inverse = -flow
    for _ in range(iterations - 1):
        inverse = -warp(flow, inverse, padding="border")
    return inverse


def usage(flow: Tensor) -> Tensor:
    """How much the output draws on each source pixel, (B, 1, H, W): the sum of its bilinear weights.

    0: the pixel is nowhere in the output. 1: it is there once, at its size. More: it is magnified or doubled. All
    pixels together give the number of output pixels that lie inside the source.
    """
    check_flow(flow)
    return splat(flow[:, :1], flow)[1]


def visibility(flow: Tensor) -> Tensor:
    """How much of each *source* pixel can be seen in the output, (B, 1, H, W) in [0, 1]: `usage`, at most 1.

    From one flow alone nobody can tell which of two output pixels is the rightful copy of a source pixel, so a doubled
    pixel counts as visible. A source that is shrunk by s in both directions has visibility 1 / s^2.
    """
    return usage(flow).clamp(max=1)


def jacobian_determinant(flow: Tensor) -> Tensor:
    """Signed area, in pixels, of what each cell of four neighbouring pixels becomes under p -> p + flow(p).

    Returns:
        (B, 1, H - 1, W - 1): 1 for no deformation, below 1 where the output is magnified (it goes through the source
        in small steps), negative where it is mirrored.
    """
    return _corner_determinants(flow).mean(1, keepdim=True)


def folds(flow: Tensor) -> Tensor:
    """Cells of four neighbouring pixels in which p -> p + flow(p) cannot be inverted, (B, 1, H - 1, W - 1) bool.

    The determinant of a bilinear cell is linear over it, so that it is positive everywhere if it is at the corners.
    """
    return _corner_determinants(flow).amin(1, keepdim=True) <= 0


def endpoint_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Distance between two flows at every pixel, (B, H, W), in pixels of their grid.

    Raises:
        ValueError: the flows differ in shape.
    """
    if flow.shape != truth.shape:
        raise ValueError(f"expected flows of one shape, got {tuple(flow.shape)} and {tuple(truth.shape)}; resize one")
    distance: Tensor = torch.linalg.vector_norm(to_pixels(flow - truth), dim=1)
    return distance


def total_variation(field: Tensor, *, power: Literal[1, 2] = 1, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    """Differences between neighbours, |d|^power, of each sample of a field (B, C, H, W) with H, W >= 2: (B,).

    Works on values as they are, flow or mask. `mean` averages along x and along y and adds the two; `sum` adds all.
    """
    across = field[..., :, 1:] - field[..., :, :-1]
    down = field[..., 1:, :] - field[..., :-1, :]
    terms = [d.abs() if power == 1 else d.square() for d in (across, down)]
    if reduction == "sum":
        return terms[0].flatten(1).sum(1) + terms[1].flatten(1).sum(1)
    return terms[0].flatten(1).mean(1) + terms[1].flatten(1).mean(1)


def _corner_determinants(flow: Tensor) -> Tensor:
    """The determinant at the four corners of every cell, (B, 4, H - 1, W - 1)."""
    moved = to_pixels(flow)
    across = moved[..., :, 1:] - moved[..., :, :-1]
    down = moved[..., 1:, :] - moved[..., :-1, :]
    edges = [
        (top, left) for top in (across[..., :-1, :], across[..., 1:, :]) for left in (down[..., :-1], down[..., 1:])
    ]
    return torch.stack([(1 + a[:, 0]) * (1 + b[:, 1]) - a[:, 1] * b[:, 0] for a, b in edges], dim=1)
