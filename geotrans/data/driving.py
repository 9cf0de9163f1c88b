"""What the frames of an animation shall show: landmarks, structure maps or columns of a table, a row a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from geotrans.data import _openface
from geotrans.data._files import Window
from geotrans.data._sidecar import read_array, read_landmarks
from geotrans.ops.clips import ANIMATED, VIDEOS, natural, picture_files, read_clip
from geotrans.ops.images import read_pixels
from geotrans.types import ConditionSpec
from registry import FEATURES

Fit = Literal["place", "motion", "none"]
FINDERS = ("mediapipe_landmarks", "dlib_landmarks")
_POINTS = 68


@dataclass(frozen=True, slots=True)
class Driving:
    """A driving clip; of its parts one is there.

    Attributes:
        landmarks: (T, 68, 2), in [-1, 1] of the driving pictures if `framed`, else in pixels of pictures unknown.
        maps: (T, S, H, W) structures, in [0, 1].
        columns: a name -> value for each frame (T,), in [0, 1].
        fps: frames a second; None where nothing says.
    """

    landmarks: Tensor | None = None
    framed: bool = False
    maps: Tensor | None = None
    columns: Mapping[str, Tensor] | None = None
    fps: float | None = None

    def __len__(self) -> int:
        parts = [self.landmarks, self.maps, *(self.columns or {}).values()]
        return next(len(part) for part in parts if part is not None)


def read_driving(path: str | Path, spec: ConditionSpec) -> Driving:
    """A driving clip for a model that reads `spec`.

    Args:
        path: for landmarks, or a structure that is drawn from them: a CSV file of OpenFace, a row a frame; a folder
            with NAME.npz or NAME.csv for each frame, see `read_landmarks`; or pictures (a folder, an animated picture,
            a video), whose landmarks are looked for. For other structures a folder with NAME.npz for each frame, an
            array (S, H, W) in [0, 1]. For columns a CSV file with their names in its first line, a row a frame;
            intensities of OpenFace, AU01_r and so on, are taken for AU01. Files are in natural order.

    Raises:
        FileNotFoundError: there is no such file or folder, or nothing in it.
        ImportError: landmarks are to be found in pictures, and nothing that finds them is installed.
        ValueError: a file holds something else, or no face is found; the message has its path.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if not (spec.landmarks or spec.structure):
        return _table(path, spec)
    if path.is_file() and path.suffix.lower() == ".csv":
        rows = list(_openface.read_rows(path))
        if not rows:
            raise ValueError(f"{path}: expected a header and a row a frame, got no row")
        return Driving(torch.stack([_openface.landmarks(_found(row)) for row in rows]))
    if path.is_file():
        clip = read_clip(path)
        return Driving(found_landmarks(clip.frames, str(path)), True, fps=clip.fps)
    files = sorted((file for file in path.iterdir() if file.suffix.lower() in (".npz", ".csv")), key=natural)
    if not files:
        frames = [read_pixels(file) for file in picture_files(path)]
        return Driving(found_landmarks(frames, str(path)), True)
    arrays = [_array(file, spec) for file in files]
    if len(shapes := {tuple(array.shape) for array in arrays}) > 1:
        raise ValueError(f"{path}: expected frames of one shape, got {', '.join(map(str, sorted(shapes)))}")
    if arrays[0].ndim == 3:
        return Driving(maps=torch.stack(arrays))
    sizes = [_size_beside(file) for file in files]
    if None in sizes:
        return Driving(torch.stack(arrays))
    windows = [Window(0, 0, size[1], size[0]) for size in sizes if size is not None]
    return Driving(torch.stack([w.units(points) for w, points in zip(windows, arrays, strict=True)]), True)


def source_landmarks(file: Path, pixels: Tensor) -> Tensor:
    """The landmarks of a picture, (68, 2) in its pixels: of NAME.npz or NAME.csv beside it, or looked for in it.

    Args:
        pixels: the picture, uint8 (3, H, W).

    Raises:
        ImportError: nothing is beside it, and nothing that finds landmarks is installed.
        ValueError: a file holds something else, or no face is found.
    """
    for suffix in (".npz", ".csv"):
        if (beside := file.with_suffix(suffix)).is_file():
            return read_landmarks(beside)
    size = pixels.new_tensor([pixels.shape[2], pixels.shape[1]]).float()
    return (found_landmarks([pixels], str(file))[0] + 1) / 2 * size - 0.5


def source_map(file: Path, channels: int) -> Tensor:
    """The structure map beside a picture, NAME.npz: (S, H, W).

    Raises:
        FileNotFoundError: there is none.
        ValueError: it holds something else.
    """
    beside = file.with_suffix(".npz")
    if not beside.is_file():
        raise FileNotFoundError(f"{file}: the model reads a structure of the source too; write it to {beside}")
    return _map(beside, channels)


