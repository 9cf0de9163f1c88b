"""VU-Net: looks from the source's parts, shape from the wanted pose."""

import pytest
import torch
import torch.nn.functional as F

from geotrans import Condition, create_model
from geotrans.models.vunet import NormedConv
from geotrans.ops.poses import pose_maps

JOINTS = torch.tensor(
    [
        *[(0.0, -0.70), (0.0, -0.45)],
        *[(-0.20, -0.44), (-0.44, -0.2), (-0.50, 0.1), (0.21, -0.45), (0.42, -0.22), (0.51, 0.12)],
        *[(-0.17, 0.10), (-0.20, 0.45), (-0.22, 0.80), (0.18, 0.11), (0.20, 0.46), (0.21, 0.82)],
        *[(-0.04, -0.74), (0.04, -0.75), (-0.08, -0.72), (0.09, -0.73)],
    ]
)[None]


def pose(scale, side=64):
    return Condition(structure=pose_maps(scale * JOINTS, side, side, size=2))


def picture(side=64):
    return torch.rand(1, 3, side, side) * 2 - 1


@torch.no_grad()
def test_looks_come_from_the_parts_and_priors_from_the_pose():
    model, image = create_model("vunet_64", width=4, max_width=16).eval(), picture()
    plain = model(image, pose(1.0), pose(0.8)).intermediates
    turned = model(image, pose(0.9), pose(0.8)).intermediates
    other = model(picture(), pose(1.0), pose(0.8)).intermediates
    for scale in range(2):
        posterior, prior = f"posterior_{scale}", f"prior_{scale}"
        assert plain[posterior].shape == plain[prior].shape == (1, 16, 4 * 2**scale, 4 * 2**scale)
        assert torch.equal(plain[posterior], turned[posterior])
        assert (plain[posterior] - other[posterior]).abs().max() > 1e-3
        assert (plain[prior] - turned[prior]).abs().max() > 1e-4


@torch.no_grad()
def test_what_lies_outside_the_parts_is_not_looked_at():
    model, image = create_model("vunet_64", width=4, max_width=16).eval(), picture()
    other = image.clone()
    other[..., :4, :4] = 1
    first, second = (model(x, pose(1.0), pose(0.8)) for x in (image, other))
    torch.testing.assert_close(first.image, second.image)


@torch.no_grad()
def test_each_quarter_of_a_prior_knows_the_ones_before():
    prior = create_model("vunet_64", width=4, max_width=16).eval().decoder.priors[0]
    hidden, code = torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4)
    plain = prior(hidden, code)
    for number, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        changed = code.clone()
        changed[..., row::2, column::2] += 1
        difference = (prior(hidden, changed) - plain).abs()
        told = [difference[..., r::2, c::2].max() > 1e-6 for r in range(2) for c in range(2)]
        assert told == [later > number for later in range(4)]


def test_codes_are_drawn_in_training_only():
    model, args = create_model("vunet_64", width=4, max_width=16, dropout=0.0).eval(), (picture(), pose(1.0), pose(0.8))
    assert torch.equal(model(*args).image, model(*args).image)
    model.train()
    assert not torch.equal(model(*args).residual, model(*args).residual)


def test_filters_have_a_direction_and_a_length():
    conv, x = NormedConv(3, 5, 3), torch.randn(2, 3, 7, 6)
    with torch.no_grad():
        conv.length.copy_(torch.arange(5.0))
    norms = conv.direction.flatten(1).norm(dim=1)
    weight = conv.direction * (conv.length / norms)[:, None, None, None]
    torch.testing.assert_close(conv(x), F.conv2d(x, weight, conv.bias, padding=1))
    assert (conv(x)[:, 0] == 0).all()


def test_the_picture_is_cut_off_and_not_squashed():
    model = create_model("vunet_64", width=4, max_width=16).eval()
    with torch.no_grad():
        model.head.length.fill_(50)
        out = model(picture(), pose(1.0), pose(0.8))
    painted = out.warped + out.residual
    assert painted.abs().max() > 1
    torch.testing.assert_close(out.image, painted.clamp(-1, 1))


def test_impossible_sizes_are_named():
    model = create_model("vunet_64", width=4, max_width=16)
    with pytest.raises(ValueError, match=r"multiples of 32, got \(48, 64\)"):
        model(torch.zeros(1, 3, 48, 64), pose(1.0), pose(0.8))
    with pytest.raises(ValueError, match="latents: expected 1 to 4, the sizes of the parts' net, got 5"):
        create_model("vunet_64", latents=5)
