"""Names become things: models with or without weights, warps, losses, features, datasets, recipes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from geotrans.base import Discriminator, Generator, Model, config_from_dict, config_to_dict, count_parameters, override
from geotrans.data.base import Dataset
from geotrans.layers.convert import load_strict
from geotrans.losses.base import LossFn
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Translation
from hub.download import resolve
from hub.folder import PublishedFolder, bundled_folders, read_config, read_folder, write_folder
from registry import (
    DATASETS,
    DISCRIMINATORS,
    FEATURES,
    GENERATORS,
    LOSSES,
    RECIPES,
    WARPS,
    DuplicateNameError,
    Entry,
    ModelName,
    UnknownNameError,
    matching,
    parse_model_name,
    suggest,
)

T = TypeVar("T")

# fp16 weights and other machines' convolutions stay well below this; a wrong key map does not.
CHECK_TOLERANCE = 2e-2


def create_model(name: str, *, pretrained: bool = False, **overrides: Any) -> Generator:
    """Build a generator.

    Args:
        name: `arch`, `arch.tag`, `local-dir:PATH` or `hf-hub:ORG/NAME[@REVISION]`.
        pretrained: load the weights of the name (of the first tag, if the name has none).
        overrides: fields of the model's config to change.

    Raises:
        LookupError: no such model, or no such weights; the message lists close names.
        TypeError: an override that the config does not have, or of another type.
        ValueError: the weights are broken or were made with another config.
    """
    model = _create(name, pretrained, overrides)
    if not isinstance(model, Generator):
        raise TypeError(f"{name} is a discriminator; build it with create_discriminator")
    return model


def create_discriminator(name: str, *, pretrained: bool = False, **overrides: Any) -> Discriminator:
    """Build a discriminator; arguments and errors as for `create_model`."""
    model = _create(name, pretrained, overrides)
    if not isinstance(model, Discriminator):
        raise TypeError(f"{name} is a generator; build it with create_model")
    return model


def create_warp(name: str) -> Callable[[Tensor, int, int], Tensor]:
    """The warp op `(params, height, width) -> flow (B, 2, H, W)` of that name."""
    return WARPS.get(name).factory


def create_loss(name: str, **options: Any) -> LossFn:
    """The loss `LossInputs -> (B,)` of that name, with options."""
    return cast(LossFn, _call(LOSSES.get(name), options))


def create_feature(name: str, **options: Any) -> Callable[[Tensor], Tensor]:
    """The frozen network `uint8 (B, 3, H, W) -> (B, D)` of that name; its weights are read, never downloaded."""
    return cast("Callable[[Tensor], Tensor]", _call(FEATURES.get(name), options))


def create_dataset(name: str, **options: Any) -> Dataset:
    """The dataset of that name."""
    return cast(Dataset, _call(DATASETS.get(name), options))


def create_recipe(name: str) -> Any:
    """The training recipe of that name, a `geotrans.train.recipe.Recipe`."""
    return _call(RECIPES.get(name), {})


def list_models(
    pattern: str | Iterable[str] = "*", *, pretrained: bool = False, exclude: str | Iterable[str] = ()
) -> list[str]:
    """Names of generators and discriminators that match a wildcard.

    Args:
        pretrained: list `arch.tag` names that have weights on this machine, instead of architectures.
    """
    architectures = sorted({*GENERATORS.names(), *DISCRIMINATORS.names()})
    if not pretrained:
        return sorted({*GENERATORS.names(pattern, exclude), *DISCRIMINATORS.names(pattern, exclude)})
    with_weights = [name for name in bundled_folders() if name.split(".")[0] in architectures]
    return matching(with_weights, pattern, exclude)


def list_warps(pattern: str | Iterable[str] = "*") -> list[str]:
    """Names of warp ops."""
    return WARPS.names(pattern)


def list_losses(pattern: str | Iterable[str] = "*") -> list[str]:
    """Names of losses."""
    return LOSSES.names(pattern)


def list_features(pattern: str | Iterable[str] = "*") -> list[str]:
    """Names of frozen networks."""
    return FEATURES.names(pattern)


def list_datasets(pattern: str | Iterable[str] = "*") -> list[str]:
    """Names of datasets."""
    return DATASETS.names(pattern)


def list_recipes(pattern: str | Iterable[str] = "*") -> list[str]:
    """Names of training recipes."""
    return RECIPES.names(pattern)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Facts of a registered model. weights: its tags; origin: file and line of its variant."""

    name: str
    parameters: int
    resolution: int
    condition: ConditionSpec
    weights: tuple[str, ...]
    paper: str
    origin: str


