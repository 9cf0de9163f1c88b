"""Score models, or folders of pictures, and write a board: `python -m eval.run`."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from eval import commands
from eval.board import to_terminal, write_board
from eval.compare import compare_results
from eval.contestants import Contestant, contestant, contestant_in
from eval.environment import commit_label, environment, now
from eval.evaluate import PICTURES, contribute, evaluate
from eval.folders import evaluate_folders
from eval.judges import judge_features, parse_judges
from eval.matching import Entry, bundled_generators, on_builtin, on_one
from eval.networks import Networks
from eval.plugins import load_plugin, load_protocol
from eval.protocol import Protocol, create_protocol, obstacle, open_dataset
from eval.record import record
from eval.results import IDENTITY, REAL, BoardResult, Results, metric_facts
from eval.scores import arrow
from eval.shards import PARTIAL, Store, Team, store_of, team
from eval.storage import write_results
from geotrans.errors import user_errors
from registry import METRICS, PROTOCOLS, suggest

COMMAND = "geotrans-eval"
EXAMPLES = """\
examples:
  python -m eval.run
      every bundled model on the built-in benchmark
  python -m eval.run --models spm_refine_64.synthface local-dir:runs/mine --protocol synthface_attr4_64
      two models side by side; --compare A B adds a paired test between two rows
  python -m eval.run --models hf-hub:ORG/NAME --limit 100 --metrics psnr flow_epe
      a quick look; the board says that it is not the standard protocol
  python -m eval.run --protocol my_protocol.toml --data ~/faces --judge emotion=runs/judge
      a protocol of your own; --plugin FILE.py runs a file that registers models, metrics or protocols
  python -m eval.run --generated out/ --reference real/ --metrics fid lpips psnr ssim
      two folders of pictures, whatever made them
  python -m eval.run --generated out/ --protocol synthface_attr4_64
      pictures that another program made of a protocol's samples, each called by its sample's id
  accelerate launch --num_processes 4 -m eval.run --device cuda
      several processes share the work; a run that was killed goes on where it was
  python -m eval.run --list
      protocols and metrics
  geotrans-eval board | compare | verify | publish | study | export --help
      what to do with results that are there, and with samples
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command. A mistake of the user ends in one line on stderr and exit code 2, with nothing half-written."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in commands.NAMES:
        commands.main(argv)
        return
    arguments = _parser().parse_args(argv)
    with user_errors(COMMAND):
        _run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    for path in arguments.plugin:
        load_plugin(path)
    if arguments.list:
        print(_listing())
        return
    _check(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    together = team(arguments.device)
    if together.size > 1 and arguments.device == "cuda":
        arguments.device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    folders = arguments.generated and arguments.reference
    boards = [_folder_board(arguments)] if folders and together.leads else []
    if not folders:
        boards = _model_boards(arguments, together)
    if together.leads:
        _finish(arguments, boards, together)
    together.leave()


def _finish(arguments: argparse.Namespace, boards: list[BoardResult], together: Team) -> None:
    facts = environment(arguments.device, arguments.batch_size, together.size)
    label = commit_label() if arguments.label is None else arguments.label
    results = Results(tuple(boards), facts, now(), label)
    write_results(results, arguments.output)
    if arguments.record:
        record(results)
    written = write_board(results, arguments.output)
    shutil.rmtree(Path(arguments.output) / PARTIAL, ignore_errors=True)
    print(to_terminal(results, shutil.get_terminal_size((120, 24)).columns))
    if arguments.compare:
        print(f"\n{compare_results(results, *arguments.compare)}")
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
    what.add_argument(
        "--protocol", metavar="NAME", help="protocol to score on, or a .toml file; by default those that fit"
    )
    what.add_argument("--data", metavar="DIR", help="the folder of a protocol's dataset, if it reads files")
    what.add_argument("--generated", metavar="DIR", help="pictures to score, with --reference or --protocol")
    what.add_argument("--reference", metavar="DIR", help="the folder they are compared with")
    what.add_argument("--metrics", nargs="+", metavar="NAME", help="metrics to compute; by default all that can be")
    what.add_argument(
        "--judge", nargs="+", default=[], metavar="ROLE=NAME", help="a feature, or a judge's folder, for a role"
    )
    what.add_argument(
        "--plugin", nargs="+", default=[], metavar="FILE", help="Python files that register something; they are run"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--output", default="results", metavar="DIR", help="where the board goes (default: results)")
    how.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    how.add_argument("--limit", type=int, metavar="N", help="score only the first N samples")
    how.add_argument("--seed", type=int, help="another seed of the dataset")
    how.add_argument("--batch-size", type=int, default=50, metavar="N", help="no score depends on it (default: 50)")
    how.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")
    how.add_argument("--download", action="store_true", help="fetch weights of metric networks that are missing")
    how.add_argument(
        "--pictures", type=int, default=PICTURES, metavar="N", help="keep N samples' pictures (default: 6)"
    )
    how.add_argument("--label", metavar="TEXT", help="what the history calls this run (default: the commit here)")
    how.add_argument("--compare", nargs=2, metavar=("A", "B"), help="a paired test between two rows")
    how.add_argument("--record", action="store_true", help="also write the scores into the models' published folders")
    parser.add_argument("--list", action="store_true", help="list protocols and metrics, and stop")
    return parser


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot work before any time is spent on it."""
    if arguments.reference and not arguments.generated:
        raise ValueError("--generated and --reference belong together; give both folders")
    if arguments.generated and not (arguments.reference or arguments.protocol):
        raise ValueError("--generated and --reference belong together, or --generated and --protocol; give both")
    if arguments.generated and arguments.record:
        raise ValueError("--record writes into the folders of models; it has no place with --generated")
    if arguments.reference and arguments.compare:
        raise ValueError("--compare tests two rows of one board, and --reference makes boards of one row; leave it out")
    if arguments.reference and (arguments.models or arguments.data or arguments.judge or arguments.seed is not None):
        raise ValueError("--reference compares folders; leave out --models, --data, --judge and --seed")
    for name in ("limit", "batch_size", "threads", "pictures"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')}: expected at least 1, got {value}")
    if (arguments.data or arguments.judge) and not arguments.protocol:
        raise ValueError(
            "--data is the folder of one protocol's dataset, and --judge its judge; name it with --protocol"
        )
    if arguments.protocol:
        arguments.protocol = load_protocol(arguments.protocol)
        protocol: Protocol = PROTOCOLS.get(arguments.protocol).factory()
        if why := obstacle(protocol):
            raise ValueError(f"{protocol.name} cannot be run: {why}")
        if arguments.reference and not protocol.on_folders:
            raise ValueError(
                f"{protocol.name} draws its own samples and compares with no folder; leave out --reference"
            )
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


def _folder_board(arguments: argparse.Namespace) -> BoardResult:
    return evaluate_folders(
        arguments.generated,
        arguments.reference,
        protocol=PROTOCOLS.get(arguments.protocol).factory() if arguments.protocol else None,
        metrics=arguments.metrics,
        networks=Networks(arguments.device, download=arguments.download),
        limit=arguments.limit,
        batch_size=arguments.batch_size,
    )


def _model_boards(arguments: argparse.Namespace, together: Team) -> list[BoardResult]:
    entries = _entries(arguments)
    strict = arguments.metrics is not None and len(entries) == 1
    boards = []
    shared = Networks(arguments.device, download=arguments.download)
    for entry in entries:
        store = store_of(entry.protocol, arguments.output, arguments.pictures, arguments.device)
        networks = _networks(entry.protocol, shared, arguments)
        if together.size > 1:
            _contribute(arguments, entry, together, store, networks, strict)
        if together.leads:
            board = evaluate(
                entry.protocol,
                entry.models,
                networks=networks,
                device=arguments.device,
                batch_size=arguments.batch_size,
                strict=strict,
                left_out=entry.left_out,
                pictures=arguments.pictures,
                store=store,
            )
            boards.append(board)
    return boards


def _contribute(
    arguments: argparse.Namespace, entry: Entry, together: Team, store: Store, networks: Networks, strict: bool
) -> None:
    contribute(
        entry.protocol,
        entry.models,
        together,
        store,
        networks=networks,
        device=arguments.device,
        batch_size=arguments.batch_size,
        strict=strict,
        pictures=arguments.pictures,
    )
    together.wait()


def _networks(protocol: Protocol, shared: Networks, arguments: argparse.Namespace) -> Networks:
    """Networks for a protocol: those that all share, unless it has judges of the user's."""
    judges = judge_features(protocol.judges, open_dataset(protocol).spec) if arguments.judge else {}
    return Networks(arguments.device, download=arguments.download, features=judges) if judges else shared


def _entries(arguments: argparse.Namespace) -> list[Entry]:
    """Which models meet which protocols."""
    judges = parse_judges(arguments.judge)

    def create(name: str) -> Protocol:
        changes = {"limit": arguments.limit, "seed": arguments.seed, "data": arguments.data, "judges": judges}
        protocol = create_protocol(name, **changes)
        return replace(protocol, metrics=tuple(dict.fromkeys(arguments.metrics))) if arguments.metrics else protocol

    asked = bool(arguments.models or arguments.generated)
    names = list(dict.fromkeys(arguments.models or ([] if asked else bundled_generators())))
    models: list[Contestant] = [contestant(name) for name in names if name != IDENTITY]
    if arguments.generated:
        models.append(contestant_in(arguments.generated))
    known = [*(model.name for model in models), IDENTITY, REAL]
    for name in arguments.compare or ():
        if name not in known:
            raise LookupError(f"--compare: there will be no row {name!r}; {suggest(name, known)}")
    if arguments.protocol:
        return on_one(create(arguments.protocol), models, asked=asked)
    return on_builtin(create, models, asked=asked)


def _listing() -> str:
    lines = ["protocols:"]
    for name in PROTOCOLS:
        protocol = PROTOCOLS.get(name).factory()
        if not obstacle(protocol):
            n = f"n = {protocol.n}" if protocol.n else "all"
            lines.append(f"  {name:26} v{protocol.version}  {n:<10} {protocol.description}")
    lines.append("metrics:")
    for name in METRICS:
        facts = metric_facts(name)
        lines.append(f"  {name:24} v{facts.version}  {arrow(facts)} {facts.unit:3}  {facts.meaning}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
