"""What the papers say of their losses, in numbers. Others stand where the thing itself is tested.

L-a (LSGAN's minimum at 1), L-b (the Wasserstein critic is antisymmetric), L-c (vanilla is -log sigmoid) and C5 (no
penalty on a critic of norm 1): test_losses_adversarial.py. D-e and D-f also of the functions themselves:
test_models_defgan.py. D-g with GANimation's own code: test_losses_golden.py. B-g with MUNIT's: test_models_munit.py.
"""

import pytest
import torch
import torch.nn.functional as F

from geotrans.losses.adversarial import adv_lsgan_d, adv_lsgan_g, adv_vanilla_d
from geotrans.losses.base import LossInputs
from geotrans.losses.condition import cls_au_mse_fake, cls_au_mse_moved, cls_au_mse_real
from geotrans.losses.flow import flow_compose, flow_identity, flow_tv
from geotrans.losses.identity import id_cosine
from geotrans.losses.mask import mask_area, mask_tv
from geotrans.losses.perceptual import gram, texture_gram
from geotrans.losses.reconstruction import feature_matching
from geotrans.ops.flow import from_pixels, invert
from geotrans.ops.grids import base_grid
from geotrans.types import Condition, Critique, Translation


def moved(flow, back=None):
    image = torch.zeros(len(flow), 3, *flow.shape[2:])
    return LossInputs(image, output=Translation(image, flow=flow), cycle=Translation(image, flow=back))


def smooth_flow(pixels, size=128):
    coarse = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    field = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return from_pixels(pixels * field / field.abs().max())


def test_d_e_composition():
    shift = from_pixels(torch.full((1, 2, 64, 64), 3.0))
    assert flow_compose()(moved(shift, -shift)).max() < 1e-8
    flow = smooth_flow(5.0)
    left = flow_compose()(moved(flow, invert(flow, 40)))
    assert (left * 64**2).max() < 1e-6  # in squared pixels of 128
    still = torch.zeros_like(flow)
    assert torch.equal(flow_compose()(moved(still, still)), torch.zeros(2, dtype=torch.float64))
    alone = flow_compose()(moved(flow, still))
    torch.testing.assert_close(alone, flow.square().mean((1, 2, 3)))
    assert (alone > 1e-6).all()


def test_d_f_total_variation_is_that_of_the_residual_and_its_documented_factor_gives_the_sum_over_pixels():
    size = 128
    assert flow_tv(squared=True)(moved(torch.zeros(1, 2, size, size))).item() == 0.0
    grid = base_grid(size, size)  # absolute positions, whose variation would shrink the picture
    whole = 2 * size * (size - 1) * flow_tv(squared=True)(moved(grid))
    assert whole.item() == pytest.approx(8.06, abs=5e-3)
    assert flow_identity(p=2)(moved(torch.zeros(1, 2, 8, 8))).item() == 0.0


def test_the_documented_factor_of_the_mask_gives_the_sum_over_pixels():
    size, mask = 16, torch.rand(2, 1, 16, 16)
    inputs = LossInputs(mask, output=Translation(mask, mask=mask))
    across, down = mask.diff(dim=3).square().sum((1, 2, 3)), mask.diff(dim=2).square().sum((1, 2, 3))
    torch.testing.assert_close(size * (size - 1) * mask_tv(squared=True)(inputs), across + down)
    torch.testing.assert_close(mask_area(p=2)(inputs), mask.square().mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("loss", "side", "weight", "here"),
    [
        (cls_au_mse_real, "real", 4000, 160),
        (cls_au_mse_fake, "fake", 4000, 160),
        (cls_au_mse_moved, "moved", 1000, 40),
    ],
)
def test_d_g_reductions_at_a_batch_of_25(loss, side, weight, here):
    """GANimation's reduction: the mean over batch and action units, divided by the batch once more."""
    wanted, read = Condition(aus=torch.rand(25, 17)), torch.rand(25, 17)
    critique = Critique(condition=Condition(aus=read))
    inputs = LossInputs(torch.zeros(25, 3, 4, 4), source=wanted, target=wanted, **{side: critique})
    official = weight * F.mse_loss(read, wanted.aus) / 25
    torch.testing.assert_close(here * loss()(inputs).mean(), official)


