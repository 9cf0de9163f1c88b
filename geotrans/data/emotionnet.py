"""`emotionnet`: EmotionNet, or any folder of faces, with the action units that OpenFace 2 measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from geotrans.data._example import drawn_faces, write_face
from geotrans.data._face_motion import AUS
from geotrans.data._files import Framing, Pictures, cut, pictures_in, shares, shown, shuffled
from geotrans.data._openface import FaceRow, intensities, read_rows
from geotrans.data._reader import Reader
from geotrans.types import ConditionSpec
from registry import register_dataset

_LOG = logging.getLogger(__name__)
_NAME_COLUMNS = ("filename", "file", "image", "name")


@register_dataset("Faces in the wild with 17 action units from OpenFace 2 CSV files", "as the pictures'")
def emotionnet(
    root: str = "",
    split: str = "train",
    resolution: int = 128,
    seed: int = 0,
    pictures: str = "images",
    units: str = "aus",
    flip: bool = True,
    landmarks: str = "",
    skip_broken: bool = False,
) -> Pictures:
    """Faces with action units: the columns AU01_r, ..., AU45_r of OpenFace, 0..5, divided by 5.

    Args:
        root: the folder.
        split: train, val or test. DIR/test_ids.csv lists the test pictures, a name a line, and DIR/val_ids.csv those
            for validation, which are the test pictures if there is no such list; all others are for training. Without
            a test list, 5 % each are held out of the names in shuffled order: list whole people, if you know them.
        resolution: height and width; the largest square in the middle is resized.
        seed: has no effect: nothing is drawn, and the split has a seed of its own.
        pictures: folder of pictures inside `root`, with folders in it or not; no two may have the same name.
        units: inside `root`, a folder with a CSV file for each picture, of the picture's name; or one CSV file. Its
            rows belong to pictures by a column filename (or file, image, name), or by a column frame, which counts the
            pictures in the order of their names, from 1. Of several faces in a picture's own file, the one with the
            highest confidence counts.
        flip: training sees every picture mirrored too.
        landmarks: folder inside `root` with landmarks (see `with_landmarks`), which the condition then has; none if
            empty. OpenFace's CSV files hold them too.
        skip_broken: leave out, with a warning, pictures that cannot be read, and those without action units: no row, or
            success 0.

    Raises:
        FileNotFoundError: a folder or file is not there.
        ValueError: a picture has no action units, or a value is not in 0..5.
    """
    expected = "DIR/images and DIR/aus/NAME.csv, or DIR/aus.csv"
    reader = Reader("emotionnet", root, expected, split, seed, flip, landmarks, skip_broken)
    found = pictures_in(reader.place((pictures,), "folder of pictures"), recursive=True)
    labels = read_units(reader.place((units, f"{units}.csv"), "action units"), list(found))
    names = reader.existing(_names(reader, list(found)), found)
    lacking = [name for name in names if name not in labels]
    if lacking:
        told = f"{len(lacking)} of {len(names)} pictures have no action units, or no face was seen: {shown(lacking)}"
        if not skip_broken:
            raise ValueError(f"emotionnet: {told}; skip_broken leaves them out")
        _LOG.warning("emotionnet: skipped %s", told)
        names = [name for name in names if name in labels]
    return reader.serve(labels, names, found, ConditionSpec(aus=AUS), Framing(resolution))


def read_units(place: Path, names: Sequence[str]) -> dict[str, list[float]]:
    """The action units of each picture, in [0, 1] and the order of OpenFace.

    Args:
        place: a folder of CSV files, or one CSV file; see `emotionnet`.
        names: of the pictures, in the order of their files.

    Raises:
        ValueError: a file is broken, or does not say to which picture a row belongs; the message has its path.
    """
    labels: dict[str, list[float]] = {}
    certain: dict[str, float] = {}
    for name, row in _rows(place, names):
        confidence = row.number("confidence") if "confidence" in row.cells else 0.0
        if row.tracked() and confidence > certain.get(name, -1.0):
            certain[name], labels[name] = confidence, intensities(row, AUS)
    return labels


def _rows(place: Path, names: Sequence[str]) -> Iterator[tuple[str, FaceRow]]:
    """Each row with the name of its picture."""
    if place.is_dir():
        for path in sorted(place.rglob("*.csv")):
            yield from ((path.stem, row) for row in read_rows(path))
        return
    for row in read_rows(place):
        yield _owner(row, names), row


def _owner(row: FaceRow, names: Sequence[str]) -> str:
    for column in _NAME_COLUMNS:
        if column in row.cells:
            return Path(row.cells[column]).stem
    if "frame" not in row.cells:
        raise ValueError(f"{row.place}: expected a column frame, or one of {', '.join(_NAME_COLUMNS)}")
    frame = int(row.number("frame"))
    if not 1 <= frame <= len(names):
        raise ValueError(f"{row.place}: frame {frame}, but there are the pictures 1 to {len(names)}")
    return names[frame - 1]


def _names(reader: Reader, found: list[str]) -> list[str]:
    """The names in the split."""
    test, val = (_listed(reader.folder / f"{split}_ids.csv") for split in ("test", "val"))
    if not test:
        return cut(shuffled(sorted(found)), reader.split, *shares(len(found)))
    if not reader.train:
        return val if val and reader.split == "val" else test
    held = {*test, *val}
    return [name for name in found if name not in held]


def _listed(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [Path(line.strip()).stem for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def example_emotionnet(root: Path) -> None:
    """Write a folder as `emotionnet` reads it, in miniature: 20 drawn faces, a CSV file each."""
    sample, source, _ = drawn_faces(20, "aus")
    assert source.aus is not None
    (root / "aus").mkdir(parents=True, exist_ok=True)
    header = ", ".join(["face", "confidence", *(f"{unit}_r" for unit in AUS)])
    for row, values in enumerate(source.aus.tolist()):
        write_face(root / "images" / f"face_{row:02d}.png", sample.image[row])
        cells = ", ".join(["0", "0.98", *(f"{5 * value:.2f}" for value in values)])
        (root / "aus" / f"face_{row:02d}.csv").write_text(f"{header}\n{cells}\n", encoding="utf-8")
