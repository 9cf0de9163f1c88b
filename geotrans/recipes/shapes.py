"""Recipes for squares and circles (SPM's toy set, Fig. 3): motion is all there is to learn."""

from __future__ import annotations

from geotrans.train.recipe import LossTerm, Optim, Recipe, Warmup
from registry import register_recipe

_CIRCLE = {"attributes": ["circle"]}


@register_recipe
def spm_refine_64_shapes() -> Recipe:
    """SPM on squares and circles.

    One attribute tells the two domains apart, and a classifier knows them after 400 batches of 64 (25,600 images). The
    rest follows the drawn faces' recipe, with fewer generator steps (1,600 of 8 images): there is one motion to learn.
    The largest is 4 % of the picture, so motion is limited to 6 %; the ground is plain, so nothing needs to rest. A
    flow's mean costs 250: of all motions that turn a square into a circle, the true one is about the smallest.
    """
    return Recipe(
        generator="spm_refine_64",
        generator_options={"condition": _CIRCLE, "max_motion": 0.06, "dead_zone": 0.0},
        discriminator="star_d_64",
        discriminator_options={"condition": _CIRCLE},
        motion_discriminator="spm_motion_d_64",
        motion_options={"condition": _CIRCLE},
        dataset="shapes",
        dataset_options={"resolution": 64, "size": 8_000},
        g_losses=(
            LossTerm("adv_lsgan_g", 1.0),
            LossTerm("cycle_l1", 10.0),
            LossTerm("cls_bce_moved", 2.0),
            LossTerm("cls_bce_fake", 1.0),
            LossTerm("mask_area", 4.0),
            LossTerm("flow_identity", 250.0),
            LossTerm("flow_tv", 40.0),
            LossTerm("motion_cls", 0.5),
        ),
        d_losses=(LossTerm("adv_lsgan_d", 0.5), LossTerm("cls_bce_real", 1.0)),
        g_optim=Optim(lr=2e-4, ramp_images=1_600, decay_images=6_400),
        d_optim=Optim(lr=1e-4, decay_images=6_400),
        batch_size=8,
        total_images=12_800,
        warmup=Warmup(images=25_600, batch_size=64, lr=1e-3),
        zero_init=("motion.0.weight", "refine.5.weight"),
        d_init="kaiming",
        instance_noise=0.25,
        ema_halflife=500,
        tag="shapes",
    )
