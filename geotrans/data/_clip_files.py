"""Clips as folders of frames: which frames there are, in which order, and where the points of each are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geotrans.data._files import pictures_below, shown
from geotrans.data._guidance import Guidance, Place
from geotrans.data._reader import Reader
from geotrans.ops.clips import natural

_LOG = logging.getLogger(__name__)
_SPLIT = "{split}"


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of all clips, clip after clip, each in order.

    Attributes:
        names: of the frames.
        paths: of their files.
        places: where their points are.
        firsts: for each frame the row of its clip's first.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    places: tuple[Place, ...]
    firsts: tuple[int, ...]

    def runs(self, length: int) -> tuple[int, ...]:
        """The rows where a run of so many frames begins that has another frame of its clip before it."""
        ends = self.firsts[length - 1 :]
        return tuple(
            row for row, (first, other) in enumerate(zip(self.firsts, ends, strict=False)) if row > first == other
        )


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame that was found: its name, the folder that is its clip, its file, and where its points are."""

    name: str
    clip: Path
    path: Path
    place: Place


def find_frames(reader: Reader, guidance: Guidance, pictures: str, points: str, least: int) -> Frames:
    """The frames of the split, less those to be skipped.

    Args:
        least: frames that a clip must have.
    """
    base, clips = _folders(reader, pictures)
    if points:
        where = _folder(reader, points, "folder of points")
    else:
        where = reader.folder / "landmarks"
        where = where if where.is_dir() else base
    found: list[_Frame] = []
    absent: list[Path] = []
    for clip, paths in clips.items():
        own = guidance.places(where / clip.relative_to(base), [path.stem for path in paths])
        for path, place in zip(paths, own, strict=True):
            if place is None:
                absent.append(path)
            else:
                found.append(_Frame(reader.name(path), clip, path, place))
    if absent:
        told = f"{len(absent)} of {len(absent) + len(found)} frames have no points in {where}: "
        told += f"{shown([str(path) for path in absent])}; expected {guidance.expected}"
        if not reader.skip_broken:
            raise FileNotFoundError(f"{reader.dataset}: {told}")
        _LOG.warning("%s: skipped %s", reader.dataset, told)
    found = [found[row] for row in reader.readable([frame.path for frame in found])]
    if reader.skip_broken:
        found = _guided(reader, guidance, found)
    return _table(reader, found, least)


def _folders(reader: Reader, pictures: str) -> tuple[Path, dict[Path, list[Path]]]:
    """The folder of the clips, and the frames of each clip of the split.

    Raises:
        ValueError: a frame is in no clip.
    """
    base = _folder(reader, pictures, "folder of clips") if pictures else reader.folder
    if _SPLIT in pictures:
        frames = [(path, name) for name, path in pictures_below(base).items()]
    else:
        frames = reader.divided(pictures, whole=lambda name: name.rpartition("/")[0])
    if loose := [str(path) for path, name in frames if "/" not in name]:
        raise ValueError(f"{reader.dataset}: expected frames in a folder for each clip, got {shown(loose)}")
    clips: dict[Path, list[Path]] = {}
    for path, _ in frames:
        clips.setdefault(path.parent, []).append(path)
    return base, {clip: sorted(paths, key=natural) for clip, paths in clips.items()}


def _folder(reader: Reader, name: str, what: str) -> Path:
    """A folder inside the dataset's, of the split if its name has one."""
    names = [name.replace(_SPLIT, split) for split in reader.preferred()] if _SPLIT in name else [name]
    return reader.place(names, what)


def _guided(reader: Reader, guidance: Guidance, found: Sequence[_Frame]) -> list[_Frame]:
    """The frames whose points can be read, with a warning if some cannot."""
    kept: list[_Frame] = []
    faults: list[str] = []
    for frame in found:
        try:
            guidance.points(frame.place)
            kept.append(frame)
        except (OSError, ValueError) as error:
            faults.append(str(error))
    if faults:
        told = f"{len(faults)} of {len(found)} frames without points; the first: {faults[0]}"
        _LOG.warning("%s: skipped %s", reader.dataset, told)
    return kept


def _table(reader: Reader, found: Sequence[_Frame], least: int) -> Frames:
    """The frames of clips that have enough.

    Raises:
        ValueError: a clip has too few frames and is not to be skipped, or no clip is left.
    """
    clips: dict[Path, list[_Frame]] = {}
    for frame in found:
        clips.setdefault(frame.clip, []).append(frame)
    if short := [str(clip) for clip, frames in clips.items() if len(frames) < least]:
        told = f"{len(short)} of {len(clips)} clips have less than {least} frames: {shown(short)}"
        if not reader.skip_broken:
            raise ValueError(f"{reader.dataset}: {told}; remove them, or skip_broken leaves them out")
        _LOG.warning("%s: skipped %s", reader.dataset, told)
    kept = [frame for frames in clips.values() if len(frames) >= least for frame in frames]
    if not kept:
        told = f"{reader.dataset}: {reader.folder} has no clips for the split {reader.split!r}"
        raise ValueError(f"{told}; put some in its folder train and others in test")
    firsts: list[int] = []
    for row, frame in enumerate(kept):
        same = row > 0 and kept[row - 1].clip == frame.clip
        firsts.append(firsts[-1] if same else row)
    names, paths, places = zip(*((frame.name, frame.path, frame.place) for frame in kept), strict=True)
    return Frames(names, paths, places, tuple(firsts))