def model_info(name: str) -> ModelInfo:
    """Facts of a model, without allocating it."""
    parsed = parse_model_name(name)
    entry, cfg, _ = _look_up(parsed)
    with torch.device("meta"):
        model = entry.info(cfg)
    tags = tuple(key.partition(".")[2] for key in bundled_folders() if key.split(".")[0] == entry.name)
    return ModelInfo(
        str(parsed), count_parameters(model), cfg.resolution, cfg.condition, tags, entry.info.paper, entry.origin()
    )


def save_folder(
    model: Model,
    path: str | Path,
    *,
    arch: str,
    tag: str,
    results: Mapping[str, Any] | None = None,
    readme: str = "",
    dataset: Mapping[str, Any] | None = None,
    half: bool = False,
    seed: int = 0,
) -> Path:
    """Write a model as a published folder, with a recorded call that later loads are checked against.

    Args:
        half: round the weights to float16 (the recorded call is made with the rounded weights).
        seed: of the recorded call's input.
    """
    state = model.state_dict()
    if half:
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    rounded = type(model)(model.cfg)
    rounded.load_state_dict(state)
    check = _record(rounded, seed) if isinstance(rounded, Generator) else {}
    config = config_to_dict(model.cfg)
    folder = PublishedFolder(arch, tag, config, state, check, dict(results or {}), readme, dict(dataset or {}))
    return write_folder(folder, path)


def verify_folder(path: str | Path) -> float:
    """Repeat the recorded call of a published folder and return the largest difference to the recorded image.

    Raises:
        ValueError: the difference exceeds what rounding explains, or nothing was recorded.
    """
    folder = read_folder(path)
    if "out/image" not in folder.check:
        raise ValueError(f"{path}: check.safetensors holds no recorded call")
    model = create_model(f"local-dir:{path}", pretrained=True)
    with torch.inference_mode():
        image = model(folder.check["in/image"], *_recorded_conditions(folder.check)).image
    difference = float((image - folder.check["out/image"]).abs().max())
    if not difference <= CHECK_TOLERANCE:
        raise ValueError(
            f"{path}: the weights give another picture than the one recorded with them (difference {difference:.3g}, "
            f"expected at most {CHECK_TOLERANCE}); get the folder again"
        )
    return difference


def _create(name: str, pretrained: bool, overrides: Mapping[str, Any]) -> Model:
    parsed = parse_model_name(name)
    entry, cfg, path = _look_up(parsed, need_weights=pretrained)
    model: Model = entry.info(override(cfg, overrides))
    if pretrained and path is not None:
        folder = read_folder(path)
        try:
            load_strict(model, folder.weights)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if parsed.repo is not None:
            verify_folder(path)
    return model.eval()


def _look_up(name: ModelName, need_weights: bool = False) -> tuple[Entry[Any], Any, Path | None]:
    """The entry, the config that the name means, and the folder behind it, if there is one."""
    if name.arch:
        entry = _entry(name.arch)
        if name.tag is None and not need_weights:
            return entry, entry.factory(), None
        path = resolve(name)
    else:
        path = resolve(name)
        entry = _entry(read_config(path)["arch"])
    stored = read_config(path)["config"]
    try:
        return entry, config_from_dict(type(entry.factory()), stored), path
    except TypeError as error:
        raise ValueError(f"{path}: its config.json does not fit {entry.name}: {error}") from None


def _entry(arch: str) -> Entry[Any]:
    in_generators, in_discriminators = arch in GENERATORS, arch in DISCRIMINATORS
    if in_generators and in_discriminators:
        raise DuplicateNameError(
            f"{arch!r} names a generator and a discriminator: {GENERATORS.origin(arch)}, "
            f"{DISCRIMINATORS.origin(arch)}; rename one of them"
        )
    if in_generators:
        return GENERATORS.get(arch)
    if in_discriminators:
        return DISCRIMINATORS.get(arch)
    raise UnknownNameError(f"no model is named {arch!r}; {suggest(arch, list_models())}")


def _call(entry: Entry[Any], options: Mapping[str, Any]) -> Any:
    known = inspect.signature(entry.factory).parameters
    for name in options:
        if name not in known:
            raise TypeError(f"{entry.name} has no option {name!r}; {suggest(name, known)}")
    return entry.factory(**options)


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


def _record(model: Generator, seed: int) -> dict[str, Tensor]:
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
    record = {"in/image": image, "out/image": out.image.clone()}
    for role, condition in conditions.items():
        for name in Condition.__dataclass_fields__:
            if (value := getattr(condition, name)) is not None:
                record[f"in/{role}/{name}"] = value
    return record


def _recorded_conditions(check: Mapping[str, Tensor]) -> list[Condition]:
    found = []
    for role in ("target", "source"):
        prefix = f"in/{role}/"
        values = {key.removeprefix(prefix): value for key, value in check.items() if key.startswith(prefix)}
        if values or role == "target":
            found.append(replace(Condition(), **values))
    return found
