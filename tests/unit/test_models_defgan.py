import pytest
import torch
from torch.nn import functional as F

from geotrans import create_discriminator, create_loss, create_model
from geotrans.losses.base import LossInputs
from geotrans.ops.flow import compose, from_pixels, invert, to_pixels, total_variation
from geotrans.ops.grids import base_grid, grid_residual
from geotrans.ops.warp import warp
from geotrans.types import Condition, Translation

GRIDS = ["integral", "displacement"]


def tiny(**options):
    return create_model("defgan_base_128", **{"width": 8, "blocks": 1, **options})


def batch(n=2, side=32):
    conditions = [Condition(aus=torch.rand(n, 17)) for _ in range(2)]
    return torch.rand(n, 3, side, side) * 2 - 1, *conditions


def positions(flow):
    """The absolute grid of the paper, -1 and 1 at the centres of the first and the last pixel."""
    height, width = flow.shape[2:]
    scale = torch.tensor([2 / (width - 1), 2 / (height - 1)]).view(1, 2, 1, 1)
    return base_grid(height, width) + to_pixels(flow) * scale


def test_channels_in_and_out():
    model = tiny()
    assert model.deformation[0][0][0].in_channels == 3 + 2 * 17
    assert model.texture.trunk[0][0].in_channels == 3 + 17
    image, target, source = batch()
    out = model(image, target, source)
    shapes = [tuple(value.shape) for value in (out.flow, out.warped, out.residual, out.mask, out.image)]
    assert shapes == [(2, c, 32, 32) for c in (2, 3, 3, 1, 3)]


@pytest.mark.parametrize("upsampling", ["convolution", "bilinear"])
@pytest.mark.parametrize("grid", GRIDS)
def test_it_starts_at_the_identity(grid, upsampling):
    image, target, source = batch()
    out = tiny(grid=grid, upsampling=upsampling)(image, target, source)
    assert torch.equal(out.flow, torch.zeros_like(out.flow))
    torch.testing.assert_close(out.warped, image, atol=1e-6, rtol=0)


def test_steps_stay_within_the_cited_limit_and_never_fold():
    flow = tiny().flow(20 * torch.randn(2, 2, 128, 128))
    grid = positions(flow)
    for steps in (grid[:, 0].diff(dim=2), grid[:, 1].diff(dim=1)):
        assert steps.min() > -1e-6
        assert steps.max() < 5 / 128 + 1e-6
        assert steps.max() > 0.99 * 5 / 128
    assert grid.abs().max() < 1 + 1e-6


def test_displacements_stay_within_5_pixels_at_128():
    pixels = to_pixels(tiny(grid="displacement").flow(20 * torch.randn(2, 2, 128, 128)))
    assert float(pixels.abs().max()) == pytest.approx(5, rel=1e-6)
    small = to_pixels(tiny(grid="displacement", resolution=64).flow(20 * torch.randn(2, 2, 64, 64)))
    assert float(small.abs().max()) == pytest.approx(5, rel=1e-6)


def test_the_grid_of_deforming_autoencoders_is_theirs(golden):
    case = golden("op_dae_integral_grid")
    increments, side = case.inputs["increments"], case.args["image_size"]
    model = tiny(grid="dae", resolution=side)
    flow = model.flow(torch.logit(increments.double() / (5 / side)))
    torch.testing.assert_close(positions(flow).float(), case.outputs["grid"], atol=1e-5, rtol=0)


def test_a_mask_of_0_keeps_the_deformed_image_and_of_1_takes_the_texture():
    model = tiny()
    image, target, source = batch()
    torch.nn.init.normal_(model.deformation[1][-1].weight)
    bias = torch.nn.Parameter(torch.empty(1))
    for value in (-1e3, 1e3):
        model.texture.mask.bias = bias
        torch.nn.init.constant_(bias, value)
        out = model(image, target, source)
        texture = model.texture.colour(model.texture.features(out.warped, target)).tanh()
        torch.testing.assert_close(out.image, texture if value > 0 else out.warped)
    assert (out.warped - image).abs().max() > 0.1


def test_the_deformed_image_comes_from_both_conditions():
    model = tiny()
    torch.nn.init.normal_(model.deformation[1][-1].weight, std=0.1)
    image, target, source = batch()
    flow, warped = model.deform(image, target, source)
    torch.testing.assert_close(warped, warp(image, flow))
    other = Condition(aus=1 - target.aus)
    assert (model.deform(image, other, source)[0] - flow).abs().max() > 1e-4
    assert (model.deform(image, target, other)[0] - flow).abs().max() > 1e-4


def test_composition_of_a_shift_and_its_opposite_is_zero():
    shift = from_pixels(torch.full((1, 2, 64, 64), 3.0))
    assert compose(shift, -shift).square().mean() < 1e-8


def test_composition_with_the_identity_is_the_deformation():
    flow, zero = 0.1 * torch.randn(1, 2, 16, 16), torch.zeros(1, 2, 16, 16)
    assert torch.equal(compose(zero, zero), zero)
    torch.testing.assert_close(compose(flow, zero), flow)
    assert compose(flow, zero).square().mean() > 0


def test_composition_of_a_smooth_deformation_and_its_inverse_is_small():
    coarse = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    smooth = F.interpolate(coarse, (128, 128), mode="bicubic", align_corners=False)
    flow = from_pixels(5 * smooth / smooth.abs().max())
    left = to_pixels(compose(flow, invert(flow, 40)))
    assert left.square().mean() < 1e-6


def test_total_variation_of_the_identity():
    grid = base_grid(128, 128)
    assert float(total_variation(grid_residual(grid), power=2, reduction="sum")) == pytest.approx(0, abs=1e-8)
    assert float(total_variation(grid, power=2, reduction="sum")) == pytest.approx(8.06, abs=5e-3)


def test_the_identity_loss_of_the_untrained_deformation_is_zero():
    image, target, source = batch()
    _, warped = tiny().deform(image, target, source)
    loss = create_loss("id_cosine", feature=lambda x: x.mean(dim=(2, 3)))
    assert loss(LossInputs(image, output=Translation(warped))).abs().max() < 1e-6


def test_missing_source_and_unknown_options_are_named():
    image, target, _ = batch()
    with pytest.raises(ValueError, match="pass source="):
        tiny()(image, target)
    with pytest.raises(ValueError, match=r"grid: expected 'integral', 'displacement' or 'dae', got 'tps'"):
        tiny(grid="tps")
    with pytest.raises(ValueError, match=r"upsampling: expected 'convolution' or 'bilinear', got 'none'"):
        tiny(upsampling="none")


def test_discriminator_reads_the_action_units():
    critique = create_discriminator("defgan_d_64")(torch.rand(2, 3, 64, 64))
    assert critique.condition.aus.shape == (2, 17)
    assert critique.scores[0].shape == (2, 1, 2, 2)
