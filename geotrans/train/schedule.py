"""Numbers that change during a run. Each is a function of the images seen, so a resumed run goes on exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sized

import torch
from torch import nn
from torch.utils.data import Sampler

from geotrans.train.recipe import Optim


def learning_rate(optim: Optim, images: int, total: int) -> float:
    """The rate of the step that starts after `images` of `total`: a linear rise, constant, a linear fall to 0."""
    rise = (images + 1) / (optim.ramp_images + 1)
    fall = max(0, total - images) / optim.decay_images if optim.decay_images else 1.0
    return optim.lr * min(1.0, rise, fall)


@torch.no_grad()
def average(averaged: nn.Module, current: nn.Module, halflife: int, batch_size: int, images: int) -> None:
    """Update an exponential moving average that forgets half of the weights every `halflife` images.

    Early on the half-life is a twentieth of the `images` seen, or the average would hold on to the initial weights.
    """
    forget = 1 - 0.5 ** (batch_size / max(1.0, min(float(halflife), 0.05 * images)))
    for old, new in zip(averaged.parameters(), current.parameters(), strict=True):
        old.lerp_(new, forget)
    for buffer, latest in zip(averaged.buffers(), current.buffers(), strict=True):
        buffer.copy_(latest)


def mix(*parts: int | str) -> int:
    """A seed from several parts, the same on every machine; other parts give an unrelated one."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Shuffle(Sampler[int]):
    """This process's share of an endless reshuffled pass over a dataset, from one draw to another.

    Draw k of the run is the same images whenever it is asked for: a resumed run sees what it would have seen.

    Args:
        data: only its length counts.
        seed: decides every epoch's order.
        batch_size: images a draw of this process.
        start: the first draw.
        stop: the draw after the last.
        rank: which share of each draw.
        world: how many processes there are.
    """

    def __init__(
        self, data: Sized, seed: int, batch_size: int, start: int, stop: int, *, rank: int = 0, world: int = 1
    ) -> None:
        self.size, self.seed, self.batch_size = len(data), seed, batch_size
        self.start, self.stop, self.rank, self.world = start, stop, rank, world

    def __len__(self) -> int:
        return max(0, self.stop - self.start) * self.batch_size

    def __iter__(self) -> Iterator[int]:
        epoch, order = -1, torch.empty(0, dtype=torch.long)
        for draw in range(self.start, self.stop):
            first = (draw * self.world + self.rank) * self.batch_size
            for position in range(first, first + self.batch_size):
                if position // self.size != epoch:
                    epoch = position // self.size
                    order = torch.randperm(self.size, generator=torch.Generator().manual_seed(mix(self.seed, epoch)))
                yield int(order[position % self.size])
