"""Names become things: models with or without weights, warps, losses, features, datasets, recipes."""

from __future__ import annotations

import inspect
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from geotrans.base import Discriminator, Generator, Model, config_from_dict, config_to_dict, count_parameters, override
from geotrans.data.base import Dataset
from geotrans.layers.convert import check_shapes, load_strict
from geotrans.losses.base import LossFn
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Translation
from hub import card
from hub.download import resolve
from hub.files import tensor_shapes
from hub.folder import CONFIG, WEIGHTS, PublishedFolder, bundled_folders, read_config, read_folder, write_folder
from hub.push import push
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

T = TypeVar("T")

# fp16 weights and other machines' convolutions stay well below this; a wrong key map does not.
CHECK_TOLERANCE = 2e-2

# What the config of a stranger's folder may ask for: widths, sizes and weights of terms lie far below.
MAX_NUMBER = 65_536
MAX_BUFFER_BYTES = 100_000_000

_JUDGES = ("judge", "judge_identity")  # networks of the metrics, which `create_feature` builds


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
    model = _outline(entry, cfg) if path is None else _fitting_outline(entry, cfg, path)
    known = {**bundled_folders(), **registered_weights()}
    tags = tuple(key.partition(".")[2] for key in known if key.split(".")[0] == entry.name)
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


def save_pretrained(
    model: Model,
    path: str | Path,
    *,
    tag: str = "",
    results: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    half: bool = False,
) -> Path:
    """Write a model as a published folder with a generated card; its architecture is found by its class and config.

    Args:
        tag: what the weights were trained on, in a word.
        results: training cost and scores, as `save_folder` takes them.
        dataset: `name` and `options` of the data.
    """
    arch = arch_of(model)
    text = card.render(card_facts(model, f"{arch}.{tag}" if tag else arch, dict(dataset or {})), dict(results or {}))
    return save_folder(model, path, arch=arch, tag=tag, results=results, readme=text, dataset=dataset, half=half)


def push_to_hf_hub(
    model: Model,
    repo_id: str,
    *,
    tag: str = "",
    results: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    half: bool = False,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str = "",
    token: str | None = None,
) -> str:
    """Put a model on the Hub as a published folder; returns its address there.

    Args:
        repo_id: ORG/NAME; the rest as for `save_pretrained` and `hub.push.push`.
    """
    with tempfile.TemporaryDirectory(prefix="geotrans-push-") as parent:
        folder = save_pretrained(model, Path(parent) / "model", tag=tag, results=results, dataset=dataset, half=half)
        return push(
            folder,
            repo_id,
            private=private,
            revision=revision,
            create_pr=create_pr,
            message=commit_message,
            token=token,
        ).url


def card_facts(model: Model, name: str, dataset: Mapping[str, Any]) -> card.CardFacts:
    """What a card says of a model that its published files do not."""
    spec = model.cfg.condition
    columns: dict[str, tuple[str, ...]] = {part: getattr(spec, part) for part in VECTOR_FIELDS if getattr(spec, part)}
    columns |= {part: () for part in ("landmarks", "structure") if getattr(spec, part)}
    data = str(dataset.get("name", ""))
    return card.CardFacts(
        name=name,
        architecture=type(model).paper or type(model).__name__,
        parameters=count_parameters(model),
        resolution=model.cfg.resolution,
        columns=columns,
        deviations=_deviations(type(model)),
        dataset=data,
        data_licence=DATASETS.get(data).info.licence if data in DATASETS else "",
    )


def _deviations(cls: type) -> str:
    """What the module's docstring says after "Differences from"."""
    text = inspect.getdoc(inspect.getmodule(cls)) or ""
    _, found, rest = text.partition("Differences from ")
    paragraph = " ".join(rest.partition("\n\n")[0].split())
    return f"Differences from {paragraph}" if found else ""


