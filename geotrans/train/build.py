"""From a recipe's names and options to its data and networks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from geotrans.base import Discriminator, Generator, config_from_dict
from geotrans.data.base import Dataset
from geotrans.factory import create_dataset, create_discriminator, create_model
from geotrans.train.cache import Cached
from geotrans.train.recipe import Options, Recipe
from geotrans.train.step import Networks
from geotrans.types import VECTOR_FIELDS
from registry import DATASETS, DISCRIMINATORS, GENERATORS, suggest


def open_dataset(recipe: Recipe, data: Path | None, cache: int = 0, *, truth: bool = False) -> Dataset:
    """The dataset of a recipe.

    Args:
        data: the folder of a dataset that reads files.
        cache: keep it in memory if it takes no more bytes than that.
        truth: the paired targets are wanted too.

    Raises:
        ValueError: the dataset reads no folder.
    """
    dataset = create_dataset(recipe.dataset, **with_root(recipe.dataset, recipe.dataset_options, data))
    cached = Cached(dataset, truth=truth)
    return cached if cache and cached.nbytes() <= cache else dataset


def with_root(name: str, options: Options, data: Path | None) -> dict[str, Any]:
    """A dataset's options with the folder that it reads, which is no part of a recipe.

    Raises:
        ValueError: the dataset reads no folder.
    """
    if data is None:
        return dict(options)
    if "root" not in inspect.signature(DATASETS.get(name).factory).parameters:
        raise ValueError(f"the dataset {name} draws its own pictures and reads no folder; leave out --data")
    return {**options, "root": str(data)}


def build_networks(recipe: Recipe, accelerator: Accelerator) -> Networks:
    """The networks of a recipe at the start of its run, ready to train.

    Raises:
        LookupError: a name is not registered, or the model to start from does not exist.
        ValueError: the networks do not fit each other.
    """
    twin = recipe.directions == "twin"
    generator = _generator(recipe)
    judge = (recipe.discriminator, recipe.discriminator_options)
    networks = Networks(
        generator,
        _judge(recipe, generator, *judge),
        _judge(recipe, generator, recipe.motion_discriminator, recipe.motion_options),
        _judge(recipe, generator, recipe.low_discriminator, recipe.low_options),
        _judge(recipe, generator, recipe.video_discriminator, recipe.video_options),
        _generator(recipe) if twin else None,
        _judge(recipe, generator, *judge) if twin else None,
        accelerator.autocast,
        recipe.instance_noise,
        recipe.real,
    )
    for network in networks.modules().values():
        network.to(accelerator.device).train()
    return networks


def _generator(recipe: Recipe) -> Generator:
    entry = GENERATORS.get(recipe.generator).factory()
    generator = create_model(recipe.generator, **_revived(entry, recipe.generator_options))
    if recipe.rollout > 1 and generator.references != 2:
        raise ValueError(f"rollout: {recipe.generator} does not read the frame before; expected a model of clips, or 1")
    _zero(generator, recipe.zero_init)
    if recipe.start:
        stage = create_model(recipe.start, pretrained=True)
        try:
            generator.adopt(stage)
        except ValueError as error:
            raise ValueError(f"start: {recipe.generator} cannot start from {recipe.start}: {error}") from error
    return generator


def _judge(recipe: Recipe, generator: Generator, name: str | None, options: Options) -> Discriminator | None:
    if name is None:
        return None
    network = create_discriminator(name, **_revived(DISCRIMINATORS.get(name).factory(), options))
    _check_columns(generator, network, name)
    if recipe.d_init == "kaiming":
        network.apply(_kaiming)
    return network


def _zero(generator: Generator, names: Sequence[str]) -> None:
    parameters = dict(generator.named_parameters())
    for name in names:
        if name not in parameters:
            raise ValueError(f"zero_init: the generator has no parameter {name!r}; {suggest(name, parameters)}")
        nn.init.zeros_(parameters[name])


def _kaiming(module: nn.Module) -> None:
    """He initialisation for leaky rectifiers: activations keep their size from the first step on."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _revived(entry_cfg: Any, options: Options) -> dict[str, Any]:
    """Options as the config's types: what a JSON recipe holds as an object becomes the config that it stands for."""
    return {
        name: config_from_dict(type(getattr(entry_cfg, name)), value)
        if isinstance(value, Mapping) and hasattr(entry_cfg, name)
        else value
        for name, value in options.items()
    }


def _check_columns(generator: Generator, judge: Discriminator, name: str) -> None:
    """A discriminator that reads a condition must read the generator's, or its losses compare unlike columns."""
    wanted, got = generator.cfg.condition, judge.cfg.condition
    for part in VECTOR_FIELDS:
        if getattr(got, part) and getattr(got, part) != getattr(wanted, part):
            columns = [", ".join(getattr(spec, part)) or "none" for spec in (got, wanted)]
            raise ValueError(
                f"{name} reads {part} {columns[0]}, the generator {columns[1]}; give both the same condition"
            )
