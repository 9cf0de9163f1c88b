"""Joints of a body as the maps that GFLA's animation of persons reads."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.ops.poses import pose_maps, stick_figure

CHANNELS = 20

# COCO's 17 joints among OpenPose's 18, which have a neck too.
COCO17 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)


def body_structure(joints: Tensor, height: int, width: int, *, size: float = 6.0) -> Tensor:
    """OpenPose's 18 joints (B, 18, 2) as `Condition.structure`, (B, 20, H, W) in [0, 1].

    Channels 0 to 16 hold a Gaussian for each of COCO's 17 joints, in COCO's order; 17 to 19 a figure of lines in red,
    green and blue, see `stick_figure`. A missing joint, NaN, has an empty map, and its lines are left out.

    After GFLA's data for dance (Ren et al., CVPR 2020), with these differences: its figure has white lines between
    joints in colours; and its wanted frames show 17 joints of another kind, those of a network that smooths motion. See
    `official_body_structure` for both.

    Args:
        size: standard deviation of the Gaussians, in pixels.

    Convention:
        Joints are (x, y) in [-1, 1] at the picture's outer edges; pixel j of W sits at (2j + 1) / W - 1.

    Raises:
        ValueError: another shape, or a size that is not positive.
    """
    figure = stick_figure(joints, height, width)
    maps = pose_maps(joints[:, list(COCO17)], height, width, size=size)
    return torch.cat([maps, (figure + 1) / 2], dim=1)
