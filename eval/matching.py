"""Which models are scored on which protocols, and why others are not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eval.contestants import Contestant, misfit
from eval.protocol import Protocol, open_dataset
from geotrans.factory import list_models
from hub.download import resolve
from hub.folder import bundled_folders, read_config
from registry import DATASETS, GENERATORS, PROTOCOLS, parse_model_name

_TRAINED = "it was trained on"
_NO_TASK = {
    "root",
    "split",
    "size",
    "seed",
    "resolution",
    "flip",
    "passes",
    "load",
    "skip_broken",
}  # options of data that do not say what is translated to what


@dataclass(frozen=True, slots=True)
class Entry:
    """A protocol, the models it is for, and why others are not there."""

    protocol: Protocol
    models: list[Contestant]
    left_out: dict[str, str]


def on_one(protocol: Protocol, models: list[Contestant], *, asked: bool) -> list[Entry]:
    """The models on one protocol. asked: the user named them, so that a misfit is an error there, with its reason."""
    if asked:
        return [Entry(protocol, models, {})]
    reasons = misfits(models, protocol)
    return [Entry(protocol, [model for model in models if model.name not in reasons], reasons)]


def on_builtin(create: Callable[[str], Protocol], models: list[Contestant], *, asked: bool) -> list[Entry]:
    """The models on every built-in protocol that they fit.

    Args:
        create: name -> protocol, with the user's changes.
        asked: the user named the models.

    Raises:
        ValueError: a model that was asked for fits no protocol.
    """
    protocols = [create(name) for name in PROTOCOLS if PROTOCOLS.get(name).factory().builtin]
    found = [misfits(models, protocol) for protocol in protocols]
    nowhere = {
        model.name: _nearest([reasons[model.name] for reasons in found])
        for model in models
        if all(model.name in reasons for reasons in found)
    }
    if asked and nowhere:
        name, why = next(iter(nowhere.items()))
        raise ValueError(f"{name} fits no built-in protocol ({why}); name one with --protocol")
    entries = [
        Entry(protocol, [model for model in models if model.name not in reasons], {})
        for protocol, reasons in zip(protocols, found, strict=True)
    ]
    kept = [entry for entry in entries if entry.models] or entries
    return [replace(kept[0], left_out=nowhere), *kept[1:]] if kept else []


def _nearest(reasons: Sequence[str]) -> str:
    """Why a model has no place anywhere, in the words of the protocol that it almost fits."""
    return next((why for why in reasons if not why.startswith(_TRAINED)), "; ".join(dict.fromkeys(reasons)))


def bundled_generators() -> list[str]:
    """`arch.tag` of every generator whose weights ship with the package."""
    shipped = bundled_folders()
    return [name for name in list_models(pretrained=True) if name in shipped and name.partition(".")[0] in GENERATORS]


def misfits(models: Sequence[Contestant], protocol: Protocol) -> dict[str, str]:
    """Model -> why it has no place on a protocol."""
    have = open_dataset(protocol).spec
    found = {}
    for model in models:
        why = _trained_elsewhere(model.name, protocol)
        if why or (why := misfit(model.config, protocol, have)):
            found[model.name] = why
    return found


def _trained_elsewhere(name: str, protocol: Protocol) -> str | None:
    """What the data that a model was trained on, after its config.json, has different from the protocol's."""
    trained = read_config(resolve(parse_model_name(name)))["dataset"]
    if not isinstance(trained, dict) or "name" not in trained:
        return None
    if trained["name"] != protocol.dataset:
        return f"{_TRAINED} {trained['name']}"
    defaults = {
        name: p.default for name, p in inspect.signature(DATASETS.get(protocol.dataset).factory).parameters.items()
    }
    theirs, ours = (
        {**defaults, **dict(options)} for options in (trained.get("options") or {}, protocol.dataset_options)
    )
    for option in sorted(defaults.keys() - _NO_TASK):
        if theirs[option] and theirs[option] != ours[option]:  # an empty selection was trained on all there is
            return f"{_TRAINED} {protocol.dataset} with {option}={theirs[option]}"
    return None
