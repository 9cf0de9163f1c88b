"""The papers' recipes for faces with labels: SPM, StarGAN, GANimation, DefGAN. They read the data that the papers used.

How the papers' numbers became these:

- Images are those that generator steps see. Official code counts the critic's steps: with n_critic of them for one of
  the generator, N iterations in batches of B are N / n_critic * B images here (`_images`), and as many for a decay.
- A loss is a mean over samples and over what a sample has. Where official code takes sums, or divides by the batch once
  more, its weight is converted, and the docstring has the arithmetic.
- Rates fall linearly to 0 at the end. StarGAN's code, and what was built on it, means to do so and does not: it applies
  one iteration's worth of the fall every 1000 iterations, which leaves 99.9 % of the rate.
- The critic's losses and its gradient penalty are one step, with a weight of 10 for the penalty.

These recipes have not been run at full length, so no scores stand behind them yet.
"""

from __future__ import annotations

from dataclasses import replace

from geotrans.train.recipe import LossTerm, Optim, Recipe
from registry import register_recipe

_RAFD8 = {
    "condition": {
        "emotion": ["angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"],
    }
}
_HAIR_SEX_AGE = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]


def _images(iterations: int, batch: int, n_critic: int) -> int:
    """Images that the generator sees in `iterations` of the critic."""
    return iterations // n_critic * batch


def _wgan(generator: str, discriminator: str, dataset: str, resolution: int, tag: str) -> Recipe:
    """What these papers share: WGAN-GP, cycles of weight 10, Adam at 1e-4 with betas 0.5 and 0.999."""
    return Recipe(
        generator=generator,
        discriminator=discriminator,
        dataset=dataset,
        dataset_options={"resolution": resolution},
        g_losses=(LossTerm("adv_wgan_g"), LossTerm("cycle_l1", 10.0)),
        d_losses=(LossTerm("adv_wgan_d"), LossTerm("gradient_penalty", 10.0)),
        tag=tag,
    )


def _with(recipe: Recipe, *g_losses: LossTerm, d: LossTerm) -> Recipe:
    return replace(recipe, g_losses=(*recipe.g_losses, *g_losses), d_losses=(*recipe.d_losses, d))


def _lasting(recipe: Recipe, images: int, decay: int, batch: int, n_critic: int) -> Recipe:
    optim = Optim(lr=1e-4, decay_images=decay)
    return replace(recipe, g_optim=optim, d_optim=optim, total_images=images, batch_size=batch, n_critic=n_critic)


@register_recipe
def stargan_base_128_celeba() -> Recipe:
    """StarGAN on CelebA: hair, sex and age, on all but StarGAN's 1999 test and as many validation pictures.

    200,000 iterations of 16 images with 5 critic steps: 200,000 / 5 * 16 = 640,000 images; the rate falls over the last
    100,000 iterations, 320,000 images. The cross-entropies are summed over the five attributes.
    """
    return _stargan_celeba(128)


@register_recipe
def stargan_base_256_celeba() -> Recipe:
    """StarGAN on CelebA at 256 px, as the authors' published weights are; else as at 128."""
    return _stargan_celeba(256)


def _stargan_celeba(resolution: int) -> Recipe:
    recipe = _wgan(f"stargan_base_{resolution}", f"star_d_{resolution}", "celeba", resolution, "celeba")
    recipe = _with(recipe, LossTerm("cls_bce_fake"), d=LossTerm("cls_bce_real"))
    options = {**recipe.dataset_options, "attributes": _HAIR_SEX_AGE, "rule": "stargan"}
    recipe = replace(recipe, dataset_options=options)
    return _lasting(recipe, _images(200_000, 16, 5), _images(100_000, 16, 5), 16, 5)


@register_recipe
def stargan_base_128_rafd() -> Recipe:
    """StarGAN on RaFD: eight emotions, frontal faces, on people that the test does not show; else as on CelebA.

    The paper cuts its pictures to the face first; so shall those in the folder be. Its split is by picture, 90 to 10.
    """
    recipe = _wgan("stargan_base_128", "star_d_128", "rafd", 128, "rafd")
    recipe = _with(recipe, LossTerm("cls_ce_fake"), d=LossTerm("cls_ce_real"))
    recipe = replace(recipe, generator_options=_RAFD8, discriminator_options=_RAFD8)
    return _lasting(recipe, _images(200_000, 16, 5), _images(100_000, 16, 5), 16, 5)


