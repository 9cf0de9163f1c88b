"""Recipes for pictures of two domains, or of several modalities, 64 pixels.

Photo to cartoon is SPM's face to bitmoji: proportions change (larger eyes, a smaller nose), outlines appear, colours
are flat. Those that know two domains learn both ways at once; the recipes name the way that counts first.
"""

from __future__ import annotations

from dataclasses import replace

from geotrans.train.recipe import LossTerm, Optim, Options, Recipe
from registry import register_recipe

_CARTOON: Options = {"task": "modality", "domains": ["photo", "cartoon"]}
_SMILE: Options = {"task": "attributes", "domains": ["no_Smiling", "Smiling"]}


def _recipe(
    generator: str,
    discriminator: str,
    data: Options,
    tag: str,
    g_losses: tuple[LossTerm, ...],
    d_loss: LossTerm,
    images: int,
    batch_size: int,
) -> Recipe:
    """What they share: both rates are 2e-4 and fall to 0 over the second half, as in CycleGAN's paper."""
    optim = Optim(lr=2e-4, decay_images=images // 2)
    return Recipe(
        generator=generator,
        discriminator=discriminator,
        dataset="synthface",
        dataset_options={"resolution": 64, "size": 8_000, **data},
        g_losses=g_losses,
        d_losses=(d_loss,),
        g_optim=optim,
        d_optim=optim,
        batch_size=batch_size,
        total_images=images,
        tag=tag,
    )


def _twin(recipe: Recipe, back_tag: str) -> Recipe:
    return replace(recipe, directions="twin", real="target", back_tag=back_tag)


@register_recipe
def cyclegan_resnet6_64_synthface_cartoon() -> Recipe:
    """CycleGAN, photo to cartoon: the paper's weights (10 for cycles, 5 for identities), pool of 50 and rate.

    12,000 images in batches of 2, each seen both ways, are 6,000 steps; the paper takes one image a step.
    """
    losses = (LossTerm("adv_lsgan_g"), LossTerm("cycle_l1", 10.0), LossTerm("idt_l1", 5.0))
    names = ("cyclegan_resnet6_64", "patchgan_64", _CARTOON, "synthface_cartoon")
    recipe = _recipe(*names, losses, LossTerm("adv_lsgan_d", 0.5), images=12_000, batch_size=2)
    return replace(_twin(recipe, "synthface_photo"), fake_pool=50)


@register_recipe
def pix2pix_unet_64_synthface_cartoon() -> Recipe:
    """pix2pix, photo to cartoon from pairs: the paper's weight 100 on L1; the discriminator sees the photo too."""
    losses = (LossTerm("adv_vanilla_g"), LossTerm("rec_l1", 100.0))
    names = ("pix2pix_unet_64", "pix2pix_d_64", _CARTOON, "synthface_cartoon")
    recipe = _recipe(*names, losses, LossTerm("adv_vanilla_d", 0.5), images=24_000, batch_size=4)
    return replace(recipe, real="truth")


@register_recipe
def munit_base_64_synthface_cartoon() -> Recipe:
    """MUNIT, photo to cartoon, with the explicit cycle of its summer-to-winter settings (weight 10).

    Scores of the discriminator's scales are added up, as in the official code. The rate is 2e-4, twice the paper's.
    """
    losses = (
        LossTerm("adv_lsgan_g", 1.0, {"scales": "sum"}),
        LossTerm("rec_self", 10.0),
        LossTerm("rec_style", 1.0),
        LossTerm("rec_content", 1.0),
        LossTerm("cycle_l1", 10.0),
    )
    names = ("munit_base_64", "munit_d_64", _CARTOON, "synthface_cartoon")
    recipe = _recipe(*names, losses, LossTerm("adv_lsgan_d", 1.0, {"scales": "sum"}), images=8_000, batch_size=2)
    return _twin(recipe, "synthface_photo")


@register_recipe
def ganimorph_base_64_synthface_smile() -> Recipe:
    """GANimorph, from straight faces to smiling ones.

    The official code divides each loss by a slow average of itself (`Recipe.balance`): scores and features count two
    thirds, cycles (MS-SSIM and L1) one third; `ganimorph_base_128_unpaired` does so. A short budget cannot wait for the
    cycle: with these shares 12,000 images ended in one noisy face for all, and with the adversary at 1 beside the
    cycle's weights below in pictures full of noise. Here it counts a quarter, an identity loss keeps colours, and the
    discriminator sees noise. It learns in every second step, as in the paper.
    """
    losses = (
        LossTerm("adv_vanilla_g", 0.25),
        LossTerm("feature_matching", 0.5, {"batch_mean": True, "squared": True}),
        LossTerm("ms_ssim", 10.0, {"window": 8, "k1": 0.03, "k2": 0.05, "scales": 4}),
        LossTerm("cycle_l1", 20.0),
        LossTerm("idt_l1", 10.0),
    )
    names = ("ganimorph_base_64", "ganimorph_d_64", _SMILE, "synthface_smile")
    recipe = _recipe(*names, losses, LossTerm("adv_vanilla_d", 0.5), images=16_000, batch_size=4)
    return replace(
        _twin(recipe, "synthface_no_smile"),
        g_optim=replace(recipe.g_optim, lr=5e-4),
        d_every=2,
        instance_noise=0.2,
        ema_halflife=500,
    )


@register_recipe
def portraitgan_base_64_synthface_modality() -> Recipe:
    """PortraitGAN between photo, sketch, ink and cartoon: the paper's weights, pairs of one identity, both ways.

    Its weight 10 of feature matching is 40 here, where layers and scales are averaged. Texture is compared in the
    layers of the built-in judge, as no VGG can be counted on, and new real pictures stand in for the paper's pool of
    older ones: with four modalities, an older one is of another modality three times in four.
    """
    losses = (
        LossTerm("adv_lsgan_g"),
        LossTerm("cycle_l1", 2.0),
        LossTerm("feature_matching", 40.0),
        LossTerm("rec_l1", 5.0),
        LossTerm("texture_gram", 10.0, {"feature": "synthface_features"}),
    )
    names = ("portraitgan_base_64", "portraitgan_d_64", {"task": "modality"}, "synthface_modality")
    recipe = _recipe(*names, losses, LossTerm("adv_lsgan_d"), images=16_000, batch_size=4)
    return replace(recipe, directions="both", real="truth")


@register_recipe
def spm_refine_64_synthface_cartoon() -> Recipe:
    """SPM, photo to cartoon, the paper's face to bitmoji: eyes grow by motion, outlines are painted.

    Motion and residual start at 0, so the first pictures are the photos themselves, and the mask at a half. The
    discriminator has to tell photos from cartoons before that closes: it learns three times as fast as the generator,
    whose rate takes 600 steps to rise. In two trials with the discriminator at half of the generator's rate, with an
    identity loss and without, the mask was shut within 400 steps. The adversary counts 4 and the cycle 5, not 10: on
    unchanged pictures a cycle costs nothing. The mask's area is free, as all of the picture changes; its edges cost.
    """
    losses = (
        LossTerm("adv_lsgan_g", 4.0),
        LossTerm("cycle_l1", 5.0),
        LossTerm("mask_tv", 0.5),
        LossTerm("flow_identity", 1.0),
        LossTerm("flow_tv", 4.0),
    )
    names = ("spm_refine_64", "patchgan_64", _CARTOON, "synthface_cartoon")
    recipe = _recipe(*names, losses, LossTerm("adv_lsgan_d", 0.5), images=16_000, batch_size=4)
    return replace(
        _twin(recipe, "synthface_photo"),
        generator_options={"condition": {"modality": ["photo", "cartoon"]}},
        g_optim=replace(recipe.g_optim, lr=3e-4, ramp_images=2_400),
        d_optim=replace(recipe.d_optim, lr=1e-3),
        fake_pool=50,
        zero_init=("motion.0.weight", "refine.5.weight"),
        d_init="kaiming",
        instance_noise=0.1,
        ema_halflife=500,
    )
