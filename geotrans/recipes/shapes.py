"""Recipes for squares and circles (SPM's toy set, Fig. 3): motion is all there is to learn."""

from __future__ import annotations

from geotrans.train.recipe import LossTerm, Optim, Recipe, Warmup
from registry import register_recipe

_CIRCLE = {"attributes": ["circle"]}


@register_recipe
def spm_refine_64_shapes() -> Recipe:
    """SPM on squares and circles.

    One attribute tells the two domains apart, and a classifier knows them after 400 batches of 64 (25,600 images).
    Motion shows after 200 generator steps of 16; 600 steps (9,600 images, the last 3,200 with a falling rate) round
    the corners.
    """
    return Recipe(
        generator="spm_refine_64",
        generator_options={"condition": _CIRCLE},
        discriminator="star_d_64",
        discriminator_options={"condition": _CIRCLE},
        motion_discriminator="spm_motion_d_64",
        motion_options={"condition": _CIRCLE},
        dataset="shapes",
        dataset_options={"resolution": 64},
        g_losses=(
            LossTerm("adv_lsgan_g", 0.25),
            LossTerm("cls_bce_fake", 1.0),
            LossTerm("cycle_l1", 10.0),
            LossTerm("mask_area", 0.1),
            LossTerm("flow_tv", 0.5),
            LossTerm("motion_cls", 0.5),
        ),
        d_losses=(LossTerm("adv_lsgan_d", 0.25), LossTerm("cls_bce_real", 1.0)),
        g_optim=Optim(lr=5e-4, decay_images=3_200),
        d_optim=Optim(lr=2e-4, decay_images=3_200),
        batch_size=16,
        total_images=9_600,
        warmup=Warmup(images=25_600, batch_size=64, lr=1e-3),
        d_init="kaiming",
        ema_halflife=1_000,
        tag="shapes",
    )