@register_recipe
def stargan_both_128_celeba_rafd() -> Recipe:
    """StarGAN on CelebA and RaFD together: attributes, emotions, and which set a label is of.

    Official iterations take a batch of either set; here a batch of 16 holds 8 of each, so twice as many steps make up
    for it: 2 * 640,000 images. A sample counts in the losses that its set has labels for.
    """
    return _stargan_both(128)


@register_recipe
def stargan_both_256_celeba_rafd() -> Recipe:
    """StarGAN on CelebA and RaFD together at 256 px, the size of the official settings for both; else as at 128."""
    return _stargan_both(256)


def _stargan_both(resolution: int) -> Recipe:
    names = (f"stargan_both_{resolution}", f"star_both_d_{resolution}", "joint", resolution, "celeba_rafd")
    recipe, celeba = _wgan(*names), {"where": 0}
    recipe = _with(
        recipe,
        LossTerm("cls_bce_fake", 1.0, celeba),
        LossTerm("cls_ce_fake"),
        d=LossTerm("cls_bce_real", 1.0, celeba),
    )
    recipe = replace(recipe, d_losses=(*recipe.d_losses, LossTerm("cls_ce_real")))
    return _lasting(recipe, 2 * _images(200_000, 16, 5), 2 * _images(100_000, 16, 5), 16, 5)


def _spm(generator: str, discriminator: str, dataset: str, resolution: int, tag: str) -> Recipe:
    """The paper's weights: 1 for attributes and mask, 0.5 for what can be read off the motion, 10 for cycles."""
    recipe = _wgan(generator, discriminator, dataset, resolution, tag)
    recipe = _with(
        recipe,
        LossTerm("cls_bce_fake"),
        LossTerm("mask_area"),
        LossTerm("motion_cls", 0.5),
        d=LossTerm("cls_bce_real"),
    )
    return replace(recipe, motion_discriminator="spm_motion_d_128")


@register_recipe
def spm_refine_128_celeba() -> Recipe:
    """SPM on CelebA at 128 px, the first stage: smiles, brows and noses, on all but 2000 test and validation pictures.

    The paper prints a log-loss; the authors' settings are WGAN-GP with 5 critic steps, which are taken. Cross-entropies
    are summed over the attributes, as in StarGAN, on whose code theirs is built. 100,000 iterations of 16 images are
    100,000 / 5 * 16 = 320,000 images, and in the settings the rate falls over all of them.
    """
    recipe = _spm("spm_refine_128", "spm_d_128", "celeba", 128, "celeba")
    return _lasting(recipe, _images(100_000, 16, 5), _images(100_000, 16, 5), 16, 5)


@register_recipe
def spm_refine_128_rafd() -> Recipe:
    """SPM on the frontal faces of RaFD: eight emotions by softmax cross-entropy, else as on CelebA."""
    recipe = _wgan("spm_refine_128", "spm_d_128", "rafd", 128, "rafd")
    motion = LossTerm("motion_cls", 0.5, {"part": "emotion"})
    recipe = _with(recipe, LossTerm("cls_ce_fake"), LossTerm("mask_area"), motion, d=LossTerm("cls_ce_real"))
    recipe = replace(
        recipe,
        generator_options=_RAFD8,
        discriminator_options=_RAFD8,
        motion_discriminator="spm_motion_d_128",
        motion_options=_RAFD8,
    )
    return _lasting(recipe, _images(100_000, 16, 5), _images(100_000, 16, 5), 16, 5)


@register_recipe
def spm_refine_256_celebahq() -> Recipe:
    """SPM from 128 to 256 px on CelebA-HQ, from the weights of `spm_refine_128_celeba`; all networks go on learning.

    It starts from where that recipe's run puts them; with others, set `start`. 200,000 iterations of 8 images:
    200,000 / 5 * 8 = 320,000 images, and the rate falls over the last half. The low discriminator's share of 0.4 is
    lambda_low of the authors' settings; where it applies is not published, here to all losses of that discriminator.
    """
    recipe = _spm("spm_refine_256", "spm_d_256", "celebahq", 256, "celebahq")
    recipe = replace(
        recipe,
        start="local-dir:runs/spm_refine_128_celeba/published/spm_refine_128.celeba",
        low_discriminator="spm_d_128",
        low_weight=0.4,
    )
    return _lasting(recipe, _images(200_000, 8, 5), _images(100_000, 8, 5), 8, 5)


