"""Every registered recipe: its names resolve, it survives JSON, its networks fit each other, and its steps run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from accelerate import Accelerator

from geotrans.factory import create_recipe, list_models, list_recipes
from geotrans.train.build import build_networks
from geotrans.train.clips import video_stage
from geotrans.train.loop import Trainer
from geotrans.train.recipe import Recipe, check_recipe, from_json, judged_terms, to_json
from geotrans.train.step import Batch, Terms, discriminator_inputs, generator_inputs, low_stage
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Translation
from hub.files import read_json
from hub.folder import bundled_folders
from registry import RECIPES
from tests.tiny_recipes import reads_folder

RECIPE_NAMES = list_recipes()


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=RECIPE_NAMES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    made = create_recipe(request.param)
    assert isinstance(made, Recipe)
    return made


def test_there_are_recipes() -> None:
    assert "spm_refine_64_synthface" in RECIPE_NAMES


def test_its_names_resolve(recipe: Recipe) -> None:
    check_recipe(recipe)


def test_it_survives_json(recipe: Recipe) -> None:
    assert from_json(to_json(recipe)) == recipe


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_it_is_named_after_its_generator_and_tag_and_explains_itself(name: str) -> None:
    made = create_recipe(name)
    assert name == f"{made.generator}_{made.tag}"
    assert len((RECIPES.get(name).factory.__doc__ or "").strip()) > 30


@pytest.mark.parametrize("name", [name for name in RECIPE_NAMES if not reads_folder(create_recipe(name).dataset)])
def test_its_first_steps_run(name: str) -> None:
    recipe = create_recipe(name)
    warmup = replace(recipe.warmup, images=min(recipe.warmup.images, 2), batch_size=2)
    small = replace(recipe, batch_size=2, total_images=2, warmup=warmup, start="")
    trainer = Trainer(small, Accelerator(cpu=True))
    list(trainer.run(small.steps))
    trainer.check_finite(trainer.means.take())
    assert trainer.images == 2


def test_its_networks_fit_at_full_size(recipe: Recipe) -> None:
    """On the meta device a network has shapes and no numbers, so that a step of the largest costs next to nothing."""
    meta = torch.device("meta")
    side = recipe.dataset_options["resolution"]
    with meta:
        accelerator = cast(Accelerator, SimpleNamespace(device=meta, autocast=nullcontext))
        networks = build_networks(replace(recipe, start=""), accelerator)
        condition = empty_condition(networks.generator.cfg.condition, side)
        image = torch.empty(2, 3, side, side)
        batch = Batch(image, condition, condition, image, image)
        output = networks.translate(image, condition, condition)
        generator_inputs(networks, Terms(recipe.g_losses).needs, batch, output)
        discriminator_inputs(networks, Terms(recipe.d_losses).needs, batch, output)
        if networks.low is not None:
            view, twice, low = low_stage(networks, batch, output)
            discriminator_inputs(view, Terms(judged_terms(recipe.d_losses)).needs, twice, low)
        if networks.video is not None:
            pictures = torch.empty(2 * recipe.rollout, 3, side, side)
            clips = replace(batch, truth=pictures, frames=recipe.rollout)
            view, clips, painted = video_stage(networks, clips, Translation(pictures))
            discriminator_inputs(view, Terms(judged_terms(recipe.d_losses)).needs, clips, painted)
    assert networks.generator.cfg.resolution == side


def empty_condition(spec: ConditionSpec, side: int) -> Condition:
    parts = {name: torch.empty(2, len(columns)) for name in VECTOR_FIELDS if (columns := getattr(spec, name))}
    structure = torch.empty(2, spec.structure, side, side) if spec.structure else None
    return Condition(**parts, landmarks=torch.empty(2, 68, 2) if spec.landmarks else None, structure=structure)


@pytest.mark.parametrize("name", list_models(pretrained=True))
def test_bundled_weights_were_made_by_a_recipe_that_ships(name: str) -> None:
    trained = read_json(bundled_folders()[name] / "results.json")["training"]["recipe"]
    shipped = [create_recipe(recipe) for recipe in RECIPES.names()]
    assert from_json(json.dumps(trained)) in shipped  # fields that it has not heard of are as they were
