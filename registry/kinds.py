"""The nine tables and their decorators. A factory's function name is its registered name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from registry.core import Registry

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class WarpInfo:
    """params: (batch, height, width) -> a shape of parameters that the warp takes, for tests and demos.

    sample: (image, params) -> the image moved, at its own size; None: bilinearly along the flow.
    """

    params: Callable[[int, int, int], tuple[int, ...]]
    sample: Callable[[Any, Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class LossInfo:
    """needs: names of `LossInputs` fields that must be there; the trainer computes only what some term needs."""

    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """Facts of a frozen network: its licence, and the sha256 its weights must have (None: made, not downloaded)."""

    dim: int
    licence: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """version: bump it with every change that moves a score. needs: what a sample must know, or a network's name."""

    version: int
    unit: str
    higher_is_better: bool
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What a dataset is, in a line, and on which terms."""

    description: str
    licence: str


GENERATORS: Registry[type] = Registry("generator")
DISCRIMINATORS: Registry[type] = Registry("discriminator")
WARPS: Registry[WarpInfo] = Registry("warp")
LOSSES: Registry[LossInfo] = Registry("loss")
FEATURES: Registry[FeatureInfo] = Registry("feature")
METRICS: Registry[MetricInfo] = Registry("metric")
DATASETS: Registry[DatasetInfo] = Registry("dataset")
RECIPES: Registry[None] = Registry("recipe")
PROTOCOLS: Registry[None] = Registry("protocol")


def register_generator(cls: type) -> Callable[[F], F]:
    """Register a function that returns the frozen config of `cls`."""
    return lambda factory: GENERATORS.register(factory, cls)


def register_discriminator(cls: type) -> Callable[[F], F]:
    """Register a function that returns the frozen config of `cls`."""
    return lambda factory: DISCRIMINATORS.register(factory, cls)


def register_warp(
    params: Callable[[int, int, int], tuple[int, ...]], sample: Callable[[Any, Any], Any] | None = None
) -> Callable[[F], F]:
    """Register a function `(params, height, width) -> flow (B, 2, H, W)`, and what `WarpInfo` says of it."""
    return lambda factory: WARPS.register(factory, WarpInfo(params, sample))


def register_loss(*needs: str) -> Callable[[F], F]:
    """Register a factory `(**options) -> (LossInputs -> Tensor (B,))` and the inputs it cannot do without."""
    return lambda factory: LOSSES.register(factory, LossInfo(needs))


def register_feature(dim: int, licence: str, sha256: str | None = None) -> Callable[[F], F]:
    """Register a factory of a frozen network `uint8 (B, 3, H, W) -> (B, dim)`."""
    return lambda factory: FEATURES.register(factory, FeatureInfo(dim, licence, sha256))


def register_metric(version: int, unit: str, higher_is_better: bool, needs: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Register a factory of a metric object with `update`, `merge`, `compute`."""
    return lambda factory: METRICS.register(factory, MetricInfo(version, unit, higher_is_better, needs))


def register_dataset(description: str, licence: str) -> Callable[[F], F]:
    """Register a factory `(split, resolution, seed, ...) -> Dataset`."""
    return lambda factory: DATASETS.register(factory, DatasetInfo(description, licence))


def register_recipe(factory: F) -> F:
    """Register a function that returns a frozen `Recipe`."""
    return RECIPES.register(factory, None)


def register_protocol(factory: F) -> F:
    """Register a function that returns a frozen `Protocol`."""
    return PROTOCOLS.register(factory, None)
