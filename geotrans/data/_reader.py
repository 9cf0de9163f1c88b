"""What the datasets that read folders have in common: a folder, a split, and the same options."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from geotrans.data._files import (
    SPLITS,
    Copies,
    Fit,
    Framing,
    Pictures,
    Table,
    cut,
    pictures_below,
    shares,
    shown,
    shuffled,
)
from geotrans.data._manifest import Manifest, read_manifest
from geotrans.data._sidecar import with_landmarks
from geotrans.ops.images import read_pixels
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec

_LOG = logging.getLogger(__name__)
_PREFERRED = {"train": ("train",), "val": ("val", "test"), "test": ("test", "val")}


@dataclass(frozen=True, slots=True)
class Reader:
    """A dataset's folder and options.

    Attributes:
        dataset: its registered name.
        root: the folder, as the user gave it.
        expected: what shall be in it, DIR being the folder.
        flip: training sees every picture mirrored too.
        landmarks: folder of landmarks inside `root`; none if empty.
        skip_broken: leave out, with a warning, pictures that are missing or cannot be read.
        manifest: of a folder that `geotrans prepare` made: all its files are there and as long as they were.

    Raises:
        ValueError: an unknown split, no folder, or one that is not as its manifest says.
        FileNotFoundError: there is no such folder.
    """

    dataset: str
    root: str
    expected: str
    split: str
    seed: int = 0
    flip: bool = False
    landmarks: str = ""
    skip_broken: bool = False
    manifest: Manifest | None = field(init=False, default=None, compare=False)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"{self.dataset}: expected split to be one of {', '.join(SPLITS)}, got {self.split!r}")
        if not self.root:
            raise ValueError(f"{self.dataset} reads a folder: pass --data DIR (expected {self.expected})")
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no such folder; {self.dataset} expected {self.expected}")
        manifest = read_manifest(self.folder)
        if manifest is not None:
            manifest.check_sizes()
        object.__setattr__(self, "manifest", manifest)

    @property
    def folder(self) -> Path:
        """The folder."""
        return Path(self.root).expanduser()

    @property
    def train(self) -> bool:
        """Whether this is the split that is trained on."""
        return self.split == "train"

    def place(self, candidates: Sequence[str], what: str) -> Path:
        """The first of `candidates` that is in the folder.

        Raises:
            FileNotFoundError: none is.
            ValueError: it is a file of a prepared folder, and not as it was.
        """
        for candidate in candidates:
            if (found := self.folder / candidate).exists():
                if self.manifest is not None and found.is_file():
                    self.manifest.check(found)
                return found
        looked = ", ".join(candidates)
        raise FileNotFoundError(
            f"{self.dataset}: {self.folder} has no {what} (looked for {looked}); expected {self.expected}"
        )

    def framing(self, resolution: int, load: int, fit: Fit) -> Framing:
        """Training cuts its windows anywhere; the other splits show the whole picture."""
        return Framing(resolution, load if self.train else 0, fit, jitter=self.train)

    def divided(self, inside: str = "", split: str = "", whole: Callable[[str], str] = str) -> list[tuple[Path, str]]:
        """Pictures of the split in a folder, each with its path from there on: those in its folder train, val or test.

        Where there is only one of val and test, it stands for both. Where there is no folder train, the names are
        shuffled, and 5 % each are held out.

        Args:
            inside: a folder inside the dataset's.
            split: another split than the reader's.
            whole: from a picture's path to what it is of, all of whose pictures are held out together.
        """
        split = split or self.split
        base = self.place((inside,), f"folder {inside}") if inside else self.folder
        if (base / "train").is_dir():
            found = [base / name for name in self.preferred(split) if (base / name).is_dir()]
            if not found:
                raise FileNotFoundError(f"{self.dataset}: {base} has a folder train, but none of val and test")
            return [(path, name) for name, path in pictures_below(found[0]).items()]
        pictures = pictures_below(base)
        wholes = list(dict.fromkeys(whole(name) for name in pictures))
        held = set(cut(shuffled(wholes), split, *shares(len(wholes))))
        return [(path, name) for name, path in pictures.items() if whole(name) in held]

    def preferred(self, split: str = "") -> tuple[str, ...]:
        """Folders that stand for a split, the best first."""
        return _PREFERRED[split or self.split]

    def name(self, path: Path) -> str:
        """A picture's path from the folder on, without the suffix: what its landmarks are called."""
        return path.relative_to(self.folder).with_suffix("").as_posix()

    def copies(self, count: int, passes: int = 1) -> Copies:
        """The indices of `count` pictures: in training mirrored too, if that is wished, and several times."""
        return Copies(count, passes if self.train else 1, self.flip and self.train)

    def existing(self, names: Sequence[str], pictures: Mapping[str, Path]) -> list[str]:
        """Those of the names that have a picture.

        Raises:
            FileNotFoundError: some have none, and they are not to be skipped.
        """
        absent = [name for name in names if name not in pictures]
        if absent:
            told = f"{len(absent)} of {len(names)} labelled pictures are missing: {shown(absent)}"
            if not self.skip_broken:
                raise FileNotFoundError(f"{self.dataset}: {self.folder}: {told}")
            _LOG.warning("%s: skipped %s", self.dataset, told)
        return [name for name in names if name in pictures]

    def readable(self, paths: Sequence[Path]) -> list[int]:
        """Which of the files to keep, by number: all, or with `skip_broken` those that can be read, with a warning."""
        if not self.skip_broken:
            return list(range(len(paths)))
        with ThreadPoolExecutor() as pool:
            faults = list(pool.map(_fault, paths))
        if broken := [fault for fault in faults if fault]:
            told = f"{len(broken)} of {len(paths)} pictures; the first: {broken[0]}"
            _LOG.warning("%s: skipped %s", self.dataset, told)
        return [row for row, fault in enumerate(faults) if not fault]

    def complete(self, table: Table) -> Table:
        """The table with landmarks, if they are wished.

        Raises:
            FileNotFoundError: a picture has no landmarks.
            ValueError: the table is empty.
        """
        if not table.names:
            raise ValueError(f"{self.dataset}: {self.folder} has no pictures for the split {self.split!r}")
        if not self.landmarks:
            return table
        return with_landmarks(self.dataset, table, self.folder / self.landmarks, self.manifest)

    def serve(
        self,
        labels: Mapping[str, Sequence[float]],
        names: Sequence[str],
        pictures: Mapping[str, Path],
        spec: ConditionSpec,
        framing: Framing,
        passes: int = 1,
    ) -> Pictures:
        """The dataset of the pictures of those names, less those to be skipped.

        Args:
            labels: values of each name, in the order of the columns of `spec`, which are all of one part.
            pictures: path of each picture by name.

        Raises:
            FileNotFoundError: a name has no picture, or a picture no landmarks.
            ValueError: nothing is left.
        """
        names = self.existing(names, pictures)
        part = next((part for part in VECTOR_FIELDS if getattr(spec, part)), None)
        rows = Condition() if part is None else Condition(**{part: torch.tensor([list(labels[n]) for n in names])})
        table = Table(tuple(names), tuple(pictures[name] for name in names), rows)
        table = self.complete(table.rows(self.readable(table.paths)))
        copies = self.copies(len(table.names), passes)
        return Pictures(table, spec, framing, copies, self.seed, manifest=self.manifest)


def _fault(path: Path) -> str:
    """What is wrong with a picture file; empty if it can be read."""
    try:
        read_pixels(path)
    except (OSError, ValueError) as error:
        return str(error)
    return ""
