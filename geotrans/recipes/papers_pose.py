"""The papers' recipes for persons in poses: GFLA and PATN, on DeepFashion and Market-1501.

Both learn from pairs, without mirror images. VGG-19's weights must be on the machine. None of these has been run at
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

_PLAIN = {"feature": "vgg19_plain"}
_FASHION = {"resolution": 256, "flip": False}
_MARKET = {"resolution": 128, "flip": False, "distort": True, "passes": 16}


def _flow(generator: str, dataset: str, options: dict[str, Any], sizes: tuple[int, ...]) -> Recipe:
    """The flow field estimator alone: nothing of these losses reaches the rest, which stays as it was drawn."""
    return Recipe(
        generator=generator,
        dataset=dataset,
        dataset_options=options,
        g_losses=(LossTerm("flow_sampling", 20.0, _PLAIN), LossTerm("flow_affine", 0.01, {"sizes": sizes})),
        g_optim=Optim(lr=1e-4, betas=(0.0, 0.999)),
        batch_size=8,
        total_images=1_000_000 * 8,
        tag=f"{dataset}_flow",
    )


def _whole(stage: Recipe, discriminator: str, sizes: tuple[int, ...]) -> Recipe:
    """Everything, from the weights of `stage`; the discriminator at a tenth of the rate."""
    return replace(
        stage,
        discriminator=discriminator,
        start=f"local-dir:runs/{stage.generator}_{stage.tag}/published/{stage.generator}.{stage.tag}",
        g_losses=(
            LossTerm("rec_l1", 5.0),
            LossTerm("adv_lsgan_g", 2.0),
            LossTerm("perc_vgg19", 0.5, _PLAIN),
            LossTerm("style_vgg19", 500.0, _PLAIN),
            LossTerm("flow_sampling", 5.0, _PLAIN),
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
    return _flow("gfla_fashion_256", "deepfashion", _FASHION, (3, 5))


@register_recipe
def gfla_fashion_256_deepfashion() -> Recipe:
    """GFLA on DeepFashion, the second stage: everything, from the weights of `gfla_fashion_256_deepfashion_flow`.

    Weights: 5 L1, 2 adversarial (the code's least squares; the paper prints a log-loss), 0.5 content, 500 style, 5
    sampling correctness, 0.0025 affinity.
    """
    return _whole(gfla_fashion_256_deepfashion_flow(), "gfla_d_256", (3, 5))


@register_recipe
def gfla_market_128_market1501_flow() -> Recipe:
    """GFLA on Market-1501, the first stage, as on DeepFashion; pictures are turned, scaled and shifted a little.

    An index has its distortion, so an epoch goes through the pairs 16 times with others.
    """
    return _flow("gfla_market_128", "market1501", _MARKET, (3,))


@register_recipe
def gfla_market_128_market1501() -> Recipe:
    """GFLA on Market-1501, the second stage, from the weights of `gfla_market_128_market1501_flow`."""
    return _whole(gfla_market_128_market1501_flow(), "gfla_market_d_128", (3,))


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
    """PATN on Market-1501, 32 pairs a step: log-loss, and weights of 10 for pictures and features.

    Official discriminators also see 50 earlier results, each beside its own source and pose; here only new ones.
    """
    recipe = _patn("patn_market_128", "patn_d_128", "market1501", {"resolution": 128}, "vanilla", 10.0)
    return replace(recipe, batch_size=32)
