"""Landmarks of a face as the maps that GFLA's face animation reads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

CHANNELS = 16

# Points 68 to 82 close the outline above the brows, see `crowned`. A part is what its curves, joined, enclose.
PARTS: tuple[tuple[int, tuple[tuple[int, ...], ...]], ...] = (
    (1, ((*range(17), *range(68, 83), 0),)),  # outline
    (2, (tuple(range(17, 22)),)),  # brows
    (2, (tuple(range(22, 27)),)),
    (3, ((28, 31), tuple(range(31, 36)), (35, 28))),  # nose
    (4, ((36, 37, 38, 39), (39, 40, 41, 36))),  # eyes
    (4, ((42, 43, 44, 45), (45, 46, 47, 42))),
    (5, (tuple(range(48, 55)), (54, 55, 56, 57, 58, 59, 48))),  # outer lips
    (6, (tuple(range(60, 65)), (64, 65, 66, 67, 60))),  # inner lips
)
CURVES = tuple(curve for _, part in PARTS for curve in part)
LABELS = 6

# Straight pieces as (number of the curve, or of the part, first point, last point).
_PIECES = tuple((number, *ends) for number, curve in enumerate(CURVES) for ends in pairwise(curve))
_RINGS = tuple(tuple(point for curve in part for point in curve) for _, part in PARTS)
_SIDES = tuple((number, *ends) for number, ring in enumerate(_RINGS) for ends in pairwise((ring[-1], *ring)))
_CROWN = 2 / 3  # the outline's upper half, in heights of the jaw


def face_structure(landmarks: Tensor, height: int, width: int) -> Tensor:
    """iBUG-68 landmarks (B, 68, 2) as `Condition.structure`, (B, 16, H, W) in [0, 1].

    Channel 0 holds all curves, in strokes of one pixel; 1 to 14 the distances to the face's outline, each brow, three
    lines of the nose, and the upper and lower rim of each eye and of the outer and inner lips, |dx| + |dy| as a share
    of height + width; 15 what a pixel belongs to: nothing 0, face 1/6, brows 2/6, nose 3/6, eyes 4/6, lips 5/6, the
    inside of the mouth 1. The outline is closed above the brows by the mirrored jaw, two thirds as high.

    After the data code of GFLA (Ren et al., CVPR 2020), with these differences: curves are straight between landmarks;
    nothing is rounded to whole pixels or levels, so that a small motion is a small difference; channel 0 has no edges
    of the backdrop. `official_face_structure` has none of them.

    It is drawn on the CPU, wherever the landmarks are; those that ask for a gradient are refused, by PyTorch.

    Convention:
        Landmarks are (x, y) in [-1, 1] at the picture's outer edges; pixel j of W sits at (2j + 1) / W - 1.

    Raises:
        ValueError: another shape, or a landmark that is not finite.
    """
    points = crowned(in_pixels(landmarks.cpu(), height, width))
    maps = points.new_empty(len(points), CHANNELS, height, width)
    distances = maps[:, 1:-1].copy_(nearest(_seeds(points, height, width)))
    maps[:, 0] = (1 - distances.amin(1)).clamp_min_(0)
    distances /= height + width
    maps[:, -1] = part_labels(points, height, width).to(points.dtype) / LABELS
    return maps.to(landmarks.device)


def in_pixels(landmarks: Tensor, height: int, width: int) -> Tensor:
    """Landmarks (B, 68, 2) in [-1, 1] in pixels, centres being whole numbers.

    Raises:
        ValueError: another shape, or a landmark that is not finite.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise ValueError(f"landmarks: expected shape (B, 68, 2), got {tuple(landmarks.shape)}")
    if not landmarks.isfinite().all():
        raise ValueError("landmarks: expected finite numbers, got infinite ones or NaN; leave such faces out")
    return (landmarks + 1) / 2 * landmarks.new_tensor([width, height]) - 0.5


def crowned(points: Tensor) -> Tensor:
    """(B, 68, 2) in pixels, followed by the 15 points of the outline's upper half."""
    jaw = points[:, 1:16].flip(1)
    level = points[:, [0, 16], 1].mean(1, keepdim=True)
    crown = torch.stack([jaw[..., 0], level + _CROWN * (level - jaw[..., 1])], dim=2)
    return torch.cat([points, crown], dim=1)


