"""What a dataset is: a pure function from indices to a batched `Sample`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from geotrans.types import ConditionSpec, Sample


class Dataset(TorchDataset[Sample]):
    """A map from indices to samples. What is at an index depends on the dataset's options and the index alone.

    Attributes:
        spec: names of the columns that `Sample.source` and `Sample.target` carry.
        resolution: height of its images, and width unless it has a `width` of its own.
    """

    spec: ConditionSpec
    resolution: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices` as one record.

        Raises:
            ValueError: a file behind an index is broken; the message has its path.
        """

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside the dataset's 0..{len(self) - 1}")
        return self.batch([index])

    def __getitems__(self, indices: list[int]) -> Sample:
        return self.batch(indices)


def loader(
    dataset: Dataset, batch_size: int, *, sampler: Sampler[int] | None = None, workers: int = 0, drop_last: bool = False
) -> DataLoader[Sample]:
    """A `DataLoader` that yields batched `Sample`s, in order unless a sampler says otherwise."""
    return DataLoader(
        dataset,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        drop_last=drop_last,
        collate_fn=_as_is,
        persistent_workers=workers > 0,
    )


def _as_is(sample: Any) -> Any:
    return sample
