"""A body as ten rigid parts: where each part of a pose goes in another, and which pixels it covers.

Paper: Siarohin et al., "Deformable GANs for Pose-based Human Image Generation", CVPR 2018, Sec. 3.2. Differences from
the paper: the sizes of the parts, which it leaves open, are the constants below.

Convention, for every function: joints are (B, 18, 2), OpenPose's in its order, (x, y) in [-1, 1] at the picture's outer
edges; NaN in what is missing. The parts are the torso, the head, and eight limbs: thighs, shins, upper arms, forearms,
the right one of each first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.ops.transforms import affine
from geotrans.ops.warp import identity_grid, warp

PARTS = 10
CROPS = 8
PEAK = 0.1  # a map that stays below it shows no joint

JOINTS = 18
# Of OpenPose: neck 1, shoulders 2 5, elbows 3 6, wrists 4 7, hips 8 11, knees 9 12, ankles 10 13, face 0 14-17. Of the
# mask, which also spans shoulders, hips and ears.
MASK_LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (1, 16), (1, 17), (8, 11), (11, 5), (8, 2), (16, 17)),
)
_MASK_PEAK = 0.5
_MASK_RADIUS = 4.0  # pixels, at any size, as in the official code
_MASK_CLOSING = 5

_TORSO = (8, 11, 5, 2)  # right and left hip, left and right shoulder
_FACE = (0, 14, 15, 16, 17)  # nose, eyes, ears
_SHOULDERS = (2, 5)
_CROPPED_LIMBS = (4, 6, 5, 7, 0, 1)  # upper arm and forearm, right and left; thighs
_LIMBS = ((8, 9), (11, 12), (9, 10), (12, 13), (2, 3), (5, 6), (3, 4), (6, 7))
_BEYOND = (0.1, 0.1, 0.3, 0.3, 0.1, 0.1, 0.3, 0.3)  # how far a limb reaches past its second joint, in its lengths
_BEFORE = 0.1  # and before its first
_HALF_WIDTH = 0.2  # of a limb, in lengths of the torso
_HEAD = 0.42  # by how much the head's box is larger than its joints', in lengths of the torso


def joints_of(maps: Tensor) -> Tensor:
    """The place where each map (B, J, H, W) is highest, (B, J, 2); NaN where no value reaches `PEAK`.

    The inverse of `ops.poses.pose_maps`, to the pixel; of a disc, the middle.
    """
    height, width = maps.shape[2:]
    places, peak = _highest(maps)
    joints = (2 * places + 1) / places.new_tensor([width, height]) - 1
    joints = joints.to(torch.promote_types(maps.dtype, torch.float32))
    return torch.where(peak[..., None] < PEAK, torch.nan, joints)


def pose_mask(structure: Tensor, size: tuple[int, int]) -> Tensor:
    """Where a person is, (B, 1, H, W) in {0, 1}: pixels within 4 of a joint or of a limb, and a closing of 5 x 5.

    The mask of the masked metrics of Siarohin et al., PATN and GFLA.

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
    places, peak = _highest(structure)
    there = peak >= _MASK_PEAK
    rows, columns = (torch.arange(side, dtype=places.dtype, device=places.device) for side in size)
    rows = rows[:, None]
    mask = torch.zeros(len(structure), height, width, dtype=torch.bool, device=structure.device)
    for start, stop in (*((joint, joint) for joint in range(JOINTS)), *MASK_LIMBS):
        x0, y0, x1, y1 = (value[:, None, None] for value in (*places[:, start].T, *places[:, stop].T))
        length = torch.hypot(x1 - x0, y1 - y0)
        if start == stop:
            near = torch.hypot(columns - x0, rows - y0) < _MASK_RADIUS
        else:
            along = ((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / length.clamp(min=1e-9)
            across = ((columns - x0) * (y1 - y0) - (rows - y0) * (x1 - x0)) / length.clamp(min=1e-9)
            near = (along >= 0) & (along <= length) & (across.abs() <= _MASK_RADIUS) & (length > 0)
        mask |= near & (there[:, start] & there[:, stop])[:, None, None]
    grown = F.max_pool2d(mask[:, None].float(), _MASK_CLOSING, stride=1, padding=_MASK_CLOSING // 2)
    return -F.max_pool2d(-grown, _MASK_CLOSING, stride=1, padding=_MASK_CLOSING // 2)


def part_transforms(source: Tensor, target: Tensor, height: int, width: int) -> Tensor:
    """For each part the affine map from its places in the target to those in the source, (B, 10, 2, 3), normalised.

    The best fit to the part's points: the torso's four joints; those of the face that both poses show, and the
    shoulders; a limb's corners. NaN where a part cannot be told, because joints of it are missing in either pose.

    Args:
        source: joints of the source.
        target: joints of the target.
        height: of the picture, in pixels: limbs are rectangles there.
        width: of the picture.
    """
    torso = [_fit(target[:, _TORSO], source[:, _TORSO])]
    head = (*_FACE, *_SHOULDERS)
    both = (target[:, head] + source[:, head]).isfinite().all(2)
    counted = both & both[:, : len(_FACE)].any(1, keepdim=True)
    face = [_fit(target[:, head], source[:, head], counted)]
    corners = zip(limb_corners(target, height, width), limb_corners(source, height, width), strict=True)
    fits = torch.stack([*torso, *face, *[_fit(*pair) for pair in corners]], dim=1)
    told = (_torso_length(source, height, width) * _torso_length(target, height, width)).isfinite()
    return torch.where(told[:, None, None, None], fits, torch.nan)


def part_masks(joints: Tensor, height: int, width: int) -> Tensor:
    """Which pixels each part covers, (B, 10, H, W) in {0, 1}; nothing of a part whose joints are missing.

    The torso's mask is the whole picture, so that the background moves with it; the head's is a box around its joints,
    a limb's the rectangle between its corners.
    """
    grid = identity_grid(height, width, device=joints.device, dtype=joints.dtype)[0]  # (H, W, 2)
    torso = _torso_length(joints, height, width)
    whole = torch.ones(len(joints), height, width, device=joints.device, dtype=torch.bool)
    low, high = _head_box(joints, height, width)
    box = ((grid >= low[:, None, None]) & (grid <= high[:, None, None])).all(3)
    limbs = [_inside(grid, corners) for corners in limb_corners(joints, height, width)]
    masks = torch.stack([whole, box, *limbs], dim=1)
    return (masks & torso.isfinite()[:, None, None, None]).to(joints.dtype)


def part_crops(image: Tensor, joints: Tensor, height: int, width: int) -> Tensor:
    """Pictures of eight parts, each brought upright into a frame of (height, width): (B, 8 * C, height, width).

    The torso and the head, both upper arms and forearms, both thighs; 0 for a part that cannot be told. What VU-Net
    reads looks off.

    Args:
        image: (B, C, H, W).
        joints: of the image.
    """
    shape = (image.shape[2], image.shape[3])
    limbs = limb_corners(joints, *shape)
    right_hip, left_hip, left_shoulder, right_shoulder = (joints[:, joint] for joint in _TORSO)
    torso = torch.stack([right_shoulder, left_shoulder, left_hip, right_hip], dim=1)
    low, high = _head_box(joints, *shape)
    head = torch.stack([low, torch.stack([high[:, 0], low[:, 1]], 1), high, torch.stack([low[:, 0], high[:, 1]], 1)], 1)
    square = joints.new_tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    identity = torch.eye(2, 3, device=joints.device, dtype=joints.dtype)
    crops: list[Tensor] = []
    for corners in (torso, head, *(limbs[limb] for limb in _CROPPED_LIMBS)):
        fit = _fit(square.expand(len(corners), -1, -1), torch.where(corners.isfinite(), corners, torch.nan))
        known = fit.isfinite().all(2).all(1)[:, None, None]
        crop = warp(image, affine(torch.where(known, fit - identity, 0.0), height, width))
        crops.append(crop * known[..., None].to(image.dtype))
    return torch.cat(crops, dim=1)


def limb_corners(joints: Tensor, height: int, width: int) -> list[Tensor]:
    """The corners of each limb's rectangle, (B, 4, 2) in order around it; NaN where one of its joints is missing."""
    unit = _unit(height, width, joints)
    half = _HALF_WIDTH * _torso_length(joints, height, width)[:, None]
    corners: list[Tensor] = []
    for (first, second), beyond in zip(_LIMBS, _BEYOND, strict=True):
        start, end = joints[:, first] / unit, joints[:, second] / unit  # in pixels
        along = end - start
        across = torch.stack([-along[:, 1], along[:, 0]], dim=1)
        across = half * across / across.norm(dim=1, keepdim=True).clamp_min(1e-6)
        start, end = start - _BEFORE * along, end + beyond * along
        corners.append(torch.stack([start + across, start - across, end - across, end + across], dim=1) * unit)
    return corners


def _highest(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Where each map (B, J, H, W) is highest, (x, y) in pixels, the middle of all such places; and how high, (B, J)."""
    peak = maps.flatten(2).amax(2)
    highest = (maps >= peak[:, :, None, None]).double()  # one pixel, or the disc that some draw
    rows, columns = (torch.arange(side, device=maps.device, dtype=highest.dtype) for side in maps.shape[2:])
    across, down = highest.sum(2), highest.sum(3)
    return torch.stack([across @ columns, down @ rows], dim=2) / across.sum(2, keepdim=True), peak


def _head_box(joints: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The upper left and the lower right corner of the head, (B, 2) each; without a face, infinite and inside out."""
    face = joints[:, _FACE]
    room = _HEAD * _torso_length(joints, height, width)[:, None] * _unit(height, width, joints)
    return face.nan_to_num(nan=torch.inf).amin(1) - room, face.nan_to_num(nan=-torch.inf).amax(1) + room


def _unit(height: int, width: int, like: Tensor) -> Tensor:
    """One pixel in normalised units, (x, y)."""
    return like.new_tensor([2 / width, 2 / height])


def _torso_length(joints: Tensor, height: int, width: int) -> Tensor:
    """From hip to shoulder, in pixels, the root mean square of both sides, (B,); NaN where a joint is missing."""
    right_hip, left_hip, left_shoulder, right_shoulder = (joints[:, joint] for joint in _TORSO)
    sides = torch.stack([right_hip - right_shoulder, left_hip - left_shoulder], dim=1) / _unit(height, width, joints)
    return sides.square().sum(2).mean(1).sqrt()


def _fit(places: Tensor, wanted: Tensor, counted: Tensor | None = None) -> Tensor:
    """The affine map (B, 2, 3) that takes places (B, P, 2) nearest to the wanted ones, of the points that count.

    NaN where they do not determine it.
    """
    points, wanted = torch.cat([places, torch.ones_like(places[..., :1])], dim=2).double(), wanted.double()
    if counted is not None:
        points, wanted = (torch.where(counted[..., None], x, 0.0) for x in (points, wanted))
    known = (points.isfinite().all(2) & wanted.isfinite().all(2)).all(1)
    points, wanted = (torch.where(known[:, None, None], x, 0.0) for x in (points, wanted))
    system = points.mT @ points
    told = known & (torch.linalg.det(system).abs() > 1e-9)
    eye = torch.eye(3, device=places.device, dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(torch.where(told[:, None, None], system, eye), points.mT @ wanted)
    return torch.where(told[:, None, None], solved.mT, torch.nan).to(places.dtype)


def _inside(grid: Tensor, corners: Tensor) -> Tensor:
    """Which points (H, W, 2) lie inside a convex shape with corners (B, 4, 2): (B, H, W). None inside one of NaN."""
    edges = corners.roll(-1, dims=1) - corners
    from_corner = grid[None, None] - corners[:, :, None, None]  # (B, 4, H, W, 2)
    side = edges[:, :, None, None, 0] * from_corner[..., 1] - edges[:, :, None, None, 1] * from_corner[..., 0]
    return (side >= 0).all(1) | (side <= 0).all(1)
