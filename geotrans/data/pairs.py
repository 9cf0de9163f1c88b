"""`paired_folder` and `unpaired_folders`: pictures of two domains, as pix2pix and CycleGAN read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from geotrans.data._example import drawn_faces, write_face, write_landmarks
from geotrans.data._files import (
    Copies,
    Fit,
    Framing,
    Table,
    framed,
    order_of,
    pictures_below,
    place_draws,
    sample_id,
    shown,
    with_units,
)
from geotrans.data._reader import Reader
from geotrans.data.base import Dataset
from geotrans.ops.images import read_pixels
from geotrans.types import Condition, ConditionSpec, Sample
from registry import register_dataset


class _Domains(Dataset):
    """Pictures of two domains.

    Args:
        tables: the pictures of either domain.
        domains: their names.
        source: the domain, 0 or 1, that `image` is of.
    """

    def __init__(
        self,
        tables: tuple[Table, Table],
        domains: tuple[str, str],
        source: int,
        framing: Framing,
        copies: Copies,
        seed: int,
    ) -> None:
        self.tables, self.source, self.framing, self.copies, self.seed = tables, source, framing, copies, seed
        self.spec = ConditionSpec(modality=domains, landmarks=tables[0].labels.landmarks is not None)
        self.resolution = framing.resolution

    def __len__(self) -> int:
        return len(self.copies)


class Pairs(_Domains):
    """Pictures of one domain, `image`, with what they show in the other, `truth`.

    With `flip`, the second half of the indices are the mirror images of the first, landmarks included. Partners are in
    the same row of `tables`, whose files are the same if a file holds both.
    """

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
            ValueError: a file is broken, or the pictures of a pair differ in shape; the message has the path.
        """
        chosen = [self.copies[index] for index in indices]
        pairs = [self._pair(row) for row, _ in chosen]
        draws = place_draws(self.seed, 1, indices)
        images, conditions = [], []
        for domain in (self.source, 1 - self.source):
            table = self.tables[domain]
            pictures = [
                framed(pair[domain], table.paths[row], self.framing, draw, mirrored)
                for pair, (row, mirrored), draw in zip(pairs, chosen, draws, strict=True)
            ]
            images.append(torch.cat([image for image, _ in pictures]))
            labels = replace(table.labels.rows([row for row, _ in chosen]), modality=_one_hot(domain, len(chosen)))
            conditions.append(with_units(labels, [window for _, window in pictures], [m for _, m in chosen]))
        names = self.tables[self.source].names
        return Sample(
            image=images[0],
            source=conditions[0],
            target=conditions[1],
            truth=images[1],
            id=tuple(sample_id(names[row], mirrored) for row, mirrored in chosen),
        )

    def _pair(self, row: int) -> list[Tensor]:
        """The pixels of both domains."""
        paths = [table.paths[row] for table in self.tables]
        if paths[0] == paths[1]:
            pixels = read_pixels(paths[0])
            if pixels.shape[2] % 2:
                raise ValueError(f"{paths[0]}: two pictures side by side have an even width, got {pixels.shape[2]}")
            return list(pixels.chunk(2, dim=2))
        pair = [read_pixels(path) for path in paths]
        (height, width), (other_height, other_width) = (pixels.shape[1:] for pixels in pair)
        if self.framing.fit != "stretch" and abs(height * other_width - width * other_height) > max(height, width):
            raise ValueError(
                f"{paths[0]} and {paths[1]} have other shapes, {height} x {width} and {other_height} x {other_width}; "
                "their windows would not match"
            )
        return pair


