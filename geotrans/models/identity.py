"""The dummy: returns its input. It runs the whole pipeline without weights, and every board shows it as a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.base import Generator
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_generator


@dataclass(frozen=True)
class IdentityConfig:
    """It reads no condition and takes any size."""

    resolution: int = 64
    width: int = 1
    condition: ConditionSpec = ConditionSpec()


class Identity(Generator):
    """Zero flow, nothing painted."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        return Translation(image, torch.zeros_like(image[:, :2]), image)


@register_generator(Identity)
def identity() -> IdentityConfig:
    """The input itself."""
    return IdentityConfig()
