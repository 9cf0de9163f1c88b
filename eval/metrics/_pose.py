"""Where a person is, from the maps of 18 joints."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

JOINTS = 18
RADIUS = 4.0  # pixels, at any size, as in the official code
CLOSING = 5
# Of OpenPose: neck 1, shoulders 2 5, elbows 3 6, wrists 4 7, hips 8 11, knees 9 12, ankles 10 13, face 0 14-17. After
# Siarohin et al. 2018, whose mask also spans shoulders, hips and ears.
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (1, 16), (1, 17), (8, 11), (11, 5), (8, 2), (16, 17)),
)


def pose_mask(structure: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1, H, W) in {0, 1}: pixels within 4 of a joint or of a limb between two, and what a closing of 5 x 5 adds.

    Args:
        structure: (B, 18, H, W) maps that are highest, 1, at a joint or in a disc around it; see
            `geotrans.ops.poses.pose_maps`. A map of zeros is a missing joint.
        size: of the pictures, which must be the maps' own.

    Raises:
        ValueError: another shape.
    """
    if structure.ndim != 4 or structure.shape[1] != JOINTS or tuple(structure.shape[2:]) != size:
        raise ValueError(f"expected maps of 18 joints (B, 18, {size[0]}, {size[1]}), got {tuple(structure.shape)}")
    height, width = size
    peak = structure.flatten(2).amax(2)  # (B, 18)
    there = peak >= 0.5
    rows = torch.arange(height, dtype=torch.float64, device=structure.device)[:, None]
    columns = torch.arange(width, dtype=torch.float64, device=structure.device)
    highest = (structure >= peak[:, :, None, None]).double()  # one pixel, or the disc that some draw
    count = highest.sum((2, 3))
    y, x = (highest * rows).sum((2, 3)) / count, (highest * columns).sum((2, 3)) / count
    mask = torch.zeros(len(structure), height, width, dtype=torch.bool, device=structure.device)
    for start, stop in (*((joint, joint) for joint in range(JOINTS)), *LIMBS):
        x0, y0, x1, y1 = (value[:, None, None] for value in (x[:, start], y[:, start], x[:, stop], y[:, stop]))
        length = torch.hypot(x1 - x0, y1 - y0)
        if start == stop:
            near = torch.hypot(columns - x0, rows - y0) < RADIUS
        else:
            along = ((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / length.clamp(min=1e-9)
            across = ((columns - x0) * (y1 - y0) - (rows - y0) * (x1 - x0)) / length.clamp(min=1e-9)
            near = (along >= 0) & (along <= length) & (across.abs() <= RADIUS) & (length > 0)
        mask |= near & (there[:, start] & there[:, stop])[:, None, None]
    grown = F.max_pool2d(mask[:, None].float(), CLOSING, stride=1, padding=CLOSING // 2)
    return -F.max_pool2d(-grown, CLOSING, stride=1, padding=CLOSING // 2)
