"""Scores from Python: `eval.score(model, protocol="synthface_attr4_64")`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from eval.contestants import Contestant, Function, contestant, contestant_in, contestant_of
from eval.environment import commit_label, environment, now
from eval.evaluate import PICTURES, evaluate
from eval.feature_store import FeatureStore, user_folder
from eval.judges import judge_features
from eval.networks import Networks
from eval.plugins import load_protocol
from eval.protocol import Protocol, create_protocol, open_dataset
from eval.results import Results
from geotrans.base import Generator

Scored: TypeAlias = "str | Path | Generator | Function"


def score(
    models: Scored | Mapping[str, Scored] | Sequence[str],
    protocol: str | Protocol,
    *,
    metrics: Sequence[str] | None = None,
    data: str | Path | None = None,
    judges: Mapping[str, str] | None = None,
    features: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    device: str = "cpu",
    limit: int | None = None,
    seed: int | None = None,
    batch_size: int = 50,
    pictures: int = PICTURES,
    label: str | None = None,
    progress: bool = True,
) -> Results:
    """Score something on a protocol, beside the unchanged source and the truth.

    What is scored is a name that `create_model` takes; a generator in memory; a folder of pictures called by the ids of
    the samples (a `Path`); or any function `(image (B, 3, H, W) in [-1, 1], target, source) -> (B, 3, H, W)`, where
    target and source are `Condition`s with the columns of the protocol's data. A function may return a `Translation`
    too, and is then scored for its flow and mask.

    Args:
        models: one of those, several by name of row, or a list of names.
        protocol: registered name, a .toml file, or a `Protocol`.
        metrics: instead of the protocol's; one that cannot be computed is then an error.
        data: the folder of a dataset that reads files.
        judges: role -> registered feature, instead of the protocol's.
        features: name -> ready-made feature, for judges that are not registered.
        limit: score only the first samples; such scores are not the standard protocol's.
        pictures: how many samples' pictures the results keep.
        label: what the history calls this run; by default the commit of the repository one works in.

    Returns:
        Results: `write_results` and `write_board` write them, and `results.boards[0].rows` holds the numbers.

    Raises:
        LookupError: no such model, weights, protocol or metric; the message lists close names.
        ValueError: a model does not fit the protocol, or returns something not finite or of another shape.
        OSError: a file is missing.
    """
    chosen = _protocol(protocol, limit, seed, data, judges)
    if metrics is not None:
        chosen = replace(chosen, metrics=tuple(metrics))
    known = judge_features(chosen.judges, open_dataset(chosen).spec) | dict(features or {})
    board = evaluate(
        chosen,
        _contestants(models),
        networks=Networks(device, features=known, store=FeatureStore(user_folder())),
        device=device,
        batch_size=batch_size,
        strict=metrics is not None,
        progress=progress,
        pictures=pictures,
    )
    return Results((board,), environment(device, batch_size), now(), commit_label() if label is None else label)


def _protocol(
    protocol: str | Protocol,
    limit: int | None,
    seed: int | None,
    data: str | Path | None,
    judges: Mapping[str, str] | None,
) -> Protocol:
    root = None if data is None else str(data)
    if isinstance(protocol, str):
        return create_protocol(load_protocol(protocol), limit=limit, seed=seed, data=root, judges=judges)
    if root is not None:
        protocol = replace(protocol, dataset_options={**protocol.dataset_options, "root": root})
    return replace(
        protocol,
        n=protocol.n if limit is None else min(limit, protocol.n or limit),
        seed=protocol.seed if seed is None else seed,
        judges={**protocol.judges, **(judges or {})},
    )


def _contestants(models: Scored | Mapping[str, Scored] | Sequence[str]) -> list[Contestant]:
    if isinstance(models, Mapping):
        return [_contestant(model, name) for name, model in models.items()]
    if isinstance(models, Sequence) and not isinstance(models, str):
        return [_contestant(model, "") for model in models]
    return [_contestant(models, "")]


def _contestant(model: Scored, name: str) -> Contestant:
    if isinstance(model, str):
        found = contestant(model)
        return replace(found, name=name) if name else found
    if isinstance(model, Path):
        return contestant_in(model, name)
    if not callable(model):
        raise TypeError(f"expected a model's name, a generator, a function or a Path, got {type(model).__name__}")
    return contestant_of(model, name)
