"""Parts of a body: where they go, and what they cover."""

import pytest
import torch

from geotrans.ops.limbs import CROPS, PARTS, joints_of, limb_corners, part_crops, part_masks, part_transforms
from geotrans.ops.poses import pose_maps
from geotrans.ops.warp import identity_grid

# A figure in a picture of 100 x 50 pixels (width x height twice as wide as high), arms and legs apart.
FIGURE = [
    *[(0.0, -0.70), (0.0, -0.45)],
    *[(-0.10, -0.44), (-0.24, -0.2), (-0.30, 0.1), (0.11, -0.45), (0.22, -0.22), (0.31, 0.12)],
    *[(-0.07, 0.10), (-0.10, 0.45), (-0.12, 0.80), (0.08, 0.11), (0.10, 0.46), (0.11, 0.82)],
    *[(-0.02, -0.74), (0.02, -0.75), (-0.04, -0.72), (0.05, -0.73)],
]
HEIGHT, WIDTH = 50, 100


def figure(*moves):
    """The figure, each given joint missing."""
    joints = torch.tensor([FIGURE], dtype=torch.float64)
    for joint in moves:
        joints[:, joint] = torch.nan
    return joints


def affine_motion(matrix, joints):
    return torch.einsum("ij,bpj->bpi", matrix[:, :2], joints) + matrix[:, 2]


def test_joints_are_read_off_their_maps():
    joints = figure(4)
    read = joints_of(pose_maps(joints, HEIGHT, WIDTH, size=3))
    known = joints.isfinite().all(2)
    assert torch.equal(read.isfinite().all(2), known)
    error = (read - joints)[known].abs()
    assert (error <= torch.tensor([1 / WIDTH, 1 / HEIGHT]).double() + 1e-9).all()  # half a pixel


def test_the_same_pose_is_the_identity():
    fits = part_transforms(figure(), figure(), HEIGHT, WIDTH)
    torch.testing.assert_close(fits, torch.eye(2, 3).double().expand(1, PARTS, 2, 3), atol=1e-9, rtol=0)


def test_a_moved_body_is_moved_back_part_by_part():
    """Turned (in pixels), scaled and shifted as a whole, every part tells the same map."""
    angle, aspect = torch.tensor(0.4, dtype=torch.float64), WIDTH / HEIGHT
    turn = 1.3 * torch.tensor(
        [[angle.cos(), -angle.sin() / aspect], [angle.sin() * aspect, angle.cos()]], dtype=torch.float64
    )
    matrix = torch.cat([turn, torch.tensor([[0.1], [-0.2]], dtype=torch.float64)], dim=1)
    fits = part_transforms(affine_motion(matrix, figure()), figure(), HEIGHT, WIDTH)
    torch.testing.assert_close(fits, matrix.expand(1, PARTS, 2, 3), atol=1e-9, rtol=0)


def test_a_raised_arm_moves_alone():
    raised = figure()
    raised[:, 4] = torch.tensor([-0.5, -0.6])
    fits = part_transforms(raised, figure(), HEIGHT, WIDTH)
    moved = (fits - torch.eye(2, 3).double()).abs().amax((2, 3))[0] > 1e-6
    assert moved.tolist() == [part == 8 for part in range(PARTS)]  # the right forearm
    ends = affine_motion(fits[0, 8], figure()[:, [3, 4]])
    torch.testing.assert_close(ends[:, 0], raised[:, 3], atol=0.05, rtol=0)
    assert (ends[:, 1] - raised[:, 4]).norm() < 0.1


@pytest.mark.parametrize(
    ("missing", "parts"), [((4,), [8]), ((3,), [6, 8]), ((2,), range(PARTS)), ((8,), range(PARTS)), ((14, 15), [])]
)
def test_what_is_missing_cannot_be_told(missing, parts):
    for source, target in ((figure(*missing), figure()), (figure(), figure(*missing))):
        told = part_transforms(source, target, HEIGHT, WIDTH).isfinite().all(3).all(2)[0]
        assert [part for part in range(PARTS) if not told[part]] == list(parts)
    faceless = figure(0, 14, 15, 16, 17)
    told = part_transforms(faceless, faceless, HEIGHT, WIDTH).isfinite().all(3).all(2)[0]
    assert [part for part in range(PARTS) if not told[part]] == [1]
    assert not part_masks(faceless, HEIGHT, WIDTH)[0, 1].any()


def test_masks_hold_their_joints():
    masks, joints = part_masks(figure(), HEIGHT, WIDTH)[0], figure()[0]
    pixel = ((joints + 1) / 2 * torch.tensor([WIDTH, HEIGHT])).long()

    def holds(part, joint):
        return bool(masks[part, pixel[joint, 1], pixel[joint, 0]])

    assert masks[0].all()
    assert all(holds(1, joint) for joint in (0, 14, 15, 16, 17))
    assert not holds(1, 8)
    for part, ends in enumerate([(8, 9), (11, 12), (9, 10), (12, 13), (2, 3), (5, 6), (3, 4), (6, 7)], start=2):
        assert all(holds(part, joint) for joint in ends)
        assert masks[part].mean() < 0.2
    assert not holds(8, 7)


def test_limbs_are_rectangles_of_pixels():
    for corners in limb_corners(figure(), HEIGHT, WIDTH):
        pixels = corners[0] / torch.tensor([2 / WIDTH, 2 / HEIGHT])
        sides = pixels.roll(-1, 0) - pixels
        torch.testing.assert_close(sides[0], -sides[2])
        assert abs(sides[0] @ sides[1]) < 1e-9


def test_masks_of_missing_joints_are_empty():
    masks = part_masks(figure(4), HEIGHT, WIDTH)[0]
    assert [part for part in range(PARTS) if not masks[part].any()] == [8]
    assert not part_masks(figure(11), HEIGHT, WIDTH).any()  # no torso, no measure


def test_crops_show_their_part_upright():
    """Pictures of positions: a crop's corners show where the part's corners are."""
    image = identity_grid(HEIGHT, WIDTH, dtype=torch.float64).permute(0, 3, 1, 2)
    crops = part_crops(image, figure(), 32, 16).view(CROPS, 2, 32, 16)
    torso, forearm = crops[0], crops[3]
    for (row, column), joint in (((0, 0), 2), ((0, -1), 5), ((-1, -1), 11), ((-1, 0), 8)):
        torch.testing.assert_close(torso[:, row, column], figure()[0, joint], atol=0.03, rtol=0)
    corners = limb_corners(figure(), HEIGHT, WIDTH)[6][0]
    for (row, column), corner in zip(((0, 0), (0, -1), (-1, -1), (-1, 0)), corners, strict=True):
        torch.testing.assert_close(forearm[:, row, column], corner, atol=0.04, rtol=0)
    elbow_to_wrist = figure()[0, 4] - figure()[0, 3]
    down_the_crop = forearm[:, -1].mean(1) - forearm[:, 0].mean(1)
    assert torch.cosine_similarity(down_the_crop, elbow_to_wrist, dim=0) > 0.99


def test_crops_of_missing_parts_are_empty():
    image = torch.ones(1, 3, HEIGHT, WIDTH, dtype=torch.float64)
    crops = part_crops(image, figure(4, 0, 14, 15, 16, 17), 8, 8).view(CROPS, 3, 8, 8)
    empty = [part for part in range(CROPS) if not crops[part].any()]
    assert empty == [1, 3]  # the head, the right forearm
