"""One pass over a protocol's samples: every model, every metric."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from tqdm import tqdm

from eval.contestants import Contestant, contestant, misfit
from eval.metrics.base import EvalBatch, Metric, Score, made_by_model
from eval.networks import Networks
from eval.protocol import Protocol
from eval.results import IDENTITY, REAL, BoardResult, Pictures, Row, metric_facts
from eval.rows import RowRun
from eval.shards import Part, Shard, Store, Team, shards
from eval.signature import Samples, network_names, signature
from eval.task import Task
from eval.wanted import told
from geotrans.ops.images import to_uint8
from geotrans.types import cat
from registry import METRICS

PICTURES = 6


def evaluate(
    protocol: Protocol,
    models: Sequence[Contestant],
    *,
    networks: Networks | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 50,
    strict: bool = False,
    left_out: Mapping[str, str] | None = None,
    progress: bool = True,
    pictures: int = PICTURES,
    store: Store | None = None,
) -> BoardResult:
    """Score models, the unchanged source (`identity`) and the truth itself (`real images`) on the same samples.

    Samples are drawn once and passed by every row in turn; each picture is embedded once a network.

    Args:
        networks: where judges come from.
        device: where the models run.
        batch_size: of memory and speed only; no score depends on it.
        strict: a metric that cannot be computed is an error; otherwise it is listed under `left_out`.
        left_out: models that are not among `models`, and why; the result lists them.
        progress: a bar on stderr.
        pictures: how many samples' pictures the result keeps.
        store: where finished parts are kept, and taken from if they are there.

    Raises:
        ValueError: a model does not fit the protocol, returns something not finite, or a metric cannot be computed.
    """
    work = Work(protocol, models, networks, device, batch_size, strict, pictures, store or Store())
    whole = work.score(shards(work.task.n, batch_size), progress=progress)
    columns = tuple(metric_facts(name) for name in work.metrics)
    samples = Samples(whole[0].ids, work.task.reals)
    rows = tuple(_row(entrant, part, protocol, samples) for entrant, part in zip(work.entrants, whole, strict=True))
    return BoardResult(
        protocol, columns, rows, work.task.n, {**(left_out or {}), **work.absent}, _pictures(work.entrants, whole)
    )


def contribute(
    protocol: Protocol,
    models: Sequence[Contestant],
    team: Team,
    store: Store,
    *,
    networks: Networks | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 50,
    strict: bool = False,
    progress: bool = True,
    pictures: int = PICTURES,
) -> None:
    """Score one process's share of a protocol into `store`; when all have, `evaluate` finds every part there.

    Args and errors as for `evaluate`; further

    Raises:
        ValueError: a contestant has no weights file, so that nobody can tell its parts from another's.
    """
    if nameless := [model.name for model in models if model.key is None]:
        raise ValueError(f"{nameless[0]} cannot be scored by several processes; run it in one")
    work = Work(protocol, models, networks, device, batch_size, strict, pictures, store)
    work.score(team.share(shards(work.task.n, batch_size)), progress=progress and team.leads)


class Work:
    """A protocol with all that is scored on it.

    Attributes:
        task: the samples.
        entrants: the models, then the references.
        metrics: those of the protocol that can be computed; the others are in `absent`, with the reason.
    """

    def __init__(
        self,
        protocol: Protocol,
        models: Sequence[Contestant],
        networks: Networks | None,
        device: torch.device | str,
        batch_size: int,
        strict: bool,
        pictures: int,
        store: Store,
    ) -> None:
        self.protocol, self.device, self.batch_size, self.store = protocol, torch.device(device), batch_size, store
        self.networks = networks or Networks(device)
        self.task = Task(protocol)
        models = [model for model in models if model.kind not in ("identity", "real")]
        for model in models:
            if model.config and (why := misfit(model.config, protocol, self.task.spec)):
                raise ValueError(f"{model.name} cannot be scored on {protocol.name}: {why}")
        self.entrants = [*models, contestant(IDENTITY), Contestant(REAL, "real", None)]
        probe, _ = self._base(range(1))
        if self.task.reals:
            probe = replace(probe, real=self.task.real(range(1)))
        self.absent = unavailable(protocol.metrics, probe, protocol)
        if strict and self.absent:
            raise ValueError("; ".join(f"{name}: {why}" for name, why in self.absent.items()))
        self.metrics = tuple(name for name in protocol.metrics if name not in self.absent)
        count = min(pictures, self.task.n)
        self._shown = {i * self.task.n // count for i in range(count)}  # spread evenly: neighbours may show one person

    def score(self, some: Sequence[Shard], *, progress: bool = True) -> list[Part]:
        """What each entrant gathers over the shards, in their order."""
        whole = [Part() for _ in self.entrants]
        batches = sum(-(-(stop - start) // self.batch_size) for start, stop in some)
        with tqdm(
            total=batches, desc=self.protocol.name, unit="batch", file=sys.stderr, disable=not progress, leave=False
        ) as bar:
            for shard in some:
                for part, found in zip(whole, self._parts(shard, bar), strict=True):
                    part.merge(found)
        return whole

    def _parts(self, shard: Shard, bar: tqdm[None]) -> list[Part]:
        stored = [self.store.load(entrant.key, shard) for entrant in self.entrants]
        runs = {
            place: RowRun(entrant, self.task.spec, self.metrics, self.device, told(self.protocol, self.task.spec))
            for place, entrant in enumerate(self.entrants)
            if stored[place] is None
        }
        for start in range(shard[0], shard[1], self.batch_size):
            if runs:
                indices = range(start, min(start + self.batch_size, shard[1]))
                base, real_ids = self._base(indices)
                shown = [place - start for place in indices if place in self._shown]
                for run in runs.values():
                    run.step(base, real_ids, shown)
            bar.update()
        for place, run in runs.items():
            self.store.save(self.entrants[place].key, shard, run.part)
        return [runs[place].part if part is None else part for place, part in enumerate(stored)]

    def _base(self, indices: range) -> tuple[EvalBatch, Sequence[str]]:
        """All that is known of a batch before any model has run, and the names of its real pictures.

        `generated` is the source.
        """
        sample = self.task.batch(indices)
        source = to_uint8(sample.image)
        truth = None if sample.truth is None else to_uint8(sample.truth)
        real, names = truth, sample.id
        if self.task.reals is not None:
            first, last = (index * self.task.reals // self.task.n for index in (indices[0], indices[-1] + 1))
            real = self.task.real(range(first, last)) if last > first else None
            names = tuple(f"real-{place}" for place in range(first, last))
        elif truth is None and sample.other is not None:
            real, names = to_uint8(sample.other), tuple(f"real-{name}" for name in sample.id)
        judges, spec = self.protocol.judges, self.task.spec
        return EvalBatch(
            *(sample.id, source, source, truth, real),
            sample=sample,
            networks=self.networks,
            judges=judges,
            spec=spec,
        ), names


def unavailable(metrics: Sequence[str], batch: EvalBatch, protocol: Protocol) -> dict[str, str]:
    """Metric -> why it cannot be computed for any model: its network is missing, or the data lacks something."""
    reasons: dict[str, str] = {}
    for name in metrics:
        needs = METRICS.get(name).info.needs
        asked = [need for need in needs if need.partition(".")[2] in protocol.asks and need.startswith("judge.")]
        if missing := [need for need in asked if need.partition(".")[2] not in batch.judges]:
            role = missing[0].partition(".")[2]
            reasons[name] = f"it needs a judge that nobody ships; name one with --judge {role}=FEATURE or {role}=FOLDER"
        elif lacking := batch.lacks(need for need in needs if not made_by_model(need)):
            reasons[name] = f"it needs {' and '.join(lacking)}, which is not known here"
        else:
            for network in network_names(needs, protocol):
                if why := batch.networks.missing(network):
                    reasons[name] = why
    return reasons


def _row(entrant: Contestant, part: Part, protocol: Protocol, samples: Samples) -> Row:
    scores = {name: score for name, m in part.metrics.items() if (score := _computed(name, entrant, m)) is not None}
    values = {name: found for name, metric in part.metrics.items() if (found := metric.samples())}
    weights = {name: counts for name, metric in part.metrics.items() if (counts := metric.weights())}
    latency = 1000 * statistics.median(part.seconds) if entrant.kind == "model" and part.seconds else None
    signatures = {name: signature(name, score, protocol, samples) for name, score in scores.items()}
    facts = replace(entrant.facts, macs=part.macs)
    return Row(entrant.name, entrant.kind, facts, latency, scores, values, weights, signatures)


def _computed(name: str, entrant: Contestant, metric: Metric) -> Score | None:
    try:
        return metric.compute()
    except ValueError as error:
        raise ValueError(f"{name} of {entrant.name}: {error}") from error


def _pictures(entrants: Sequence[Contestant], parts: Sequence[Part]) -> Pictures:
    shown = {
        entrant.name: cat(part.translations) for entrant, part in zip(entrants, parts, strict=True) if part.translations
    }
    first = next(part for part in parts if part.samples)
    return Pictures(cat(first.samples), shown, tuple(first.wanted))
