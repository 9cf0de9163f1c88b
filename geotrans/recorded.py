"""The recorded call of a published folder: made when weights are saved, repeated when they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from geotrans.base import Generator
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Translation

# fp16 weights and other machines' convolutions stay well below this; a wrong key map does not.
CHECK_TOLERANCE = 2e-2


def random_condition(spec: ConditionSpec, batch: int, height: int, width: int, seed: int = 0) -> Condition:
    """A condition that fits a spec: uniform numbers in [0, 1], landmarks in [-1, 1]. For checks and tests."""
    generator = torch.Generator().manual_seed(seed)
    values: dict[str, Tensor] = {
        name: torch.rand(batch, len(getattr(spec, name)), generator=generator)
        for name in VECTOR_FIELDS
        if getattr(spec, name)
    }
    if spec.landmarks:
        values["landmarks"] = 2 * torch.rand(batch, 68, 2, generator=generator) - 1
    if spec.structure:
        values["structure"] = torch.rand(batch, spec.structure, height, width, generator=generator)
    return Condition(**values)


def record(model: Generator, seed: int) -> dict[str, Tensor]:
    """An input, a condition that fits, and what the model makes of them."""
    size = model.cfg.resolution
    generator = torch.Generator().manual_seed(seed)
    coarse = 2 * torch.rand(1, 3, 8, 8, generator=generator) - 1
    image = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=False)
    conditions = {"target": random_condition(model.cfg.condition, 1, size, size, seed)}
    if model.cfg.condition.needs_source:
        conditions["source"] = random_condition(model.cfg.condition, 1, size, size, seed + 1)
    was_training = model.training
    with torch.inference_mode():
        out: Translation = model.eval()(image, *conditions.values())
    model.train(was_training)
    call = {"in/image": image, "out/image": out.image.clone()}
    for role, condition in conditions.items():
        for name in Condition.__dataclass_fields__:
            if (value := getattr(condition, name)) is not None:
                call[f"in/{role}/{name}"] = value
    return call


def repeat(model: Generator, check: Mapping[str, Tensor], path: str | Path) -> float:
    """Repeat a recorded call and return the largest difference to the recorded image.

    Args:
        check: what `record` returned.
        path: the folder, for messages.

    Raises:
        ValueError: the difference exceeds what rounding explains, or nothing that fits was recorded.
    """
    size = (1, 3, model.cfg.resolution, model.cfg.resolution)
    for name in ("in/image", "out/image"):
        if name not in check:
            raise ValueError(f"{path}: check.safetensors holds no recorded call; get the folder again")
        if check[name].shape != size:
            raise ValueError(f"{path}: check.safetensors has {name} of shape {tuple(check[name].shape)}, not {size}")
    with torch.inference_mode():
        try:
            image = model(check["in/image"], *_recorded_conditions(check)).image
            difference = float((image - check["out/image"]).abs().max())
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path}: the recorded call does not fit the model: {error}") from error
    if not difference <= CHECK_TOLERANCE:
        raise ValueError(
            f"{path}: the weights give another picture than the one recorded with them (difference {difference:.3g}, "
            f"expected at most {CHECK_TOLERANCE}); get the folder again"
        )
    return difference


def _recorded_conditions(check: Mapping[str, Tensor]) -> list[Condition]:
    found = []
    for role in ("target", "source"):
        prefix = f"in/{role}/"
        values = {key.removeprefix(prefix): value for key, value in check.items() if key.startswith(prefix)}
        if values or role == "target":
            found.append(replace(Condition(), **values))
    return found
