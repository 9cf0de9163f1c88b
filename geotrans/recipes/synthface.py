"""Recipes for the drawn faces at 64 pixels: what the bundled weights are made with, in minutes on two cores.

The numbers they share:

- The discriminator's classifier comes first: 800 batches of 64 images at rate 1e-3, from Kaiming initialisation. From a
  cold start the classifier stays at chance for hundreds of generator steps, the mask falls to 0 and nothing ever moves.
- 1,400 generator steps of 16 images, 22,400 images. The rates of both sides fall to 0 over the last third (7,500).
- The generator's rate 5e-4 is two and a half times the discriminator's 2e-4: the judge must not win before there is
  motion to judge.
- Least squares with weight 0.25, on a map of 2 x 2 logits: realness starts as a hint, the condition leads.
- The cycle's weight 10 is the papers'. `cls_bce_*` are means over the attributes: weight 1 is a quarter of StarGAN's.
"""

from __future__ import annotations

from dataclasses import replace

from geotrans.train.recipe import LossTerm, Optim, Recipe, Warmup
from registry import register_recipe

_MEAN = {"reduction": "mean"}


def _attributes(generator: str, *terms: LossTerm) -> Recipe:
    """What all four models share, so that only the generator and its own terms tell them apart."""
    return Recipe(
        generator=generator,
        discriminator="star_d_64",
        dataset="synthface",
        dataset_options={"resolution": 64, "task": "attributes", "size": 8_000},
        g_losses=(
            LossTerm("adv_lsgan_g", 0.25),
            LossTerm("cls_bce_fake", 1.0, _MEAN),
            LossTerm("cycle_l1", 10.0),
            *terms,
        ),
        d_losses=(LossTerm("adv_lsgan_d", 0.25), LossTerm("cls_bce_real", 1.0, _MEAN)),
        g_optim=Optim(lr=5e-4, decay_images=7_500),
        d_optim=Optim(lr=2e-4, decay_images=7_500),
        batch_size=16,
        total_images=22_400,
        n_critic=1,
        warmup=Warmup(images=51_200, batch_size=64, lr=1e-3),
        d_init="kaiming",
        ema_halflife=1_000,
        seed=0,
        tag="synthface",
    )


@register_recipe
def spm_refine_64_synthface() -> Recipe:
    """SPM on drawn faces: move, then paint a little.

    The mask's mean costs 0.1: at 1, the paper's weight, painting dies out before it has learned anything. `flow_tv`
    keeps strokes whole. The motion discriminator has the paper's 0.5, here over the mean of the attributes.
    """
    recipe = _attributes("spm_refine_64", LossTerm("mask_area", 0.1), *_MOTION)
    return replace(recipe, motion_discriminator="spm_motion_d_64")


@register_recipe
def spm_warp_64_synthface() -> Recipe:
    """SPM without its refinement net (the paper's "No R"): `spm_refine_64_synthface` less its mask term."""
    return replace(_attributes("spm_warp_64", *_MOTION), motion_discriminator="spm_motion_d_64")


@register_recipe
def spm_paint_64_synthface() -> Recipe:
    """SPM without motion (the paper's "No M"): `spm_refine_64_synthface` less its motion terms."""
    return _attributes("spm_paint_64", LossTerm("mask_area", 0.1))


@register_recipe
def stargan_base_64_synthface() -> Recipe:
    """StarGAN on drawn faces: it paints the whole picture anew. Images, batches and steps as for SPM."""
    return _attributes("stargan_base_64")


_MOTION = (LossTerm("flow_tv", 0.5), LossTerm("motion_cls", 0.5, _MEAN))
