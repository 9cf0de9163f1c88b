"""Landmarks of a face as the maps that GFLA's face animation reads."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

CHANNELS = 16

# Points 68 to 82 close the outline above the brows, see `_crowned`. A part is what its curves, joined, enclose.
_PARTS: tuple[tuple[int, tuple[tuple[int, ...], ...]], ...] = (
    (1, ((*range(17), *range(68, 83), 0),)),  # outline
    (2, (tuple(range(17, 22)),)),  # brows
    (2, (tuple(range(22, 27)),)),
    (3, ((28, 31), tuple(range(31, 36)), (35, 28))),  # nose
    (4, ((36, 37, 38, 39), (39, 40, 41, 36))),  # eyes
    (4, ((42, 43, 44, 45), (45, 46, 47, 42))),
    (5, (tuple(range(48, 55)), (54, 55, 56, 57, 58, 59, 48))),  # outer lips
    (6, (tuple(range(60, 65)), (64, 65, 66, 67, 60))),  # inner lips
)
_LABELS = 6
_CROWN = 2 / 3  # the outline's upper half, in heights of the jaw


def face_structure(landmarks: Tensor, height: int, width: int) -> Tensor:
    """iBUG-68 landmarks (B, 68, 2) as `Condition.structure`, (B, 16, H, W) in [0, 1].

    Channel 0 holds all curves, in strokes of one pixel; 1 to 14 the distances to the face's outline, each brow, three
    lines of the nose, and the upper and lower rim of each eye and of the outer and inner lips, |dx| + |dy| as a share
    of height + width; 15 what a pixel belongs to: nothing 0, face 1/6, brows 2/6, nose 3/6, eyes 4/6, lips 5/6, the
    inside of the mouth 1. The outline is closed above the brows by the mirrored jaw, two thirds as high.

    After the data code of GFLA (Ren et al., CVPR 2020), with these differences: curves are straight between landmarks;
    nothing is rounded to whole pixels or levels, so that a small motion is a small difference; channel 0 has no edges
    of the backdrop.

    Convention:
        Landmarks are (x, y) in [-1, 1] at the picture's outer edges; pixel j of W sits at (2j + 1) / W - 1.

    Raises:
        ValueError: another shape.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise ValueError(f"landmarks: expected shape (B, 68, 2), got {tuple(landmarks.shape)}")
    points = _crowned((landmarks + 1) / 2 * landmarks.new_tensor([width, height]) - 0.5)
    maps = landmarks.new_zeros(len(points), CHANNELS, height, width)
    curves = [curve for _, part in _PARTS for curve in part]
    for channel, curve in enumerate(curves, start=1):
        maps[:, channel] = _distance(points[:, curve], height, width)
    maps[:, 0] = (1 - maps[:, 1:15].amin(1)).clamp_min(0)
    maps[:, 1:15] /= height + width
    for label, part in _PARTS:
        inside = _inside(points[:, [point for curve in part for point in curve]], height, width)
        maps[:, 15] = torch.where(inside, label / _LABELS, maps[:, 15])
    return maps


def _crowned(points: Tensor) -> Tensor:
    """(B, 68, 2) in pixels, followed by the 15 points of the outline's upper half."""
    jaw = points[:, 1:16].flip(1)
    level = points[:, [0, 16], 1].mean(1, keepdim=True)
    crown = torch.stack([jaw[..., 0], level + _CROWN * (level - jaw[..., 1])], dim=2)
    return torch.cat([points, crown], dim=1)


def _distance(curve: Tensor, height: int, width: int) -> Tensor:
    """|dx| + |dy| from every pixel to the nearest place of a polyline (B, N, 2), (B, H, W), in pixels.

    Along a segment the distance is convex and bends where dx = 0 and where dy = 0, so the nearer of both is nearest.
    """
    columns = torch.arange(width, device=curve.device, dtype=curve.dtype).view(1, 1, width)
    rows = torch.arange(height, device=curve.device, dtype=curve.dtype).view(1, height, 1)
    nearest = torch.full((len(curve), height, width), torch.inf, device=curve.device, dtype=curve.dtype)
    for start, stop in pairwise(range(curve.shape[1])):
        x, y = curve[:, start].T[:, :, None, None]
        along_x, along_y = (curve[:, stop] - curve[:, start]).T[:, :, None, None]
        right, down = columns - x, rows - y  # (B, 1, W) and (B, H, 1)
        for share in (_share(right, along_x), _share(down, along_y)):
            distance = (right - share * along_x).abs() + (down - share * along_y).abs()
            nearest = torch.minimum(nearest, distance)
    return nearest


def _share(offset: Tensor, along: Tensor) -> Tensor:
    """Where on a segment one coordinate meets the pixels', within [0, 1]."""
    safe = torch.where(along.abs() < 1e-6, 1e-6, along)
    return (offset / safe).clamp(0, 1)


def _inside(polygon: Tensor, height: int, width: int) -> Tensor:
    """Whether a line to the right of each pixel crosses a polygon (B, N, 2) an odd number of times, (B, H, W)."""
    columns = torch.arange(width, device=polygon.device, dtype=polygon.dtype).view(1, 1, width)
    rows = torch.arange(height, device=polygon.device, dtype=polygon.dtype).view(1, height, 1)
    odd = torch.zeros(len(polygon), height, width, device=polygon.device, dtype=torch.bool)
    x, y = polygon.roll(1, 1).unbind(2)
    for start_x, start_y, stop_x, stop_y in zip(x.T, y.T, *(part.T for part in polygon.unbind(2)), strict=True):
        start_x, start_y, stop_x, stop_y = (v[:, None, None] for v in (start_x, start_y, stop_x, stop_y))
        rise = stop_y - start_y
        crossing = start_x + (rows - start_y) * (stop_x - start_x) / torch.where(rise.abs() < 1e-6, 1e-6, rise)
        odd ^= ((start_y > rows) != (stop_y > rows)) & (columns < crossing)
    return odd
