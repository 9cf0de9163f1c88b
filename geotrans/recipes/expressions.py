"""Recipes for drawn faces whose expression changes: action units and emotions, 64 pixels.

What `recipes.synthface` says of its numbers holds here: warm-up, instance noise, rates, steps and images are the same,
and so are the weights of motion. The conditions differ:

- Emotions are eight classes. A softmax cross-entropy is three times the mean over four binary ones at chance and more
  where the classifier is sure, so it counts a quarter: with the same weights, after 14,000 images motion had torn the
  faces apart.
- Action units are 17 intensities. Their mean squared error between two random faces is 0.16; weight 30 in all makes it
  count as much as the cross-entropies do. GANimation's 4000, divided by its batch of 25, is 160.
"""

from __future__ import annotations

from dataclasses import replace

from geotrans.train.recipe import LossTerm, Optim, Recipe, Warmup
from registry import register_recipe

_EMOTIONS = ["neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised", "contemptuous"]
_EMOTION8 = {"condition": {"emotion": _EMOTIONS}}
_MOTION = (LossTerm("flow_identity", 150.0), LossTerm("flow_tv", 60.0))


def _expressions(generator: str, discriminator: str, task: str, real: LossTerm, *terms: LossTerm) -> Recipe:
    return Recipe(
        generator=generator,
        discriminator=discriminator,
        dataset="synthface",
        dataset_options={"resolution": 64, "task": task, "size": 8_000},
        g_losses=(LossTerm("adv_lsgan_g", 1.0), LossTerm("cycle_l1", 10.0), *terms),
        d_losses=(LossTerm("adv_lsgan_d", 0.5), real),
        g_optim=Optim(lr=2e-4, ramp_images=1_600, decay_images=17_600),
        d_optim=Optim(lr=1e-4, decay_images=17_600),
        batch_size=8,
        total_images=35_200,
        warmup=Warmup(images=51_200, batch_size=64, lr=1e-3),
        d_init="kaiming",
        instance_noise=0.25,
        ema_halflife=500,
        tag="synthface_" + {"aus": "au", "emotion": "emotion"}[task],
    )


def _emotions(generator: str, *terms: LossTerm) -> Recipe:
    recipe = _expressions(generator, "star_d_64", "emotion", LossTerm("cls_ce_real", 1.0), *terms)
    return replace(recipe, generator_options=_EMOTION8, discriminator_options=_EMOTION8)


def _action_units(generator: str, discriminator: str, *terms: LossTerm) -> Recipe:
    recipe = _expressions(generator, discriminator, "aus", LossTerm("cls_au_mse_real", 10.0), *terms)
    options = {**recipe.dataset_options, "size": 20_000}
    return replace(recipe, dataset_options=options, warmup=replace(recipe.warmup, images=192_000))


@register_recipe
def spm_refine_64_synthface_emotion() -> Recipe:
    """SPM on drawn faces with eight expressions, as the paper's on RaFD."""
    classes = (LossTerm("cls_ce_moved", 0.5), LossTerm("cls_ce_fake", 0.25), LossTerm("mask_area", 4.0))
    motion = (*_MOTION, LossTerm("motion_cls", 0.15, {"part": "emotion"}))
    recipe = _emotions("spm_refine_64", *classes, *motion)
    zero = ("motion.0.weight", "refine.5.weight")
    return replace(recipe, motion_discriminator="spm_motion_d_64", motion_options=_EMOTION8, zero_init=zero)


@register_recipe
def stargan_base_64_synthface_emotion() -> Recipe:
    """StarGAN on drawn faces with eight expressions, as the paper's on RaFD."""
    recipe = _emotions("stargan_base_64", LossTerm("cls_ce_fake", 0.75))
    return replace(recipe, g_optim=replace(recipe.g_optim, lr=5e-4))


@register_recipe
def ganimation_base_64_synthface_au() -> Recipe:
    """GANimation on drawn faces and their 17 action units."""
    terms = (LossTerm("cls_au_mse_fake", 30.0), LossTerm("mask_area", 1.0), LossTerm("mask_tv", 1.0))
    recipe = _action_units("ganimation_base_64", "ganimation_d_64", *terms)
    return replace(recipe, g_optim=replace(recipe.g_optim, lr=5e-4))


@register_recipe
def defgan_displace_64_synthface_au() -> Recipe:
    """DefGAN on drawn faces and their 17 action units, with the paper's composition loss.

    The paper weighs the deformed image's action units a quarter of the final image's; here they count twice as much, so
    that motion does what motion can. Its grid of integrated steps moves all that lies beyond a step, which a short
    training does not untangle: at 64 pixels each pixel moves on its own.
    """
    terms = (
        LossTerm("cls_au_mse_moved", 40.0),
        LossTerm("cls_au_mse_fake", 20.0),
        LossTerm("flow_compose", 10.0),
        LossTerm("mask_area", 4.0),
        *_MOTION,
    )
    recipe = _action_units("defgan_displace_64", "defgan_d_64", *terms)
    return replace(recipe, zero_init=("texture.colour.weight",))
