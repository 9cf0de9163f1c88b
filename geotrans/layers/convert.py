"""Official state dicts: names mapped strictly, and a readable difference when they do not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

C = TypeVar("C")
M = TypeVar("M", bound=nn.Module)

# Statistics that old instance norms tracked and that never entered their output.
STALE = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")
COUNTER = "num_batches_tracked"
PARALLEL = "module."  # what `nn.DataParallel` puts before every name of a network


def drop_stale(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As float32, without `module.` prefixes and without the running statistics of instance norms.

    Raises:
        ValueError: an entry does not hold finite floating-point numbers.
    """
    return _numbers({key: value for key, value in state.items() if not STALE.search(key)})


def keep_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As float32, without `module.` prefixes and with all statistics, for networks with batch norms.

    Files from before PyTorch 0.4.1 did not count the batches; their counts are 0, and nothing but training from there
    with a cumulative average would read them.

    Raises:
        ValueError: an entry does not hold finite floating-point numbers.
    """
    kept = _numbers(state)
    norms = [key.removesuffix("running_mean") for key in kept if key.endswith("running_mean")]
    return {**{f"{norm}{COUNTER}": torch.tensor(0) for norm in norms}, **kept}


def _numbers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parallel = _parallel(state)
    numbers: dict[str, Tensor] = {}
    for key, value in state.items():
        network = key.partition(".")[0] + "."
        name = key.replace(PARALLEL, "", 1) if "" in parallel or network in parallel else key
        if not name.endswith(COUNTER):
            if not value.is_floating_point() or not value.numel():
                raise ValueError(
                    f"{name}: expected floating-point numbers, got {value.dtype} of shape {tuple(value.shape)}"
                )
            value = value.float()
            if not value.isfinite().all():
                raise ValueError(f"{name} holds NaN or infinite numbers: the file is damaged, or its training diverged")
        numbers[name] = value
    return numbers


def _parallel(state: Mapping[str, Tensor]) -> set[str]:
    """Names of networks all of whose keys have the prefix `PARALLEL`; "" for a file of one."""
    networks = {key.partition(".")[0] + "." for key in state}
    return {
        name
        for name in ("", *networks)
        if all(key.startswith(f"{name}{PARALLEL}") for key in state if key.startswith(name))
    }


def rename(state: Mapping[str, Tensor], rules: Mapping[str, str]) -> dict[str, Tensor]:
    """Replace the longest prefix of each key that `rules` knows.

    `{"main.0": "stem.0"}` turns main.0.weight into stem.0.weight.

    Raises:
        ValueError: a key has no rule; the message names it and what was expected.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _replaced(key, rules)
        if name is None:
            raise ValueError(
                f"unexpected key {key!r}; this family's checkpoints have keys that start with {_few(rules)}"
            )
        renamed[name] = value
    return renamed


def _replaced(key: str, rules: Mapping[str, str]) -> str | None:
    parts = key.split(".")
    for end in range(len(parts), 0, -1):
        if (prefix := ".".join(parts[:end])) in rules:
            return ".".join([rules[prefix], *parts[end:]])
    return None


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


def build(kind: Callable[[C], M], cfg: C, state: Mapping[str, Tensor], rules: Mapping[str, str]) -> M:
    """The model of a config that was read off shapes, with its weights; nothing is allocated before they fit.

    Args:
        kind: the model's class.
        rules: official prefix -> ours, as for `rename`.

    Raises:
        ValueError: no such model can be built, keys are missing or too many, or shapes differ; the message lists the
            first of each under their official names.
    """
    try:
        with torch.device("meta"):
            outline = kind(cfg)
    except (RuntimeError, OverflowError, TypeError) as error:
        raise ValueError(f"no network has these shapes: {str(error).splitlines()[0]}") from error
    back = {ours: official for official, ours in rules.items()}
    wanted = {_replaced(key, back) or key: tuple(value.shape) for key, value in outline.state_dict().items()}
    if problems := _differences(wanted, {key: tuple(value.shape) for key, value in state.items()}):
        raise ValueError(f"the checkpoint does not fit {type(outline).__name__}: {problems}")
    model = kind(cfg)
    model.load_state_dict(rename(state, rules))
    return model


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
    if problems := _differences(own, state):
        raise ValueError(f"the weights do not fit {type(model).__name__}: {problems}")


def _differences(wanted: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]]) -> str:
    kinds = {
        "missing": [key for key in wanted if key not in got],
        "unexpected": [key for key in got if key not in wanted],
        "shapes": [
            f"{key} (expected {shape}, got {got[key]})" for key, shape in wanted.items() if got.get(key, shape) != shape
        ],
    }
    return "; ".join(f"{kind}: {_few(names)}" for kind, names in kinds.items() if names)


def _few(names: object) -> str:
    listed = list(names)  # type: ignore[call-overload]
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return ", ".join(listed[:4]) + more
