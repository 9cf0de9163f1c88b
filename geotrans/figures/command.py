"""`geotrans figure`: the figures by name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geotrans.base import Generator
from geotrans.factory import create_model
from geotrans.figures.distance import embedding_distance
from geotrans.figures.edits import attention, difference, sweep
from geotrans.figures.inputs import BUILT_IN, NOTHING, faces, missing, pictures
from geotrans.figures.landmarks import landmark_interpolation
from geotrans.figures.motions import basis, motion, pyramid
from geotrans.ops.images import image_format, write_image
from geotrans.types import Sample
from hub.download import resolve
from hub.folder import read_config
from registry import parse_model_name, suggest

_COLUMNS = """\
what --columns takes:
  Smiling, AU12, sad      a column of the model (`geotrans info MODEL` lists them) at 1, the others as they are
  AU06+AU12=0.5           several at once, with a value or at 1
  happy                   for a model of action units: those of the emotion, and all others at 0
  target                  what the built-in data wants of each face
"""
_EXAMPLES = """\
examples:
  geotrans figure sweep --model spm_refine_64.synthface --columns Smiling --rows 3 -o sweep.png
  geotrans figure motion --model spm_refine_64.synthface --columns target --index 4 12 -o motion.png
  geotrans figure basis --model spm_refine_64.synthface --columns Smiling Big_Nose --weights 1 0.5 -o basis.png
  geotrans figure difference --model spm_refine_64.synthface --model stargan_base_64.synthface -o difference.png
  geotrans figure attention --model spm_refine_64.synthface --image photo.png -o attention.png
"""


@dataclass(frozen=True, slots=True)
class Job:
    """What a figure is drawn of: models by name, pictures (unless it chooses its own), and what was asked for."""

    models: Mapping[str, Generator]
    chosen: Sample | None
    columns: Sequence[str]
    weights: Sequence[float]
    steps: int
    rows: int
    seed: int
    title: str

    @property
    def model(self) -> Generator:
        """The only model, or the first."""
        return next(iter(self.models.values()))

    @property
    def sample(self) -> Sample:
        """The pictures."""
        assert self.chosen is not None
        return self.chosen


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that the command knows.

    Attributes:
        line: what it shows, and where it is from.
        draw: makes it.
        rows: how many faces, unless asked for.
        options: flags that mean something to it.
        many: several models fit on it.
        task: what differs in the pairs it shows, if not what the model changes.
        at_rest: it starts from faces that show as little as possible.
        chooses: it takes its faces from the test split itself.
    """

    line: str
    draw: Callable[[Job], Tensor]
    rows: int
    options: frozenset[str] = frozenset({"columns"})
    many: bool = False
    task: str = ""
    at_rest: bool = True
    chooses: bool = False


