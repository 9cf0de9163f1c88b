"""Maps of joints, as GFLA, PATN and Intrinsic Flow want them."""

import math

import pytest
import torch

from geotrans.ops.poses import pose_maps


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
