"""A leaderboard on the Hub: everyone's results.json in one dataset repository, and one board of them all."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eval.board import to_terminal, write_board
from eval.results import BoardResult, Results, Row, now, read_results, to_json, write_results
from geotrans.errors import user_errors
from hub import files
from hub.download import dataset_files, weights_digest
from hub.folder import WEIGHTS, bundled_folders
from hub.push import push_to_dataset
from registry import METRICS, parse_model_name, registered_weights

COMMAND = "geotrans-eval"
FILE = r"results/[0-9a-f]{16}\.json"
Digest = Callable[[str], str | None]


def main(argv: Sequence[str]) -> None:
    """The sub-commands `publish` and `board`."""
    parser = argparse.ArgumentParser(COMMAND, description="A leaderboard on the Hub.")
    commands = parser.add_subparsers(dest="command", required=True)
    send = commands.add_parser("publish", help="add a results.json to a leaderboard")
    send.add_argument("results", type=Path, help="results.json, or the folder it lies in")
    send.add_argument("repo", help="ORG/NAME of a dataset repository; created if it does not exist")
    send.add_argument("--private", action="store_true", help="if the repository is created, for you alone")
    send.add_argument("--create-pr", action="store_true", help="propose the file instead of committing it")
    make = commands.add_parser("board", help="one board of all results of a leaderboard")
    make.add_argument("--from", dest="repo", required=True, metavar="ORG/NAME", help="a leaderboard")
    make.add_argument("--output", default="results", metavar="DIR", help="where the board goes (default: results)")
    arguments = parser.parse_args(argv)
    with user_errors(f"{COMMAND} {arguments.command}"):
        if arguments.command == "publish":
            lines = [publish(arguments.results, arguments.repo, arguments.private, arguments.create_pr)]
        else:
            results = collect(arguments.repo)
            write_results(results, arguments.output)
            page = next(path for path in write_board(results, arguments.output) if path.suffix == ".html")
            lines = [to_terminal(results, shutil.get_terminal_size((120, 24)).columns), f"\nopen {page}"]
    print("\n".join(lines))  # noqa: T201


def publish(results: str | Path, repo: str, private: bool = False, create_pr: bool = False) -> str:
    """Add a results.json to a leaderboard; returns the commit's address. The same results make no second commit.

    Raises:
        FileNotFoundError, ValueError: there are no results, or they are broken; nothing is sent.
        LookupError, PermissionError, ConnectionError: see `hub.remote.attempt`.
    """
    content = (
        json.dumps(to_json(read_results(results)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    ).encode()
    path = f"results/{hashlib.sha256(content).hexdigest()[:16]}.json"
    return push_to_dataset(repo, path, content, private=private, create_pr=create_pr)


def collect(repo: str, cache_dir: str | Path | None = None) -> Results:
    """All results of a leaderboard as one. A file that is no results file is named among what is left out.

    Raises:
        LookupError: there is no such leaderboard, or nothing in it can be read.
        ConnectionError: the Hub does not answer.
    """
    runs, broken = [], {}
    for path in dataset_files(repo, FILE, cache_dir=cache_dir):
        try:
            runs.append(read_results(path))
        except ValueError as error:
            broken[path.name] = str(error).partition(": ")[2] or str(error)
    if not runs:
        raise LookupError(f"dataset {repo}: no results that can be read ({len(broken)} that cannot)")
    return merge(runs, stated_digest, broken)


def merge(runs: Iterable[Results], digest: Digest, left_out: Mapping[str, str] | None = None) -> Results:
    """One board for each protocol; the newest run of a model first, further ones marked.

    A row is marked as a duplicate when its weights, or its name if it has none, are on the board already, and as
    unverified when nobody else can have the weights it was made with. Scores of another version than the registered one
    of their metric are dropped.

    Args:
        digest: name of a model -> sha256 of the weights that this name gives to everyone, None if it gives none.
        left_out: what to name as left out, and why.
    """
    ordered = sorted(runs, key=lambda run: run.created, reverse=True)
    boards: dict[str, list[BoardResult]] = {}
    for run in ordered:
        for board in run.boards:
            boards.setdefault(f"{board.protocol.name} {board.protocol.digest()} {board.n}", []).append(board)
    merged = tuple(_merge(same, digest, dict(left_out or {})) for _, same in sorted(boards.items()))
    environment = {"runs": len(ordered), "packages": {}}
    return Results(merged, environment, max((run.created for run in ordered), default=now()))


def stated_digest(name: str) -> str | None:
    """sha256 of the weights that a model's name gives to everyone, as this package or the Hub states it."""
    try:
        parsed = parse_model_name(name)
        if parsed.repo is not None:
            return weights_digest(parsed.repo, parsed.revision)
    except (ValueError, LookupError, OSError):
        return None
    if name in bundled_folders():
        return files.sha256(bundled_folders()[name] / WEIGHTS)
    return registered_weights()[name].sha256 if name in registered_weights() else None


def _merge(boards: Sequence[BoardResult], digest: Digest, left_out: dict[str, str]) -> BoardResult:
    metrics = {metric.name: metric for board in reversed(boards) for metric in board.metrics if _current(metric.name)}
    metrics = {name: replace(fact, version=_current(name)) for name, fact in metrics.items()}
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for board in boards:
        versions = {metric.name: metric.version for metric in board.metrics}
        for row in board.rows:
            key = row.facts.weights_sha256 or f"{row.kind} {row.name}"
            seen[key] = seen.get(key, 0) + 1
            if row.is_reference and seen[key] > 1:
                continue
            scores = {name: score for name, score in row.scores.items() if versions.get(name) == _current(name)}
            if old := sorted(set(row.scores) - set(scores)):
                left_out[f"{', '.join(old)} of {row.name}"] = "scored with another version of the metric"
            rows.append(replace(row, scores=scores, name=row.name + _mark(row, seen[key], digest)))
        left_out |= board.left_out
    order = {"identity": 0, "real": 2}
    rows.sort(key=lambda row: order.get(row.kind, 1))
    return replace(boards[0], metrics=tuple(metrics.values()), rows=tuple(rows), left_out=left_out, pictures=None)


def _mark(row: Row, count: int, digest: Digest) -> str:
    if row.is_reference:
        return ""
    marks = [f"duplicate {count}"] if count > 1 else []
    if row.kind != "model":
        marks.append("unverified: pictures of unknown origin")
    elif row.facts.weights_sha256 is None or (stated := digest(row.name)) is None:
        marks.append("unverified: weights not public")
    elif stated != row.facts.weights_sha256:
        marks.append("unverified: other weights are public now")
    return f" [{'; '.join(marks)}]" if marks else ""


def _current(metric: str) -> int:
    """The registered version of a metric; 0 for one that is not registered."""
    return METRICS.get(metric).info.version if metric in METRICS else 0
