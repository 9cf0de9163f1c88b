"""Do stored results stand up? Digests are taken again, and some samples are scored again from scratch."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from eval.contestants import Contestant, contestant
from eval.environment import package_versions
from eval.evaluate import evaluate
from eval.folders import FolderWork, by_stem, content_digest
from eval.judges import judge_features
from eval.networks import Networks, network_digest
from eval.protocol import Protocol, open_dataset
from eval.results import BoardResult, Results, Row
from eval.signature import network_names, parse
from eval.storage import read_results, results_file
from geotrans.ops.images import list_images
from geotrans.types import ConditionSpec
from hub import files
from hub.download import resolve
from hub.folder import WEIGHTS
from registry import METRICS, PROTOCOLS, parse_model_name

SAMPLES = 16
TOLERANCE = 1e-3  # of a mean over samples: other machines round a few pixels the other way

Verdict = Literal["agrees", "DIFFERS", "skipped", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a verification."""

    verdict: Verdict
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:8} {self.text}"


def verify(results: Results, *, samples: int = SAMPLES, data: str | None = None, device: str = "cpu") -> list[Finding]:
    """Check results against what is here: protocols, metrics, networks, weights, and scores of a few samples.

    Args:
        results: read whole, with single samples.
        samples: how many samples are scored again; 0: none.
        data: the folder of the dataset, if it lies elsewhere than it did.
        device: where models and judges run.
    """
    findings = list(_packages(results))
    for board in results.boards:
        findings += _protocol(board)
        findings += _metrics(board)
        findings += _weights(board)
        findings += _reference(board)
        findings += _totals(board)
        if samples:
            findings += _scored_again(board, samples, data, device)
    return findings


def _packages(results: Results) -> Iterator[Finding]:
    stored = results.environment.get("packages", {})
    for name, version in package_versions().items():
        if name in stored and stored[name] != version:
            yield Finding(
                "note", f"{name}: scored with {stored[name]}, here is {version}; numbers may differ by rounding"
            )


def _protocol(board: BoardResult) -> Iterator[Finding]:
    protocol, name = board.protocol, board.protocol.name
    if name not in PROTOCOLS:
        yield Finding("skipped", f"{name}: no such protocol is registered here")
        return
    registered: Protocol = PROTOCOLS.get(name).factory()
    if registered.version != protocol.version:
        yield Finding("DIFFERS", f"{name}: scored under version {protocol.version}, here is {registered.version}")
    elif registered.digest() == protocol.digest():
        yield Finding("agrees", f"{name}: protocol {protocol.digest()}")
    else:
        text = "changed by --limit, --seed or --judge" if board.n != registered.n else "not as it is registered here"
        yield Finding("note", f"{name}: protocol {protocol.digest()} is {text} ({registered.digest()})")


def _metrics(board: BoardResult) -> Iterator[Finding]:
    for metric in board.metrics:
        where = f"{board.protocol.name}, {metric.name}"
        if metric.name not in METRICS:
            yield Finding("skipped", f"{where}: no such metric is registered here")
            continue
        info = METRICS.get(metric.name).info
        if info.version != metric.version:
            yield Finding("DIFFERS", f"{where}: scored with version {metric.version}, here is {info.version}")
        here = "+".join(network_digest(name) for name in network_names(info.needs, board.protocol))
        texts = {row.signatures.get(metric.name, "") for row in board.rows if metric.name in row.scores} - {""}
        for stored in sorted({parse(text).get("net", "") for text in texts} - {""}):
            digests = "+".join(part.rpartition("@")[2] for part in stored.split("+"))
            if "absent" in here:
                yield Finding("skipped", f"{where}: its network {stored} is not on this machine")
            else:
                same = digests == here
                yield Finding(
                    "agrees" if same else "DIFFERS", f"{where}: network {stored}" + f", here {here}" * (not same)
                )


