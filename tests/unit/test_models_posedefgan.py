"""Siarohin's deformable GAN: what the parts of the body carry."""

import pytest
import torch
import torch.nn.functional as F

from geotrans import Condition, create_discriminator, create_model
from geotrans.models.posedefgan import LayerNorm, carry
from geotrans.ops.poses import pose_maps

JOINTS = torch.tensor(
    [
        *[(0.0, -0.70), (0.0, -0.45)],
        *[(-0.20, -0.44), (-0.44, -0.2), (-0.50, 0.1), (0.21, -0.45), (0.42, -0.22), (0.51, 0.12)],
        *[(-0.17, 0.10), (-0.20, 0.45), (-0.22, 0.80), (0.18, 0.11), (0.20, 0.46), (0.21, 0.82)],
        *[(-0.04, -0.74), (0.04, -0.75), (-0.08, -0.72), (0.09, -0.73)],
    ]
)[None]


def pose(joints, side=64):
    return Condition(structure=pose_maps(joints, side, side, size=2))


def picture(side=64):
    return torch.rand(1, 3, side, side) * 2 - 1


def test_parts_are_carried_and_the_largest_counts():
    features, masks = torch.randn(2, 3, 8, 8), torch.randint(2, (2, 10, 8, 8)).float()
    transforms = torch.eye(2, 3) + 0.3 * torch.randn(2, 10, 2, 3)
    transforms[0, 4] = torch.nan
    parts = []
    for part in range(10):
        grid = F.affine_grid(transforms[:, part].nan_to_num(), list(features.shape), align_corners=False)
        parts.append(F.grid_sample(features, grid, align_corners=False) * masks[:, part, None])
    parts[4][0] = 0
    torch.testing.assert_close(carry(features, transforms, masks), torch.stack(parts).amax(0))


@torch.no_grad()
def test_features_of_the_source_move_with_the_body():
    """A figure shifted by a quarter of the picture takes its features with it, at every size that moves."""
    model = create_model("posedefgan_64", width=4).eval()
    shift = torch.tensor([0.5, 0.0])
    near = JOINTS * 0.5 - shift / 2
    out = model(picture(), pose(near + shift), pose(near))
    transforms = out.intermediates["transforms"]
    assert transforms.shape == (1, 10, 2, 3)
    expected = torch.eye(2, 3).repeat(10, 1, 1)
    expected[:, 0, 2] = -0.5
    torch.testing.assert_close(transforms[0], expected, atol=1e-4, rtol=0)
    features = torch.randn(1, 5, 16, 16)
    masks = torch.ones(1, 10, 16, 16)
    moved = carry(features, transforms, masks)
    torch.testing.assert_close(moved[..., 4:], features[..., :-4], atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_poses_and_picture_matter():
    model = create_model("posedefgan_64", width=4).eval()
    image = picture()
    plain = model(image, pose(JOINTS), pose(0.8 * JOINTS)).image
    assert (model(image, pose(0.9 * JOINTS), pose(0.8 * JOINTS)).image - plain).abs().max() > 1e-3
    assert (model(image, pose(JOINTS), pose(0.7 * JOINTS)).image - plain).abs().max() > 1e-3
    assert (model(picture(), pose(JOINTS), pose(0.8 * JOINTS)).image - plain).abs().max() > 1e-3


@torch.no_grad()
def test_a_pose_that_shows_no_torso_still_gives_a_picture():
    out = create_model("posedefgan_64", width=4).eval()(
        picture(), pose(torch.full_like(JOINTS, torch.nan)), pose(JOINTS)
    )
    assert out.image.isfinite().all()
    assert not out.intermediates["parts"].any()
    assert not out.intermediates["transforms"].any()


def test_the_norm_is_one_over_a_whole_sample():
    norm, x = LayerNorm(), 3 * torch.randn(2, 4, 6, 5) + torch.arange(4.0).view(4, 1, 1)
    expected = (x - x.mean((1, 2, 3), keepdim=True)) / (x.std((1, 2, 3), correction=0, keepdim=True) + 1e-3)
    torch.testing.assert_close(norm(x), expected)
    assert sum(parameter.numel() for parameter in norm.parameters()) == 2


@torch.no_grad()
def test_score_map_at_256_pixels():
    model = create_discriminator("posedefgan_d_256", width=2)
    image, beside = picture(256), Condition(structure=torch.rand(1, 39, 256, 256))
    assert model(image, beside).scores[0].shape == (1, 1, 7, 7)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"multiples of 64, got \(32, 32\)"):
        create_model("posedefgan_fashion_256", width=4)(picture(32), pose(JOINTS, 32), pose(JOINTS, 32))
