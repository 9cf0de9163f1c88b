"""The published folder of a finished run: averaged weights, what they cost, and a card that says how to use them."""

from __future__ import annotations

import copy
import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from geotrans.base import config_to_dict, count_parameters
from geotrans.publishing import card_facts, save_folder
from geotrans.train.loop import Trainer
from geotrans.train.recipe import Recipe
from hub import card


def publish(trainer: Trainer, folder: Path, seconds: float, *, half: bool = False) -> list[Path]:
    """Write what was trained as published folders, `folder/GENERATOR.TAG`; nothing is scored.

    Args:
        seconds: wall-clock time of the whole run.
        half: store the weights in float16.

    Returns:
        The folder of the generator, and of a twin's second one.
    """
    recipe = trainer.recipe
    training = {**training_cost(trainer, seconds), "average": _average(recipe)}
    paths = []
    for tag, generator in trainer.published.items():
        name = f"{recipe.generator}.{tag}"
        facts = card_facts(generator, name, {"name": recipe.dataset})
        facts = replace(facts, parameters=count_parameters(trainer.networks.generator))
        path = save_folder(
            copy.deepcopy(generator).cpu().requires_grad_(True),
            folder / name,
            arch=recipe.generator,
            tag=tag,
            results={"training": training},
            readme=card.render(facts, {"training": training}),
            dataset={"name": recipe.dataset, "options": recipe.dataset_options},
            half=half,
        )
        paths.append(path)
    return paths


def training_cost(trainer: Trainer, seconds: float) -> dict[str, Any]:
    """What the weights cost, and the recipe that made them, as JSON values."""
    device = trainer.accelerator.device
    return {
        "seconds": round(seconds, 1),
        "images": trainer.images,
        "steps": trainer.step,
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "processes": trainer.accelerator.num_processes,
        "precision": trainer.accelerator.mixed_precision,
        "torch": torch.__version__,
        "recipe": config_to_dict(trainer.recipe),
    }


def _average(recipe: Recipe) -> str:
    if not recipe.ema_halflife:
        return "the last weights"
    return f"weights averaged with a half-life of {recipe.ema_halflife:,} images"