class Unpaired(_Domains):
    """Pictures of one domain, `image`, each with some picture of the other, `other`.

    An epoch of training is as long as the larger domain and sees the pictures of the smaller one more often. In every
    pass over the second domain, each of its pictures is the partner of one of the first, in an order drawn anew. Copies
    are of the larger domain in training, else of the first.
    """

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
            ValueError: a file is broken; the message has its path.
        """
        first, second = self.tables[self.source], self.tables[1 - self.source]
        draws = place_draws(self.seed, 2, indices, 5)
        images, others, names = [], [], []
        for index, draw in zip(indices, draws, strict=True):
            row, mirrored = self.copies[index]
            path, partner = first.paths[row % len(first.paths)], second.paths[self.partner(index)]
            images.append(framed(read_pixels(path), path, self.framing, draw[:2], mirrored)[0])
            flipped = self.copies.flip and bool(draw[4] < 0.5)
            others.append(framed(read_pixels(partner), partner, self.framing, draw[2:4], flipped)[0])
            names.append(sample_id(first.names[row % len(first.names)], mirrored))
        return Sample(
            image=torch.cat(images),
            source=Condition(modality=_one_hot(self.source, len(names))),
            target=Condition(modality=_one_hot(1 - self.source, len(names))),
            id=tuple(names),
            other=torch.cat(others),
        )

    def partner(self, index: int) -> int:
        """The row of the second domain that goes with an index."""
        count = len(self.tables[1 - self.source].names)
        return int(order_of(self.seed, index // count, count)[index % count])


@register_dataset("Pictures in pairs: two folders matched by file name, or both in one picture", "as the pictures'")
def paired_folder(
    root: str = "",
    split: str = "train",
    resolution: int = 256,
    seed: int = 0,
    domains: Sequence[str] = ("A", "B"),
    reverse: bool = False,
    side_by_side: bool = False,
    load: int = 0,
    fit: Fit = "stretch",
    passes: int = 1,
    flip: bool = True,
    landmarks: str = "",
    skip_broken: bool = False,
) -> Pairs:
    """Pairs of pictures: `image` is of the first domain, and `truth` shows the same in the second.

    Args:
        root: holds a folder for each domain with pictures of the same names; or, with `side_by_side`, pictures whose
            left half is of the first domain and whose right half is of the second, as pix2pix's.
        split: train, val or test: folders of that name in either domain's folder, or in `root` with `side_by_side`.
            Where there is only one of val and test, it stands for both; where there is no folder train, the names are
            shuffled with a seed of its own, and 5 % each are held out.
        resolution: height and width.
        seed: decides where the windows of `load` are.
        domains: the two domains: names of their folders, and of the columns of `modality`.
        reverse: from the second domain to the first.
        side_by_side: see `root`.
        load: training resizes to this and cuts `resolution` pixels out, somewhere else for each index and in the same
            place of both pictures; 0 cuts nothing.
        fit: how a picture becomes a square, see `Framing`.
        passes: how often an epoch of training goes through the pairs, with windows of its own each time.
        flip: training sees every pair mirrored too.
        landmarks: folder inside `root` with landmarks (see `with_landmarks`), which the conditions then have; none if
            empty. Those of a picture have the picture's path from `root` on.
        skip_broken: leave out, with a warning, pairs of which a picture cannot be read.

    Raises:
        FileNotFoundError: a folder is not there, or empty.
        ValueError: a picture has no partner, or an unknown option.
    """
    names = _two("paired_folder", domains)
    expected = "DIR with pictures side by side" if side_by_side else f"DIR/{names[0]} and DIR/{names[1]}"
    reader = Reader("paired_folder", root, expected, split, seed, flip, landmarks, skip_broken)
    if side_by_side and landmarks:
        raise ValueError("paired_folder: landmarks belong to a file, and side_by_side has two faces in one")
    tables = [_table(reader, [path for path, _ in reader.divided()])] * 2 if side_by_side else _matched(reader, names)
    kept = sorted(set.intersection(*(set(reader.readable(table.paths)) for table in tables)))
    first, second = (reader.complete(table.rows(kept)) for table in tables)
    framing, copies = reader.framing(resolution, load, fit), reader.copies(len(kept), passes)
    return Pairs((first, second), names, int(reverse), framing, copies, seed)


@register_dataset("Pictures of two domains that do not belong together: trainA, trainB, ...", "as the pictures'")
def unpaired_folders(
    root: str = "",
    split: str = "train",
    resolution: int = 256,
    seed: int = 0,
    domains: Sequence[str] = ("A", "B"),
    reverse: bool = False,
    load: int = 0,
    fit: Fit = "stretch",
    passes: int = 1,
    flip: bool = True,
    skip_broken: bool = False,
) -> Unpaired:
    """Pictures of two domains, as CycleGAN's: `image` is of the first, and `other` is some picture of the second.

    Args:
        root: holds trainA, trainB, and testA, testB (or valA, valB).
        split: train, val or test; where there is only one of val and test, it stands for both.
        resolution: height and width.
        seed: decides which pictures come together, and where the windows of `load` are.
        domains: the two domains: what follows "train" in the folders' names, and the columns of `modality`.
        reverse: from the second domain to the first.
        load: training resizes to this and cuts `resolution` pixels out, somewhere else for each index; 0 cuts nothing.
        fit: how a picture becomes a square, see `Framing`.
        passes: how often an epoch of training goes through the pictures, each time with other partners and windows.
        flip: training sees every picture mirrored too.
        skip_broken: leave out, with a warning, pictures that cannot be read.

    Raises:
        FileNotFoundError: a folder is not there, or empty.
        ValueError: an unknown option.
    """
    names = _two("unpaired_folders", domains)
    expected = f"DIR/train{names[0]}, DIR/train{names[1]}, DIR/test{names[0]} and DIR/test{names[1]}"
    reader = Reader("unpaired_folders", root, expected, split, seed, flip, skip_broken=skip_broken)
    tables = []
    for name in names:
        where = reader.place([f"{part}{name}" for part in reader.preferred()], f"folder {split}{name}")
        table = _table(reader, list(pictures_below(where).values()))
        tables.append(reader.complete(table.rows(reader.readable(table.paths))))
    sizes = [len(table.names) for table in tables]
    copies = reader.copies(max(sizes) if reader.train else sizes[int(reverse)], passes)
    framing = reader.framing(resolution, load, fit)
    return Unpaired((tables[0], tables[1]), names, int(reverse), framing, copies, seed)


def _two(dataset: str, domains: Sequence[str]) -> tuple[str, str]:
    if isinstance(domains, str) or len(domains) != 2 or domains[0] == domains[1]:
        raise ValueError(f"{dataset}: expected the names of two domains, got {domains!r}")
    return domains[0], domains[1]


def _table(reader: Reader, paths: Sequence[Path]) -> Table:
    return Table(tuple(reader.name(path) for path in paths), tuple(paths), Condition())


def _matched(reader: Reader, domains: tuple[str, str]) -> list[Table]:
    """The pictures of the split of either domain, partners in the same row."""
    first, second = (pictures_below(reader.place((domain,), f"folder {domain}")) for domain in domains)
    lone = [f"{domains[0]}/{name}" for name in first if name not in second]
    lone += [f"{domains[1]}/{name}" for name in second if name not in first]
    if lone:
        raise ValueError(f"paired_folder: {len(lone)} pictures have no partner of their name: {shown(lone)}")
    wanted = {path for path, _ in reader.divided(domains[0])}
    names = [name for name, path in first.items() if path in wanted]
    return [_table(reader, [part[name] for name in names]) for part in (first, second)]


def _one_hot(domain: int, count: int) -> Tensor:
    return torch.eye(2)[domain].expand(count, 2).clone()


def example_paired_folder(root: Path, domains: Sequence[str] = ("A", "B")) -> None:
    """Write a folder as `paired_folder` reads it, in miniature: drawn faces in two states, with landmarks."""
    sample, source, target = drawn_faces(24)
    assert sample.truth is not None
    for domain, images, condition in zip(domains, (sample.image, sample.truth), (source, target), strict=True):
        assert condition.landmarks is not None
        for row, image in enumerate(images):
            name = f"{domain}/{'train' if row < 16 else 'test'}/face_{row:02d}"
            write_face(root / f"{name}.png", image)
            write_landmarks(root / "landmarks" / f"{name}.npz", condition.landmarks[row])


def example_unpaired_folders(root: Path, domains: Sequence[str] = ("A", "B")) -> None:
    """Write a folder as `unpaired_folders` reads it, in miniature: drawn faces, a third of them in the first domain."""
    sample, _, _ = drawn_faces(24)
    for row, image in enumerate(sample.image):
        split = "train" if row < 16 else "test"
        write_face(root / f"{split}{domains[row % 3 != 0]}" / f"face_{row:02d}.png", image)
