"""Official state dicts: names mapped strictly, and a readable difference when they do not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

# Statistics that old instance norms tracked and that never entered their output.
STALE = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")


def drop_stale(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without `module.` prefixes and without the running statistics of instance norms."""
    return {key.removeprefix("module."): value.float() for key, value in state.items() if not STALE.search(key)}


def keep_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without `module.` prefixes, and with all statistics, for networks with batch norms.

    Files from before PyTorch 0.4.1 did not count the batches; their counts are 0, and nothing but training from there
    with a cumulative average would read them.
    """
    kept = {key.removeprefix("module."): value for key, value in state.items()}
    kept = {key: value.float() if value.is_floating_point() else value for key, value in kept.items()}
    norms = [key.removesuffix("running_mean") for key in kept if key.endswith("running_mean")]
    return {**{f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms}, **kept}


def rename(state: Mapping[str, Tensor], rules: Mapping[str, str]) -> dict[str, Tensor]:
    """Replace the longest prefix of each key that `rules` knows.

    `{"main.0": "stem.0"}` turns main.0.weight into stem.0.weight.

    Raises:
        ValueError: a key has no rule; the message names it and what was expected.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        parts = key.split(".")
        for end in range(len(parts), 0, -1):
            prefix = ".".join(parts[:end])
            if prefix in rules:
                renamed[".".join([rules[prefix], *parts[end:]])] = value
                break
        else:
            raise ValueError(
                f"unexpected key {key!r}; this family's checkpoints have keys that start with {_few(rules)}"
            )
    return renamed


def shape_of(state: Mapping[str, Tensor], key: str, dims: int) -> tuple[int, ...]:
    """The shape of an entry that a converter reads sizes from.

    Raises:
        ValueError: the entry is missing or has another number of dimensions.
    """
    if key not in state:
        raise ValueError(f"key {key!r} is missing; the checkpoint has {_few(state)}: is it of another family?")
    shape = tuple(state[key].shape)
    if len(shape) != dims:
        raise ValueError(f"{key}: expected {dims} dimensions, got shape {shape}")
    return shape


def count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many different values the first group of `pattern` takes over the keys."""
    found = (re.match(pattern, key) for key in state)
    return len({match.group(1) for match in found if match})


def load_strict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load every tensor of `state` into `model`, and every tensor of `model` from `state`.

    Raises:
        ValueError: keys are missing or too many, or shapes differ; the message lists the first of each.
    """
    check_shapes(model, {key: tuple(value.shape) for key, value in state.items()})
    model.load_state_dict(dict(state))


def check_shapes(model: nn.Module, state: Mapping[str, tuple[int, ...]]) -> None:
    """Compare the names and shapes of a state dict with those of a model, which may lie on the meta device.

    Raises:
        ValueError: keys are missing or too many, or shapes differ; the message lists the first of each.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    missing, extra = [k for k in own if k not in state], [k for k in state if k not in own]
    shapes = [
        f"{key} (expected {own[key]}, got {state[key]})" for key in own if key in state and own[key] != state[key]
    ]
    problems = [
        f"{what}: {_few(keys)}"
        for what, keys in (("missing", missing), ("unexpected", extra), ("shapes", shapes))
        if keys
    ]
    if problems:
        raise ValueError(f"the weights do not fit {type(model).__name__}: " + "; ".join(problems))


def _few(names: object) -> str:
    listed = list(names)  # type: ignore[call-overload]
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return ", ".join(listed[:4]) + more
