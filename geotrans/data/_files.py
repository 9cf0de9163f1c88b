"""Datasets that read picture files: finding the files, framing them as squares, serving them as samples."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from geotrans.data._counter import keys, uniforms
from geotrans.data._manifest import Manifest
from geotrans.data.base import Dataset
from geotrans.ops.images import Box, from_uint8, list_images, read_pixels, resize, unpad
from geotrans.ops.landmarks import mirror_landmarks
from geotrans.types import Condition, ConditionSpec, Sample

SPLITS = ("train", "val", "test")
Fit = Literal["square", "stretch", "aspect"]

_SPLIT_SEED = 1234  # StarGAN's and SPM's
_SHOWN = 5


class Window(NamedTuple):
    """The part of a picture file that a framed picture shows, in the file's pixels."""

    left: float
    top: float
    width: float
    height: float

    def units(self, points: Tensor) -> Tensor:
        """Points (..., 2) from pixels of the file, where pixel centres are whole numbers, to [-1, 1] in the window."""
        corner = points.new_tensor([self.left, self.top])
        return 2 * (points + 0.5 - corner) / points.new_tensor([self.width, self.height]) - 1


@dataclass(frozen=True, slots=True)
class Framing:
    """How a picture of any size becomes a square one.

    Attributes:
        resolution: height and width of the result.
        load: the picture is first made this large, and a window of `resolution` pixels is cut out of it; 0 stands for
            `resolution`, so that nothing is cut.
        fit: "square" keeps the largest square in the middle; "stretch" keeps the whole picture, whatever becomes of its
            aspect ratio; "aspect" makes its shorter side `load` pixels long.
        centre: a square of so many pixels in the middle is cut out before anything else; 0 leaves that out.
        jitter: the window's place is drawn; otherwise it is the middle.
    """

    resolution: int
    load: int = 0
    fit: Fit = "square"
    centre: int = 0
    jitter: bool = False

    def __post_init__(self) -> None:
        if self.resolution < 1:
            raise ValueError(f"resolution: expected at least 1, got {self.resolution}")
        if self.load and self.load < self.resolution:
            raise ValueError(f"load: expected at least the resolution {self.resolution}, or 0, got {self.load}")
        if self.fit not in ("square", "stretch", "aspect"):
            raise ValueError(f"fit: expected 'square', 'stretch' or 'aspect', got {self.fit!r}")

    def __call__(self, pixels: Tensor, draws: Tensor) -> tuple[Tensor, Window]:
        """Frame one picture.

        Args:
            pixels: (3, h, w) uint8.
            draws: (2,) in [0, 1), the window's place down and across; only `jitter` looks at them.

        Returns:
            The picture, (1, 3, resolution, resolution) in [-1, 1], and where it lies in the file.

        Raises:
            ValueError: the picture is smaller than `centre`.
        """
        cut = self._cut(*pixels.shape[1:])
        height, width = self._size(cut)
        image = resize(from_uint8(unpad(pixels[None], cut)), (height, width))
        side = self.resolution
        shares = draws.tolist() if self.jitter else (0.5, 0.5)
        top, left = (int(share * (size - side + 1)) for share, size in zip(shares, (height, width), strict=True))
        x, y = cut.width / width, cut.height / height  # pixels of the file for one of the resized picture
        window = Window(cut.left + left * x, cut.top + top * y, side * x, side * y)
        return image[..., top : top + side, left : left + side], window

    def _cut(self, height: int, width: int) -> Box:
        side = self.centre or (min(height, width) if self.fit == "square" else 0)
        if side > min(height, width):
            raise ValueError(f"expected a picture of at least {side} x {side} pixels, got {height} x {width}")
        return Box((height - side) // 2, (width - side) // 2, side, side) if side else Box(0, 0, height, width)

    def _size(self, cut: Box) -> tuple[int, int]:
        load = self.load or self.resolution
        if self.fit != "aspect":
            return load, load
        short = min(cut.height, cut.width)
        return round(load * cut.height / short), round(load * cut.width / short)


@dataclass(frozen=True, slots=True)
class Copies:
    """Which picture an index stands for: all pictures in order, `passes` times, then as often their mirror images."""

    pictures: int
    passes: int = 1
    flip: bool = False

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise ValueError(f"passes: expected at least 1, got {self.passes}")

    def __len__(self) -> int:
        return self.plain * (2 if self.flip else 1)

    @property
    def plain(self) -> int:
        """How many indices there are before the mirror images."""
        return self.pictures * self.passes

    def __getitem__(self, index: int) -> tuple[int, bool]:
        """The picture's number, and whether it is mirrored."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside the dataset's 0..{len(self) - 1}")
        return index % self.pictures, index >= self.plain


@dataclass(frozen=True, slots=True)
class Table:
    """Pictures and what is known of them, a row each.

    Attributes:
        labels: conditions of all rows; landmarks in pixels of the file.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: Condition

    def rows(self, rows: Sequence[int]) -> Table:
        """Some of the rows."""
        names, paths = (tuple(column[row] for row in rows) for column in (self.names, self.paths))
        return Table(names, paths, self.labels.rows(list(rows)))  # type: ignore[arg-type]


class Pictures(Dataset):
    """Pictures with their conditions. No targets: training lets the sources of a batch change places.

    With `flip`, the second half of the indices are the mirror images of the first, landmarks included. With a
    `manifest`, a file's digest is checked when it is read for the first time.
    """

    def __init__(
        self,
        table: Table,
        spec: ConditionSpec,
        framing: Framing,
        copies: Copies,
        seed: int,
        *,
        manifest: Manifest | None = None,
    ) -> None:
        self.table, self.framing, self.copies, self.seed = table, framing, copies, seed
        self.manifest = manifest
        self.spec = replace(spec, landmarks=table.labels.landmarks is not None)
        self.resolution = framing.resolution

    def __len__(self) -> int:
        return len(self.copies)

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
            ValueError: a file is broken; the message has its path.
        """
        chosen = [self.copies[index] for index in indices]
        draws = place_draws(self.seed, 0, indices)
        source = self.table.labels.rows([row for row, _ in chosen])
        pictures = [
            framed(self._pixels(self.table.paths[row]), self.table.paths[row], self.framing, draw, mirrored)
            for (row, mirrored), draw in zip(chosen, draws, strict=True)
        ]
        windows, mirrors = [window for _, window in pictures], [mirrored for _, mirrored in chosen]
        return Sample(
            image=torch.cat([image for image, _ in pictures]),
            source=with_units(source, windows, mirrors),
            id=tuple(sample_id(self.table.names[row], mirrored) for row, mirrored in chosen),
        )

    def _pixels(self, path: Path) -> Tensor:
        if self.manifest is not None:
            self.manifest.check(path)
        return read_pixels(path)


def framed(pixels: Tensor, path: Path, framing: Framing, draws: Tensor, mirrored: bool) -> tuple[Tensor, Window]:
    """A picture as (1, 3, R, R) in [-1, 1], and where in the file it lies.

    Raises:
        ValueError: the picture is too small; the message has its path.
    """
    try:
        image, window = framing(pixels, draws)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return (image.flip(-1) if mirrored else image), window


def with_units(labels: Condition, windows: Sequence[Window], mirrors: Sequence[bool]) -> Condition:
    """Landmarks from pixels of the file to units of the framed, perhaps mirrored picture; the rest is as it was."""
    if labels.landmarks is None:
        return labels
    moved = []
    for points, window, mirrored in zip(labels.landmarks, windows, mirrors, strict=True):
        units = window.units(points)[None]
        moved.append(mirror_landmarks(units) if mirrored else units)
    return replace(labels, landmarks=torch.cat(moved))


def sample_id(name: str, mirrored: bool) -> str:
    """`Sample.id` of a picture."""
    return f"{name}-mirrored" if mirrored else name


def place_draws(seed: int, stream: int, indices: Sequence[int], count: int = 2) -> Tensor:
    """(B, count) numbers in [0, 1) that depend on seed, stream and each index alone."""
    return uniforms(keys(seed, 64 + stream, torch.tensor(list(indices), dtype=torch.int64)), count)


def pictures_in(folder: Path, *, recursive: bool = False) -> dict[str, Path]:
    """Picture files by stem, in the order of their paths.

    Raises:
        FileNotFoundError: no such folder, or no pictures in it.
        ValueError: two pictures have the same stem.
    """
    return _unique((path.stem, path) for path in list_images(folder, recursive=recursive))


def pictures_below(folder: Path) -> dict[str, Path]:
    """Picture files by their path from the folder on, without the suffix; order and errors as for `pictures_in`."""
    return _unique((path.relative_to(folder).with_suffix("").as_posix(), path) for path in list_images(folder))


def _unique(found: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    pictures: dict[str, Path] = {}
    for name, path in found:
        if name in pictures:
            raise ValueError(f"{path} and {pictures[name]} have the same name, so labels cannot tell them apart")
        pictures[name] = path
    return pictures


@lru_cache(maxsize=64)
def order_of(seed: int, block: int, count: int) -> Tensor:
    """An order of `count` things, another one for each block: (count,) int64."""
    return uniforms(keys(seed, 63, torch.tensor([block])), count)[0].argsort(stable=True)


def shuffled(names: Sequence[str]) -> list[str]:
    """The names in the order of StarGAN's and SPM's split: Python's shuffle with seed 1234."""
    order = list(names)
    random.Random(_SPLIT_SEED).shuffle(order)
    return order


def cut(names: Sequence[str], split: str, test: int, val: int) -> list[str]:
    """A split of `names`: the first `test` are for testing, the next `val` for validation, the rest for training."""
    parts = {"test": names[:test], "val": names[test : test + val], "train": names[test + val :]}
    return list(parts[split])


def shares(count: int) -> tuple[int, int]:
    """How many of `count` things are for testing and for validation where nothing else is known: 5 % each."""
    return max(1, count // 20), max(1, count // 20)


def shown(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