def found_landmarks(frames: Sequence[Tensor], name: str) -> Tensor:
    """The landmarks of the largest face in each picture (3, H, W) uint8: (T, 68, 2) in [-1, 1].

    Raises:
        ImportError: nothing that finds landmarks is installed.
        ValueError: a picture shows no face; the message has its number.
    """
    reasons: list[str] = []
    for finder in FINDERS:
        try:
            find = FEATURES.get(finder).factory()
        except (ImportError, FileNotFoundError) as error:
            reasons.append(str(error))
            continue
        rows = torch.cat([find(frame[None]) for frame in frames]).cpu()
        if len(lost := (rows == 0).all(1).nonzero()):
            raise ValueError(f"{name}: no face found in frame {int(lost[0])} of {len(frames)}; leave it out")
        return rows.view(-1, _POINTS, 2)
    raise ImportError(f"{name}: no landmarks beside the pictures, and nothing that finds any: {'; '.join(reasons)}")


def placed(driving: Tensor, source: Tensor, fit: Fit) -> Tensor:
    """Driving landmarks (T, 68, 2), in any units, brought to a source whose landmarks are (68, 2).

    Args:
        fit: "place" moves and scales the clip so that its first frame lies on the source's face as well as it can; the
            shape of the face is the driver's. "motion" then takes from it only what moves since the first frame, and
            adds that to the source's own landmarks; both should show about the same there. "none" changes nothing.

    Raises:
        ValueError: another fit.
    """
    if fit not in (known := get_args(Fit)):
        raise ValueError(f"fit: expected one of {', '.join(known)}, got {fit!r}")
    if fit == "none":
        return driving
    middle, goal = driving[0].mean(0), source.mean(0)
    offsets = driving[0] - middle
    scale = (offsets * (source - goal)).sum() / offsets.square().sum().clamp_min(1e-12)
    moved = goal + scale * (driving - middle)
    return moved if fit == "place" else source + moved - moved[0]


def _table(path: Path, spec: ConditionSpec) -> Driving:
    columns = [*spec.attributes, *spec.aus, *spec.emotion, *spec.modality]
    if not columns:
        raise ValueError(
            "the model reads no condition that could change from frame to frame; see `geotrans info MODEL`"
        )
    if path.is_dir() or path.suffix.lower() in ANIMATED | VIDEOS:
        raise ValueError(f"{path}: expected a CSV file with columns such as {', '.join(columns[:4])}, a row a frame")
    rows = list(_openface.read_rows(path))
    have = rows[0].cells if rows else {}
    known = {name: cell for name in columns for cell in (name, f"{name}_r") if cell in have}
    if not known:
        raise ValueError(f"{path}: expected columns of the model ({', '.join(columns)}) and a row a frame, got none")
    values: dict[str, Tensor] = {}
    for name, cell in known.items():
        scale = 1.0 if cell == name else _openface.INTENSITY
        numbers = torch.tensor([row.number(cell) / scale for row in rows])
        if not ((numbers >= 0) & (numbers <= 1)).all():
            low, high = float(numbers.min()) * scale, float(numbers.max()) * scale
            raise ValueError(f"{path}: {cell}: expected values from 0 to {scale:g}, got {low:g} to {high:g}")
        values[name] = numbers
    return Driving(columns=values)


def _found(row: _openface.FaceRow) -> _openface.FaceRow:
    if not row.tracked():
        raise ValueError(f"{row.place}: OpenFace found no face in this frame (success is 0); leave it out")
    return row


def _array(file: Path, spec: ConditionSpec) -> Tensor:
    """The landmarks (68, 2) or the structure (S, H, W) in a file."""
    if file.suffix.lower() == ".npz" and spec.structure and _dimensions(file) == 3:
        return _map(file, spec.structure)
    return read_landmarks(file)


def _dimensions(file: Path) -> int:
    return read_array(file, "an array").ndim


def _map(file: Path, channels: int) -> Tensor:
    found = read_array(file, "an array")
    if found.ndim != 3 or len(found) != channels:
        raise ValueError(f"{file}: expected an array of shape ({channels}, H, W), got {tuple(found.shape)}")
    if not (found.isfinite().all() and found.min() >= 0 and found.max() <= 1):
        raise ValueError(f"{file}: expected values from 0 to 1, got {float(found.min()):g} to {float(found.max()):g}")
    return found


def _size_beside(file: Path) -> tuple[int, int] | None:
    """Height and width of the picture of the same name, if there is one."""
    for picture in file.parent.glob(f"{file.stem}.*"):
        if picture.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp", ".bmp"}:
            pixels = read_pixels(picture)
            return pixels.shape[1], pixels.shape[2]
    return None
