"""The papers' recipes for pictures of two domains: CycleGAN, pix2pix, MUNIT, GANimorph, PortraitGAN.

Their sets differ, so these read any folders: `unpaired_folders` and `paired_folder`. An epoch of the papers is once
through one set; here are the numbers for the sets that the docstrings name, and for another the lengths are yours:
`--set total_images=... g_optim.decay_images=... d_optim.decay_images=...`. An image is a pair that a generator step
sees; those that learn both ways see it both ways.

Official code crops each picture elsewhere every time. Here an index has its window, so an epoch goes through the
pictures 16 times (`passes`) with other windows and partners. Resizing is bilinear, CycleGAN's and pix2pix's bicubic.
None of these has been run at full length.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from geotrans.train.recipe import LossTerm, Optim, Recipe
from registry import register_recipe

_WINDOWS = {"passes": 16}
_SUM = {"scales": "sum"}


def _unpaired(generator: str, discriminator: str, options: dict[str, Any], optim: Optim, images: int) -> Recipe:
    """Two domains, each with a generator and a discriminator of its own; one pair a step."""
    return Recipe(
        generator=generator,
        discriminator=discriminator,
        dataset="unpaired_folders",
        dataset_options={**options, **_WINDOWS},
        g_optim=optim,
        d_optim=optim,
        batch_size=1,
        total_images=images,
        directions="twin",
        real="target",
        tag="unpaired",
        back_tag="unpaired_back",
    )


def _paired(generator: str, discriminator: str, options: dict[str, Any], epoch: int) -> Recipe:
    """200 epochs of so many pairs, one a step; the rate falls over the second half."""
    optim = Optim(lr=2e-4, decay_images=100 * epoch)
    return Recipe(
        generator=generator,
        discriminator=discriminator,
        dataset="paired_folder",
        dataset_options=options,
        g_optim=optim,
        d_optim=optim,
        batch_size=1,
        total_images=200 * epoch,
        real="truth",
        tag="paired",
    )


@register_recipe
def cyclegan_resnet9_256_unpaired() -> Recipe:
    """CycleGAN: weights 10 for cycles and 5 for identities, pools of 50, one pair a step.

    200 epochs of horse2zebra, whose larger domain has 1,334 pictures: 266,800 images; the rate falls over the second
    half. Windows of 256 of 286 pixels.
    """
    epoch = 1_334
    windows, optim = {"resolution": 256, "load": 286}, Optim(lr=2e-4, decay_images=100 * epoch)
    return replace(
        _unpaired("cyclegan_resnet9_256", "patchgan_70", windows, optim, 200 * epoch),
        g_losses=(LossTerm("adv_lsgan_g"), LossTerm("cycle_l1", 10.0), LossTerm("idt_l1", 5.0)),
        d_losses=(LossTerm("adv_lsgan_d", 0.5),),
        fake_pool=50,
    )


@register_recipe
def pix2pix_unet_256_paired() -> Recipe:
    """pix2pix: weight 100 on L1, a discriminator that sees the source beside the picture, one pair a step.

    200 epochs of the 400 facades: 80,000 images; the rate falls over the second half. Windows of 256 of 286 pixels. For
    the authors' files, labels to photo: --set dataset_options.side_by_side=true dataset_options.reverse=true.
    """
    windows = {"resolution": 256, "load": 286, **_WINDOWS}
    return replace(
        _paired("pix2pix_unet_256", "pix2pix_d_256", windows, 400),
        g_losses=(LossTerm("adv_vanilla_g"), LossTerm("rec_l1", 100.0)),
        d_losses=(LossTerm("adv_vanilla_d", 0.5),),
    )


@register_recipe
def munit_base_256_unpaired() -> Recipe:
    """MUNIT with the explicit cycle of its summer-to-winter settings, without their perceptual loss; one pair a step.

    Official code halves the rate of 1e-4 every 100,000 of 1,000,000 iterations, which adds up to 200,000 at the full
    rate. So does a linear fall over 400,000. Scores are summed over the scales, as there; there is no weight decay
    (1e-4 there). The shorter side is 256 pixels, and windows lie anywhere along the longer one.
    """
    windows, optim = {"resolution": 256, "fit": "aspect"}, Optim(lr=1e-4, decay_images=400_000)
    return replace(
        _unpaired("munit_base_256", "munit_d_256", windows, optim, 400_000),
        g_losses=(
            LossTerm("adv_lsgan_g", 1.0, _SUM),
            LossTerm("rec_self", 10.0),
            LossTerm("rec_style", 1.0),
            LossTerm("rec_content", 1.0),
            LossTerm("cycle_l1", 10.0),
        ),
        d_losses=(LossTerm("adv_lsgan_d", 1.0, _SUM),),
    )


@register_recipe
def ganimorph_base_128_unpaired() -> Recipe:
    """GANimorph at 128 px: 300 epochs of 1,000 steps of 16 pairs; the discriminators learn in every second step.

    4,800,000 images; the rate falls over the second half. Weights are the official code's shares, 0.67 adversarial
    (0.7 the score, 0.3 the features) and 0.33 cycle (0.7 MS-SSIM, 0.3 L1), of losses that are divided by slow averages
    of themselves: 0.67 * 0.7 = 0.469, 0.67 * 0.3 = 0.201, 0.33 * 0.7 = 0.231, 0.33 * 0.3 = 0.099.
    Windows of 128 of 143 pixels stand for its resizing by 1.12; it also turns and scales its pictures.
    """
    windows, optim = {"resolution": 128, "load": 143}, Optim(lr=2e-4, decay_images=2_400_000)
    return replace(
        _unpaired("ganimorph_base_128", "ganimorph_d_128", windows, optim, 4_800_000),
        g_losses=(
            LossTerm("adv_vanilla_g", 0.469),
            LossTerm("feature_matching", 0.201, {"batch_mean": True, "squared": True}),
            LossTerm("ms_ssim", 0.231, {"window": 8, "k1": 0.03, "k2": 0.05}),
            LossTerm("cycle_l1", 0.099),
        ),
        d_losses=(LossTerm("adv_vanilla_d", 0.5),),
        batch_size=16,
        d_every=2,
        balance=0.9999,
    )


@register_recipe
def portraitgan_base_512_paired() -> Recipe:
    """PortraitGAN at 512 px: photo and stylised pictures, pairs of one person in any two expressions, both ways.

    The folders are photo and stylised, with partners of one name, and landmarks. Weights are the paper's: 2 cycles, 5
    identity (the paired target), 10 texture, and 10 feature matching, which is 40 where layers and scales are averaged,
    as in pix2pixHD, whose settings it takes: LSGAN, scores summed over the two discriminators. Real pictures come from
    a pool of 50, one for either modality. The paper names no rate or length: CycleGAN's are taken, 200 epochs of one
    pair a step, of RaFD's 4,824 pictures: 964,800 images, the rate falling over the second half. VGG-19's weights must
    be on the machine.
    """
    pictures = {"resolution": 512, "domains": ["photo", "stylised"], "landmarks": "landmarks"}
    return replace(
        _paired("portraitgan_base_512", "portraitgan_d_512", pictures, 4_824),
        g_losses=(
            LossTerm("adv_lsgan_g", 1.0, _SUM),
            LossTerm("cycle_l1", 2.0),
            LossTerm("feature_matching", 40.0),
            LossTerm("rec_l1", 5.0),
            LossTerm("texture_gram", 10.0),
        ),
        d_losses=(LossTerm("adv_lsgan_d", 0.5, _SUM),),
        directions="both",
        real_pool=50,
    )
