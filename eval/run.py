"""Score models, or folders of pictures, and write a board: `python -m eval.run`."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from eval.board import to_terminal, write_board
from eval.evaluate import Contestant, contestant, evaluate, misfit
from eval.folders import evaluate_folders
from eval.networks import Networks
from eval.protocol import Protocol, create_protocol, open_dataset
from eval.publish import main as leaderboard
from eval.record import record
from eval.results import IDENTITY, BoardResult, Results, environment, metric_facts, now, write_results
from eval.scores import arrow
from geotrans.errors import user_errors
from geotrans.factory import list_models
from hub.download import resolve
from hub.folder import bundled_folders, read_config
from registry import DATASETS, GENERATORS, METRICS, PROTOCOLS, parse_model_name

COMMAND = "geotrans-eval"
EXAMPLES = """\
examples:
  python -m eval.run
      every bundled model on the built-in benchmark
  python -m eval.run --models spm_refine_64.synthface local-dir:runs/mine --protocol synthface_attr4_64
      two models side by side
  python -m eval.run --models hf-hub:ORG/NAME --limit 100 --metrics psnr flow_epe
      a quick look; the board says that it is not the standard protocol
  python -m eval.run --generated out/ --reference real/ --metrics fid lpips psnr ssim
      two folders of pictures, whatever made them
  python -m eval.run --list
      protocols and metrics
  python -m eval.run publish results ORG/LEADERBOARD
      add results.json to a leaderboard on the Hub; `board --from ORG/LEADERBOARD` makes one page of all of them
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command. A mistake of the user ends in one line on stderr and exit code 2, with nothing half-written."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] in (["publish"], ["board"]):
        leaderboard(argv)
        return
    arguments = _parser().parse_args(argv)
    with user_errors(COMMAND):
        _run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    _check(arguments)
    if arguments.list:
        print(_listing())
        return
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    boards = _folder_board(arguments) if arguments.generated else _model_boards(arguments)
    results = Results(tuple(boards), environment(arguments.device, arguments.batch_size), now())
    write_results(results, arguments.output)
    if arguments.record:
        record(results)
    written = write_board(results, arguments.output)
    print(to_terminal(results, shutil.get_terminal_size((120, 24)).columns))
    page = next(path for path in written if path.suffix == ".html")
    print(f"\nwritten to {arguments.output}: open {page}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Score models on a protocol, or two folders of pictures, and write a board.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what to score")
    what.add_argument("--models", nargs="+", metavar="NAME", help="arch.tag, local-dir:PATH or hf-hub:ORG/NAME[@REV]")
    what.add_argument("--protocol", metavar="NAME", help="protocol to score them on; by default those that fit")
    what.add_argument("--data", metavar="DIR", help="the folder of a protocol's dataset, if it reads files")
    what.add_argument("--generated", metavar="DIR", help="a folder of pictures to score, with --reference")
    what.add_argument("--reference", metavar="DIR", help="the folder they are compared with")
    what.add_argument("--metrics", nargs="+", metavar="NAME", help="metrics to compute; by default all that can be")
    how = parser.add_argument_group("how")
    how.add_argument("--output", default="results", metavar="DIR", help="where the board goes (default: results)")
    how.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    how.add_argument("--limit", type=int, metavar="N", help="score only the first N samples")
    how.add_argument("--seed", type=int, help="another seed of the dataset")
    how.add_argument("--batch-size", type=int, default=50, metavar="N", help="no score depends on it (default: 50)")
    how.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")
    how.add_argument("--download", action="store_true", help="fetch weights of metric networks that are missing")
    how.add_argument("--record", action="store_true", help="also write the scores into the models' published folders")
    parser.add_argument("--list", action="store_true", help="list protocols and metrics, and stop")
    return parser


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot work before any time is spent on it."""
    if bool(arguments.generated) != bool(arguments.reference):
        raise ValueError("--generated and --reference belong together; give both folders")
    if arguments.generated and arguments.record:
        raise ValueError("--record writes into the folders of models; it has no place with --generated")
    if arguments.generated and (arguments.models or arguments.protocol or arguments.data or arguments.seed is not None):
        raise ValueError("--generated scores folders; leave out --models, --protocol, --data and --seed")
    for name in ("limit", "batch_size", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')}: expected at least 1, got {value}")
    if arguments.data and not arguments.protocol:
        raise ValueError("--data is the folder of one protocol's dataset; name it with --protocol")
    if arguments.protocol:
        PROTOCOLS.get(arguments.protocol)
    _check_device(arguments.device)
    _check_metrics(arguments)
    _check_output(Path(arguments.output))


def _check_metrics(arguments: argparse.Namespace) -> None:
    networks = Networks(download=arguments.download)
    for name in arguments.metrics or ():
        for need in METRICS.get(name).info.needs:
            kind, _, network = need.partition(".")
            if kind == "network" and (why := networks.missing(network)):
                raise FileNotFoundError(f"{name}: {why}; or let --download fetch it")


def _check_output(output: Path) -> None:
    there = next(path for path in (output.absolute(), *output.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"--output {output}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK):
        raise PermissionError(f"--output {output}: {there} cannot be written to; name another folder")


def _check_device(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name}: not usable on this machine ({str(error).splitlines()[0]})") from None


def _folder_board(arguments: argparse.Namespace) -> list[BoardResult]:
    board = evaluate_folders(
        arguments.generated,
        arguments.reference,
        metrics=arguments.metrics,
        networks=Networks(arguments.device, download=arguments.download),
        limit=arguments.limit,
        batch_size=arguments.batch_size,
    )
    return [board]


def _model_boards(arguments: argparse.Namespace) -> list[BoardResult]:
    networks = Networks(arguments.device, download=arguments.download)
    entries = _entries(arguments)
    return [
        evaluate(
            entry.protocol,
            entry.models,
            networks=networks,
            device=arguments.device,
            batch_size=arguments.batch_size,
            strict=arguments.metrics is not None and len(entries) == 1,
            left_out=entry.left_out,
        )
        for entry in entries
    ]


_NO_TASK = {"root", "split", "size", "seed", "resolution"}  # options of data that do not say what is translated to what


@dataclass(frozen=True, slots=True)
class _Entry:
    """A protocol, the models it is for, and why others are not there."""

    protocol: Protocol
    models: list[Contestant]
    left_out: dict[str, str]


def _entries(arguments: argparse.Namespace) -> list[_Entry]:
    """Which models meet which protocols.

    Raises:
        ValueError: a model that was asked for fits no protocol.
    """
    names = list(dict.fromkeys(arguments.models or bundled_generators()))
    models = [contestant(name) for name in names if name != IDENTITY]
    if arguments.protocol:
        protocol = _protocol(arguments.protocol, arguments)
        if arguments.models:
            return [_Entry(protocol, models, {})]  # a misfit is an error there, with its reason
        reasons = _misfits(models, protocol)
        return [_Entry(protocol, [m for m in models if m.name not in reasons], reasons)]
    protocols = [_protocol(name, arguments) for name in PROTOCOLS if PROTOCOLS.get(name).factory().builtin]
    misfits = [_misfits(models, protocol) for protocol in protocols]
    nowhere = {
        model.name: "; ".join(dict.fromkeys(reasons[model.name] for reasons in misfits))
        for model in models
        if all(model.name in reasons for reasons in misfits)
    }
    if arguments.models and nowhere:
        name, why = next(iter(nowhere.items()))
        raise ValueError(f"{name} fits no built-in protocol ({why}); name one with --protocol")
    entries = [
        _Entry(protocol, [model for model in models if model.name not in reasons], {})
        for protocol, reasons in zip(protocols, misfits, strict=True)
    ]
    kept = [entry for entry in entries if entry.models] or entries
    return [replace(kept[0], left_out=nowhere), *kept[1:]] if kept else []


def bundled_generators() -> list[str]:
    """`arch.tag` of every generator whose weights ship with the package."""
    shipped = bundled_folders()
    return [name for name in list_models(pretrained=True) if name in shipped and name.partition(".")[0] in GENERATORS]


def _protocol(name: str, arguments: argparse.Namespace) -> Protocol:
    protocol = create_protocol(name, limit=arguments.limit, seed=arguments.seed, data=arguments.data)
    return replace(protocol, metrics=tuple(dict.fromkeys(arguments.metrics))) if arguments.metrics else protocol


def _misfits(models: Sequence[Contestant], protocol: Protocol) -> dict[str, str]:
    have = open_dataset(protocol).spec
    found = {}
    for model in models:
        if why := _trained_elsewhere(model.name, protocol) or misfit(model.config, protocol, have):
            found[model.name] = why
    return found


def _trained_elsewhere(name: str, protocol: Protocol) -> str | None:
    """What the data that a model was trained on, after its config.json, has different from the protocol's."""
    trained = read_config(resolve(parse_model_name(name)))["dataset"]
    if not isinstance(trained, dict) or "name" not in trained:
        return None
    if trained["name"] != protocol.dataset:
        return f"it was trained on {trained['name']}"
    defaults = {
        name: p.default for name, p in inspect.signature(DATASETS.get(protocol.dataset).factory).parameters.items()
    }
    theirs, ours = (
        {**defaults, **dict(options)} for options in (trained.get("options") or {}, protocol.dataset_options)
    )
    for option in sorted(defaults.keys() - _NO_TASK):
        if theirs[option] and theirs[option] != ours[option]:  # an empty selection was trained on all there is
            return f"it was trained on {protocol.dataset} with {option}={theirs[option]}"
    return None


def _listing() -> str:
    lines = ["protocols:"]
    for name in PROTOCOLS:
        protocol = PROTOCOLS.get(name).factory()
        lines.append(f"  {name:24} v{protocol.version}  n = {protocol.n:<6} {protocol.description}")
    lines.append("metrics:")
    for name in METRICS:
        facts = metric_facts(name)
        lines.append(f"  {name:24} v{facts.version}  {arrow(facts)} {facts.unit:3}  {facts.meaning}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