def _weights(board: BoardResult) -> Iterator[Finding]:
    for row in board.rows:
        if row.kind != "model":
            continue
        where = f"{board.protocol.name}, {row.name}"
        stored = row.facts.weights_sha256
        if stored is None:
            yield Finding("skipped", f"{where}: scored from memory, without a file of weights")
            continue
        try:
            here = files.sha256(resolve(parse_model_name(row.name)) / WEIGHTS)
        except (LookupError, OSError, ValueError) as error:
            yield Finding("skipped", f"{where}: its weights cannot be had: {error}")
            continue
        verdict: Verdict = "agrees" if here == stored else "DIFFERS"
        yield Finding(verdict, f"{where}: weights {stored[:12]}" + ("" if here == stored else f", here is {here[:12]}"))


def _reference(board: BoardResult) -> Iterator[Finding]:
    """Do the folders that pictures were compared with hold what they held?"""
    facts = [(row.name, parse(text)) for row in board.rows for text in row.signatures.values()]
    stored = {fact["pictures"]: (name, int(fact.get("real", board.n))) for name, fact in facts if "pictures" in fact}
    reference, source = (board.protocol.dataset_options.get(place) for place in ("root", "source"))
    for digest, (name, count) in stored.items():
        try:
            real, made = (list_images(folder, recursive=False) for folder in (str(reference), name))
            here = content_digest(real[:count], by_stem(source), made[: board.n])
        except OSError as error:
            yield Finding("skipped", f"the pictures compared with cannot be had: {error}")
            continue
        same = digest == here
        text = f"{reference}: pictures {digest}" + f", here {here}" * (not same)
        yield Finding("agrees" if same else "DIFFERS", text)


def _totals(board: BoardResult) -> Iterator[Finding]:
    """Are the scores those of the single samples beside them?"""
    for row in board.rows:
        wrong, right = [], 0
        for name, values in row.samples.items():
            if name not in row.scores and all(value is None for value in values.values()):
                continue  # there was nothing to measure in any sample
            if name not in row.scores:
                wrong.append(f"{name} has single samples but no score")
                continue
            total, count = _mean(values, row.weights.get(name, {}))
            score = row.scores[name]
            if count != score.n or not math.isclose(total, score.value, rel_tol=1e-4, abs_tol=1e-6):
                wrong.append(f"{name} is {score.value:.6g} of n = {score.n}, its samples give {total:.6g} of {count}")
            else:
                right += 1
        where = f"{board.protocol.name}, {row.name}"
        yield from (Finding("DIFFERS", f"{where}: {text}") for text in wrong)
        if right:
            yield Finding("agrees", f"{where}: {right} scores with those of their single samples")
        elif not wrong:
            yield Finding("skipped", f"{where}: samples.json has no single samples of it")


def _scored_again(board: BoardResult, samples: int, data: str | None, device: str) -> Iterator[Finding]:
    protocol = board.protocol
    count = min(samples, board.n)
    rows = {row.name: row for row in board.rows}
    try:
        if protocol.on_folders:
            again = _folders_again(board, count, device)
        else:
            again = _models_again(board, count, data, device)
    except (LookupError, OSError, ValueError) as error:
        yield Finding("skipped", f"{protocol.name}: samples cannot be scored again: {error}")
        return
    for row in again.rows:
        if row.name in rows:
            yield from _same_samples(f"{protocol.name}, {row.name}", rows[row.name], row, whole=count == board.n)


def _models_again(board: BoardResult, count: int, data: str | None, device: str) -> BoardResult:
    options = dict(board.protocol.dataset_options) | ({"root": data} if data is not None else {})
    single = {name for row in board.rows for name in row.samples}
    metrics = tuple(name for name in board.protocol.metrics if name in single or count == board.n)
    protocol = replace(board.protocol, n=max(2, count), metrics=metrics, dataset_options=options)
    models: list[Contestant] = []
    for row in board.rows:
        if row.kind != "model" or row.facts.weights_sha256 is None:
            continue
        try:
            models.append(contestant(row.name))
        except (LookupError, OSError, ValueError):
            continue  # `_weights` says so
    judges = judge_features(protocol.judges, open_dataset(protocol).spec)
    networks = Networks(device, features=judges)
    return evaluate(protocol, models, networks=networks, device=device, progress=False, batch_size=min(50, count))


