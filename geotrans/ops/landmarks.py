"""Landmarks as pictures, and their mirror images."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Style = Literal["lines", "points", "gaussians"]

# iBUG-68, part by part: first point, one past the last, and whether the part is a closed curve.
_PARTS = (
    (0, 17, False),  # jaw
    (17, 22, False),  # brows
    (22, 27, False),
    (27, 31, False),  # bridge and base of the nose
    (31, 36, False),
    (36, 42, True),  # eyes
    (42, 48, True),
    (48, 60, True),  # outer and inner lips
    (60, 68, True),
)


def _part_segments(start: int, stop: int, closed: bool) -> list[tuple[int, int]]:
    points = [*range(start, stop), *([start] if closed else [])]
    return list(pairwise(points))


IBUG68_SEGMENTS = tuple(segment for part in _PARTS for segment in _part_segments(*part))

# Point i of a mirrored face is point IBUG68_MIRROR[i] of the face: the left mouth corner becomes the right one.
IBUG68_MIRROR = (
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *range(27, 31),  # bridge of the nose
    *range(35, 30, -1),  # base of the nose
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
)


def mirror_landmarks(landmarks: Tensor) -> Tensor:
    """iBUG-68 landmarks (B, 68, 2) of the mirrored picture: x changes its sign, left and right points change places.

    Raises:
        ValueError: another shape.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise ValueError(f"landmarks: expected shape (B, 68, 2), got {tuple(landmarks.shape)}")
    return landmarks[:, list(IBUG68_MIRROR)] * landmarks.new_tensor([-1.0, 1.0])


def draw_landmarks(
    landmarks: Tensor, height: int, width: int, *, style: Style = "lines", line_width: float = 2.0
) -> Tensor:
    """Draw iBUG-68 landmarks in one channel, (B, 1, H, W): 1 on a stroke, -1 elsewhere.

    Args:
        landmarks: (B, 68, 2).
        height: of the picture.
        width: of the picture.
        style: "lines" joins the points of each part of the face, "points" draws discs, "gaussians" draws bumps that
            fall off smoothly from 1.
        line_width: of a line or across a disc, in pixels; the standard deviation of a bump.

    Convention:
        Landmarks are (x, y) in [-1, 1] at the picture's outer edges; pixel j of W sits at (2j + 1) / W - 1. Strokes
        have an edge of one pixel, so that the picture is differentiable in the landmarks. What lies outside the picture
        is not drawn.

    Raises:
        ValueError: another shape, an unknown style, or a line_width that is not positive.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2):
        raise ValueError(f"landmarks: expected shape (B, 68, 2), got {tuple(landmarks.shape)}")
    if style not in ("lines", "points", "gaussians"):
        raise ValueError(f"style: expected 'lines', 'points' or 'gaussians', got {style!r}")
    if line_width <= 0:
        raise ValueError(f"line_width: expected a positive number of pixels, got {line_width}")
    segments = IBUG68_SEGMENTS if style == "lines" else tuple((point, point) for point in range(68))
    points = (landmarks + 1) / 2 * landmarks.new_tensor([width, height]) - 0.5
    squared = _squared_distance(points, segments, height, width)
    if style == "gaussians":
        ink = torch.exp(-squared / (2 * line_width**2))
    else:
        ink = (line_width / 2 + 0.5 - (squared + 1e-12).sqrt()).clamp(0, 1)
    return 2 * ink[:, None] - 1


def _squared_distance(points: Tensor, segments: tuple[tuple[int, int], ...], height: int, width: int) -> Tensor:
    """From every pixel to the nearest segment between two points, (B, H, W), in square pixels."""
    rows = torch.arange(height, device=points.device, dtype=points.dtype).view(1, height, 1)
    columns = torch.arange(width, device=points.device, dtype=points.dtype).view(1, 1, width)
    nearest = torch.full((len(points), height, width), torch.inf, device=points.device, dtype=points.dtype)
    for start, stop in segments:
        x, y = points[:, start].T[:, :, None, None]
        along_x, along_y = (points[:, stop] - points[:, start]).T[:, :, None, None]
        length = (along_x.square() + along_y.square()).clamp_min(1e-12)
        share = (((columns - x) * along_x + (rows - y) * along_y) / length).clamp(0, 1)
        offset_x, offset_y = columns - x - share * along_x, rows - y - share * along_y
        nearest = torch.minimum(nearest, offset_x.square() + offset_y.square())
    return nearest
