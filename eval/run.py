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
from eval.arguments import COMMAND, check, parser
from eval.board import to_terminal, write_board
from eval.compare import compare_results
from eval.contestants import Contestant, contestant, contestant_in
from eval.environment import commit_label, environment, now
from eval.evaluate import contribute, evaluate
from eval.folders import evaluate_folders
from eval.judges import judge_features, parse_judges
from eval.matching import Entry, bundled_generators, on_builtin, on_one
from eval.networks import Networks
from eval.plugins import load_plugin
from eval.protocol import Protocol, create_protocol, obstacle, open_dataset
from eval.record import record
from eval.results import IDENTITY, REAL, BoardResult, Results, metric_facts
from eval.scores import arrow
from eval.shards import PARTIAL, Store, Team, store_of, team
from eval.storage import write_results
from geotrans.errors import user_errors
from registry import METRICS, PROTOCOLS, suggest


def main(argv: Sequence[str] | None = None) -> None:
    """The command. A mistake of the user ends in one line on stderr and exit code 2, with nothing half-written."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in commands.NAMES:
        commands.main(argv)
        return
    arguments = parser().parse_args(argv)
    with user_errors(COMMAND):
        _run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    for path in arguments.plugin:
        load_plugin(path)
    if arguments.list:
        print(_listing())
        return
    check(arguments)
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
