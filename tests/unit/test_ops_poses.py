"""Maps of joints, as GFLA, PATN and Intrinsic Flow want them."""

import math

import pytest
import torch

from geotrans.ops.poses import OPENPOSE18_MIRROR, mirror_joints, pose_maps, stick_figure


def at(row, column, height=20, width=12):
    """A joint at the centre of a pixel."""
    return [(2 * column + 1) / width - 1, (2 * row + 1) / height - 1]


def test_gaussians_peak_at_their_joint_and_missing_joints_are_zero():
    joints = torch.tensor([[at(3, 5), [math.nan, math.nan], at(10, 2)]])
    maps = pose_maps(joints, 20, 12, size=2)
    assert maps.shape == (1, 3, 20, 12)
    assert maps[0, 0, 3, 5].item() == pytest.approx(1)
    assert maps[0, 0].argmax() == 3 * 12 + 5
    assert maps[0, 0, 5, 6].item() == pytest.approx(math.exp(-(2**2 + 1**2) / (2 * 2**2)), rel=1e-5)
    assert not maps[0, 1].any()
    assert maps[0, 2, 10, 2].item() == pytest.approx(1)


def test_points_are_single_pixels():
    joints = torch.tensor([[at(3.4, 5.4), at(0, 11), [math.nan, 0.0], [1.5, 0.0], [-1.0, -1.0]]])
    maps = pose_maps(joints, 20, 12, style="points")
    assert maps[0].sum((1, 2)).tolist() == [1, 1, 0, 0, 1]
    assert maps[0, 0, 3, 5] == 1
    assert maps[0, 1, 0, 11] == 1


@pytest.mark.parametrize("column", [4.5, 4.999, 5.0, 5.25])
def test_a_joint_between_two_pixels_is_one_point(column):
    assert pose_maps(torch.tensor([[at(3, column)]], dtype=torch.float64), 20, 12, style="points").sum() == 1


def test_points_are_what_is_left_of_gaussians_as_whole_numbers():
    joints = torch.tensor([[at(3, 5), at(17, 0)]], dtype=torch.float64)
    whole = pose_maps(joints, 20, 12).add(1e-12).to(torch.uint8)
    assert torch.equal(whole.double(), pose_maps(joints, 20, 12, style="points"))


def test_discs_hold_all_pixels_up_to_their_radius():
    maps = pose_maps(torch.tensor([[at(10, 6)]], dtype=torch.float64), 20, 12, style="discs", size=3.1)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(12), indexing="ij")
    assert torch.equal(maps.bool(), (rows - 10) ** 2 + (columns - 6) ** 2 <= 9)


@pytest.mark.parametrize(
    ("joints", "options", "message"),
    [
        (torch.zeros(1, 18), {}, r"joints: expected shape \(B, J, 2\), got \(1, 18\)"),
        (torch.zeros(1, 18, 2), {"style": "dots"}, "expected 'gaussians', 'points' or 'discs', got 'dots'"),
        (torch.zeros(1, 18, 2), {"size": 0.0}, "size: expected a positive number of pixels, got 0.0"),
    ],
)
def test_wrong_arguments_are_named(joints, options, message):
    with pytest.raises(ValueError, match=message):
        pose_maps(joints, 8, 8, **options)


def test_a_stick_figure_has_its_sides_in_colours():
    joints = torch.full((1, 18, 2), math.nan)
    for joint, place in ((1, at(2, 6)), (2, at(2, 3)), (3, at(8, 3)), (5, at(2, 9)), (6, at(8, 9))):
        joints[0, joint] = torch.tensor(place)
    figure = stick_figure(joints, 20, 12, line_width=0.05)
    assert figure.shape == (1, 3, 20, 12)
    lit = [set(map(tuple, (channel > 0.5).nonzero().tolist())) for channel in figure[0]]
    assert lit[0] == {(2, column) for column in range(3, 10)}  # shoulder to neck to shoulder
    assert lit[1] == {(row, 3) for row in range(2, 9)}  # right upper arm
    assert lit[2] == {(row, 9) for row in range(2, 9)}
    assert figure.min() == -1
    assert (stick_figure(torch.full((2, 18, 2), math.nan), 20, 12) == -1).all()
    with pytest.raises(ValueError, match=r"joints: expected shape \(B, 18, 2\), got \(1, 17, 2\)"):
        stick_figure(joints[:, :17], 20, 12)
    with pytest.raises(ValueError, match=r"line_width: expected a positive share of the height, got 0\.0"):
        stick_figure(joints, 20, 12, line_width=0.0)


def test_a_mirrored_person_has_left_and_right_exchanged():
    joints = torch.rand(2, 18, 2) * 2 - 1
    joints[0, 4] = math.nan  # the right wrist
    mirrored = mirror_joints(joints)
    assert mirrored[0, 7].isnan().all()
    torch.testing.assert_close(mirrored[1, 7], joints[1, 4] * torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(mirror_joints(mirrored), joints, equal_nan=True)
    swapped = pose_maps(joints, 20, 12, size=2)[:, list(OPENPOSE18_MIRROR)].flip(3)
    torch.testing.assert_close(pose_maps(mirrored, 20, 12, size=2), swapped, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"expected shape \(B, 18, 2\), got \(1, 17, 2\)"):
        mirror_joints(joints[:1, :17])
