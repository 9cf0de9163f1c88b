"""`rafd`: the Radboud Faces Database, whose labels are its file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from geotrans.data._example import SIDE, drawn_faces, write_face
from geotrans.data._face_pair import EMOTIONS as DRAWN
from geotrans.data._files import Framing, Pictures, cut, pictures_in, shown, shuffled
from geotrans.data._reader import Reader
from geotrans.types import ConditionSpec
from registry import register_dataset

# In the order of the alphabet, as StarGAN's labels.
EMOTIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
_ANGLES = (0, 45, 90, 135, 180)
_NAME = re.compile(r"Rafd(?P<angle>\d{3})_(?P<person>\d+)_[^_]+_[^_]+_(?P<emotion>[a-z]+)_[a-z]+", re.IGNORECASE)


@register_dataset("Radboud Faces Database: 67 people, 8 emotions, 3 gazes, 5 angles", "on request, for research only")
def rafd(
    root: str = "",
    split: str = "train",
    resolution: int = 128,
    seed: int = 0,
    angles: Sequence[int] = (90,),
    flip: bool = True,
    landmarks: str = "",
    skip_broken: bool = False,
) -> Pictures:
    """RaFD: emotions, with whole people held out; the largest square in the middle, resized.

    Args:
        root: holds pictures named as they are delivered, Rafd090_01_Caucasian_female_angry_frontal.jpg say, in folders
            or not. They may have been cropped before.
        split: train, val or test. Of the people, shuffled with a seed of its own, a tenth is for testing and a
            twentieth for validation (of 67: 7 and 4).
        resolution: height and width.
        seed: has no effect: nothing is drawn.
        angles: of the camera, of 0, 45, 90, 135, 180; 90 is frontal.
        flip: training sees every picture mirrored too.
        landmarks: folder inside `root` with landmarks (see `with_landmarks`), which the condition then has; none if
            empty.
        skip_broken: leave out, with a warning, pictures that cannot be read.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
        ValueError: a file has another name, or an option is unknown.
    """
    expected = "DIR with Rafd090_01_Caucasian_female_angry_frontal.jpg, ..."
    reader = Reader("rafd", root, expected, split, seed, flip, landmarks, skip_broken)
    if not angles or set(angles) - set(_ANGLES):
        raise ValueError(f"rafd: expected angles of {', '.join(map(str, _ANGLES))}, got {tuple(angles)}")
    pictures = pictures_in(reader.folder, recursive=True)
    wrong = [name for name in pictures if _parse(name) is None]
    if wrong:
        raise ValueError(f"rafd: {len(wrong)} names are not RaFD's, which say the emotion: {shown(wrong)}")
    shots = {name: shot for name in pictures if (shot := _parse(name)) and shot.angle in angles}
    people = shuffled(sorted({shot.person for shot in shots.values()}))
    held = set(cut(people, split, -(-len(people) // 10), -(-len(people) // 20)))
    labels = {name: _one_hot(shot.emotion) for name, shot in shots.items() if shot.person in held}
    return reader.serve(labels, list(labels), pictures, ConditionSpec(emotion=EMOTIONS), Framing(resolution))


class _Shot(NamedTuple):
    angle: int
    person: str
    emotion: str


def _parse(name: str) -> _Shot | None:
    """What a file's name says; None if it is not of the database's form."""
    match = _NAME.fullmatch(name)
    if match is None or match["emotion"].lower() not in EMOTIONS:
        return None
    return _Shot(int(match["angle"]), match["person"], match["emotion"].lower())


def _one_hot(emotion: str) -> list[float]:
    return [float(name == emotion) for name in EMOTIONS]


def example_rafd(root: Path) -> None:
    """Write a folder as `rafd` reads it, in miniature: five drawn people, three pictures each."""
    sample, source, _ = drawn_faces(20, "emotion")
    assert source.emotion is not None
    gazes = ("frontal", "left", "right")
    for row, kind in enumerate(source.emotion.argmax(1).tolist()):
        person, shot = divmod(row, 4)
        if shot < len(gazes):
            name = f"Rafd090_{person + 1:02d}_Caucasian_female_{DRAWN[kind]}_{gazes[shot]}.jpg"
            write_face(root / name, sample.image[row], 96, SIDE)
