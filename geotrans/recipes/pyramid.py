"""Recipes for the coarse-to-fine SPM on the drawn faces: 32 pixels first, then 64 from those weights."""

from __future__ import annotations

from dataclasses import replace

from geotrans.recipes.synthface import spm_refine_64_synthface
from geotrans.train.recipe import Optim, Recipe
from registry import register_recipe


@register_recipe
def spm_refine_32_synthface() -> Recipe:
    """The low-resolution stage on drawn faces: `spm_refine_64_synthface` at half the size."""
    return replace(
        spm_refine_64_synthface(),
        generator="spm_refine_32",
        discriminator="star_d_32",
        motion_discriminator="spm_motion_d_32",
        dataset_options={"resolution": 32, "task": "attributes", "size": 8_000},
    )


@register_recipe
def spm_pyramid_64_synthface() -> Recipe:
    """Coarse-to-fine SPM on drawn faces, from the bundled low-resolution stage.

    All networks go on learning, as in the paper. The small nets that correct motion, mask and residual start at 0, so
    the first step sees the low stage's result enlarged. The low discriminator counts half, as in the authors' settings
    for 512 px. Half of the generator steps of the other recipes: the low stage has had its own.
    """
    recipe = spm_refine_64_synthface()
    zero = tuple(f"{net}.0.2.weight" for net in ("motion", "mask", "residual"))
    return replace(
        recipe,
        generator="spm_pyramid_64",
        start="spm_refine_32.synthface",
        zero_init=zero,
        motion_discriminator="spm_motion_d_32",
        low_discriminator="star_d_32",
        low_weight=0.5,
        g_optim=Optim(lr=1e-4, ramp_images=1_600, decay_images=8_800),
        d_optim=Optim(lr=1e-4, decay_images=8_800),
        total_images=17_600,
    )
