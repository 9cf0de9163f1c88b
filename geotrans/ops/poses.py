"""Poses as pictures: a map for every joint, as the networks for persons read them in `Condition.structure`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Style = Literal["gaussians", "points", "discs"]

# Lines of a stick figure between OpenPose's joints: head and torso, right arm and leg, left arm and leg.
_SIDES = (
    ((14, 0), (15, 0), (16, 14), (17, 15), (0, 1), (2, 1), (5, 1), (1, 8), (1, 11), (8, 11)),
    ((2, 3), (3, 4), (8, 9), (9, 10)),
    ((5, 6), (6, 7), (11, 12), (12, 13)),
)

# Joint i of a mirrored person is joint OPENPOSE18_MIRROR[i] of the person: the left wrist becomes the right one.
OPENPOSE18_MIRROR = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)


def mirror_joints(joints: Tensor) -> Tensor:
    """OpenPose's joints (B, 18, 2) of the mirrored picture: x changes its sign, left and right joints change places.

    Raises:
        ValueError: another shape.
    """
    if joints.ndim != 3 or joints.shape[1:] != (18, 2):
        raise ValueError(f"joints: expected shape (B, 18, 2), got {tuple(joints.shape)}")
    return joints[:, list(OPENPOSE18_MIRROR)] * joints.new_tensor([-1.0, 1.0])


def pose_maps(joints: Tensor, height: int, width: int, *, style: Style = "gaussians", size: float = 6.0) -> Tensor:
    """Draw every joint of a pose in a map of its own: (B, J, H, W) in [0, 1]; the map of a missing joint is 0.

    Args:
        joints: (B, J, 2); NaN in what is missing.
        height: of the maps.
        width: of the maps.
        style: "gaussians" fall off smoothly from 1 at the joint (GFLA: a size of 6); "points" are 1 at the pixel that
            holds the joint (what PATN's official weights know); "discs" are 1 up to a distance (Intrinsic Flow: a size
            of 8, or 4 for Market-1501).
        size: in pixels: standard deviation of a Gaussian, radius of a disc.

    Convention:
        Joints are (x, y) in [-1, 1] at the picture's outer edges; pixel j of W sits at (2j + 1) / W - 1. A joint
        outside the picture has no point, and of its Gaussian or disc what reaches in.

    Raises:
        ValueError: another shape, an unknown style, or a size that is not positive.
    """
    if joints.ndim != 3 or joints.shape[2] != 2:
        raise ValueError(f"joints: expected shape (B, J, 2), got {tuple(joints.shape)}")
    if style not in ("gaussians", "points", "discs"):
        raise ValueError(f"style: expected 'gaussians', 'points' or 'discs', got {style!r}")
    if size <= 0:
        raise ValueError(f"size: expected a positive number of pixels, got {size}")
    place = (joints + 1) / 2 * joints.new_tensor([width, height]) - 0.5
    columns = torch.arange(width, device=joints.device, dtype=joints.dtype) - place[..., 0, None]  # (B, J, W)
    rows = torch.arange(height, device=joints.device, dtype=joints.dtype) - place[..., 1, None]
    if style == "points":
        drawn = (_holds(rows)[..., :, None] & _holds(columns)[..., None, :]).to(joints.dtype)
    else:
        squared = rows.square()[..., :, None] + columns.square()[..., None, :]
        drawn = torch.exp(-squared / (2 * size**2)) if style == "gaussians" else (squared <= size**2).to(joints.dtype)
    return drawn.nan_to_num(nan=0.0)


def stick_figure(joints: Tensor, height: int, width: int, *, line_width: float = 0.02) -> Tensor:
    """Draw OpenPose's 18 joints as a figure of lines, (B, 3, H, W): 1 on a line, -1 elsewhere.

    The middle of the body in red, its right side in green, its left side in blue. What VU-Net draws from.

    Args:
        joints: (B, 18, 2), normalised; NaN in what is missing, whose lines are left out.
        height: of the picture.
        width: of the picture.
        line_width: in heights of the picture; lines have an edge of one pixel.

    Raises:
        ValueError: another shape, or a line_width that is not positive.
    """
    if joints.ndim != 3 or joints.shape[1:] != (18, 2):
        raise ValueError(f"joints: expected shape (B, 18, 2), got {tuple(joints.shape)}")
    if line_width <= 0:
        raise ValueError(f"line_width: expected a positive share of the height, got {line_width}")
    drawn = [line_width * height / 2 + 0.5 - line_distance(joints.float(), lines, height, width) for lines in _SIDES]
    return 2 * torch.stack(drawn, dim=1).clamp(0, 1) - 1


def line_distance(joints: Tensor, lines: Sequence[tuple[int, int]], height: int, width: int) -> Tensor:
    """Distance in pixels of every pixel to the nearest of the lines, (B, H, W); infinity if none is there.

    Args:
        joints: (B, J, 2), normalised; NaN in what is missing, whose lines are left out.
        lines: the two joints that each connects.
    """
    joints = (joints + 1) / 2 * joints.new_tensor([width, height]) - 0.5
    columns = torch.arange(width, device=joints.device)
    rows = torch.arange(height, device=joints.device)[:, None]
    nearest = torch.full((len(joints), height, width), torch.inf, device=joints.device, dtype=joints.dtype)
    for start, stop in lines:
        (x, y), (along_x, along_y) = (
            ends.T[:, :, None, None] for ends in (joints[:, start], joints[:, stop] - joints[:, start])
        )
        length = (along_x.square() + along_y.square()).clamp_min(1e-12)
        share = (((columns - x) * along_x + (rows - y) * along_y) / length).clamp(0, 1)
        distance = torch.hypot(columns - x - share * along_x, rows - y - share * along_y)
        nearest = torch.fmin(nearest, distance)  # of a number and NaN, the number
    return nearest


def _holds(distance: Tensor) -> Tensor:
    """Whether a pixel holds the place at that distance; of a place between two pixels, the first does not."""
    return (distance > -0.5) & (distance <= 0.5)
