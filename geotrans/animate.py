"""Animation: one picture, and what each frame shall show."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from geotrans.base import Generator
from geotrans.data._procedural import SMALLEST
from geotrans.data.driving import Driving, Fit, placed, read_driving, source_landmarks, source_map
from geotrans.data.synthface_clips import synthface_clips
from geotrans.edit import condition_from, translate
from geotrans.faces import Region, find_face
from geotrans.factory import create_model
from geotrans.ops.clips import check_output, write_clip
from geotrans.ops.face_structure import CHANNELS, face_structure
from geotrans.ops.images import read_image, resize, to_uint8
from geotrans.ops.official_face import official_face_structure
from geotrans.types import Condition, ConditionSpec, Translation

FPS = 12.5  # where neither the user nor the driving clip says
SWEEP = 24  # frames

_EXAMPLES = """\
what --driving takes:
  for a model of landmarks or of face structures, such as gfla_face_64.clips:
    clip.csv       OpenFace's table, a row a frame
    points/        NAME.npz (68, 2) or NAME.csv for each frame, iBUG-68 in pixels
    frames/        pictures, or a .gif or .mp4; their landmarks are found by MediaPipe or dlib
  for a model of action units, attributes, ...:
    units.csv      a line with names of its columns (OpenFace's AU01_r too), then a row a frame
  for a model of other structures:
    maps/          NAME.npz for each frame, an array (channels, height, width)
the source's landmarks, or its structure, are read from NAME.npz (or .csv) beside it, or found.

examples:
  geotrans animate --model gfla_face_64.clips -o demo.gif
  geotrans animate --model gfla_face_64.clips --source face.png --driving frames/ -o out.gif
  geotrans animate --model gfla_face_64.clips --source face.png --driving clip.csv --fit motion --size 256 -o out.mp4
  geotrans animate --model ganimation_base_64.synthface_au --source face.png --driving units.csv --fps 25 -o frames/
  geotrans animate --model spm_refine_64.synthface --source face.png --sweep Smiling -o smile.gif
"""


@dataclass(frozen=True, slots=True)
class _Source:
    """The picture (1, 3, side, side), and what is known of what it shows, as `conditions` takes it."""

    image: Tensor
    shows: Tensor | None = None
    columns: Mapping[str, float] = field(default_factory=dict)


def animate(
    model: Generator, source: Tensor, driving: Sequence[Condition], shown: Condition | None = None
) -> Iterator[Tensor]:
    """The frames of an animation, one by one.

    A model of clips (`Generator.references` is 2) sees the frame that it painted last, with the structure that this was
    to show, beside the source; at the start, the source stands for both. Other models make each frame anew.

    Args:
        source: (1, 3, H, W) in [-1, 1], square. The model sees it at its own resolution.
        driving: what each frame shall show, of a batch of 1; structures have the model's resolution.
        shown: what the source shows, for models whose `cfg.condition.needs_source` is set.

    Returns:
        (1, 3, H, W) each.

    Raises:
        ValueError: a condition lacks what the model reads.
    """
    if model.references > 1:
        yield from _fed_back(model, source, driving, shown)
        return
    for wanted in driving:
        yield translate(model, source, wanted, shown if model.cfg.condition.needs_source else None).image


def _fed_back(
    model: Generator, source: Tensor, driving: Sequence[Condition], shown: Condition | None
) -> Iterator[Tensor]:
    if shown is None or shown.structure is None:
        raise ValueError("shown: this model also reads the source's structure; pass shown=Condition(structure=...)")
    reference = resize(source, model.cfg.resolution)
    before, was = reference, shown.structure
    for wanted in driving:
        assert wanted.structure is not None
        known = Condition(structure=torch.stack([was, shown.structure], dim=1))
        with torch.inference_mode():
            made: Translation = model(torch.stack([before, reference], dim=1), wanted, known)
        before, was = made.image, wanted.structure
        yield resize(before, (source.shape[2], source.shape[3]))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = "Animate a picture. Without --driving, a clip of the built-in test split drives it."
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("--model", required=True, help="arch.tag, local-dir:PATH or hf-hub:ORG/NAME[@REVISION]")
    add("--source", type=Path, metavar="FILE", help="the picture (default: the first frame of the built-in clip)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--driving", type=Path, metavar="PATH", help="what each frame shall show, see below")
    what.add_argument("--sweep", metavar="COLUMN", help=f"a column from 0 to 1 and back, in {SWEEP} frames")
    what.add_argument("--clip", type=int, metavar="I", help="this clip of the built-in test split (default: 0)")
    add("-o", "--output", required=True, type=Path, metavar="PATH", help=".gif, .webp, .mp4, or a folder of frames")
    add(
        "--set",
        default=[],
        action="append",
        metavar="COLUMN=VALUE",
        help="a condition that stays the same, from 0 to 1; once for each column, or with commas",
    )
    add(
        "--fit",
        choices=("place", "motion", "none"),
        default="place",
        help="landmarks: lay the driving face on the source's (place), take only what moves since its first frame "
        "(motion), or take them as they stand in their pictures (none) (default: place)",
    )
    add(
        "--structure",
        choices=("smooth", "official"),
        default="smooth",
        help="how landmarks are drawn for a model of face structures: as for the bundled ones (smooth), or as GFLA's "
        "official weights read them, with the source's backdrop in every frame (official) (default: smooth)",
    )
    add(
        "--crop",
        choices=("auto", "face", "whole"),
        default="auto",
        help="of the source: the face that is found (face), the middle square (whole), or the face if there is one",
    )
    add("--fps", type=float, metavar="N", help=f"frames a second (default: the driving clip's, or {FPS:g})")
    add("--size", type=int, metavar="PIXELS", help="height and width of the frames (default: the model's)")
    add("--overwrite", action="store_true", help="replace what is there; of a folder, all that is in it")
    add("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the animation, whole or not at all."""
    from tqdm import tqdm

    _check(args)
    model = create_model(args.model, pretrained=True)
    if args.structure == "official" and model.cfg.condition.structure != CHANNELS:
        raise ValueError(f"--structure official: {args.model} reads no face structure; leave the option out")
    settings = dict(_setting(text) for texts in args.set for text in texts.split(","))
    driving, source, fit = _material(model, args)
    backdrop = source.image if args.structure == "official" else None
    shown, *wanted = conditions(model, driving, source.shows, settings, fit, source.columns, backdrop)
    model.to(args.device)
    known = shown.to(args.device) if model.cfg.condition.needs_source else None
    frames = animate(model, source.image.to(args.device), [frame.to(args.device) for frame in wanted], known)
    with tqdm(frames, total=len(wanted), unit="frame", file=sys.stderr) as bar:  # closed before an error is printed
        write_clip(args.output, bar, args.fps or driving.fps or FPS, overwrite=args.overwrite)


def conditions(
    model: Generator,
    driving: Driving,
    shows: Tensor | None,
    settings: Mapping[str, float],
    fit: Fit = "place",
    columns: Mapping[str, float] | None = None,
    backdrop: Tensor | None = None,
) -> list[Condition]:
    """What the source shows, and after it what each frame shall show, of a batch of 1 each.

    Args:
        shows: the source's landmarks (68, 2) in [-1, 1], or its structure (S, H, W), as the driving clip has them; not
            needed for columns.
        settings: columns that stay the same; those not named are 0.
        fit: see `placed`.
        columns: those of the source; by default it is taken to be at rest.
        backdrop: (1, 3, H, W), for structures as GFLA's official weights read them: what all frames have around the
            face. Structures are those of `face_structure` without it, of `official_face_structure` with it.

    Raises:
        ValueError: the driving clip has nothing that the model reads, or a column does not exist.
    """
    spec, side = model.cfg.condition, model.cfg.resolution
    like = torch.empty(1, 3, side, side)
    fixed = condition_from(model, dict(settings), like)
    if spec.structure and driving.maps is not None and shows is not None:
        maps = resize(torch.cat([shows[None], driving.maps]), side)
        return [replace(fixed, structure=row[None]) for row in maps]
    if (spec.structure or spec.landmarks) and driving.landmarks is not None and shows is not None:
        points = torch.cat([shows[None], placed(driving.landmarks, shows, fit)])
        return [_faced(spec, side, fixed, row[None], backdrop) for row in points]
    if spec.structure or spec.landmarks or not driving.columns:
        raise ValueError("the driving clip has nothing that the model reads; see `geotrans info MODEL`")
    rows = [{name: float(values[row]) for name, values in driving.columns.items()} for row in range(len(driving))]
    return [condition_from(model, {**settings, **row}, like) for row in (columns or {}, *rows)]


def _faced(spec: ConditionSpec, side: int, fixed: Condition, landmarks: Tensor, backdrop: Tensor | None) -> Condition:
    """A condition with landmarks (1, 68, 2), and with the structure that is drawn from them if the model reads one.

    Raises:
        ValueError: the model reads another structure.
    """
    if not spec.structure:
        return replace(fixed, landmarks=landmarks)
    if spec.structure != CHANNELS:
        raise ValueError(
            f"the model reads a structure of {spec.structure} channels, and landmarks make one of {CHANNELS}; give the "
            "structures themselves, NAME.npz for each frame"
        )
    if backdrop is None:
        structure = face_structure(landmarks, side, side)
    else:
        structure = official_face_structure(landmarks, side, side, resize(backdrop, side))
    return replace(fixed, landmarks=landmarks if spec.landmarks else None, structure=structure)


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before any time is spent on it."""
    if args.size is not None and args.size < 1:
        raise ValueError(f"--size: expected at least 1, got {args.size}")
    if args.source is None and (args.driving or args.sweep):
        raise ValueError("--driving and --sweep move a picture; name it with --source")
    check_output(args.output, FPS if args.fps is None else args.fps, overwrite=args.overwrite)
    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch was built without CUDA
        raise ValueError(f"--device {args.device}: {str(error).splitlines()[0]}") from None


def _material(model: Generator, args: argparse.Namespace) -> tuple[Driving, _Source, Fit]:
    """The driving clip, the source, and how the one is fitted to the other."""
    spec, side = model.cfg.condition, args.size or model.cfg.resolution
    if args.driving is not None:
        driving = read_driving(args.driving, spec)
    elif args.sweep:
        driving = Driving(columns={args.sweep: 1 - (torch.linspace(-1, 1, SWEEP)).abs()})
    else:
        driving, first = _built_in(args.clip or 0, side, spec.aus)
        if args.source is None:
            return driving, first, "none"
    if args.fit == "none" and driving.landmarks is not None and not driving.framed:
        raise ValueError(
            f"--fit none: {args.driving} does not tell how large its pictures are; put them beside, or fit"
        )
    image = read_image(args.source)
    region = _region(image, args.source, args.crop)
    picture = resize(region.cut(image), side)
    if driving.maps is not None:
        return driving, _Source(picture, source_map(args.source, spec.structure)), args.fit
    if driving.landmarks is None or not (spec.structure or spec.landmarks):
        return driving, _Source(picture), args.fit
    pixels = source_landmarks(args.source, to_uint8(image)[0])
    corner = pixels.new_tensor([region.left, region.top])
    return driving, _Source(picture, 2 * (pixels + 0.5 - corner) / region.side - 1), args.fit


def _built_in(number: int, side: int, units: Sequence[str]) -> tuple[Driving, _Source]:
    """A clip of the built-in test split with those of its action units, and its first frame.

    Raises:
        IndexError: there is no such clip.
    """
    dataset = synthface_clips("test", max(side, SMALLEST), references=1)
    clips = len(dataset) // (dataset.frames - 1)
    if not 0 <= number < clips:
        raise IndexError(f"--clip: the built-in test split has clips 0 to {clips - 1}, got {number}")
    sample = dataset.clip(number)
    assert sample.source is not None
    assert sample.source.landmarks is not None
    assert sample.target is not None
    assert sample.target.aus is not None
    assert sample.source.aus is not None
    places = {unit: dataset.spec.aus.index(unit) for unit in units if unit in dataset.spec.aus}
    columns = {unit: sample.target.aus[:, place] for unit, place in places.items()}
    own = {unit: float(sample.source.aus[0, place]) for unit, place in places.items()}
    driving = Driving(landmarks=sample.target.landmarks, framed=True, columns=columns)
    return driving, _Source(resize(sample.image[:1], side), sample.source.landmarks[0], own)


def _region(image: Tensor, file: Path, crop: str) -> Region:
    """The square of the picture that is animated."""
    found = None if crop == "whole" else find_face(image)
    if found is not None:
        return found
    if crop == "face":
        raise ValueError(f"{file}: no face found; use --crop whole to animate the middle square")
    height, width = image.shape[2:]
    side = min(height, width)
    return Region((width - side) // 2, (height - side) // 2, side)


def _setting(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        return name, float(value) if equals else 1.0
    except ValueError:
        raise ValueError(f"--set {text}: expected COLUMN=VALUE with a number, such as photo=1") from None