def part_labels(points: Tensor, height: int, width: int) -> Tensor:
    """What each pixel belongs to, (B, H, W) int8 from 0 to `LABELS`, of crowned points (B, 83, 2) in pixels.

    A pixel belongs to a part if a line to the left of it crosses the part's sides an odd number of times.
    """
    part, start, stop = torch.tensor(_SIDES).T
    (x, y), (to_x, to_y) = (points[:, ends].unsqueeze(3).unbind(2) for ends in (start, stop))  # (B, sides, 1)
    rows = torch.arange(height, dtype=points.dtype)
    rise = to_y - y
    crossing = x + (rows - y) * (to_x - x) / torch.where(rise.abs() < 1e-6, 1e-6, rise)
    crosses = ((y > rows) != (to_y > rows)).to(torch.int8)
    first = crossing.ceil().clamp(0, width).long()  # pixel to the right of the crossing
    place = (part[:, None] * height + torch.arange(height)) * (width + 1) + first
    crossed = torch.zeros(len(points), len(PARTS), height, width + 1, dtype=torch.int8)
    crossed.view(len(points), -1).scatter_add_(1, place.flatten(1), crosses.flatten(1))
    odd = crossed.cumsum(3, dtype=torch.int8)[..., :width] & 1
    labels = torch.tensor([label for label, _ in PARTS], dtype=torch.int8)
    return (odd * labels[:, None, None]).amax(1)  # a part lies inside those before it


def nearest(seeds: Tensor) -> Tensor:
    """The least that any pixel's seed and |dx| + |dy| to it add up to, (B, C, H, W), from seeds (H, B, C, W).

    The seeds are overwritten.
    """
    down = _swept(seeds)
    return _swept(down.permute(3, 1, 2, 0).contiguous()).permute(1, 2, 3, 0)


def _swept(lines: Tensor) -> Tensor:
    """Lower the values of (N, ...) to those of the lines before and after plus the distance to them; in place."""
    values = lines.numpy()  # its steps take a third of PyTorch's time
    stepped = np.empty_like(values[0])
    for order in (values, values[::-1]):
        for before, line in pairwise(order):
            np.minimum(line, np.add(before, 1, out=stepped), out=line)
    return lines


def _seeds(points: Tensor, height: int, width: int) -> Tensor:
    """Distances to the curves for pixels around them, (H, B, 14, W), and infinity elsewhere.

    Along a straight piece |dx| + |dy| is convex and bends where dx = 0 and where dy = 0, so the place that is nearest
    to a pixel is in its column, in its row, or an end. A way to it of whole steps passes one of these pixels.
    """
    curve, start, stop = torch.tensor(_PIECES).T
    maps = points.new_full((height, len(points), len(CURVES), width), torch.inf)
    strides = maps.stride()
    for axis, size, other in ((0, width, height), (1, height, width)):
        ends = points[:, torch.stack([start, stop]), axis].unsqueeze(3)  # (B, 2, pieces, 1)
        reach = torch.stack([ends.amin(1).floor(), ends.amax(1).ceil()]).clamp_(0, size - 1)
        lines = torch.arange(size)
        face, piece, line = ((lines >= reach[0]) & (lines <= reach[1])).nonzero().unbind(1)
        first, last = points[face, start[piece]], points[face, stop[piece]]
        along = last - first
        offset = line - first[:, axis]
        share = (offset / torch.where(along[:, axis].abs() < 1e-6, 1e-6, along[:, axis])).clamp_(0, 1)
        beside = (offset - share * along[:, axis]).abs_()
        origin, reached = first[:, 1 - axis], share * along[:, 1 - axis]
        fixed = face * strides[1] + curve[piece] * strides[2] + line * strides[(3, 0)[axis]]
        middle = (origin + reached).round_()
        for step in (-1, 0, 1):
            place = (middle + step).clamp_(0, other - 1)
            distance = beside + (place - origin - reached).abs_()
            maps.view(-1).scatter_reduce_(0, fixed + place.long() * strides[(0, 3)[axis]], distance, "amin")
    return maps
