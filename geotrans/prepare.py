"""`geotrans prepare`: a folder of photographs becomes one of faces that the datasets `folder` and `emotionnet` read.

Each face is cut out as `geotrans translate` cuts it, so that a model meets at work what it has learned from. The result
appears whole or not at all: until the last picture it lies in a hidden folder beside it, from where a run that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from geotrans.data._face_motion import AUS
from geotrans.data._files import Framing, pictures_below, pictures_in, shown
from geotrans.data._manifest import Seal, seal, write_manifest
from geotrans.data.emotionnet import read_units
from geotrans.faces import Face, detect_face
from geotrans.factory import create_feature
from geotrans.ops.images import from_uint8, read_pixels, resize, to_uint8, write_image
from hub.files import replacing, write_text

_LOG = logging.getLogger(__name__)
Crop = Literal["face", "whole"]
Detector = Callable[[Tensor], Face | None]
Landmarker = Callable[[Tensor], Tensor]
LANDMARKS = {"dlib": "dlib_landmarks", "mediapipe": "mediapipe_landmarks"}
_JOURNAL = ".prepare.jsonl"
_EXAMPLES = """\
examples:
  geotrans prepare photos faces --size 128
  geotrans prepare photos faces --size 256 --landmarks mediapipe --upright
  geotrans prepare emotionnet faces --aus openface_csv --skip-broken
  geotrans train ganimation_base_128_emotionnet --data faces
