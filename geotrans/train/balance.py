"""Losses divided by slow averages of themselves, so that weights are shares of the sum whatever their units."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FIRST, EVERY = 36, 90  # steps at which GANimorph's code takes the averages over


class Balance:
    """Averages of some losses and the divisors that are taken from them now and then, as GANimorph's code does it.

    Averages start at 1 and are not corrected for that, so with a decay of 0.9999 losses come to the scale of 1 within
    some 10,000 steps.

    Args:
        count: losses.
        decay: share of an average that a step leaves.
        device: of the losses.
    """

    def __init__(self, count: int, decay: float, device: torch.device) -> None:
        self.decay = decay
        self.averages = torch.ones(count, device=device)
        self.divisors = torch.ones(count, device=device)

    def update(self, step: int, losses: Tensor) -> None:
        """Take the losses (count,) of a step into the averages; steps count from 0."""
        self.averages.lerp_(losses.to(self.averages), 1 - self.decay)
        if step == FIRST or step % EVERY == 0:
            self.divisors.copy_(self.averages)

    def tensors(self) -> dict[str, Tensor]:
        """The state, for a checkpoint."""
        return {"averages": self.averages, "divisors": self.divisors}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        for name, value in self.tensors().items():
            value.copy_(tensors[name])
