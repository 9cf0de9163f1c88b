"""The command `python -m geotrans.train` (also `geotrans train`)."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from geotrans.errors import user_errors
from geotrans.factory import create_recipe, list_recipes
from geotrans.train.override import set_fields
from geotrans.train.recipe import Recipe, check_recipe, read_recipe, to_json
from registry import RECIPES

if TYPE_CHECKING:
    from accelerate import Accelerator

_DESCRIPTION = "Train a recipe and write the weights as a published folder."
_EXAMPLES = """\
examples:
  python -m geotrans.train --list
  python -m geotrans.train spm_refine_64_synthface
  python -m geotrans.train spm_refine_64_synthface --resume
  python -m geotrans.train spm_refine_64_synthface --output runs/slow --set g_optim.lr=1e-4 total_images=50000
  python -m geotrans.train spm_refine_128_celeba --data ~/celeba
  python -m geotrans.train runs/slow/recipe.json --output runs/again
  accelerate launch --num_processes 4 -m geotrans.train spm_refine_64_synthface --mixed-precision bf16
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("recipe", nargs="?", metavar="RECIPE", help="a name from --list, or a recipe.json")
    add("--list", action="store_true", help="list the recipes and stop")
    add("--show", action="store_true", help="print the recipe as JSON, with --set applied, and stop")
    add("--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help="change fields of the recipe")
    add("--output", type=Path, metavar="DIR", help="the run's folder (default: runs/RECIPE)")
    add("--data", type=Path, metavar="DIR", help="the folder of a dataset that reads files")
    add("--resume", action="store_true", help="go on from the newest checkpoint in --output")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    add("--mixed-precision", choices=("no", "bf16"), default="no", help="bf16 runs the networks in bfloat16")
    add("--workers", type=_count, default=0, metavar="N", help="processes that read data (default: 0, in this one)")
    add("--cache", type=_count, default=1024, metavar="MB", help="keep data up to this size in memory (default: 1024)")
    add("--threads", type=_count, metavar="N", help="threads of PyTorch")
    add("--checkpoint-every", type=_count, default=4_000, metavar="IMAGES", help="default: 4000")
    add("--sample-every", type=_count, default=4_000, metavar="IMAGES", help="default: 4000; 0: no pictures")
    add("--half", action="store_true", help="publish the weights in float16")
    parser.set_defaults(run=run)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; a user's mistake is one line on stderr and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m geotrans.train")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    with user_errors("geotrans.train"):
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    """What the command does with its parsed arguments."""
    if arguments.list:
        names = list_recipes()
        width = max(map(len, names), default=0)
        print("\n".join(f"{name:{width}} {_summary(name)}" for name in names))
        return
    if arguments.recipe is None:
        raise ValueError(f"which recipe? there are: {', '.join(list_recipes())}")
    recipe = set_fields(_find(arguments.recipe), arguments.set)
    check_recipe(recipe)
    if arguments.show:
        print(to_json(recipe), end="")
        return
    _train(recipe, arguments)


def _train(recipe: Recipe, arguments: argparse.Namespace) -> None:
    from geotrans.train.session import Session, train

    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    accelerator = _accelerator(arguments.device, arguments.mixed_precision)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    session = Session(
        arguments.output or Path("runs") / _label(arguments.recipe),
        data=arguments.data,
        resume=arguments.resume,
        workers=arguments.workers,
        cache_mb=arguments.cache,
        checkpoint_every=arguments.checkpoint_every,
        sample_every=arguments.sample_every,
        half=arguments.half,
    )
    published = train(recipe, session, accelerator)
    if accelerator.is_main_process:
        print("\n".join(map(str, published)))


def _accelerator(device: str | None, mixed_precision: str) -> Accelerator:
    from accelerate import Accelerator

    if device is not None:
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch was built without CUDA
            raise ValueError(f"--device {device}: {str(error).splitlines()[0]}") from None
        os.environ["ACCELERATE_TORCH_DEVICE"] = device
    return Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)


def _find(name: str) -> Recipe:
    if name.endswith(".json"):
        return read_recipe(Path(name))
    recipe = create_recipe(name)
    if not isinstance(recipe, Recipe):
        raise TypeError(f"{name} returned {type(recipe).__name__}, expected a Recipe")
    return recipe


def _label(name: str) -> str:
    return Path(name).stem if name.endswith(".json") else name


def _summary(name: str) -> str:
    return (RECIPES.get(name).factory.__doc__ or "").strip().partition("\n")[0]


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected 0, 1, 2, ..., got {text!r}")
    return int(text)
