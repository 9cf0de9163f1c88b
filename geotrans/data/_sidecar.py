"""Landmarks of pictures, from a file a picture."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geotrans.data import _openface
from geotrans.data._files import Table, shown
from geotrans.data._manifest import Manifest

_SHAPE = (68, 2)


def with_landmarks(dataset: str, table: Table, folder: Path | None, manifest: Manifest | None = None) -> Table:
    """The table with the landmarks of its pictures, in pixels; as it is if there is no folder.

    Args:
        folder: holds a file for each picture, of the picture's name: NPZ with one array (68, 2); or CSV with 68 lines
            `x,y`, or of OpenFace with columns x_0, ..., y_67. iBUG-68 points in pixels of the upright picture, pixel
            centres being whole numbers.
        manifest: of the dataset, by which the files are checked.

    Raises:
        FileNotFoundError: pictures without a file.
        ValueError: a file holds something else; the message has its path.
    """
    if folder is None:
        return table
    files = [_sidecar(folder, name) for name in table.names]
    absent = [name for name, file in zip(table.names, files, strict=True) if file is None]
    if absent:
        told = f"{len(absent)} of {len(files)} pictures have no NAME.npz or NAME.csv"
        raise FileNotFoundError(f"{dataset}: {told} in {folder}: {shown(absent)}")
    present = [file for file in files if file is not None]
    if manifest is not None:
        for file in present:
            manifest.check(file)
    points = [read_landmarks(file) for file in present]
    stacked = torch.stack(points) if points else torch.empty(0, *_SHAPE)
    return replace(table, labels=replace(table.labels, landmarks=stacked))


def read_landmarks(path: Path) -> Tensor:
    """The landmarks in a file, (68, 2) in pixels.

    Raises:
        ValueError: the file holds no 68 points; the message has its path.
    """
    points = read_array(path, "landmarks") if path.suffix == ".npz" else _from_csv(path)
    if tuple(points.shape) != _SHAPE:
        raise ValueError(f"{path}: expected 68 points (x, y), got an array of shape {tuple(points.shape)}")
    if not points.isfinite().all():
        raise ValueError(f"{path}: holds a coordinate that is not finite")
    return points


def _sidecar(folder: Path, name: str) -> Path | None:
    for suffix in (".npz", ".csv"):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    return None


def read_array(path: Path, what: str) -> Tensor:
    """The only array in an NPZ file, in float32.

    Raises:
        ValueError: the file is broken or holds something else; the message has its path and `what` was expected.
    """
    try:
        if path.is_file() and not zipfile.is_zipfile(path):  # NumPy's own text advises to load it as a pickle
            raise ValueError("not a whole NPZ file, as numpy.savez writes it")
        with np.load(path, allow_pickle=False) as arrays:
            if len(arrays.files) != 1:
                raise ValueError(f"expected one array, got {', '.join(arrays.files) or 'none'}")
            return torch.from_numpy(np.asarray(arrays[arrays.files[0]], dtype=np.float32))
    except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read as {what}: {error}") from error


def _from_csv(path: Path) -> Tensor:
    lines = [line for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines() if line.strip()]
    if lines and lines[0].count(",") > 1:
        return _openface.landmarks(_openface.face_row(path))
    points = lines[1:] if lines and not any(letter.isdigit() for letter in lines[0]) else lines
    try:
        return torch.tensor([[float(cell) for cell in line.split(",")] for line in points])
    except ValueError as error:
        raise ValueError(f"{path}: expected 68 lines x,y: {error}") from None