def arch_of(model: Model, module: str = "") -> str:
    """The registered variant nearest to a model: of its class, then by its config, then by the module it stands in.

    Raises:
        LookupError: no variant of that class is registered.
    """
    entries = [t.get(name) for t in (GENERATORS, DISCRIMINATORS) for name in t if t.get(name).info is type(model)]
    if not entries:
        raise LookupError(f"{type(model).__name__} is no registered model; save it with save_folder(arch=...)")

    def distance(entry: Entry[type]) -> tuple[int, bool, str]:
        cfg = entry.factory()
        unlike = sum(getattr(cfg, f.name) != getattr(model.cfg, f.name) for f in fields(cfg))
        return unlike, entry.factory.__module__ != module, entry.name

    return min(entries, key=distance).name


def verify_folder(path: str | Path) -> float:
    """Repeat the recorded call of a published folder and return the largest difference to the recorded image.

    Raises:
        ValueError: the difference exceeds what rounding explains, or nothing that fits was recorded.
    """
    return _verify(path, create_model(f"local-dir:{path}", pretrained=True))


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
        _verify(path, model)


def _verify(path: str | Path, model: Model) -> float:
    check = read_folder(path).check
    size = (1, 3, model.cfg.resolution, model.cfg.resolution)
    for name in ("in/image", "out/image"):
        if name not in check:
            raise ValueError(f"{path}: check.safetensors holds no recorded call; get the folder again")
        if check[name].shape != size:
            raise ValueError(f"{path}: check.safetensors has {name} of shape {tuple(check[name].shape)}, not {size}")
    with torch.inference_mode():
        try:
            image = model(check["in/image"], *_recorded_conditions(check)).image
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path}: the recorded call does not fit the model: {error}") from error
    difference = float((image - check["out/image"]).abs().max())
    if not difference <= CHECK_TOLERANCE:
        raise ValueError(
            f"{path}: the weights give another picture than the one recorded with them (difference {difference:.3g}, "
            f"expected at most {CHECK_TOLERANCE}); get the folder again"
        )
    return difference


def _create(name: str, pretrained: bool, overrides: Mapping[str, Any], cache_dir: str | Path | None = None) -> Model:
    parsed = parse_model_name(name)
    entry, cfg, path = _look_up(parsed, need_weights=pretrained, cache_dir=cache_dir)
    if not pretrained or path is None:
        if path is not None:
            _fitting_outline(entry, cfg, path)
        untrained: Model = entry.info(override(cfg, overrides))
        return untrained.eval()
    model = _load(entry, override(cfg, overrides), path, name)
    if isinstance(model, Generator) and path not in bundled_folders().values() and parsed.folder is None:
        _verify(path, model)
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
        _fitting_outline(entry, cfg, path)
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


def _outline(entry: Entry[Any], cfg: Any) -> Model:
    """The model without its numbers."""
    with torch.device("meta"):
        model: Model = entry.info(cfg)
    return model


def _fitting_outline(entry: Entry[Any], cfg: Any, path: Path) -> Model:
    """The outline of a model whose config and weights came from elsewhere, before anything of their size is allocated.

    Raises:
        ValueError: the config asks for sizes that the weights do not have; the message names the first differences.
    """
    shapes, _ = tensor_shapes(path / WEIGHTS)
    _check_numbers(config_to_dict(cfg), path)
    budget = 2 * len(shapes) + 16
    thread, count = threading.get_ident(), 0

    def spend(*_: Any) -> None:
        nonlocal count
        count += threading.get_ident() == thread
        if count > budget:
            raise ValueError(f"{path}: config.json asks for more tensors than the {len(shapes)} in {WEIGHTS}")

    hooks = [register_module_parameter_registration_hook(spend), register_module_buffer_registration_hook(spend)]
    try:
        model = _outline(entry, cfg)
    except (RuntimeError, OverflowError, ZeroDivisionError, IndexError) as error:
        raise ValueError(
            f"{path}: no {entry.name} can be built from config.json: {str(error).splitlines()[0]}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    check_shapes(model, shapes)
    size = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    if size > MAX_BUFFER_BYTES:
        raise ValueError(f"{path}: config.json asks for {size} bytes of buffers; expected at most {MAX_BUFFER_BYTES}")
    return model


def _check_numbers(value: Any, path: Path) -> None:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_numbers(item, path)
    elif isinstance(value, (int, float)) and not abs(value) <= MAX_NUMBER:
        raise ValueError(f"{path}: config.json asks for {value}; expected numbers of at most {MAX_NUMBER}")


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