"""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What becomes of each picture.

    Attributes:
        size: height and width of the results, PNG files.
        crop: "face" is the largest face that is seen; "whole" the largest square in the middle.
        upright: turn faces until their eyes are level.
        landmarks: name in `LANDMARKS`; empty for none.
        units: the pictures have action units, and the result is laid out as `emotionnet` reads it: images/NAME.png and
            aus.csv. Otherwise it keeps the folders of the source, as `folder` reads them.
    """

    size: int = 128
    crop: Crop = "face"
    upright: bool = False
    landmarks: str = ""
    units: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was done: names of the pictures that are in the result, and why each of the others is not."""

    kept: tuple[str, ...]
    left_out: Mapping[str, str]


def prepare(
    source: Path,
    output: Path,
    options: Preparation,
    *,
    aus: Path | None = None,
    skip_broken: bool = False,
    detect: Detector = detect_face,
    landmarker: Landmarker | None = None,
) -> Prepared:
    """Prepare the pictures in a folder, and in the folders in it.

    Pictures without a face, or without landmarks where these are wished, are left out. `manifest.json` in the result
    lists them, and every file with its length and sha256.

    Args:
        output: the folder to make; landmarks are in its folder landmarks, a file NAME.npz for each picture, in pixels.
        aus: a folder of OpenFace CSV files or one such file, as `emotionnet` reads them.
        skip_broken: leave out pictures that cannot be read, and those without action units, too.
        detect: finds the face in (1, 3, H, W) in [-1, 1].
        landmarker: uint8 (1, 3, H, W) -> (1, 136) in [-1, 1], zeros where no face is seen; by default the registered
            feature.

    Raises:
        FileNotFoundError: there is no such folder, or no picture in it.
        ImportError: the package that finds landmarks is not installed.
        ValueError: a picture is broken or has no action units, nothing is left, or `output` is in the way.
    """
    pictures = _sources(source, output, options)
    if options.landmarks and landmarker is None:
        landmarker = create_feature(LANDMARKS[options.landmarks])
    units = {} if aus is None else read_units(aus, list(pictures))
    left_out = {} if aus is None else {name: "no action units" for name in pictures if name not in units}
    if left_out and not skip_broken:
        told = f"{len(left_out)} of {len(pictures)} pictures have no action units: {shown(list(left_out))}"
        raise ValueError(f"{aus}: {told}; --skip-broken leaves them out")
    part = output.absolute().with_name(f".{output.name}.part")
    with _journal(part, options) as journal:
        done = journal.entries.keys() | left_out.keys()
        for name in tqdm([name for name in pictures if name not in done], unit="picture", file=sys.stderr):
            try:
                pixels = read_pixels(pictures[name])
            except (OSError, ValueError) as error:
                if not skip_broken:
                    raise ValueError(f"{error}; --skip-broken leaves such pictures out") from error
                left_out[name] = f"broken: {error}"
                continue
            face = _face(pixels, options, detect)
            journal.add(name, "no face" if face is None else _written(part, name, face, options, landmarker))
    entries = {name: journal.entries[name] for name in pictures if name not in left_out}
    files = {name: entry for name, entry in entries.items() if not isinstance(entry, str)}
    left_out |= {name: entry for name, entry in entries.items() if isinstance(entry, str)}
    if not files:
        shutil.rmtree(part)
        raise ValueError(f"{source}: nothing is left, {_told(left_out)}; --crop whole needs no face")
    _finish(part, output, options, files, left_out, units)
    return Prepared(tuple(files), left_out)


def _sources(source: Path, output: Path, options: Preparation) -> dict[str, Path]:
    """The pictures by their names in the result."""
    if options.size < 1:
        raise ValueError(f"--size: expected at least 1, got {options.size}")
    if options.upright and options.crop == "whole":
        raise ValueError("--upright turns faces that are found; leave out --crop whole")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} is there already; remove it, or name another folder")
    inner, outer = output.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ValueError(f"{output} and {source} must not lie in each other; name another folder")
    return pictures_in(source, recursive=True) if options.units else pictures_below(source)


def _face(pixels: Tensor, options: Preparation, detect: Detector) -> Tensor | None:
    """What is cut out of a picture (3, H, W) uint8, as (1, 3, size, size) uint8; None if there is no face in it."""
    if options.crop == "whole":
        return to_uint8(Framing(options.size)(pixels, torch.full((2,), 0.5))[0])
    image = from_uint8(pixels[None])
    face = detect(image)
    return None if face is None else to_uint8(resize(face.cut(image, upright=options.upright), options.size))


def _written(
    part: Path, name: str, face: Tensor, options: Preparation, landmarker: Landmarker | None
) -> dict[str, Seal] | str:
    """Write what belongs to a picture; returns its files, or why there are none."""
    paths = {"picture": f"images/{name}.png" if options.units else f"{name}.png"}
    if landmarker is not None:
        points = landmarker(face).view(68, 2)
        if not points.any():
            return "no landmarks"
        paths["points"] = f"landmarks/{name}.npz"
        with replacing(part / paths["points"]) as temporary, temporary.open("wb") as file:
            np.savez(file, landmarks=((points + 1) * options.size / 2 - 0.5).numpy())
    write_image(part / paths["picture"], face)
    return {path: seal(part / path) for path in paths.values()}


@dataclass(frozen=True, slots=True)
class _Journal:
    """What has been done: for each name its files, or why there are none; a line each in a file that only grows."""

    file: TextIO
    entries: dict[str, dict[str, Seal] | str]

    def add(self, name: str, entry: dict[str, Seal] | str) -> None:
        self.entries[name] = entry
        self.file.write(json.dumps([name, entry]) + "\n")
        self.file.flush()


@contextmanager
def _journal(part: Path, options: Preparation) -> Iterator[_Journal]:
    """The journal of a folder in the making, with what is already there."""
    path, head = part / _JOURNAL, json.dumps(asdict(options))
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else [head]
    if lines[:1] != [head]:
        raise ValueError(f"{part} was begun with other options: {lines[:1]}; use those, or remove it")
    entries: dict[str, dict[str, Seal] | str] = {}
    for line in lines[1:]:
        try:
            name, entry = json.loads(line)
        except ValueError:  # the last line, if the run was killed while it wrote it
            break
        found = entry if isinstance(entry, str) else {file: Seal(*sealed) for file, sealed in entry.items()}
        if isinstance(found, str) or all(_is_whole(part / file, sealed) for file, sealed in found.items()):
            entries[name] = found
    write_text(path, "".join(f"{line}\n" for line in [head, *(json.dumps(list(item)) for item in entries.items())]))
    if entries:
        _LOG.warning("going on in %s: %d pictures are done", part, len(entries))
    with path.open("a", encoding="utf-8") as file:
        yield _Journal(file, entries)


def _is_whole(path: Path, sealed: Seal) -> bool:
    return path.is_file() and path.stat().st_size == sealed.size


def _finish(
    part: Path,
    output: Path,
    options: Preparation,
    kept: Mapping[str, Mapping[str, Seal]],
    left_out: Mapping[str, str],
    units: Mapping[str, Sequence[float]],
) -> None:
    """Add the tables, take away what does not belong to the result, and give the folder its name."""
    files = {path: sealed for own in kept.values() for path, sealed in own.items()}
    if options.units:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["filename", *(f"{unit}_r" for unit in AUS)])
        table.writerows([f"{name}.png", *(f"{5 * value:.6g}" for value in units[name])] for name in kept)
        write_text(part / "aus.csv", text.getvalue())
        files["aus.csv"] = seal(part / "aus.csv")
    for path in [path for path in part.rglob("*") if path.is_file()]:
        if path.relative_to(part).as_posix() not in files:
            path.unlink()
    write_manifest(part, files, {"options": asdict(options), "left_out": dict(left_out)})
    os.replace(part, output)


def _told(left_out: Mapping[str, str]) -> str:
    """How many pictures were left out for which reason, and which."""
    reasons = [reason.partition(":")[0] for reason in left_out.values()]
    return "; ".join(
        f"{reason} in {reasons.count(reason)}: {shown([n for n, r in left_out.items() if r.startswith(reason)])}"
        for reason in dict.fromkeys(reasons)
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = "Cut the faces out of photographs, for the datasets folder and emotionnet to read."
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("source", metavar="IN", type=Path, help="a folder of pictures, with folders in it or not")
    add("output", metavar="OUT", type=Path, help="the folder to make; run again, a stopped command goes on")
    add("--size", type=int, default=128, metavar="N", help="height and width of the results (default: 128)")
    add("--crop", choices=("face", "whole"), default="face", help="the face (default), or the largest middle square")
    add("--upright", action="store_true", help="turn each face until its eyes are level; for faces seen from the front")
    add("--landmarks", choices=(*LANDMARKS, "none"), default="none", help="find 68 landmarks too (default: none)")
    add("--aus", type=Path, metavar="PLACE", help="a folder of OpenFace CSV files, one a picture; or one CSV file")
    add("--skip-broken", action="store_true", help="leave out and list what cannot be read or has no action units")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prepare a folder and say what became of it."""
    landmarks = "" if args.landmarks == "none" else args.landmarks
    options = Preparation(args.size, args.crop, args.upright, landmarks, args.aus is not None)
    done = prepare(args.source, args.output, options, aus=args.aus, skip_broken=args.skip_broken)
    count = len(done.kept) + len(done.left_out)
    sys.stdout.write(f"{args.output}: {len(done.kept)} of {count} pictures, {args.size} px\n")
    if done.left_out:
        sys.stdout.write(f"left out, all listed in {args.output / 'manifest.json'}: {_told(done.left_out)}\n")
