"""Joints of a body as the maps that GFLA's official weights for dance were trained on."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from geotrans.ops.body_structure import CHANNELS
from geotrans.ops.poses import line_distance, pose_maps

Skeleton = Literal["coco", "human36m"]

# In the order of the joints in each skeleton.
COCO_JOINTS = (
    *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow"),
    *("right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee"),
    *("left ankle", "right ankle"),
)
HUMAN36M_JOINTS = (
    *("hip", "right hip", "right knee", "right foot", "left hip", "left knee", "left foot", "spine", "thorax"),
    *("neck", "head", "left shoulder", "left elbow", "left wrist", "right shoulder", "right elbow", "right wrist"),
)
_LIMBS: dict[Skeleton, tuple[tuple[int, int], ...]] = {
    "coco": (
        *((0, 1), (1, 3), (0, 2), (2, 4), (5, 7), (7, 9), (6, 8), (8, 10), (11, 12), (5, 6)),
        *((11, 13), (12, 14), (13, 15), (14, 16), (5, 11), (6, 12)),
    ),
    "human36m": (
        *((0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9), (9, 10)),
        *((8, 11), (11, 12), (12, 13), (8, 14), (14, 15), (15, 16)),
    ),
}
_JOINTS = 17
_SIZE = 6.0  # standard deviation of a joint's Gaussian, in pixels
_RADIUS = 2.0  # of a joint's disc, in pixels
_WHITE = 255.0


def official_body_structure(joints: Tensor, height: int, width: int, skeleton: Skeleton) -> Tensor:
    """17 joints (B, 17, 2) as the official weights read them, (B, 20, H, W).

    Channels 0 to 16 hold a Gaussian for each joint, up to 1; 17 to 19 a figure in red, green and blue, up to 255: white
    lines, one pixel wide and with soft edges, and over them a disc for each joint, in the first 17 colours of PASCAL
    VOC's palette, black first. A missing joint, NaN, has an empty map and no disc, and its lines are left out.

    The weights know two skeletons. Wanted frames, and frames before them, have that of Human3.6M, from a network that
    smooths motion; the reference picture, and what stands for the frame before at a clip's start, have COCO's, see
    `body_structure.COCO17` for its joints among OpenPose's. For the files that `geotrans animate` reads, which hold
    values up to 1, divide the figure by 255; a network's first norm takes no notice.

    Chosen here: lines fade to 0 at a distance of 1 pixel, where they cross the brighter one is seen, and nothing is
    rounded to whole pixels; a disc reaches to a distance of 2 pixels, and a later one covers an earlier one.

    Args:
        skeleton: "coco", joints as `COCO_JOINTS`, or "human36m", as `HUMAN36M_JOINTS`.

    Convention:
        Joints are (x, y) in [-1, 1] at the picture's outer edges; pixel j of W sits at (2j + 1) / W - 1. The weights'
        pictures have 256 x 256.

    Raises:
        ValueError: another shape, or an unknown skeleton.
    """
    if joints.ndim != 3 or joints.shape[1:] != (_JOINTS, 2):
        raise ValueError(f"joints: expected shape (B, {_JOINTS}, 2), got {tuple(joints.shape)}")
    if skeleton not in (known := get_args(Skeleton)):
        raise ValueError(f"skeleton: expected one of {', '.join(known)}, got {skeleton!r}")
    joints = joints.float()
    lines = _lines(joints, height, width, skeleton)[:, None]
    discs = pose_maps(joints, height, width, style="discs", size=_RADIUS)
    colours = palette(_JOINTS).to(joints)[:, :, None, None]  # (17, 3, 1, 1)
    figure = (_WHITE * lines).expand(-1, 3, -1, -1)
    for disc, colour in zip(discs.unbind(1), colours, strict=True):
        figure = torch.where(disc[:, None] > 0, colour, figure)
    structure = torch.cat([pose_maps(joints, height, width, size=_SIZE), figure], dim=1)
    assert structure.shape[1] == CHANNELS
    return structure


def palette(count: int) -> Tensor:
    """The first colours of PASCAL VOC's palette, (count, 3) from 0 to 255.

    A number's lowest three bits are the highest of red, green and blue, the next three their second highest, and so on.
    """
    numbers = torch.arange(count)[:, None]
    colours = torch.zeros(count, 3, dtype=torch.int64)
    for place in range(8):
        colours |= (numbers >> (3 * place + torch.arange(3)) & 1) << (7 - place)
    return colours


def _lines(joints: Tensor, height: int, width: int, skeleton: Skeleton) -> Tensor:
    """How much of a limb each pixel shows, (B, H, W) from 0 to 1."""
    return (1 - line_distance(joints, _LIMBS[skeleton], height, width)).clamp_min(0)