def _folders_again(board: BoardResult, count: int, device: str) -> BoardResult:
    (row,) = board.rows
    metrics = [metric.name for metric in board.metrics if metric.name in row.samples or count == board.n]
    if not metrics:
        raise ValueError("distances between sets need all pictures; raise --samples")
    options, judges = board.protocol.dataset_options, board.protocol.judges
    return FolderWork(
        row.name,
        options.get("root", ""),
        source=options.get("source"),
        metrics=metrics,
        judges=judges,
        networks=Networks(device, features=judge_features(judges, ConditionSpec())),
        limit=None if count == board.n else max(2, count),
    ).board(progress=False)


def _same_samples(where: str, stored: Row, again: Row, *, whole: bool) -> Iterator[Finding]:
    alike, odd = [], []
    for name, values in again.samples.items():
        known = stored.samples.get(name)
        if known is None:
            continue
        if unknown := [sample for sample in values if sample not in known]:
            odd.append(f"{name}: sample {unknown[0]} is not among those scored; the data is another")
            continue
        old, new = ([part[sample] for sample in values if part[sample] is not None] for part in (known, values))
        if not old and not new:
            continue
        if len(old) != len(new):
            odd.append(f"{name}: {len(new)} samples have a score, {len(old)} had one")
            continue
        means = [math.fsum(float(value or 0) for value in part) / len(part) for part in (old, new)]
        if math.isclose(*means, rel_tol=TOLERANCE, abs_tol=TOLERANCE / 10):
            alike.append(name)
        else:
            odd.append(f"{name}: {means[0]:.6g} then, {means[1]:.6g} now, mean of {len(old)} samples")
    if whole:
        for name in stored.scores.keys() & again.scores.keys() - again.samples.keys():
            then, now = stored.scores[name].value, again.scores[name].value
            if math.isclose(then, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE / 10):
                alike.append(name)
            else:
                odd.append(f"{name}: {then:.6g} then, {now:.6g} now, over all samples")
    yield from (Finding("DIFFERS", f"{where}, scored again, {text}") for text in odd)
    if alike:
        yield Finding("agrees", f"{where}, scored again: {', '.join(sorted(alike))}")


def _mean(values: Mapping[str, float | None], weights: Mapping[str, float]) -> tuple[float, int]:
    counted = {name: value for name, value in values.items() if value is not None}
    total = math.fsum(value * weights.get(name, 1.0) for name, value in counted.items())
    weight = math.fsum(weights.get(name, 1.0) for name in counted)
    return (total / weight if weight else math.nan), len(counted)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `geotrans-eval verify`."""
    parser.add_argument("results", type=Path, help="results.json with samples.json beside it, or their folder")
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, metavar="N", help=f"score so many samples again (default: {SAMPLES})"
    )
    parser.add_argument("--data", metavar="DIR", help="the folder of the dataset, if it lies elsewhere now")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")


def run(arguments: argparse.Namespace) -> list[Finding]:
    """What `geotrans-eval verify` finds.

    Raises:
        ValueError: --samples is negative, or the file is no results file.
    """
    if arguments.samples < 0:
        raise ValueError(f"--samples: expected at least 0, got {arguments.samples}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    path = results_file(arguments.results)
    findings = []
    try:
        results = read_results(path, whole=True)
    except ValueError as error:
        if "the hash that stands beside it" not in str(error):
            raise
        results = read_results(path, whole=True, check=False)
        findings.append(Finding("DIFFERS", str(error).partition("TypeError ")[2]))
    findings += verify(results, samples=arguments.samples, data=arguments.data, device=arguments.device)
    return findings