@pytest.mark.parametrize("of", ["image", "warped"])
def test_d_i_the_face_of_an_unmoved_picture_is_the_same(of):
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    still = LossInputs(image, output=Translation(image, warped=image))
    torch.testing.assert_close(id_cosine(of=of)(still), torch.zeros(2), atol=1e-6, rtol=0)
    mixed = Translation(image.flip(0), warped=image)
    assert (id_cosine(of=of)(LossInputs(image, output=mixed)).max() > 1e-3) == (of == "image")


def test_p_c_gram_is_symmetric_positive_and_independent_of_size():
    maps = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    matrix = gram(maps)
    torch.testing.assert_close(matrix, matrix.mT)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12
    torch.testing.assert_close(gram(maps.tile(2, 3)), matrix)  # the same texture over a larger area


def test_p_c_texture_of_a_picture_is_its_own_and_does_not_know_places():
    image = torch.rand(2, 3, 64, 64) * 2 - 1

    def loss(output):
        return texture_gram(feature="synthface_features")(LossInputs(image, output=Translation(output), other=image))

    torch.testing.assert_close(loss(image), torch.zeros(2))
    assert (loss(0.5 * image) > 0).all()

    def pixels(image, layers):
        return (image,)

    moved_about = image.flatten(2)[:, :, torch.randperm(64 * 64)].view_as(image)
    inputs = LossInputs(image, output=Translation(moved_about), other=image)
    torch.testing.assert_close(texture_gram(feature=pixels)(inputs), torch.zeros(2))


def test_p6_feature_matching_of_pix2pixhd_is_four_times_ours_at_any_depth():
    for layers, scales in ((3, 2), (2, 1), (4, 3)):
        real, fake = (
            Critique(features=tuple(tuple(torch.randn(2, 4, 5, 5) for _ in range(layers + 1)) for _ in range(scales)))
            for _ in range(2)
        )
        official = torch.zeros(())
        for theirs, ours in zip(real.features, fake.features, strict=True):
            for r, f in zip(theirs, ours, strict=True):
                official = official + 1 / scales * 4 / (layers + 1) * F.l1_loss(f, r)
        value = feature_matching()(LossInputs(torch.zeros(2, 3, 4, 4), real=real, fake=fake)).mean()
        torch.testing.assert_close(4 * value, official)


def test_feature_matching_of_ganimorph():
    real, fake = (tuple(torch.randn(3, 4, side, side) for side in (8, 4, 2)) for _ in range(2))
    official = torch.stack([F.mse_loss(r.mean(0), f.mean(0)) for r, f in zip(real, fake, strict=True)]).mean()
    inputs = LossInputs(torch.zeros(3, 3, 4, 4), real=Critique(features=(real,)), fake=Critique(features=(fake,)))
    value = feature_matching(batch_mean=True, squared=True)(inputs)
    torch.testing.assert_close(value, official.expand(3))


def judged(scales):
    real, fake = (tuple(torch.randn(2, 1, side, side) for side in (8, 4, 2)[:scales]) for _ in range(2))
    return real, fake, LossInputs(torch.zeros(2, 3, 4, 4), real=Critique(real), fake=Critique(fake))


def test_b_f_pix2pix_halves_its_discriminators_loss():
    """The official code averages the cross-entropies of the real and of the fake: a weight of 1/2 here."""
    (real,), (fake,), inputs = judged(1)
    cross_entropy = F.binary_cross_entropy_with_logits
    official = (cross_entropy(real, torch.ones_like(real)) + cross_entropy(fake, torch.zeros_like(fake))) / 2
    torch.testing.assert_close(0.5 * adv_vanilla_d()(inputs).mean(), official)


def test_b_g_munit_sums_over_scales_and_halves_nothing():
    real, fake, inputs = judged(3)
    official = sum(r.sub(1).square().mean() + f.square().mean() for r, f in zip(real, fake, strict=True))
    torch.testing.assert_close(adv_lsgan_d(scales="sum")(inputs).mean(), official)
    generator = sum(f.sub(1).square().mean() for f in fake)
    torch.testing.assert_close(adv_lsgan_g(scales="sum")(inputs).mean(), generator)
