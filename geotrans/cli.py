"""The `geotrans` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from geotrans.errors import user_errors

EXAMPLES = """examples:
  geotrans list "spm*"                                         registered models
  geotrans list --pretrained                                   models whose weights are on this machine
  geotrans info spm_refine_64.synthface                        parameters, condition columns, weights, paper
  geotrans translate --model spm_refine_64.synthface --set Smiling=1 photo.png out.png
  geotrans figure sweep --model spm_refine_64.synthface --columns Smiling -o sweep.png
  geotrans animate --model gfla_face_64.clips -o demo.gif      a picture, moved by a clip
  geotrans prepare photos faces --size 128                     faces cut out of photographs, to train on
  geotrans train spm_refine_64_synthface --set total_images=4000
  geotrans convert stargan 200000-G.ckpt stargan_celeba        official checkpoint -> published folder
  geotrans verify runs/mine/published/spm_refine_64.mine       do the weights still give the recorded picture?
  geotrans download hf-hub:ORG/NAME                            weights into the cache, for use without a network
  geotrans push runs/mine/published/spm_refine_64.mine ORG/NAME --dry-run
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a sub-command. A user's mistake is one line on stderr and exit code 2."""
    from geotrans.animate import add_arguments as add_animate_arguments
    from geotrans.figures.command import add_arguments as add_figure_arguments
    from geotrans.prepare import add_arguments as add_prepare_arguments
    from geotrans.train.classifier import add_arguments as add_judge_arguments
    from geotrans.train.classifier import run as run_judge_training
    from geotrans.train.run import add_arguments as add_train_arguments
    from geotrans.train.run import run as run_training

    parser = argparse.ArgumentParser(
        "geotrans", description="Geometry-aware image translation.", epilog=EXAMPLES, formatter_class=_Raw
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _list(commands.add_parser("list", help="list registered models"))
    _info(commands.add_parser("info", help="facts of a model"))
    _translate(commands.add_parser("translate", help="edit a picture, or a folder of pictures", formatter_class=_Raw))
    add_figure_arguments(commands.add_parser("figure", help="draw a figure of the papers", formatter_class=_Raw))
    add_animate_arguments(commands.add_parser("animate", help="make a picture move", formatter_class=_Raw))
    add_prepare_arguments(commands.add_parser("prepare", help="photographs -> faces to train on", formatter_class=_Raw))
    train = commands.add_parser("train", help="train a recipe", formatter_class=_Raw)
    add_train_arguments(train)
    train.set_defaults(run=run_training)
    judge = commands.add_parser("train-judge", help="train a judge of your own data for metrics", formatter_class=_Raw)
    add_judge_arguments(judge)
    judge.set_defaults(run=run_judge_training)
    _convert(commands.add_parser("convert", help="official checkpoint -> published folder", formatter_class=_Raw))
    _verify(commands.add_parser("verify", help="check a published folder"))
    _download(commands.add_parser("download", help="fetch weights for use without a network", formatter_class=_Raw))
    _push(commands.add_parser("push", help="published folder -> Hugging Face Hub", formatter_class=_Raw))
    args = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], None] = args.run
    with user_errors(f"geotrans {args.command}"):
        run(args)


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help='wildcard such as "spm*"')
    parser.add_argument("--pretrained", action="store_true", help="names with weights on this machine")
    parser.set_defaults(run=_run_list)


def _run_list(args: argparse.Namespace) -> None:
    from geotrans import list_models

    names = list_models(args.pattern, pretrained=args.pretrained)
    if not names:
        raise LookupError(f"no model matches {args.pattern!r}; `geotrans list` shows all")
    print("\n".join(names))


def _info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model")
    parser.set_defaults(run=_run_info)


