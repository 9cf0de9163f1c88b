"""The papers' recipes for persons in poses: GFLA, PATN, and the others of GFLA's table, on DeepFashion and Market-1501.

All learn from pairs, without mirror images. VGG-19's weights must be on the machine. None of these has been run at
full length, so no scores stand behind them yet.

GFLA's paper names no lengths, and its code's 5,000,000 iterations were never reached: the authors stopped where losses
no longer fell, the flow's near 2 on DeepFashion and 1.5 on Market-1501, weighted. Here are 1,000,000 iterations of 8
pairs for the flow and 500,000 for the whole, at a constant rate; stop earlier, or set others with
`--set total_images=...`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from geotrans.train.recipe import LossTerm, Optim, Recipe
from registry import register_recipe

VGG_PLAIN = {"feature": "vgg19_plain"}
_LEVELS = 57.4  # of a colour, that torchvision's VGG takes for one: 255 times the mean of ImageNet's deviations
_FASHION = {"resolution": 256, "flip": False}
_MARKET = {"resolution": 128, "flip": False, "distort": True, "passes": 16}


def flow_stage(generator: str, dataset: str, options: dict[str, Any], sizes: tuple[int, ...]) -> Recipe:
    """The flow field estimator alone: nothing of these losses reaches the rest, which stays as it was drawn."""
    return Recipe(
        generator=generator,
        dataset=dataset,
        dataset_options=options,
        g_losses=(LossTerm("flow_sampling", 20.0, VGG_PLAIN), LossTerm("flow_affine", 0.01, {"sizes": sizes})),
        g_optim=Optim(lr=1e-4, betas=(0.0, 0.999)),
        batch_size=8,
        total_images=1_000_000 * 8,
        tag=f"{dataset}_flow",
    )


def whole_stage(stage: Recipe, discriminator: str, sizes: tuple[int, ...]) -> Recipe:
    """Everything, from the weights of `stage`; the discriminator at a tenth of the rate."""
    return replace(
        stage,
        discriminator=discriminator,
        start=f"local-dir:runs/{stage.generator}_{stage.tag}/published/{stage.generator}.{stage.tag}",
        g_losses=(
            LossTerm("rec_l1", 5.0),
            LossTerm("adv_lsgan_g", 2.0),
            LossTerm("perc_vgg19", 0.5, VGG_PLAIN),
            LossTerm("style_vgg19", 500.0, VGG_PLAIN),
            LossTerm("flow_sampling", 5.0, VGG_PLAIN),
            LossTerm("flow_affine", 0.0025, {"sizes": sizes}),
        ),
        d_losses=(LossTerm("adv_lsgan_d", 0.5),),
        d_optim=replace(stage.g_optim, lr=1e-5),
        real="truth",
        total_images=500_000 * 8,
        tag=stage.dataset,
    )


@register_recipe
def gfla_fashion_256_deepfashion_flow() -> Recipe:
    """GFLA on DeepFashion, the first stage: the flow field estimator, by sampling correctness 20 and affinity 0.01."""
    return flow_stage("gfla_fashion_256", "deepfashion", _FASHION, (3, 5))


@register_recipe
def gfla_fashion_256_deepfashion() -> Recipe:
    """GFLA on DeepFashion, the second stage: everything, from the weights of `gfla_fashion_256_deepfashion_flow`.

    Weights: 5 L1, 2 adversarial (the code's least squares; the paper prints a log-loss), 0.5 content, 500 style, 5
    sampling correctness, 0.0025 affinity.
    """
    return whole_stage(gfla_fashion_256_deepfashion_flow(), "gfla_d_256", (3, 5))


@register_recipe
def gfla_market_128_market1501_flow() -> Recipe:
    """GFLA on Market-1501, the first stage, as on DeepFashion; pictures are turned, scaled and shifted a little.

    An index has its distortion, so an epoch goes through the pairs 16 times with others.
    """
    return flow_stage("gfla_market_128", "market1501", _MARKET, (3,))


@register_recipe
def gfla_market_128_market1501() -> Recipe:
    """GFLA on Market-1501, the second stage, from the weights of `gfla_market_128_market1501_flow`."""
    return whole_stage(gfla_market_128_market1501_flow(), "gfla_market_d_128", (3,))


def _patn(generator: str, discriminator: str, dataset: str, options: dict[str, Any], loss: str, near: float) -> Recipe:
    """700 epochs of 4000 random pairs: 2,800,000 images, the rate falling over the last 200, 800,000 images.

    Poses are single pixels, as the official code stores them. Adversarial losses are means over the two discriminators:
    the generator's counts 5, as there, and each discriminator learns by 5 / 2 * (real + fake), as there. Here they step
    before the generator, there after it.

    Args:
        loss: of the adversarial side, "lsgan" or "vanilla".
        near: weight of L1, and of L1 between relu1_2 of VGG-19.
    """
    optim = Optim(lr=2e-4, decay_images=200 * 4_000)
    return Recipe(
        generator=generator,
        discriminator=discriminator,
        dataset=dataset,
        dataset_options={**options, "flip": False, "pose": "points"},
        g_losses=(
            LossTerm(f"adv_{loss}_g", 5.0),
            LossTerm("rec_l1", near),
            LossTerm("perc_vgg19", near, {"layers": ("relu1_2",)}),
        ),
        d_losses=(LossTerm(f"adv_{loss}_d", 5.0),),
        g_optim=optim,
        d_optim=optim,
        total_images=700 * 4_000,
        real="truth",
        tag=dataset,
    )


@register_recipe
def patn_fashion_256_deepfashion() -> Recipe:
    """PATN on DeepFashion, 256 x 176, 7 pairs a step: least squares, and weights of 1 for pictures and features.

    For In-shop's small pictures, which are squares: --set dataset_options.crop=true.
    """
    options = {"resolution": 256, "width": 176}
    recipe = _patn("patn_fashion_256", "patn_d_256", "deepfashion", options, "lsgan", 1.0)
    return replace(recipe, batch_size=7)


@register_recipe
def patn_market_128_market1501() -> Recipe:
    """PATN on Market-1501, 32 pairs a step: log-loss, weights of 10 for pictures and features.

    The discriminators also see 50 earlier results, each beside its own source and pose; both see the same ones here.
    """
    recipe = _patn("patn_market_128", "patn_d_128", "market1501", {"resolution": 128}, "vanilla", 10.0)
    return replace(recipe, batch_size=32, fake_pool=50)


@register_recipe
def intrflow_fashion_256_deepfashion_flow() -> Recipe:
    """Intrinsic Flow on DeepFashion, the first stage: the flow alone, by GFLA's losses, 8 epochs of 101,966 pairs.

    The authors tie the flow, and what of the source can be seen, to body models fitted to the pictures, which are not
    at hand: the flow is held to look right instead, and visibility stays as the network first guesses it.
    """
    features = ("relu5_1", "relu5_1", "relu4_1", "relu3_1", "relu3_1")  # a flow of 8 pixels, 16, ..., 128
    return Recipe(
        generator="intrflow_fashion_256",
        dataset="deepfashion",
        dataset_options={**_FASHION, "pose": "discs", "pose_size": 8.0},
        g_losses=(
            LossTerm("flow_sampling", 20.0, {**VGG_PLAIN, "layers": features}),
            LossTerm("flow_affine", 0.01, {"sizes": (3, 3, 3, 3, 3)}),
        ),
        g_optim=Optim(lr=1e-4, betas=(0.9, 0.999)),
        batch_size=8,
        total_images=8 * 101_966,
        tag="deepfashion_flow",
    )


@register_recipe
def intrflow_fashion_256_deepfashion() -> Recipe:
    """Intrinsic Flow on DeepFashion, 30 epochs of 101,966 pairs, from `intrflow_fashion_256_deepfashion_flow`.

    Weights: 1 for L1, 1/8 for each of five layers of VGG-19, 0.01 for both sides of the log-loss. The authors' flow
    learns no more, here it is held by a fifth of GFLA's weights; their adversary comes in the sixth epoch, here it is
    there from the start; and theirs forgets by a weight decay of 0.0004, for which the trainer has no setting.
    """
    stage = intrflow_fashion_256_deepfashion_flow()
    sampling, affine = stage.g_losses
    return replace(
        stage,
        discriminator="intrflow_d_256",
        start=f"local-dir:runs/{stage.generator}_{stage.tag}/published/{stage.generator}.{stage.tag}",
        g_losses=(
            LossTerm("rec_l1", 1.0),
            LossTerm("perc_vgg19", 0.125),
            LossTerm("adv_vanilla_g", 0.01),
            replace(sampling, weight=1.0),
            replace(affine, weight=0.0005),
        ),
        d_losses=(LossTerm("adv_vanilla_d", 0.01),),
        real="truth",
        g_optim=Optim(lr=2e-4),
        d_optim=Optim(lr=2e-5),
        total_images=30 * 101_966,
        tag="deepfashion",
    )


@register_recipe
def posedefgan_fashion_256_deepfashion() -> Recipe:
    """Deformable GAN on DeepFashion: 90 epochs of 1,000 steps of 2 pairs, by nearest neighbours and a log-loss.

    The authors' weight of 0.01 belongs to a VGG-19 that sees levels of 0 to 255. Torchvision's sees them divided by 57,
    the mean deviation of ImageNet's colours, and shows maps about as many times smaller: so it is 0.57.
    """
    return Recipe(
        generator="posedefgan_fashion_256",
        discriminator="posedefgan_d_256",
        dataset="deepfashion",
        dataset_options=_FASHION,
        g_losses=(
            LossTerm("adv_vanilla_g", 1.0),
            LossTerm("nn_l1", 0.01 * _LEVELS, {"size": 5, "feature": "vgg19", "layers": ("relu1_2",)}),
        ),
        d_losses=(LossTerm("adv_vanilla_d", 1.0),),
        real="truth",
        g_optim=Optim(lr=2e-4),
        d_optim=Optim(lr=2e-4),
        batch_size=2,
        total_images=90 * 1_000 * 2,
        tag="deepfashion",
    )


@register_recipe
def vunet_fashion_256_deepfashion_free() -> Recipe:
    """VU-Net on DeepFashion, the first 50,000 steps of 8: codes are free to be anything (a weight of 1e-6).

    Weights: 5 for L1 in levels of 0 to 255, of the pictures and of five layers of a VGG-19 that sees such levels. The
    library's pictures are in [-1, 1], 127.5 times less, and for torchvision's VGG-19 see
    `posedefgan_fashion_256_deepfashion`.

    The authors show the network one picture at a time, whose looks and pose it puts together again; here it learns
    from pairs, as it is used. Their rate falls to half over these steps; here it stays.
    """
    layers = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")
    return Recipe(
        generator="vunet_fashion_256",
        dataset="deepfashion",
        dataset_options=_FASHION,
        g_losses=(
            LossTerm("rec_l1", 5 * 127.5),
            LossTerm("perc_vgg19", 5.0 * _LEVELS, {"layers": layers}),
            LossTerm("kl_latent", 1e-6),
        ),
        g_optim=Optim(lr=1e-3, betas=(0.5, 0.9)),
        batch_size=8,
        total_images=50_000 * 8,
        tag="deepfashion_free",
    )


@register_recipe
def vunet_fashion_256_deepfashion() -> Recipe:
    """VU-Net on DeepFashion, the next 50,000 steps, from `vunet_fashion_256_deepfashion_free`: codes follow the pose.

    Their divergence from what the pose tells counts 1 from the first step on. The authors raise its weight over
    25,000 steps, which the trainer cannot. The rate falls from half to 0, as theirs.
    """
    stage = vunet_fashion_256_deepfashion_free()
    rec, perc, kl = stage.g_losses
    return replace(
        stage,
        start=f"local-dir:runs/{stage.generator}_{stage.tag}/published/{stage.generator}.{stage.tag}",
        g_losses=(rec, perc, replace(kl, weight=1.0)),
        g_optim=Optim(lr=5e-4, betas=(0.5, 0.9), decay_images=50_000 * 8),
        tag="deepfashion",
    )
