"""Recipes for the drawn faces at 64 pixels: what the bundled weights are made with, in minutes on a CPU core.

The numbers they share:

- The discriminator's classifier comes first: 800 batches of 64 images at rate 1e-3, from Kaiming initialisation. From a
  cold start the classifier stays at chance for hundreds of generator steps, the mask falls to 0 and nothing ever moves.
- Instance noise 0.25 on all that the discriminator sees. In a trial without it, 300 steps brought the classifier's loss
  to 0.26 while a judge read half of the wanted changes: a pattern pleases the classifier, not a smile. In one with it,
  0.28 and 81 %; other weights differed between the two as well, so the gap is not the noise's alone.
- 4,400 generator steps of 8 images, 35,200 images: a small budget is better spent on more steps than on larger ones.
  Rates rise over the first 200 steps and fall to 0 over the second half: Adam moves an output by its rate times the
  fan-in, and that jitter, 0.2 pixels of motion everywhere, costs more than the wanted motion gains until the rate is
  small.
- The generator's rate 2e-4 is twice the discriminator's. At 6e-4 motion is noise for hundreds of steps.
- The cycle's weight 10 is the papers'. `cls_bce_*` are means over the attributes, so weight 4 would be StarGAN's 1.
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
        g_losses=(LossTerm("adv_lsgan_g", 1.0), LossTerm("cycle_l1", 10.0), *terms),
        d_losses=(LossTerm("adv_lsgan_d", 0.5), LossTerm("cls_bce_real", 1.0, _MEAN)),
        g_optim=Optim(lr=2e-4, ramp_images=1_600, decay_images=17_600),
        d_optim=Optim(lr=1e-4, decay_images=17_600),
        batch_size=8,
        total_images=35_200,
        n_critic=1,
        warmup=Warmup(images=51_200, batch_size=64, lr=1e-3),
        d_init="kaiming",
        instance_noise=0.25,
        ema_halflife=500,
        seed=0,
        tag="synthface",
    )


# Motion that is wanted costs little: 4 pixels over a tenth of the picture are a mean flow of 0.006 and add 0.9, where a
# wrong attribute adds more than 2. Motion that is not wanted has nothing to set against it.
_MOTION = (LossTerm("flow_identity", 150.0), LossTerm("flow_tv", 60.0), LossTerm("motion_cls", 0.5, _MEAN))


@register_recipe
def spm_refine_64_synthface() -> Recipe:
    """SPM on drawn faces: move, then paint a little.

    It starts as the identity: the last convolutions of motion and refinement are 0. The classifier reads the warped
    image with weight 2 and the painted one with weight 1, so motion does what motion can. The mask's mean costs 4: to
    paint 1 % of the picture costs as much as a cycle error of 0.004.
    """
    classes = (LossTerm("cls_bce_moved", 2.0, _MEAN), LossTerm("cls_bce_fake", 1.0, _MEAN))
    recipe = _attributes("spm_refine_64", *classes, LossTerm("mask_area", 4.0), *_MOTION)
    zero = ("motion.0.weight", "refine.5.weight")
    return replace(recipe, motion_discriminator="spm_motion_d_64", zero_init=zero)


@register_recipe
def spm_warp_64_synthface() -> Recipe:
    """SPM without its refinement net (the paper's "No R") on drawn faces: motion is all it has.

    It sees as many images as the others in batches of 16, so it takes half of their steps.
    """
    recipe = _attributes("spm_warp_64", LossTerm("cls_bce_fake", 3.0, _MEAN), *_MOTION)
    return replace(recipe, motion_discriminator="spm_motion_d_64", zero_init=("motion.0.weight",), batch_size=16)


@register_recipe
def spm_paint_64_synthface() -> Recipe:
    """SPM without motion (the paper's "No M") on drawn faces.

    It starts as the identity. The mask's mean costs 1, a quarter of `spm_refine_64_synthface`'s: paint is all it has.
    """
    recipe = _attributes("spm_paint_64", LossTerm("cls_bce_fake", 3.0, _MEAN), LossTerm("mask_area", 1.0))
    return replace(recipe, zero_init=("refine.5.weight",))


@register_recipe
def stargan_base_64_synthface() -> Recipe:
    """StarGAN on drawn faces: it paints the whole picture anew.

    Its rate is 5e-4: it has to learn to copy the picture before anything else, which the others do from the start.
    """
    recipe = _attributes("stargan_base_64", LossTerm("cls_bce_fake", 3.0, _MEAN))
    return replace(recipe, g_optim=replace(recipe.g_optim, lr=5e-4))
