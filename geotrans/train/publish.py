"""The published folder of a finished run: averaged weights, what they cost, and a card that says how to use them."""

from __future__ import annotations

import copy
import os
import platform
from pathlib import Path
from typing import Any

import torch

from geotrans.base import config_to_dict, count_parameters
from geotrans.factory import save_folder
from geotrans.train.loop import Trainer
from geotrans.train.recipe import Recipe, to_json

_CARD = """\
---
library_name: geotrans
tags: [image-to-image, image-translation, geometry-aware]
---
# {name}

{architecture}, {parameters:,} parameters, {resolution} x {resolution} pixels, trained on `{dataset}`.

```python
import geotrans
model = geotrans.create_model("{name}", pretrained=True)
out = model(image, geotrans.Condition({part}=wanted))  # out.image out.flow out.warped out.mask out.residual
```

{part}, in this order: {columns}.

## Training

{images:,} images in {minutes:.1f} minutes on {device} ({threads} threads, {processes} process(es)), {average}.
The recipe, all that decides the weights:

```json
{recipe}```

## Scores

None yet: `python -m eval.run --models local-dir:FOLDER --record` writes them here and into `results.json`.
"""


def publish(trainer: Trainer, path: Path, seconds: float, *, half: bool = False) -> Path:
    """Write the trained generator as a published folder; nothing is scored.

    Args:
        seconds: wall-clock time of the whole run.
        half: store the weights in float16.
    """
    recipe = trainer.recipe
    training = training_cost(trainer, seconds)
    return save_folder(
        copy.deepcopy(trainer.averaged).cpu().requires_grad_(True),
        path,
        arch=recipe.generator,
        tag=recipe.tag,
        results={"training": training},
        readme=_card(trainer, training),
        dataset={"name": recipe.dataset, "options": recipe.dataset_options},
        half=half,
    )


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


def _card(trainer: Trainer, training: dict[str, Any]) -> str:
    recipe, model = trainer.recipe, trainer.averaged
    spec = model.cfg.condition
    part = next(
        (name for name in ("attributes", "aus", "emotion", "modality", "view", "style") if getattr(spec, name)), None
    )
    return _CARD.format(
        name=f"{recipe.generator}.{recipe.tag}",
        architecture=type(model).paper or type(model).__name__,
        parameters=count_parameters(trainer.networks.generator),
        resolution=model.cfg.resolution,
        dataset=recipe.dataset,
        part=part or ("landmarks" if spec.landmarks else "structure"),
        columns=", ".join(getattr(spec, part)) if part else "points or maps",
        images=training["images"],
        minutes=training["seconds"] / 60,
        device=training["device"],
        threads=training["threads"],
        processes=training["processes"],
        average=_average(recipe),
        recipe=to_json(recipe),
    )


def _average(recipe: Recipe) -> str:
    if not recipe.ema_halflife:
        return "the last weights"
    return f"weights averaged with a half-life of {recipe.ema_halflife:,} images"
