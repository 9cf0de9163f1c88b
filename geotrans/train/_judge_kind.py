"""What a kind of judge has to say for itself, so that all are trained, scored and published in one way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from geotrans.features.judge import Trunk
from geotrans.ops.images import from_uint8
from geotrans.train._judge_pictures import Pictures, Plan

Objective = Callable[[Tensor, Tensor], Tensor]


class Kind(ABC):
    """One way to be a judge.

    Attributes:
        arch: what its folder says it holds.
    """

    arch: str

    @abstractmethod
    def build(self, plan: Plan, pictures: Pictures) -> Trunk:
        """A judge with fresh weights."""

    @abstractmethod
    def objective(self, plan: Plan, judge: Trunk, pictures: Pictures) -> Objective:
        """The loss of images (B, 3, H, W) in [-1, 1] that show the given rows (B,) of the pictures."""

    @abstractmethod
    def score(self, plan: Plan, judge: Trunk, pictures: Pictures) -> dict[str, Any]:
        """Held-out scores, each with the number of pictures (or pairs) behind it."""

    @abstractmethod
    def reads(self, plan: Plan, judge: Trunk) -> str:
        """What it reads, for its card."""

    @torch.no_grad()
    def read(self, judge: Trunk, images: Tensor) -> Tensor:
        """What a judge says of uint8 pictures: vectors, or readings in the order of its spec."""
        parts = []
        for part in torch.split(images, 256):
            out = judge(from_uint8(part))
            parts.append(out if isinstance(out, Tensor) else judge.cfg.condition.vector(out, len(part)))
        return torch.cat(parts)
