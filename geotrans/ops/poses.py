"""Poses as pictures: a map for every joint, as the networks for persons read them in `Condition.structure`."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Style = Literal["gaussians", "points", "discs"]


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


def _holds(distance: Tensor) -> Tensor:
    """Whether a pixel holds the place at that distance; of a place between two pixels, the first does not."""
    return (distance > -0.5) & (distance <= 0.5)