def _run_info(args: argparse.Namespace) -> None:
    from geotrans import model_info
    from geotrans.types import VECTOR_FIELDS

    info = model_info(args.model)
    columns = {name: ", ".join(getattr(info.condition, name)) for name in VECTOR_FIELDS}
    spec = info.condition
    columns["structure"] = f"{spec.structure} channels" if spec.structure else ""
    columns["landmarks"] = "68 points" if spec.landmarks else ""
    columns["source"] = "its condition is read too" if spec.needs_source else ""
    facts = {
        "name": info.name,
        "parameters": f"{info.parameters:,}",
        "resolution": f"{info.resolution} px",
        **{name: text for name, text in columns.items() if text},
        "weights": "its own" if ":" in info.name else ", ".join(info.weights) or "none on this machine",
        "paper": info.paper or "-",
        "defined in": info.origin,
    }
    for name, text in facts.items():
        print(f"{name:12}{text}")


def _translate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="arch.tag, local-dir:PATH or hf-hub:ORG/NAME[@REVISION]")
    parser.add_argument(
        "--set",
        default=[],
        action="append",
        metavar="COLUMN=VALUE",
        help="wanted condition, from 0 to 1; once for each column, or with commas; columns not named are 0",
    )
    parser.add_argument(
        "--crop",
        choices=("auto", "face", "whole"),
        default="auto",
        help="edit the face that is found (face), the whole picture (whole), or the face if there is one (auto)",
    )
    parser.add_argument(
        "--show", action="store_true", help="write source, flow, warped, mask, residual, result as a strip"
    )
    parser.add_argument("source", type=Path, help="a picture, or a folder of pictures")
    parser.add_argument("output", type=Path, help="where to write the picture, or the folder of pictures")
    parser.epilog = (
        "examples:\n"
        "  geotrans translate --model spm_refine_64.synthface --set Smiling=1 photo.png out.png\n"
        "  geotrans translate --model spm_refine_64.synthface --set Smiling=1,Big_Nose=0.5 --show photo.png strip.png\n"
        "  geotrans translate --model spm_refine_64.synthface --set Smiling=1 --crop whole faces/ edited/"
    )
    parser.set_defaults(run=_run_translate)


def _run_translate(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from geotrans import create_model
    from geotrans.ops.images import list_images

    model = create_model(args.model, pretrained=True)
    settings = dict(_assignment(text) for texts in args.set for text in texts.split(","))
    if args.source.is_dir():
        files = list_images(args.source)
        if args.output.is_file():
            raise FileExistsError(f"{args.output} is a file; a folder of pictures needs a folder to be written to")
        pairs = [(file, args.output / file.relative_to(args.source).with_suffix(".png")) for file in files]
    else:
        pairs = [(args.source, args.output)]
    for source, output in tqdm(pairs, unit="picture", disable=len(pairs) == 1, file=sys.stderr):
        _translate_file(model, settings, source, output, args.crop, args.show)


def _translate_file(
    model: object, settings: dict[str, float], source: Path, output: Path, crop: str, show: bool
) -> None:
    from geotrans import viz
    from geotrans.base import Generator
    from geotrans.edit import condition_from, translate
    from geotrans.faces import find_face
    from geotrans.ops.images import read_image, write_image
    from geotrans.types import Sample

    assert isinstance(model, Generator)
    image = read_image(source)
    target = condition_from(model, settings, image)
    region = None if crop == "whole" else find_face(image)
    if region is None and crop == "face":
        raise ValueError(f"{source}: no face found; use --crop whole to edit the whole picture")
    patch = image if region is None else region.cut(image)
    result = translate(model, patch, target)
    edited = result.image if region is None else region.paste(image, result.image)
    write_image(output, viz.sheet(Sample(image=patch), result) if show else edited)
    change = float((edited - image).abs().mean())
    if change < 0.002:
        sys.stderr.write(
            f"geotrans translate: {output} hardly differs from {source} (mean change {change:.4f} of 2): "
            f"the model may not know pictures like this one, or the condition is already met\n"
        )


def _assignment(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        return name, float(value) if equals else 1.0
    except ValueError:
        raise ValueError(f"--set {text}: expected COLUMN=VALUE with a number, such as Smiling=1") from None


def _convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("family", help="stargan, star_discriminator, ...; an unknown one lists close names")
    parser.add_argument("source", type=Path, help="a .pth, .ckpt or .safetensors file of the official code")
    parser.add_argument("output", type=Path, help="the published folder to write")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="what the weights do not tell; repeatable"
    )
    parser.epilog = (
        "examples:\n"
        "  geotrans convert stargan 200000-G.ckpt stargan_celeba\n"
        "  geotrans convert stargan 200000-G.ckpt smiles --set condition.attributes=Smiling,Young,Male,Bangs,Bald\n"
        "  geotrans convert adspm Stage2-200000-G.ckpt spm_smiling --set max_motion=0.1\n"
        "  geotrans convert munit gen_01000000.pt shoes_from_edges --set source=a --set target=b"
    )
    parser.set_defaults(run=_run_convert)


def _run_convert(args: argparse.Namespace) -> None:
    from dataclasses import field, fields, make_dataclass

    from geotrans.base import count_parameters
    from geotrans.convert import convert_file, converter_options
    from geotrans.train.override import set_fields

    known = converter_options(args.family)
    record = make_dataclass(
        args.family, [(name, hint, field(default=value)) for name, (hint, value) in known.items()], frozen=True
    )
    options = set_fields(record(), args.set)
    given = {f.name: getattr(options, f.name) for f in fields(options)}
    changed = {name: value for name, value in given.items() if value != known[name][1]}
    model = convert_file(args.family, args.source, args.output, **changed)
    print(f"{args.output}: {type(model).__name__}, {count_parameters(model):,} parameters")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="+")
    parser.set_defaults(run=_run_verify)


