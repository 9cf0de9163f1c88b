"""What the papers and their code promise of each system, check by check, and where it is tested ("here" or in a file).

Common
C1 no flow, no change: test_ops_warp.py test_zero_flow_is_the_identity, test_pixels_of_the_official_spm
C2 whole pixels are exact: test_ops_warp.py test_whole_pixels_give_an_exact_crop
C3 gradients of flow and image: test_ops_warp.py test_gradcheck, test_gradients_of_the_official_spm
C4 pixels and normalised units: test_ops_flow.py test_pixels_are_half_a_side_to_the_unit; test_ops_warp.py
    test_corner_units_are_pixels_over_w_minus_1
C5 no penalty on a linear critic of norm 1: test_losses_adversarial.py test_penalty_of_a_linear_critic
C6 each side's step is its own: here; test_train_step.py
    test_nothing_of_the_discriminators_step_reaches_the_generator
C7 parameter counts: test_parameter_counts.py test_count_is_the_published_one

SPM
S-a, S-b shapes at 128, 256, 512 px, and ranges: here
S-c without motion, mask or paint: here
S-d without corrections: test_models_spm_pyramid.py test_without_corrections_everything_is_enlarged_bilinearly
S-e motions add up: here; test_models_spm.py test_basis_sums_flows
S-f the mask's mean, weights of the losses: here; test_losses_images.py test_mask_area_is_the_painted_share
S-g counts of the authors' networks: test_parameter_counts.py
S-h who learns in whose step: here
S-i largest motion in pixels: test_models_spm.py test_largest_motion_is_a_fraction_of_the_image
S-j squares become circles: here, with the bundled weights

DefGAN
D-a channels in and out: test_models_defgan.py test_channels_in_and_out
D-b starts at the identity: test_models_defgan.py test_it_starts_at_the_identity
D-c limits: test_models_defgan.py test_steps_stay_within_the_cited_limit_and_never_fold,
    test_displacements_stay_within_5_pixels_at_128
D-d masks: test_models_defgan.py test_a_mask_of_0_keeps_the_deformed_image_and_of_1_takes_the_texture
D-e, D-f, D-g, D-i losses: test_losses_fidelity.py; test_models_defgan.py
D-h critic steps and rate: here
D-j counts: test_parameter_counts.py

PortraitGAN
P-a sizes of pictures and score maps: here
P-a2 the modality matters: test_models_portraitgan.py test_only_another_modality_changes_the_picture
P-b receptive field: test_models_portraitgan.py test_receptive_field_is_70_pixels
P-c Gram matrices: test_losses_fidelity.py
P-d, P-f one generator for both ways, which are alike: here; test_models_portraitgan.py
    test_one_generator_serves_both_cycles
P-e weights 2, 10, 5, 10: here
P-g two discriminators, one step: here
P-h drawn landmarks: test_ops_landmarks.py test_one_channel_between_minus_one_and_one_that_holds_every_landmark,
    test_width_changes_only_the_thickness

GFLA
G-a shapes of flows and masks: test_models_gfla.py test_shapes_at_256_pixels, test_shapes_for_market
G-b patches: test_ops_attention.py test_zero_flow_reads_whole_pixels, test_blocks_are_what_the_definition_says,
    test_far_outside_lies_the_edge; test_ops_definitions.py
G-c kernels as maps: test_ops_attention.py test_kernels_lie_in_a_patch_row_by_row
G-d a constant: test_ops_attention.py test_a_constant_becomes_its_share_of_the_patch
G-e Gaussian resampling: test_ops_resample.py test_gaussian_keeps_constants_and_blurs
G-f affine regularisation: test_losses_sampling.py test_affine_flows_cost_nothing_however_large,
    test_affine_residual_is_that_of_a_fit_to_every_patch
G-g sampling correctness: test_losses_sampling.py test_the_right_flow_costs_nothing_bilinearly,
    test_the_best_match_may_be_anywhere
G-h masks: test_models_gfla.py test_a_mask_of_one_paints_and_of_zero_takes_what_was_attended
G-i counts: test_parameter_counts.py
G-j the first stage: test_losses_sampling.py test_flow_losses_teach_the_flow_estimator_only
G-k kernels add up to 1: test_models_gfla.py test_kernels_add_up_to_one_and_masks_are_shares
G-l maps of joints: test_ops_poses.py test_gaussians_peak_at_their_joint_and_missing_joints_are_zero

Baselines
B-a official weights give official outputs: test_convert_golden.py; as older versions of PyTorch wrote them:
    test_convert_old.py; at other sizes: test_convert_star.py, and
    test_other_sizes_convert_and_compute_the_same of each test_models_*.py
B-b image pool: test_train_pool.py test_pool_reproduces_the_official_code
B-c StarGAN's targets: test_data_pairs.py test_stargan_s_targets_keep_hair_colours_exclusive
B-d shifts come before scales: test_models_munit.py test_shifts_come_before_scales
B-e poses of single pixels: test_ops_poses.py test_points_are_single_pixels
B-f, B-g, L-a, L-b, L-c: test_losses_fidelity.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from geotrans import Condition, create_dataset, create_discriminator, create_model, create_recipe
from geotrans.losses.base import LossInputs
from geotrans.ops.flow import endpoint_error
from geotrans.ops.warp import warp
from geotrans.train.loop import Trainer
from geotrans.train.recipe import LossTerm, Optim, Recipe
from geotrans.train.schedule import learning_rate
from geotrans.train.step import Batch, Terms, generator_inputs
from geotrans.types import Translation

TINY = {"width": 4, "blocks": 1, "refine_blocks": 1}


def batch(n, side, attributes=4):
    return torch.rand(n, 3, side, side) * 2 - 1, Condition(attributes=torch.rand(n, attributes))


def spm_recipe(**changes):
    recipe = Recipe(
        generator="spm_refine_64",
        generator_options={"resolution": 16, **TINY},
        discriminator="star_d_64",
        discriminator_options={"resolution": 16, "width": 4, "layers": 3},
        motion_discriminator="spm_motion_d_64",
        motion_options={"resolution": 16, "width": 4},
        dataset="synthface",
        dataset_options={"resolution": 16, "size": 8},
        g_losses=(LossTerm("adv_wgan_g"), LossTerm("cls_bce_fake"), LossTerm("motion_cls", 0.5)),
        d_losses=(LossTerm("adv_wgan_d"), LossTerm("cls_bce_real")),
        batch_size=4,
        total_images=16,
    )
    return replace(recipe, **changes)


def portrait_recipe():
    recipe = create_recipe("portraitgan_base_64_synthface_modality")
    options = {"width": 4, "blocks": 1, "max_width": 8}
    data = {**recipe.dataset_options, "resolution": 64, "size": 4}
    small = replace(recipe, generator_options=options, discriminator_options={"width": 4}, dataset_options=data)
    return replace(small, batch_size=2, total_images=4, real_pool=0)


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(cpu=True)


def moved(trainer, steps=1):
    """Which tensors `steps` steps change."""
    before = {name: value.clone() for name, value in trainer.tensors().items()}
    list(trainer.run(steps))
    after = trainer.tensors()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_c6_the_generators_step_leaves_no_gradient_on_the_discriminator(accelerator):
    trainer = Trainer(spm_recipe(), accelerator)
    seen = []
    trainer.d_optim.register_step_post_hook(lambda *_: seen.append([p.grad.clone() for p in trainer.d_parameters]))
    list(trainer.run(1))
    assert len(seen) == 1
    assert all(torch.equal(p.grad, grad) for p, grad in zip(trainer.d_parameters, seen[0], strict=True))
    assert all(p.grad is not None for p in trainer.networks.generator.parameters())


@pytest.mark.parametrize(("name", "levels"), [("spm_refine_128", 0), ("spm_refine_256", 1), ("spm_refine_512", 2)])
@torch.no_grad()
def test_s_a_b_shapes_and_ranges(name, levels):
    model, side = create_model(name, **TINY), 128 * 2**levels
    features = []
    low = getattr(model, "low", model)
    low.encoder.register_forward_hook(lambda _, inputs, output: features.append(tuple(output.shape)))
    low.motion[-1].weight.mul_(100)
    out = model(*batch(1, side))
    assert features == [(1, 16, 32, 32)]
    shapes = {"image": 3, "warped": 3, "residual": 3, "mask": 1, "flow": 2}
    assert {part: tuple(getattr(out, part).shape) for part in shapes} == {
        part: (1, channels, side, side) for part, channels in shapes.items()
    }
    assert [out.intermediates[f"image_{k}"].shape[2] for k in range(levels)] == [128 * 2**k for k in range(levels)]
    assert out.image.abs().max() <= 1
    assert 0 <= out.mask.min() <= out.mask.max() <= 1
    assert out.flow.abs().max() <= 2 * 0.1 * (1 + levels)


def lively(name):
    """A small SPM that moves and whose small nets correct nothing."""
    model = create_model(name, **TINY)
    getattr(model, "low", model).motion[-1].weight.data.mul_(20)
    for nets in (model.motion, model.mask, model.residual) if hasattr(model, "low") else ():
        for net in nets:
            torch.nn.init.zeros_(net[2].weight)
    return model


def force(module, value):
    module.register_forward_hook(lambda _, inputs, output: torch.full_like(output, value))


@pytest.mark.parametrize("name", ["spm_refine_128", "spm_refine_256"])
@torch.no_grad()
def test_s_c_without_motion_mask_or_paint(name):
    image, target = batch(2, 32)
    torch.testing.assert_close(
        create_model(name, max_motion=0.0, **TINY)(image, target).warped, image, atol=1e-6, rtol=0
    )
    for part, value in (("mask", -1e4), ("refine", 0.0)):
        model = lively(name)
        free = model(image, target)
        assert (free.image - free.warped).abs().max() > 0.01
        assert (free.warped - image).abs().max() > 0.01
        force(getattr(getattr(model, "low", model), part), value)
        out = model(image, target)
        torch.testing.assert_close(out.image, out.warped.clamp(-1, 1), atol=1e-6, rtol=0)


@torch.no_grad()
def test_s_e_summed_motions_are_rendered_once_and_the_outside_is_0():
    model = create_model("spm_warp_128", width=4, blocks=1, max_motion=0.4)
    model.motion[-1].weight.mul_(20)
    image, first = batch(2, 32)
    second = Condition(attributes=1 - first.attributes)
    flow = model(image, first).flow + model(image, second).flow
    out = model.combine(image, [first, second], [1.0, 1.0])
    torch.testing.assert_close(out.image, warp(image, flow))
    force(model.motion, 1e4)
    far = model.combine(image, [first] * 3, [1.0] * 3)
    assert torch.equal(far.image, torch.zeros_like(image))


def test_s_f_the_papers_weights():
    weights = {term.name: term.weight for term in create_recipe("spm_refine_128_celeba").g_losses}
    assert weights == {"adv_wgan_g": 1, "cls_bce_fake": 1, "mask_area": 1, "motion_cls": 0.5, "cycle_l1": 10}
    image = torch.zeros(2, 3, 8, 8)
    half = Translation(image, mask=torch.full((2, 1, 8, 8), 0.5), warped=image, residual=image)
    terms = Terms([LossTerm("mask_area", weights["mask_area"]), LossTerm("cycle_l1", weights["cycle_l1"])])
    total, means = terms(LossInputs(image, output=half, cycle=Translation(image + 0.2)))
    torch.testing.assert_close(means, torch.tensor([0.5, 0.2]))
    torch.testing.assert_close(total, torch.tensor(0.5 + 10 * 0.2))


@pytest.mark.parametrize(("still", "learns"), [("d_optim", {"generator", "motion"}), ("g_optim", {"discriminator"})])
def test_s_h_the_motion_discriminator_learns_with_the_generator(accelerator, still, learns):
    trainer = Trainer(spm_recipe(**{still: Optim(lr=0.0)}), accelerator)
    parts = {name.split("/")[0] for name in moved(trainer)}
    assert parts - {"g_optim", "d_optim"} == learns


@torch.no_grad()
def test_s_j_squares_become_circles():
    sample = create_dataset("shapes", split="test").batch(range(24))
    model = create_model("spm_refine_64.shapes", pretrained=True)
    out = model(sample.image, sample.target)
    error, unmoved = ((picture - sample.truth).abs().mean() for picture in (out.image, sample.image))
    still = torch.zeros_like(sample.flow)
    off, start = (endpoint_error(flow, sample.flow).mean() for flow in (out.flow, still))
    overlap, before = (intersection_over_union(picture, sample.truth) for picture in (out.image, sample.image))
    assert error < 0.6 * unmoved
    assert off < 0.9 * start
    assert overlap > before + 0.05
    assert (out.warped - sample.truth).abs().mean() < 0.8 * unmoved


def intersection_over_union(picture, truth):
    """Of the shapes: what is unlike the corner of the true picture."""
    first, second = ((x - truth[:, :, :1, :1]).abs().sum(1) > 0.2 for x in (picture, truth))
    return float((first & second).sum() / (first | second).sum())


def test_d_h_ten_critic_steps_and_a_rate_that_falls_from_epoch_20_to_40():
    recipe = create_recipe("defgan_base_128_emotionnet")
    assert recipe.n_critic == 10
    for optim in (recipe.g_optim, recipe.d_optim):
        seen = [recipe.total_images * epoch // 40 for epoch in (0, 20, 30, 40)]
        rates = [learning_rate(optim, images, recipe.total_images) for images in seen]
        assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 0.0])


@torch.no_grad()
def test_p_a_channels_in_and_pictures_out_at_512_pixels():
    model = create_model("portraitgan_base_512", width=2, blocks=1)
    assert model.stem[0].in_channels == 3 + 1 + 2
    target = Condition(modality=torch.eye(2)[:1], landmarks=torch.rand(1, 68, 2) - 0.5)
    out = model(torch.rand(1, 3, 512, 512) * 2 - 1, target)
    pictures = (out.image, out.intermediates["image_1"])
    assert [tuple(picture.shape) for picture in pictures] == [(1, 3, 512, 512), (1, 3, 256, 256)]
    assert max(picture.abs().max() for picture in pictures) <= 1
    critique = create_discriminator("portraitgan_d_512", width=2).examine(out)
    assert [scores.shape[2] for scores in critique.scores] == [62, 30]


def test_p_d_f_one_generator_learns_both_ways_alike(accelerator):
    trainer = Trainer(portrait_recipe(), accelerator)
    assert len(trainer.ways) == 2
    assert trainer.ways[0].generator is trainer.ways[1].generator
    pairs = Batch(
        torch.rand(2, 3, 64, 64),
        *[Condition(modality=torch.eye(4)[i], landmarks=torch.rand(2, 68, 2) - 0.5) for i in ([0, 1], [2, 3])],
        *[torch.rand(2, 3, 64, 64)] * 2,
    )

    def means(way, seen):
        networks = trainer.ways[way]
        output = networks.translate(seen.image, seen.target, seen.source)
        return trainer.g_terms(generator_inputs(networks, trainer.g_terms.needs, seen, output))[1]

    there, back = means(0, pairs), means(1, pairs.reversed())
    torch.testing.assert_close(means(0, pairs.reversed()), back)
    torch.testing.assert_close(means(1, pairs.reversed().reversed()), there)
    assert not torch.allclose(there, back)


def test_p_e_the_papers_weights():
    recipe = create_recipe("portraitgan_base_512_paired")
    weights = {term.name: term.weight for term in recipe.g_losses}
    layers = 4  # of which pix2pixHD sums 4 / (layers + 1) of a sum over features; ours is their mean
    assert weights == {
        "adv_lsgan_g": 1,
        "cycle_l1": 2,
        "feature_matching": 10 * layers,
        "rec_l1": 5,
        "texture_gram": 10,
    }


def test_p_g_two_discriminators_learn_in_one_step(accelerator):
    changed = moved(Trainer(portrait_recipe(), accelerator))
    for level in (0, 1):
        assert f"discriminator/levels.{level}.score.weight" in changed


def test_the_tests_named_above_exist():
    words = [word.strip(",;:()") for word in __doc__.split()]
    files = [word for word in words if word.endswith(".py") and "*" not in word]
    code = "".join(Path(__file__).with_name(name).read_text() for name in [*files, Path(__file__).name])
    names = [word for word in words if word.startswith("test_") and not word.endswith(".py")]
    assert len(names) > 20
    assert [name for name in names if f"def {name}(" not in code] == []
