"""Views of objects in files: pictures, or the HDF5 files of Sun et al., "Multi-view to Novel view", ECCV 2018."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geotrans.data._manifest import Manifest
from geotrans.data._view_camera import AZIMUTHS, ELEVATIONS
from geotrans.ops.images import read_pixels

_NAME = re.compile(r"(?P<thing>.+)_(?P<azimuth>\d+)_(?P<elevation>\d+)")
_TENS = 10  # degrees that one step of an azimuth's number stands for
TOLD = "OBJECT_AZIMUTH_ELEVATION, the azimuth 0, 2, ..., 34 in tens of degrees, the elevation 0, 10 or 20 in degrees"


class View(NamedTuple):
    """What a view's name says: the object, and the numbers of azimuth and elevation, 0 to 17 and 0 to 2."""

    thing: str
    azimuth: int
    elevation: int


def parse(name: str) -> View | None:
    """What a view's name says; None if it is of another form."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    azimuth, elevation = _TENS * int(match["azimuth"]), int(match["elevation"])
    if azimuth not in AZIMUTHS or elevation not in ELEVATIONS:
        return None
    return View(match["thing"], AZIMUTHS.index(azimuth), ELEVATIONS.index(elevation))


class ViewFiles(ABC):
    """Where the pictures of views are."""

    @abstractmethod
    def names(self) -> Iterable[str]:
        """All views that there are."""

    @abstractmethod
    def path(self, name: str) -> Path:
        """The file that a view is in, for messages."""

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """The picture of a view, uint8 (3, H, W).

        Raises:
            ValueError: there is none, or it is broken; the message has the file's path.
        """


class PictureViews(ViewFiles):
    """A picture file for each view, by the view's name.

    Args:
        manifest: by which files are checked when they are first read.
    """

    def __init__(self, paths: Mapping[str, Path], manifest: Manifest | None = None) -> None:
        self.paths, self.manifest = dict(paths), manifest

    def names(self) -> Iterable[str]:
        """All views, in the order of their paths."""
        return self.paths

    def path(self, name: str) -> Path:
        """The file of a view."""
        return self.paths[name]

    def read(self, name: str) -> Tensor:
        """The picture of a view, as `read_pixels`."""
        if self.manifest is not None:
            self.manifest.check(self.paths[name])
        return read_pixels(self.paths[name])


class Hdf5Views(ViewFiles):
    """One HDF5 file with a group for each view, which holds `image`, (H, W, 3) in 0..255, and `pose`, two numbers.

    It is opened anew in every process that reads it.

    Raises:
        ImportError: h5py is not installed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._opened: tuple[int, Any] | None = None
        _h5py(file)

    def names(self) -> Iterable[str]:
        """All views, in the order of the file: of 400,000 that takes seconds."""
        return list(self._open())

    def path(self, name: str) -> Path:
        """The one file."""
        return self.file

    def read(self, name: str) -> Tensor:
        """The picture of a view."""
        where = f"{self.file}, {name}"
        group = self._open().get(name)
        if group is None:
            raise ValueError(f"{self.file}: holds no {name}; is the list of names that of another file?")
        try:
            image, pose = np.asarray(group["image"]), np.asarray(group["pose"]).astype(int).flatten().tolist()
        except (KeyError, OSError, TypeError, ValueError) as error:
            raise ValueError(f"{where}: expected image and pose, and cannot read them: {error}") from error
        told = [int(part) for part in name.split("_")[-2:]]
        if pose != told:
            raise ValueError(f"{where}: expected the pose {told} as in the name, got {pose}")
        numbers = image.dtype.kind in "uif" and ((image >= 0) & (image <= 255)).all()
        if image.ndim != 3 or image.shape[2] != 3 or not numbers:
            raise ValueError(f"{where}: expected an image (H, W, 3) in 0..255, got {image.shape} of {image.dtype}")
        return torch.from_numpy(image.astype(np.uint8)).permute(2, 0, 1).contiguous()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _open(self) -> Any:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = os.getpid(), _h5py(self.file).File(self.file, "r")
            except OSError as error:
                raise ValueError(f"{self.file}: cannot be read as HDF5: {error}") from error
        return self._opened[1]


def _h5py(file: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{file}: h5py is not installed ({error}); pip install 'geotrans-gan[views]'") from error
    return h5py
