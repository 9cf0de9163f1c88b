"""Score models, or folders of pictures, and write a board: `python -m eval.run`."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from eval import commands
from eval.arguments import COMMAND, check, check_metrics, parser
from eval.board import to_terminal, write_board
from eval.compare import compare_results
from eval.contestants import Contestant, contestant, contestant_in
from eval.environment import commit_label, environment, now
from eval.evaluate import contribute, evaluate
from eval.feature_store import FeatureStore, user_folder
from eval.folders import FolderWork
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
from geotrans.types import ConditionSpec
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
    shared = Networks(arguments.device, download=arguments.download, store=FeatureStore(user_folder()))
    check_metrics(arguments, shared)
    score = _folder_boards if arguments.generated and arguments.reference else _model_boards
    boards = score(arguments, together, shared)
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


def _folder_boards(arguments: argparse.Namespace, together: Team, networks: Networks) -> list[BoardResult]:
    judges = parse_judges(arguments.judge)
    work = FolderWork(
        arguments.generated,
        arguments.reference,
        source=arguments.source,
        protocol=PROTOCOLS.get(arguments.protocol).factory() if arguments.protocol else None,
        metrics=arguments.metrics,
        judges=judges,
        networks=_with_judges(networks, judges, ConditionSpec()),
        limit=arguments.limit,
        batch_size=arguments.batch_size,
        output=arguments.output,
    )
    if together.size > 1:
        work.score(together.share(work.shards), progress=together.leads)
        together.wait()
    return [work.board()] if together.leads else []


def _model_boards(arguments: argparse.Namespace, together: Team, shared: Networks) -> list[BoardResult]:
    entries = _entries(arguments)
    strict = arguments.metrics is not None and len(entries) == 1
    boards = []
    for entry in entries:
        store = store_of(entry.protocol, arguments.output, arguments.pictures, arguments.device)
        networks = shared
        if arguments.judge:
            networks = _with_judges(shared, entry.protocol.judges, open_dataset(entry.protocol).spec)
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


def _with_judges(shared: Networks, judges: Mapping[str, str], have: ConditionSpec) -> Networks:
    """Networks that know judges in folders too; those that all share where there are none."""
    own = judge_features(judges, have)
    return Networks(shared.device, download=shared.download, features=own, store=shared.store) if own else shared


def _entries(arguments: argparse.Namespace) -> list[Entry]:
    """Which models meet which protocols."""
    judges = parse_judges(arguments.judge)

    def create(name: str) -> Protocol:
        changes = {"limit": arguments.limit, "seed": arguments.seed, "data": arguments.data, "judges": judges}
        protocol = create_protocol(name, **changes)
        return replace(protocol, metrics=tuple(arguments.metrics)) if arguments.metrics else protocol

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
