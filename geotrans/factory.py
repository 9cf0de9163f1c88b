"""Names become things: models with or without weights, warps, losses, features, datasets, recipes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from geotrans.base import Discriminator, Generator, Model, config_from_dict, count_parameters, override
from geotrans.data.base import Dataset
from geotrans.features.timm import PREFIX, timm_feature
from geotrans.layers.convert import load_strict
from geotrans.losses.base import LossFn
from geotrans.outline import fitting_outline, outline
from geotrans.recorded import repeat
from geotrans.types import ConditionSpec
from hub.download import resolve
from hub.folder import CONFIG, bundled_folders, read_config, read_folder
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
    registered_weights,
    suggest,
)

_JUDGES = ("judge", "judge_identity", "judge_subject")  # networks of the metrics, which `create_feature` builds


def create_model(
    name: str, *, pretrained: bool = False, cache_dir: str | Path | None = None, **overrides: Any
) -> Generator:
    """Build a generator.

    Args:
        name: `arch`, `arch.tag`, `local-dir:PATH` or `hf-hub:ORG/NAME[@REVISION]`.
        pretrained: load the weights of the name (of the first tag, if the name has none).
        cache_dir: where files from the Hub are kept; by default the Hub client's cache.
        overrides: fields of the model's config to change.

    Raises:
        LookupError: no such model, or no such weights; the message lists close names.
        TypeError: an override that the config does not have, or of another type.
        ValueError: the weights are broken or were made with another config.
        OSError: the Hub does not answer and the weights are not on this machine.
    """
    model = _create(name, pretrained, overrides, cache_dir)
    if not isinstance(model, Generator):
        raise TypeError(f"{name} is a discriminator; build it with create_discriminator")
    return model


def create_discriminator(
    name: str, *, pretrained: bool = False, cache_dir: str | Path | None = None, **overrides: Any
) -> Discriminator:
    """Build a discriminator; arguments and errors as for `create_model`."""
    model = _create(name, pretrained, overrides, cache_dir)
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
    """The frozen network `uint8 (B, 3, H, W) -> (B, D)` of that name; its weights are read, never downloaded.

    `timm/NAME` is timm's network of that name.
    """
    if name.startswith(PREFIX):
        if options:
            raise TypeError(f"{name} takes no options, got {', '.join(options)}")
        return timm_feature(name)
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
        pretrained: list `arch.tag` names with weights, bundled or registered on the Hub, instead of architectures.
    """
    architectures = sorted({*GENERATORS.names(), *DISCRIMINATORS.names()})
    if not pretrained:
        return sorted({*GENERATORS.names(pattern, exclude), *DISCRIMINATORS.names(pattern, exclude)})
    known = {**bundled_folders(), **registered_weights()}
    with_weights = [name for name in known if name.split(".")[0] in architectures]
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
    entry, cfg, path = _look_up(parsed)
    model = outline(entry, cfg) if path is None else fitting_outline(entry, cfg, path)
    known = {**bundled_folders(), **registered_weights()}
    tags = tuple(key.partition(".")[2] for key in known if key.split(".")[0] == entry.name)
    return ModelInfo(
        str(parsed), count_parameters(model), cfg.resolution, cfg.condition, tags, entry.info.paper, entry.origin()
    )


def verify_folder(path: str | Path) -> float:
    """Repeat the recorded call of a published folder and return the largest difference to the recorded image.

    Raises:
        ValueError: the difference exceeds what rounding explains, or nothing that fits was recorded.
    """
    return repeat(create_model(f"local-dir:{path}", pretrained=True), read_folder(path).check, path)


def check_folder(path: str | Path) -> None:
    """Check a published folder as far as it is known here: a generator's recorded call, a discriminator's shapes.

    Judges have no registered architecture; of theirs, the files are checked and nothing is built.

    Raises:
        ValueError: see `verify_folder`.
        LookupError: no architecture has the name that the config states.
    """
    path = Path(path)
    if read_config(path)["arch"] in _JUDGES:
        read_folder(path)
        return
    name = f"local-dir:{path}"
    model = _create(name, True, {})
    if isinstance(model, Generator):
        repeat(model, read_folder(path).check, path)


def _create(name: str, pretrained: bool, overrides: Mapping[str, Any], cache_dir: str | Path | None = None) -> Model:
    parsed = parse_model_name(name)
    entry, cfg, path = _look_up(parsed, need_weights=pretrained, cache_dir=cache_dir)
    if not pretrained or path is None:
        if path is not None:
            fitting_outline(entry, cfg, path)
        untrained: Model = entry.info(override(cfg, overrides))
        return untrained.eval()
    model = _load(entry, override(cfg, overrides), path, name)
    if isinstance(model, Generator) and path not in bundled_folders().values() and parsed.folder is None:
        repeat(model, read_folder(path).check, path)
    return model


def load_published(
    name: str, revision: str | None, cache_dir: str | Path | None, overrides: Mapping[str, Any]
) -> Model:
    """The model behind a folder, a repository or a name, with weights; what `Model.from_pretrained` calls.

    Raises:
        As `create_model`; a name that is both a folder here and a repository means the folder.
    """
    if (Path(name).expanduser() / CONFIG).is_file():
        full = f"local-dir:{Path(name).expanduser()}"
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        full = f"hf-hub:{name}"
    elif "/" in name and ":" not in name:
        raise FileNotFoundError(f"{name}: no published folder there, and not ORG/NAME on the Hub")
    else:
        full = name
    if revision:
        full = f"{full}@{revision}"
    return _create(full, True, overrides, cache_dir)


def _load(entry: Entry[Any], cfg: Any, path: Path, name: str) -> Model:
    folder = read_folder(path)
    try:
        fitting_outline(entry, cfg, path)
        model: Model = entry.info(cfg)
        load_strict(model, folder.weights)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return model.eval()


def _look_up(
    name: ModelName, need_weights: bool = False, cache_dir: str | Path | None = None
) -> tuple[Entry[Any], Any, Path | None]:
    """The entry, the config that the name means, and the folder behind it, if there is one."""
    if name.arch:
        entry = _entry(name.arch)
        if name.tag is None and not need_weights:
            return entry, entry.factory(), None
        path = resolve(name, cache_dir)
    else:
        path = resolve(name, cache_dir)
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