def _run_verify(args: argparse.Namespace) -> None:
    from geotrans import verify_folder

    for folder in args.folder:
        print(f"{folder}: the recorded picture is reproduced (largest difference {verify_folder(folder):.2g})")


def _download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="*", help="arch.tag or hf-hub:ORG/NAME[@REVISION]")
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help="instead of the Hub client's cache")
    parser.add_argument("--with-metrics", action="store_true", help="also the networks of FID (96 MB) and LPIPS (244)")
    parser.epilog = "example:\n  geotrans download hf-hub:ORG/NAME --with-metrics   then set HF_HUB_OFFLINE=1"
    parser.set_defaults(run=_run_download)


def _run_download(args: argparse.Namespace) -> None:
    from geotrans.factory import check_folder
    from geotrans.features.inception import fetch_inception
    from geotrans.features.lpips import fetch_lpips
    from hub.download import resolve
    from registry import parse_model_name

    if not args.model and not args.with_metrics:
        raise ValueError("name a model, or give --with-metrics")
    for name in args.model:
        folder = resolve(parse_model_name(name), args.cache_dir)
        check_folder(folder)
        print(f"{name}: {folder}")
    if args.with_metrics:
        fetch_inception()
        fetch_lpips()


def _push(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="a published folder")
    parser.add_argument("repo", help="ORG/NAME on the Hub; created if it does not exist")
    parser.add_argument("--private", action="store_true", help="if the repository is created, for you alone")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to; created if it does not exist")
    parser.add_argument("--create-pr", action="store_true", help="propose the files instead of committing them")
    parser.add_argument("--dry-run", action="store_true", help="check everything and send nothing")
    parser.epilog = "example:\n  geotrans push runs/mine/published/spm_refine_64.mine me/spm_refine_64.mine --dry-run"
    parser.set_defaults(run=_run_push)


def _run_push(args: argparse.Namespace) -> None:
    from geotrans.factory import check_folder
    from hub.push import push, validate

    validate(args.folder)
    check_folder(args.folder)
    done = push(
        args.folder,
        args.repo,
        private=args.private,
        revision=args.revision,
        create_pr=args.create_pr,
        dry_run=args.dry_run,
    )
    for name, size in done.files.items():
        print(f"{size:>12,}  {name}")
    if args.dry_run:
        print(f"{args.repo}: ready, nothing was sent")
    else:
        print(f"{done.url}" if done.changed else f"{args.repo}: holds these files already ({done.commit[:12]})")


if __name__ == "__main__":
    main()
