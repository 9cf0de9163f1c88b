"""What drawn datasets have in common: their options, their splits, and the numbers that samples are drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geotrans.data.base import Dataset

SPLITS = {"train": 20_000, "val": 2_000, "test": 2_000}  # samples by default
SMALLEST = 16  # pixels

_LARGEST = 1 << 28  # samples of a split


class Procedural(Dataset):
    """A dataset whose samples are drawn from numbers of their own; no number is in two splits.

    Args:
        name: under which it is registered.
        split: train, val or test.
        resolution: height and width, at least 16.
        size: number of samples; None: 20000 for train and 2000 else.

    Raises:
        ValueError: an unknown split, or a resolution or size that is out of range.
    """

    def __init__(self, name: str, split: str, resolution: int, seed: int, size: int | None) -> None:
        if split not in SPLITS:
            raise ValueError(f"{name}: expected split to be one of {', '.join(SPLITS)}, got {split!r}")
        if resolution < SMALLEST:
            raise ValueError(f"{name}: expected a resolution of {SMALLEST} or more, got {resolution}")
        if size is not None and not 0 < size < _LARGEST:
            raise ValueError(f"{name}: expected a size between 1 and {_LARGEST - 1}, got {size}")
        self.name, self.split, self.resolution, self.seed = name, split, resolution, seed
        self.size = SPLITS[split] if size is None else size

    def __len__(self) -> int:
        return self.size

    def numbers(self, indices: Sequence[int], each: int = 1) -> Tensor:
        """The numbers (B,) int64 of what `indices` show, where so many samples in a row show the same.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
        """
        outside = [index for index in indices if not 0 <= index < self.size]
        if outside:
            raise IndexError(f"index {outside[0]} is outside the dataset's 0..{self.size - 1}")
        return list(SPLITS).index(self.split) << 28 | torch.tensor(list(indices), dtype=torch.int64) // each

    def names(self, indices: Sequence[int]) -> tuple[str, ...]:
        """The samples' ids."""
        return tuple(f"{self.name}-{self.split}-{index:06d}" for index in indices)
