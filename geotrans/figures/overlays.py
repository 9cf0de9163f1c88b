"""Motion drawn over a picture: as arrows, and as a grid that it bends."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from geotrans.ops.flow import resize as resize_flow
from geotrans.ops.images import from_uint8, to_uint8
from geotrans.ops.warp import identity_grid, warp

_INK, _HALO = (208, 20, 32, 255), (255, 255, 255, 210)
_FINE = 4  # arrows are drawn so many times larger, then shrunk, so that their edges are smooth
_SHORTEST = 0.15  # of the longest


def arrows(
    image: Tensor, flow: Tensor, *, scale: int = 1, count: int = 20, stretch: float = 1.0, longest: float | None = None
) -> Tensor:
    """The enlarged image with arrows from where content is to where the flow takes it.

    Args:
        image: (B, 3, H, W) in [-1, 1], the source.
        flow: (B, 2, H, W), backward.
        count: arrows along a side.
        stretch: makes arrows so many times longer than the motion is.
        longest: a flow's length against which short ones are left out; by default each sample's longest.

    Returns:
        (B, 3, H * scale, W * scale) in [-1, 1].
    """
    pictures = to_uint8(F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False))
    moves = F.interpolate(flow, (count, count), mode="bilinear", align_corners=False)  # samples, not means
    drawn = [_with_arrows(picture, move, stretch, longest) for picture, move in zip(pictures, moves, strict=True)]
    return from_uint8(torch.stack(drawn))


def bent_grid(image: Tensor, flow: Tensor, *, scale: int = 1, cells: int = 16) -> Tensor:
    """The image moved by the flow and enlarged, and a grid of straight lines that is moved with it.

    Args:
        image: (B, 3, H, W) in [-1, 1], the source.
        flow: (B, 2, H, W), backward.
        cells: of the grid, along a side.

    Returns:
        (B, 3, H * scale, W * scale) in [-1, 1].
    """
    height, width = (side * scale for side in image.shape[2:])
    moved = F.interpolate(warp(image, flow, padding="border"), (height, width), mode="bicubic", align_corners=False)
    lines = torch.maximum(_lines(height, cells)[:, None], _lines(width, cells)[None, :])
    ink = warp(lines.expand(len(image), 1, -1, -1), resize_flow(flow, (height, width)), padding="border")
    return torch.lerp(moved.clamp(-1, 1), torch.ones(()), 0.8 * ink)


def _with_arrows(picture: Tensor, move: Tensor, stretch: float, longest: float | None) -> Tensor:
    """uint8 (3, H, W) and (2, count, count) -> uint8 (3, H, W)."""
    _, height, width = picture.shape
    size = torch.tensor([width, height]) * _FINE
    steps = move.flatten(1).T / 2 * size
    tails = (identity_grid(*move.shape[1:])[0].flatten(0, 1) + 1) / 2 * size + steps
    lengths = torch.linalg.vector_norm(move, dim=0).flatten()
    least = _SHORTEST * (float(lengths.max()) if longest is None else longest)
    kept = lengths > max(least, 1e-4)
    layer = Image.new("RGBA", (width * _FINE, height * _FINE))
    draw = ImageDraw.Draw(layer)
    unit = _FINE * height / 192
    for tint, extra in ((_HALO, 1.4 * unit), (_INK, 0.0)):
        for tail, step in zip(tails[kept].numpy(), steps[kept].numpy(), strict=True):
            _arrow(draw, tail, tail - stretch * step, unit, extra, tint)
    flat = Image.fromarray(picture.permute(1, 2, 0).numpy()).convert("RGBA")
    flat.alpha_composite(layer.resize((width, height), Image.Resampling.LANCZOS))
    return torch.from_numpy(np.array(flat.convert("RGB"))).permute(2, 0, 1)


def _arrow(
    draw: ImageDraw.ImageDraw, tail: np.ndarray, head: np.ndarray, unit: float, extra: float, tint: tuple[int, ...]
) -> None:
    """A line with a barb; `extra` makes all of it wider by so much."""
    along = head - tail
    length = float(np.hypot(*along))
    along = along / length
    across = np.array([-along[1], along[0]])
    barb = min(5.0 * unit, 0.6 * length)
    neck = head - barb * along
    draw.line([*(tail - extra / 2 * along), *neck], tint, max(1, round(1.3 * unit + extra)))
    tip, wide = head + extra * along, 0.5 * barb + extra
    draw.polygon([*tip, *(neck - extra / 2 * along + wide * across), *(neck - extra / 2 * along - wide * across)], tint)


def _lines(side: int, cells: int) -> Tensor:
    """(side,): 1 on the borders between cells, 0 elsewhere, with soft edges."""
    place = (torch.arange(side) + 0.5) / side * cells
    distance = (place - place.round()).abs() * side / cells
    inside = (place.round() > 0) & (place.round() < cells)
    return (1.1 - distance).clamp(0, 1) * inside
