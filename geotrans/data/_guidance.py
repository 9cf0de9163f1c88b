"""What guides the frames of a clip: the points of a face or of a body, where they are written, and how they are drawn.

A frame has a file of points beside it, or a clip has one for all of its frames, which is read when it is first wanted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from geotrans.data import _openface
from geotrans.data._keypoints import read_keypoints
from geotrans.data._openpose import read_openpose
from geotrans.data._sidecar import read_landmarks
from geotrans.ops import body_structure, face_structure
from geotrans.ops.landmarks import mirror_landmarks
from geotrans.ops.official_face import official_face_structure
from geotrans.ops.poses import mirror_joints

FaceStructure = Literal["smooth", "official"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the points of a frame are written.

    Attributes:
        path: of the file.
        stem: of the frame's name.
        clip: the stems of all frames that the file is for, in the order of their names; none if it is for this alone.
    """

    path: Path
    stem: str
    clip: tuple[str, ...] = ()


class Guidance(ABC):
    """The points of frames.

    Attributes:
        channels: of the structure that is drawn from them.
        expected: where they may be written, for messages.
    """

    channels: int
    expected: str

    def __init__(self) -> None:
        self._tables: dict[Path, Mapping[str, Tensor]] = {}

    def places(self, folder: Path, stems: Sequence[str]) -> list[Place | None]:
        """Where the points of each of a clip's frames are written; None where nothing is.

        Args:
            folder: the clip's, of points: NAME.npz, ... in it, or CLIP.csv beside it.
        """
        table = folder.with_name(f"{folder.name}.csv")
        if table.is_file():
            return [Place(table, stem, tuple(sorted(stems))) for stem in stems]
        found = [[folder / f"{stem}{ending}" for ending in self.endings] for stem in stems]
        paths = [next((path for path in own if path.is_file()), None) for own in found]
        return [None if path is None else Place(path, stem) for path, stem in zip(paths, stems, strict=True)]

    def points(self, place: Place) -> Tensor:
        """The points of a frame, (P, 2) in pixels of its file, NaN in what is missing.

        Raises:
            ValueError: they cannot be read, or are not there; the message has the path.
        """
        if not place.clip:
            return self.read(place.path)
        if place.path not in self._tables:
            self._tables[place.path] = self.read_table(place.path, place.clip)
        if place.stem not in self._tables[place.path]:
            raise ValueError(f"{place.path}: knows no points of the frame {place.stem}; skip_broken leaves it out")
        return self._tables[place.path][place.stem]

    @property
    @abstractmethod
    def endings(self) -> tuple[str, ...]:
        """What follows a frame's name in the name of its file of points."""

    @abstractmethod
    def read(self, path: Path) -> Tensor:
        """The points in the file of one frame."""

    @abstractmethod
    def read_table(self, path: Path, stems: Sequence[str]) -> Mapping[str, Tensor]:
        """The points in the file of a clip, by the stems of its frames; those of some may be missing."""

    @abstractmethod
    def mirrored(self, points: Tensor) -> Tensor:
        """Points (B, P, 2) in [-1, 1] of the mirrored pictures."""

    @abstractmethod
    def draw(self, points: Tensor, pictures: Tensor) -> Tensor:
        """Points (B, P, 2) in [-1, 1], of pictures (B, 3, H, W), as a structure (B, channels, H, W)."""


class Face(Guidance):
    """iBUG-68 landmarks: NPZ or lines x,y for a frame, or OpenFace's table for a clip.

    Args:
        structure: what is drawn from them: "smooth" `face_structure`, or "official" `official_face_structure`.
    """

    channels = face_structure.CHANNELS
    expected = "NAME.npz (68, 2), NAME.csv or NAME.txt for each frame NAME.png, or OpenFace's CLIP.csv beside CLIP"
    endings = (".npz", ".csv", ".txt")

    def __init__(self, structure: FaceStructure = "smooth") -> None:
        super().__init__()
        if structure not in (known := get_args(FaceStructure)):
            raise ValueError(f"structure: expected one of {', '.join(known)}, got {structure!r}")
        self.structure = structure

    def read(self, path: Path) -> Tensor:
        """Landmarks, as `read_landmarks`."""
        return read_landmarks(path)

    def read_table(self, path: Path, stems: Sequence[str]) -> Mapping[str, Tensor]:
        """OpenFace's, a row a frame, in the order of the names; without those where it saw no face.

        Raises:
            ValueError: there are not as many rows as frames.
        """
        rows = list(_openface.read_rows(path))
        if len(rows) != len(stems):
            told = f"{path}: expected a row for each of the {len(stems)} frames in {path.with_suffix('').name}"
            raise ValueError(f"{told}, got {len(rows)}; run OpenFace on the frames (FeatureExtraction -fdir)")
        pairs = zip(stems, rows, strict=True)
        return {stem: _openface.landmarks(row) for stem, row in pairs if row.tracked()}

    def mirrored(self, points: Tensor) -> Tensor:
        """As `mirror_landmarks`."""
        return mirror_landmarks(points)

    def draw(self, points: Tensor, pictures: Tensor) -> Tensor:
        """As `structure` says; the official one with the edges of the pictures."""
        height, width = pictures.shape[2:]
        if self.structure == "official":
            return official_face_structure(points, height, width, pictures)
        return face_structure.face_structure(points, height, width)


class Body(Guidance):
    """OpenPose's 18 joints: its JSON for a frame, or a list of PATN's for a clip.

    Args:
        size: standard deviation of a joint's Gaussian, in pixels of the result.
    """

    channels = body_structure.CHANNELS
    expected = "OpenPose's NAME_keypoints.json or NAME.json for each frame NAME.png, or PATN's CLIP.csv beside CLIP"
    endings = ("_keypoints.json", ".json")

    def __init__(self, size: float) -> None:
        super().__init__()
        if size <= 0:
            raise ValueError(f"pose_size: expected a positive number of pixels, got {size}")
        self.size = size

    def read(self, path: Path) -> Tensor:
        """Joints, as `read_openpose`."""
        return read_openpose(path)

    def read_table(self, path: Path, stems: Sequence[str]) -> Mapping[str, Tensor]:
        """Joints, as `read_keypoints`."""
        known = read_keypoints(path)
        return {stem: known.joints[row] for stem, row in known.rows.items()}

    def mirrored(self, points: Tensor) -> Tensor:
        """As `mirror_joints`."""
        return mirror_joints(points)

    def draw(self, points: Tensor, pictures: Tensor) -> Tensor:
        """As `body_structure`."""
        return body_structure.body_structure(points, *pictures.shape[2:], size=self.size)
