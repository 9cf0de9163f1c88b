"""`folder`: anybody's pictures, in a folder for each class if there are classes."""

from __future__ import annotations

from pathlib import Path

from geotrans.data._example import drawn_faces, write_face, write_landmarks
from geotrans.data._face_modality import MODALITIES
from geotrans.data._files import Fit, Pictures, pictures_below, shown
from geotrans.data._reader import Reader
from geotrans.types import ConditionSpec
from registry import register_dataset


@register_dataset("A folder of pictures, with a folder for each class if there are classes", "as the pictures'")
def folder(
    root: str = "",
    split: str = "train",
    resolution: int = 256,
    seed: int = 0,
    classes: str = "modality",
    load: int = 0,
    fit: Fit = "square",
    passes: int = 1,
    flip: bool = True,
    landmarks: str = "",
    skip_broken: bool = False,
) -> Pictures:
    """Pictures that have no labels, or lie in one folder for each class.

    Args:
        root: the folder. The pictures, or the classes' folders, are in it, or in DIR/train and DIR/test (or DIR/val).
        split: train, val or test. Where there is only one of val and test, it stands for both; where there is no
            DIR/train, the names are shuffled with a seed of its own, and 5 % each are held out.
        resolution: height and width.
        seed: decides where the windows of `load` are.
        classes: part of the condition that has the classes for columns, "modality" or "emotion"; with "" folders mean
            nothing.
        load: training resizes to this and cuts `resolution` pixels out, somewhere else for each index; 0 cuts nothing.
        fit: how a picture becomes a square, see `Framing`.
        passes: how often an epoch of training goes through the pictures, with windows of its own each time.
        flip: training sees every picture mirrored too.
        landmarks: folder inside `root` with landmarks (see `with_landmarks`), which the condition then has; none if
            empty. Those of a picture have the picture's path from `root` on.
        skip_broken: leave out, with a warning, pictures that cannot be read.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
        ValueError: some pictures are in no class, a class is not in the training data, or an unknown option.
    """
    expected = "DIR/NAME.jpg, ..., or DIR/CLASS/NAME.jpg, ..."
    reader = Reader("folder", root, expected, split, seed, flip, landmarks, skip_broken)
    if classes not in ("", "modality", "emotion"):
        raise ValueError(f"folder: classes: expected 'modality', 'emotion' or '', got {classes!r}")
    found = {reader.name(path): (path, _class(name)) for path, name in reader.divided()}
    columns = _columns(reader) if classes else ()
    spec = ConditionSpec(emotion=columns) if classes == "emotion" else ConditionSpec(modality=columns)
    if spec.size and (strange := [name for name, (_, own) in found.items() if own not in columns or not own]):
        raise ValueError(f"folder: expected every picture in one of {', '.join(columns)}, got {shown(strange)}")
    labels = {name: [float(own == column) for column in columns] for name, (_, own) in found.items()}
    paths = {name: path for name, (path, _) in found.items()}
    return reader.serve(labels, list(found), paths, spec, reader.framing(resolution, load, fit), passes)


def _columns(reader: Reader) -> tuple[str, ...]:
    """The classes: of the training pictures where those have a folder, else of all."""
    divided = (reader.folder / "train").is_dir()
    names = [name for _, name in reader.divided(split="train")] if divided else pictures_below(reader.folder)
    columns = tuple(sorted({_class(name) for name in names}))
    return () if columns == ("",) else columns


def _class(name: str) -> str:
    """The first folder on a picture's path; empty if it is in none."""
    first, slash, _ = name.partition("/")
    return first if slash else ""


def example_folder(root: Path) -> None:
    """Write a folder as `folder` reads it, in miniature: drawn faces in four modalities, with landmarks."""
    sample, source, _ = drawn_faces(40, "modality")
    assert source.modality is not None
    assert source.landmarks is not None
    for row, kind in enumerate(source.modality.argmax(1).tolist()):
        split = "train" if row < 32 else "test"
        name = f"{split}/{MODALITIES[kind]}/face_{row:02d}"
        write_face(root / f"{name}.png", sample.image[row])
        write_landmarks(root / "landmarks" / f"{name}.npz", source.landmarks[row])