@register_recipe
def spm_refine_512_celebahq() -> Recipe:
    """SPM from 256 to 512 px on CelebA-HQ, from the weights of `spm_refine_256_celebahq`.

    As the stage before, in batches of 4 (200,000 / 5 * 4 = 160,000 images), with lambda_low 0.5.
    """
    recipe = _spm("spm_refine_512", "spm_d_512", "celebahq", 512, "celebahq")
    recipe = replace(
        recipe,
        start="local-dir:runs/spm_refine_256_celebahq/published/spm_refine_256.celebahq",
        low_discriminator="spm_d_128",
        low_weight=0.5,
    )
    return _lasting(recipe, _images(200_000, 4, 5), _images(100_000, 4, 5), 4, 5)


@register_recipe
def ganimation_base_128_emotionnet() -> Recipe:
    """GANimation on EmotionNet with the action units of OpenFace.

    30 epochs of the paper's 200,000 pictures, 5 critic steps: 200,000 * 30 / 5 = 1,200,000 images; the rate falls over
    the last 10 epochs, 400,000. Official code divides the mean squared error by the batch of 25 once more, so its 4000
    are 160. Its total variation sums over the mask's 128 * 127 differences a direction and over the batch: 1e-5 * 128 *
    127 * 25 = 4.064. The masks of both passes cost 0.1, and their 1 keeps the input, so what costs is what is kept.
    Targets are another picture's action units and noise of up to 0.1, as there.
    """
    recipe = _wgan("ganimation_base_128", "ganimation_d_128", "emotionnet", 128, "emotionnet")
    kept, variation = {"kept": True}, 1e-5 * 128 * 127 * 25
    recipe = _with(
        recipe,
        LossTerm("cls_au_mse_fake", 4000 / 25),
        LossTerm("mask_area", 0.1, kept),
        LossTerm("mask_area_cycle", 0.1, kept),
        LossTerm("mask_tv", variation),
        LossTerm("mask_tv_cycle", variation),
        d=LossTerm("cls_au_mse_real", 4000 / 25),
    )
    return _lasting(replace(recipe, au_noise=0.1), 200_000 * 30 // 5, 200_000 * 10 // 5, 25, 5)


@register_recipe
def defgan_base_128_emotionnet() -> Recipe:
    """DefGAN on EmotionNet.

    40 epochs of 190,000 pictures, 10 critic steps: 190,000 * 40 / 10 = 760,000 images; the rate falls over the last 20
    epochs, 380,000. The weights 4000 and 1000 of the action units, of the result and of the deformed image, are divided
    by the batch of 25, as GANimation's code does. Total variations sum over the 128 * 127 differences a direction, the
    grid's over both channels: 1e-5 * 128 * 127 for the mask, twice that for the grid. Both passes pay for grid and
    mask. The identity loss compares embeddings of the deformed image and of the source (Eq. 12, which gives it no
    weight: 1). The paper's are of OpenFace's face network; here they are FaceNet's, whose weights must be on the
    machine, and another registered feature can take its place.
    """
    recipe = _wgan("defgan_base_128", "defgan_d_128", "emotionnet", 128, "emotionnet")
    smooth, squares = {"squared": True}, {"p": 2.0}
    variation = 1e-5 * 128 * 127
    regularisers = [
        term
        for passed in ("", "_cycle")
        for term in (
            LossTerm(f"flow_identity{passed}", 0.1, squares),
            LossTerm(f"flow_tv{passed}", 2 * variation, smooth),
            LossTerm(f"mask_area{passed}", 0.1, squares),
            LossTerm(f"mask_tv{passed}", variation, smooth),
        )
    ]
    recipe = replace(recipe, g_losses=(LossTerm("adv_wgan_g"), LossTerm("cycle_l1", 100.0)))
    recipe = _with(
        recipe,
        LossTerm("cls_au_mse_fake", 4000 / 25),
        LossTerm("cls_au_mse_moved", 1000 / 25),
        LossTerm("id_cosine", 1.0, {"feature": "facenet_vggface2", "of": "warped"}),
        LossTerm("flow_compose", 10.0),
        *regularisers,
        d=LossTerm("cls_au_mse_real", 4000 / 25),
    )
    return _lasting(recipe, 190_000 * 40 // 10, 190_000 * 20 // 10, 25, 10)
