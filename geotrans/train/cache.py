"""Samples kept in memory: procedural data is drawn, and small data is decoded, once a run instead of once an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from geotrans.data.base import Dataset
from geotrans.types import Sample, cat

_BLOCK = 16


class Cached(Dataset):
    """A dataset that remembers what training reads of each sample.

    Neighbouring indices are read together, in blocks that are always the same: how a sample is rounded may depend on
    what it was drawn with, and a resumed run must see the very same numbers.

    Args:
        truth: remember `Sample.truth` too. The true flow and its visibility are never handed on: no loss reads them.
    """

    def __init__(self, dataset: Dataset, *, truth: bool = False) -> None:
        self.spec, self.resolution = dataset.spec, dataset.resolution
        self._dataset, self._truth = dataset, truth
        self._blocks: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`; of a block seen before, from memory."""
        return cat([self._block(index // _BLOCK).rows([index % _BLOCK]) for index in indices])

    def nbytes(self) -> int:
        """Memory that the whole dataset takes, going by its first block."""
        first = self._block(0)
        return _size(first) * len(self) // len(first.image)

    def _block(self, number: int) -> Sample:
        if number not in self._blocks:
            start = number * _BLOCK
            sample = self._dataset.batch(range(start, min(start + _BLOCK, len(self))))
            self._blocks[number] = replace(sample, truth=sample.truth if self._truth else None, flow=None, visible=None)
        return self._blocks[number]


def _size(sample: Sample) -> int:
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    sample.apply(note)
    return sum(sizes)
