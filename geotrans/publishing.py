"""Models become published folders, on this machine and on the Hub."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from geotrans.base import Generator, Model, config_to_dict, count_parameters
from geotrans.recorded import record
from geotrans.types import VECTOR_FIELDS
from hub import card
from hub.folder import PublishedFolder, write_folder
from hub.push import push
from registry import DATASETS, DISCRIMINATORS, GENERATORS, Entry


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
    check = record(rounded, seed) if isinstance(rounded, Generator) else {}
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
        needs_source=spec.needs_source,
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
