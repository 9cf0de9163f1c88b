"""Recipes of the pose family, of clips and of views: the papers' numbers written out, and their stages."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from geotrans.data.persons import example_deepfashion
from geotrans.factory import create_recipe
from geotrans.publishing import save_folder
from geotrans.train.loop import Trainer
from registry import DISCRIMINATORS, GENERATORS
from tests.tiny_recipes import tiny

GFLA = ("gfla_fashion_256_deepfashion", "gfla_market_128_market1501", "gfla_view_256_shapenet_views")
CLIPS = {"gfla_face_256_faceforensics": 16, "gfla_dance_256_iper": 20}
STAGES = {
    "intrflow_fashion_256_deepfashion": "intrflow_fashion_256_deepfashion_flow",
    "vunet_fashion_256_deepfashion": "vunet_fashion_256_deepfashion_free",
}
PATN = {"patn_fashion_256_deepfashion": (7, "lsgan", 1.0), "patn_market_128_market1501": (32, "vanilla", 10.0)}


def weights(terms):
    return {term.name: term.weight for term in terms}


@pytest.mark.parametrize("name", GFLA)
def test_gfla_in_numbers(name):
    flow, whole = create_recipe(f"{name}_flow"), create_recipe(name)
    assert weights(flow.g_losses) == {"flow_sampling": 20, "flow_affine": 0.01}
    assert flow.discriminator is None
    assert weights(whole.g_losses) == {
        **{"rec_l1": 5, "adv_lsgan_g": 2, "perc_vgg19": 0.5, "style_vgg19": 500},
        **{"flow_sampling": 5, "flow_affine": 0.0025},
    }
    assert weights(whole.d_losses) == {"adv_lsgan_d": 0.5}
    assert whole.d_optim.lr == pytest.approx(0.1 * whole.g_optim.lr)
    for recipe in (flow, whole):
        assert (recipe.batch_size, recipe.g_optim.lr, recipe.g_optim.betas) == (8, 1e-4, (0.0, 0.999))
        assert recipe.g_optim.decay_images == recipe.d_optim.decay_images == 0
        kernels = tuple(size for size in GENERATORS.get(recipe.generator).factory().kernels if size)
        (affine,) = (term for term in recipe.g_losses if term.name == "flow_affine")
        assert affine.options["sizes"] == kernels
        features = [term.options["feature"] for term in recipe.g_losses if "feature" in term.options]
        assert set(features) == {"vgg19_plain"}
        assert not recipe.dataset_options["flip"]
    assert whole.start == f"local-dir:runs/{name}_flow/published/{flow.generator}.{flow.tag}"


@pytest.mark.parametrize("name", PATN)
def test_patn_in_numbers(name):
    recipe, (batch, loss, near) = create_recipe(name), PATN[name]
    assert weights(recipe.g_losses) == {f"adv_{loss}_g": 5, "rec_l1": near, "perc_vgg19": near}
    assert weights(recipe.d_losses) == {f"adv_{loss}_d": 5}
    assert (recipe.total_images, recipe.g_optim.decay_images, recipe.batch_size) == (2_800_000, 800_000, batch)
    assert recipe.g_optim == recipe.d_optim
    assert (recipe.g_optim.lr, recipe.g_optim.betas) == (2e-4, (0.5, 0.999))
    assert recipe.dataset_options["pose"] == "points"


@pytest.mark.parametrize("name", CLIPS)
def test_gfla_for_clips_in_numbers(name):
    recipe = create_recipe(name)
    assert weights(recipe.g_losses) == {
        **{"rec_l1": 5, "adv_lsgan_g": pytest.approx(2 / 6), "perc_vgg19": 0.5, "style_vgg19": 500},
        **{"flow_sampling": 5, "flow_affine": 0.0025},
    }
    assert (recipe.batch_size, recipe.rollout, recipe.through_time, recipe.start) == (2, 6, True, "")
    assert recipe.dataset_options["run"] == 30
    judge = DISCRIMINATORS.get(recipe.video_discriminator).factory()
    assert judge.frames == (3 if recipe.dataset == "faceforensics" else 6)
    assert (recipe.g_optim.lr, recipe.g_optim.betas) == (1e-4, (0.0, 0.999))
    assert recipe.d_optim.lr == pytest.approx(0.1 * recipe.g_optim.lr)
    assert GENERATORS.get(recipe.generator).factory().condition.structure == CLIPS[name]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_starts_where_the_one_before_ends(name):
    recipe, stage = create_recipe(name), create_recipe(STAGES[name])
    assert recipe.start == f"local-dir:runs/{STAGES[name]}/published/{stage.generator}.{stage.tag}"
    assert (recipe.generator, recipe.dataset_options) == (stage.generator, stage.dataset_options)


def test_intrinsic_flow_in_numbers():
    recipe = create_recipe("intrflow_fashion_256_deepfashion")
    own = {"rec_l1": 1, "perc_vgg19": 0.125, "adv_vanilla_g": 0.01}
    assert own.items() <= weights(recipe.g_losses).items()
    assert weights(recipe.d_losses) == {"adv_vanilla_d": 0.01}
    assert (recipe.batch_size, recipe.g_optim.lr, recipe.d_optim.lr) == (8, 2e-4, 2e-5)
    assert recipe.total_images == 30 * 101_966
    assert (recipe.dataset_options["pose"], recipe.dataset_options["pose_size"]) == ("discs", 8)


def test_the_deformable_gan_in_numbers():
    recipe = create_recipe("posedefgan_fashion_256_deepfashion")
    assert weights(recipe.g_losses) == {"adv_vanilla_g": 1, "nn_l1": pytest.approx(0.574)}
    assert (recipe.batch_size, recipe.total_images, recipe.g_optim.lr) == (2, 180_000, 2e-4)


def test_vunet_in_numbers():
    free, held = (create_recipe(f"vunet_fashion_256_deepfashion{stage}") for stage in ("_free", ""))
    assert weights(free.g_losses) == {"rec_l1": 637.5, "perc_vgg19": 287, "kl_latent": 1e-6}
    assert weights(held.g_losses) == {**weights(free.g_losses), "kl_latent": 1}
    assert free.total_images == held.total_images == 50_000 * 8
    assert (free.g_optim.lr, free.g_optim.betas, held.g_optim.decay_images) == (1e-3, (0.5, 0.9), 400_000)


def test_appearance_flow_in_numbers():
    recipe = create_recipe("appflow_car_224_shapenet_views")
    assert weights(recipe.g_losses) == {"rec_l1": 1}
    assert (recipe.batch_size, recipe.g_optim.lr, recipe.g_optim.betas) == (10, 1e-4, (0.9, 0.999))
    assert recipe.dataset_options["condition"] == "turns"


def test_the_flow_stage_touches_the_flow_alone_and_the_next_starts_from_it(tmp_path):
    data = tmp_path / "data"
    example_deepfashion(data)
    stage = Trainer(tiny(create_recipe("gfla_fashion_256_deepfashion_flow"), 3), Accelerator(cpu=True), data=data)
    before = {key: value.clone() for key, value in stage.networks.generator.named_parameters()}
    list(stage.run(3))
    moved = {key for key, value in stage.networks.generator.named_parameters() if not torch.equal(value, before[key])}
    assert moved
    assert {key.partition(".")[0] for key in moved} == {"flow_net"}
    assert not any(".visibilities." in key for key in moved)  # masks learn with the pictures
    save_folder(stage.averaged, tmp_path / "flow", arch=stage.recipe.generator, tag=stage.recipe.tag)
    recipe = replace(tiny(create_recipe("gfla_fashion_256_deepfashion"), 1), start=f"local-dir:{tmp_path / 'flow'}")
    whole = Trainer(recipe, Accelerator(cpu=True), data=data)
    learned = dict(stage.averaged.named_parameters())
    assert all(torch.equal(value, learned[key]) for key, value in whole.networks.generator.named_parameters())
    list(whole.run(1))
    changed = {
        key for key, value in whole.networks.generator.named_parameters() if not torch.equal(value, learned[key])
    }
    assert {key.partition(".")[0] for key in changed} == {"source", "target", "renderer", "flow_net"}