_STEPPED = frozenset({"columns", "steps"})
FIGURES: dict[str, Figure] = {
    "attention": Figure(
        "where the model paints (SPM, Fig. 10)",
        lambda job: attention(job.model, job.sample, job.columns, title=job.title),
        rows=3,
    ),
    "basis": Figure(
        "motion fields one by one and summed (SPM, Fig. 7 and 13)",
        lambda job: basis(job.model, job.sample, job.columns, job.weights, title=job.title),
        rows=2,
        options=frozenset({"columns", "weights"}),
    ),
    "difference": Figure(
        "|result - source|, of one model or several (DefGAN, Fig. 5, 13 and 14)",
        lambda job: difference(job.models, job.sample, job.columns, title=job.title),
        rows=2,
        many=True,
    ),
    "embedding_distance": Figure(
        "what edits cost in identity, a chart of one model or several (DefGAN, Fig. 3 and 8)",
        lambda job: embedding_distance(job.models, job.rows, job.seed),
        rows=50,
        options=frozenset(),
        many=True,
        chooses=True,
    ),
    "landmark_interpolation": Figure(
        "from one expression's landmarks to another's (PortraitGAN, Fig. 4 and 9)",
        lambda job: landmark_interpolation(job.model, job.sample, job.columns, steps=job.steps, title=job.title),
        rows=2,
        options=_STEPPED,
        task="emotion",
        at_rest=False,
    ),
    "motion": Figure(
        "motion fields as colours, arrows and bent grids (SPM, Fig. 5; DefGAN, Fig. 11)",
        lambda job: motion(job.model, job.sample, job.columns, title=job.title),
        rows=1,
    ),
    "pyramid": Figure(
        "each level of a coarse-to-fine model (SPM, Fig. 6)",
        lambda job: pyramid(job.model, job.sample, job.columns, title=job.title),
        rows=2,
    ),
    "sweep": Figure(
        "action units, attributes, emotions, ... turned up in steps (DefGAN, Fig. 1, 11 and 12)",
        lambda job: sweep(job.model, job.sample, job.columns, steps=job.steps, title=job.title),
        rows=1,
        options=_STEPPED,
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    width = max(map(len, FIGURES))
    names = "\n".join(f"  {name:{width}}  {figure.line}" for name, figure in FIGURES.items())
    parser.description = f"Draw a figure of the papers for a model.\n\nfigures:\n{names}"
    parser.epilog = f"{_COLUMNS}\n{_EXAMPLES}"
    add = parser.add_argument
    add("name", metavar="NAME", help="one of the figures above")
    add("--model", required=True, action="append", help="arch.tag, local-dir:PATH or hf-hub:ORG/NAME; some fit several")
    add("-o", "--output", required=True, type=Path, metavar="FILE", help="the picture to write; .png, .jpg, .pdf, ...")
    add("--columns", nargs="+", metavar="EDIT", help="what to show, see below (default: the first few of the model)")
    add("--weights", nargs="+", type=float, metavar="W", help="basis: a factor for each motion field (default: 1)")
    add("--steps", type=int, metavar="N", help="sweep, landmark_interpolation: pictures in a row (default: 6)")
    what = parser.add_argument_group("of which pictures (default: faces of the built-in test split)")
    what.add_argument("--image", nargs="+", type=Path, metavar="FILE", help="pictures of your own")
    what.add_argument("--crop", choices=("auto", "face", "whole"), help="of --image: the face, or the middle square")
    what.add_argument("--data", metavar="NAME", help="another dataset")
    what.add_argument("--index", nargs="+", type=int, metavar="I", help="these faces of its test split")
    what.add_argument("--rows", type=int, metavar="N", help="so many faces, drawn with --seed; for each bar of a chart")
    what.add_argument("--seed", type=int, default=0, help="default: 0")
    add("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    add("--untrained", action="store_true", help="random weights instead of trained ones; the figure says so")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Draw the figure and write it, whole or not at all."""
    if args.name not in FIGURES:
        raise LookupError(f"no figure is named {args.name!r}; {suggest(args.name, FIGURES)}")
    figure = FIGURES[args.name]
    _check(args, figure)
    models = {label: _model(name, args) for label, name in _labels(args.model, args.untrained).items()}
    sample = None if figure.chooses else _sample(args, figure, next(iter(models.values())))
    title = next(iter(models)) if len(models) == 1 else ""
    asked = (args.columns or (), args.weights or (), args.steps or 6, args.rows or figure.rows, args.seed)
    write_image(args.output, figure.draw(Job(models, sample, *asked, title)))


def _check(args: argparse.Namespace, figure: Figure) -> None:
    """Refuse what cannot work before any time is spent on it."""
    for option in ("columns", "weights", "steps"):
        if getattr(args, option) is not None and option not in figure.options:
            raise ValueError(f"{args.name} has no use for --{option}; leave it out")
    picking = [option for option in ("data", "index", "rows") if getattr(args, option) is not None]
    if args.image and (picking or figure.chooses):
        other = f"--{picking[0]} picks faces of a dataset" if picking else f"{args.name} takes faces of the test split"
        raise ValueError(f"{other}; leave out --image")
    if figure.chooses and (args.data or args.index):
        raise ValueError(f"{args.name} takes faces of the built-in test split; leave out --data and --index")
    if args.crop and not args.image:
        raise ValueError("--crop cuts your own pictures; name them with --image")
    if len(args.model) > 1 and not figure.many:
        several = ", ".join(name for name, figure in FIGURES.items() if figure.many)
        raise ValueError(f"{args.name} takes one --model, got {len(args.model)}; several fit on: {several}")
    for option in ("rows", "steps"):
        if (value := getattr(args, option)) is not None and value < 1:
            raise ValueError(f"--{option}: expected at least 1, got {value}")
    _check_output(args.output)
    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch was built without CUDA
        raise ValueError(f"--device {args.device}: {str(error).splitlines()[0]}") from None


def _check_output(path: Path) -> None:
    image_format(path)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {folder}; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path}: {folder} cannot be written to; name another folder")


def _labels(names: Sequence[str], untrained: bool) -> dict[str, str]:
    """What the figure calls each model (the end of a path, or else the whole name) -> its name."""
    parsed = {name: parse_model_name(name) for name in names}
    short = {name: Path(found.folder).name if found.folder else name for name, found in parsed.items()}
    unique = {name: label if list(short.values()).count(label) == 1 else name for name, label in short.items()}
    return {label + " (untrained)" * untrained: name for name, label in unique.items()}


def _model(name: str, args: argparse.Namespace) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        return create_model(name, pretrained=not args.untrained).to(args.device)


def _sample(args: argparse.Namespace, figure: Figure, model: Generator) -> Sample:
    if args.image:
        return pictures(model, args.image, args.crop or "auto", seed=args.seed)
    data: str = args.data or ""
    options: dict[str, Any] = {}
    if not data and not args.untrained and not missing(model.cfg.condition, NOTHING):
        data, options = _trained_on(args.model[0])  # no column tells what the model is for
    rows, index, task = args.rows or figure.rows, args.index or (), figure.task
    return faces(
        model, rows, index=index, seed=args.seed, at_rest=figure.at_rest, task=task, data=data, options=options
    )


def _trained_on(name: str) -> tuple[str, dict[str, Any]]:
    """The dataset of a published model and its options, as far as the test split has them; nothing, if unknown."""
    recorded = read_config(resolve(parse_model_name(name)))["dataset"]
    if not isinstance(recorded, dict) or recorded.get("name") not in BUILT_IN:
        return "", {}
    options = dict(recorded.get("options") or {})
    for key in ("size", "split", "resolution"):
        options.pop(key, None)
    return recorded["name"], options
