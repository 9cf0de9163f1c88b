"""Recipes made small enough for tests: few channels, 32 pixels, a handful of pictures, 50 steps."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from geotrans.train.recipe import LossTerm, Optim, Recipe
from registry import DATASETS, DISCRIMINATORS, GENERATORS

SIDE = 32
_NETWORK = {
    "resolution": SIDE,
    "width": 4,
    "blocks": 1,
    "refine_blocks": 1,
    "mlp_width": 8,
    "max_width": 8,
    "strides": 2,
    "layers": 2,
    "scales": 1,
    "dilations": (2,),
    "style_downsamples": 2,
    "constant": 0,
    "flow_width": 4,
    "flow_max_width": 8,
    "flow_layers": 3,
    "flow_levels": 2,
    "crop_scales": 0,
    "latents": 1,
    "growths": 1,
    "units": 64,
    "mask_units": 64,
}
_DATA = {"resolution": SIDE, "width": 24, "size": 16, "load": SIDE + 4, "passes": 2}
_LOSSES: dict[str, dict[str, Any]] = {
    "flow_sampling": {"feature": "synthface_features", "layers": ("quarter", "half")},
    "id_cosine": {"feature": "synthface_identity"},
    "ms_ssim": {"window": 4, "scales": 1},
    "nn_l1": {"feature": "synthface_features", "layers": ("half",)},
    "perc_vgg19": {"feature": "synthface_features", "layers": ("half",), "weights": None},
    "style_vgg19": {"feature": "synthface_features", "layers": ("half",)},
    "texture_gram": {"feature": "synthface_features"},
}


def reads_folder(name: str) -> bool:
    """Whether a dataset reads files."""
    return "root" in inspect.signature(DATASETS.get(name).factory).parameters


def example_folder(recipe: Recipe, root: Path) -> Path:
    """Write the folder in miniature that a recipe's dataset reads."""
    example = getattr(sys.modules[DATASETS.get(recipe.dataset).factory.__module__], f"example_{recipe.dataset}")
    domains = {"domains": recipe.dataset_options["domains"]} if "domains" in recipe.dataset_options else {}
    example(root, **domains)
    return root


def tiny(recipe: Recipe, steps: int = 50) -> Recipe:
    """The recipe with small networks and data, and so many steps; its losses, weights and order of steps stay."""
    warmup = replace(recipe.warmup, images=min(recipe.warmup.images, 4), batch_size=2)
    images = 2 * (steps - -(-warmup.images // 2))
    kernels = getattr(GENERATORS.get(recipe.generator).factory(), "kernels", ())
    low = SIDE // 2 ** len(kernels)
    return replace(
        recipe,
        generator_options=_small(GENERATORS, recipe.generator, recipe.generator_options),
        discriminator_options=_small(DISCRIMINATORS, recipe.discriminator, recipe.discriminator_options),
        motion_options=_small(DISCRIMINATORS, recipe.motion_discriminator, recipe.motion_options, resolution=low),
        low_options=_small(DISCRIMINATORS, recipe.low_discriminator, recipe.low_options, resolution=low),
        video_options=_small(DISCRIMINATORS, recipe.video_discriminator, recipe.video_options, layers=3),
        dataset_options={**recipe.dataset_options, **_known(DATASETS.get(recipe.dataset).factory, recipe)},
        g_losses=tuple(_small_term(term) for term in recipe.g_losses),
        g_optim=_short(recipe.g_optim, images),
        d_optim=_short(recipe.d_optim, images),
        batch_size=2,
        total_images=images,
        rollout=_rollout(recipe),
        n_critic=min(recipe.n_critic, 2),
        fake_pool=min(recipe.fake_pool, 3),
        real_pool=min(recipe.real_pool, 3),
        warmup=warmup,
        ema_halflife=min(recipe.ema_halflife, 4),
        zero_init=(),
        start="",
    )


def _small(table: Any, name: str | None, options: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    if name is None:
        return {}
    config = table.get(name).factory()
    known = {field.name for field in fields(config) if not isinstance(getattr(config, field.name), bool)}
    return {**options, **{key: value for key, value in {**_NETWORK, **more}.items() if key in known}}


def _known(factory: Any, recipe: Recipe) -> dict[str, Any]:
    """What makes a dataset small, if it has the option; windows and runs are cut only where the recipe has some."""
    options, data = inspect.signature(factory).parameters, {**_DATA, "run": _rollout(recipe)}
    always = {"resolution", "size"}
    return {key: value for key, value in data.items() if key in options and key in always | set(recipe.dataset_options)}


def _rollout(recipe: Recipe) -> int:
    """As few frames as its judge of motion takes."""
    judge = recipe.video_discriminator and DISCRIMINATORS.get(recipe.video_discriminator).factory()
    return min(recipe.rollout, getattr(judge, "frames", 2))


def _small_term(term: LossTerm) -> LossTerm:
    return replace(term, options={**term.options, **_LOSSES.get(term.name, {})})


def _short(optim: Optim, images: int) -> Optim:
    return replace(optim, ramp_images=min(optim.ramp_images, 8), decay_images=images // 2 if optim.decay_images else 0)
