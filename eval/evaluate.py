"""One pass over a protocol's samples: every model, every metric."""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from eval.metrics.base import EvalBatch, Metric, Score
from eval.networks import Networks
from eval.protocol import Protocol, open_dataset
from eval.results import IDENTITY, REAL, BoardResult, Kind, ModelFacts, Pictures, Row, metric_facts
from geotrans.base import Generator, count_parameters
from geotrans.factory import create_model
from geotrans.ops.condition import draw_style, pick
from geotrans.ops.images import to_uint8
from geotrans.types import VECTOR_FIELDS, ConditionSpec, Sample, Translation, cat
from hub import files
from hub.download import resolve
from hub.folder import RESULTS, WEIGHTS, read_config
from registry import METRICS, parse_model_name

PICTURES = 6


@dataclass(frozen=True, slots=True)
class Contestant:
    """A row before it is scored. model: None for the real images."""

    name: str
    kind: Kind
    model: Generator | None
    facts: ModelFacts = field(default_factory=ModelFacts)

    @property
    def config(self) -> Any:
        """The model's config; None for the real images."""
        return None if self.model is None else self.model.cfg


def contestant(name: str, *, pretrained: bool = True) -> Contestant:
    """The model of that name with its weights and what its published folder says about it.

    Raises:
        LookupError: no such model, or no such weights.
        ValueError: the weights are broken.
    """
    if name == IDENTITY:
        return Contestant(IDENTITY, "identity", create_model(IDENTITY), ModelFacts(IDENTITY, 0))
    model = create_model(name, pretrained=pretrained)
    facts = ModelFacts(parse_model_name(name).arch, count_parameters(model))
    return Contestant(name, "model", model, _published_facts(name, facts) if pretrained else facts)


def misfit(cfg: Any, protocol: Protocol, have: ConditionSpec) -> str | None:
    """Why a model with the config `cfg` cannot be scored under `protocol`, whose data has the columns `have`."""
    if cfg.resolution != protocol.resolution:
        return f"it works at {cfg.resolution} pixels and the protocol is at {protocol.resolution}"
    wanted: ConditionSpec = cfg.condition
    for name in VECTOR_FIELDS:
        if name == "style" and not have.style:
            continue  # drawn at random, as in training
        known = getattr(have, name)
        missing = [column for column in getattr(wanted, name) if column not in known]
        if missing:
            return f"it reads {name} {', '.join(missing)}; the data has: {', '.join(known) or 'none'}"
    if wanted.landmarks and not have.landmarks:
        return "it reads landmarks, which the data does not have"
    if wanted.structure != have.structure and wanted.structure:
        return f"it reads a structure of {wanted.structure} channels; the data has {have.structure or 'none'}"
    return None


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

    Raises:
        ValueError: a model does not fit the protocol, returns something not finite, or a metric cannot be computed.
    """
    dataset = open_dataset(protocol)
    entrants = [model for model in models if model.kind == "model"]
    for model in entrants:
        if why := misfit(model.config, protocol, dataset.spec):
            raise ValueError(f"{model.name} cannot be scored on {protocol.name}: {why}")
    entrants += [contestant(IDENTITY), Contestant(REAL, "real", None)]
    networks = networks or Networks(device)
    starts = range(0, protocol.n, batch_size)
    runs: list[_Run] = []
    absent: dict[str, str] = {}
    for start in tqdm(starts, desc=protocol.name, unit="batch", file=sys.stderr, disable=not progress, leave=False):
        sample = dataset.batch(range(start, min(start + batch_size, protocol.n)))
        base = _references(sample, protocol, networks)
        if not runs:
            absent = unavailable(protocol.metrics, base)
            if strict and absent:
                raise ValueError("; ".join(f"{name}: {why}" for name, why in absent.items()))
            kept = tuple(name for name in protocol.metrics if name not in absent)
            runs = [_Run(entrant, dataset.spec, kept, torch.device(device)) for entrant in entrants]
        shown = [place - start for place in _shown(protocol.n) if start <= place < start + batch_size]
        for run in runs:
            run.step(base, shown)
    columns = tuple(metric_facts(name) for name in protocol.metrics if name not in absent)
    rows = tuple(run.row() for run in runs)
    return BoardResult(protocol, columns, rows, protocol.n, {**(left_out or {}), **absent}, _pictures(runs))


def unavailable(metrics: Sequence[str], batch: EvalBatch) -> dict[str, str]:
    """Metric -> why it cannot be computed for any model: its network is missing, or the data lacks something."""
    reasons: dict[str, str] = {}
    for name in metrics:
        needs = METRICS.get(name).info.needs
        if lacking := batch.lacks(need for need in needs if not need.startswith("translation.")):
            reasons[name] = f"it needs {' and '.join(lacking)}, which is not known here"
            continue
        for network in _networks_of(needs, batch):
            if why := batch.networks.missing(network):
                reasons[name] = why
    return reasons


def _networks_of(needs: Sequence[str], batch: EvalBatch) -> list[str]:
    """Names of the networks behind needs such as `judge.identity` and `network.lpips_alex`."""
    split = [need.partition(".") for need in needs]
    judges = [batch.judges[role] for kind, _, role in split if kind == "judge"]
    return judges + [network for kind, _, network in split if kind == "network"]


def _references(sample: Sample, protocol: Protocol, networks: Networks) -> EvalBatch:
    """All that is known of a batch before any model has run; `generated` is the source."""
    source = to_uint8(sample.image)
    truth = None if sample.truth is None else to_uint8(sample.truth)
    return EvalBatch(sample.id, source, source, truth, truth, sample=sample, networks=networks, judges=protocol.judges)


class _Run:
    """One row while it is scored."""

    def __init__(self, entrant: Contestant, have: ConditionSpec, metrics: Sequence[str], device: torch.device) -> None:
        self.entrant = entrant
        self._have = have
        self._device = device
        self._wanted = metrics
        self._metrics: dict[str, Metric] | None = None
        self._seconds: list[float] = []
        self.samples: list[Sample] = []
        self.translations: list[Translation] = []
        if entrant.model is not None:
            entrant.model.to(device).eval()

    def step(self, base: EvalBatch, shown: list[int]) -> None:
        """Translate a batch, hand it to every metric, and keep the rows `shown`."""
        batch = self._translated(base)
        if batch is None:
            return
        if shown and batch.sample and batch.translation:
            self.samples.append(batch.sample.rows(shown))
            self.translations.append(replace(batch.translation, intermediates={}).rows(shown))
        if self._metrics is None:
            able = [name for name in self._wanted if not batch.lacks(METRICS.get(name).info.needs)]
            self._metrics = {name: METRICS.get(name).factory() for name in able}
        for name, metric in self._metrics.items():
            try:
                metric.update(batch)
            except ValueError as error:
                raise ValueError(f"{name} of {self.entrant.name}: {error}") from error

    def row(self) -> Row:
        """The scores of all batches so far."""
        scores: dict[str, Score] = {}
        for name, metric in (self._metrics or {}).items():
            if (score := metric.compute()) is not None:
                scores[name] = score
        samples = {name: values for name, m in (self._metrics or {}).items() if (values := m.samples())}
        latency = 1000 * statistics.median(self._seconds) if self.entrant.kind == "model" else None
        return Row(self.entrant.name, self.entrant.kind, self.entrant.facts, latency, scores, samples)

    def _translated(self, base: EvalBatch) -> EvalBatch | None:
        if self.entrant.model is None:  # the truth is not compared with itself
            if base.truth is None:
                return None
            return replace(base, generated=base.truth, truth=None, real=None, _own={})
        sample = cast(Sample, base.sample)
        translation = self._translate(self.entrant.model, sample)
        return replace(base, generated=to_uint8(translation.image), translation=translation, _own={})

    def _translate(self, model: Generator, sample: Sample) -> Translation:
        spec: ConditionSpec = model.cfg.condition
        image = sample.image.to(self._device)
        target = pick(spec, sample.target, self._have, _styles(spec, sample.id)).to(self._device)
        source = None
        if spec.needs_source:
            source = pick(spec, sample.source, self._have, _styles(spec, sample.id)).to(self._device)
        self._wait()
        start = time.perf_counter()
        with torch.inference_mode():
            translation: Translation = model(image, target, source)
        self._wait()
        self._seconds.append((time.perf_counter() - start) / len(image))
        _check_finite(translation.image, sample.id, self.entrant.name)
        return translation.to("cpu")

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _styles(spec: ConditionSpec, ids: Sequence[str]) -> Tensor | None:
    """A random style code a sample, (B, columns): it depends on the sample's name alone. None if none is read."""
    if not spec.style:
        return None
    seeds = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") for name in ids]
    codes = [draw_style(spec, 1, torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat([code for code in codes if code is not None])


def _shown(n: int) -> list[int]:
    """Places of the samples whose pictures are kept: spread evenly, as neighbours may show one person."""
    count = min(n, PICTURES)
    return [i * n // count for i in range(count)]


def _pictures(runs: Sequence[_Run]) -> Pictures:
    shown = {run.entrant.name: cat(run.translations) for run in runs if run.translations}
    first = next(run for run in runs if run.samples)
    return Pictures(cat(first.samples), shown)


def _check_finite(image: Tensor, ids: Sequence[str], name: str) -> None:
    broken = (~torch.isfinite(image)).flatten(1).any(1).nonzero()
    if len(broken):
        raise ValueError(f"{name} returns NaN or infinity for sample {ids[int(broken[0])]}; its weights are broken")


def _published_facts(name: str, facts: ModelFacts) -> ModelFacts:
    folder = resolve(parse_model_name(name))
    results = files.read_json(folder / RESULTS) if (folder / RESULTS).is_file() else {}
    training = results.get("training") if isinstance(results, dict) else None
    arch = read_config(folder)["arch"]
    return replace(
        facts,
        arch=arch,
        weights_sha256=files.sha256(folder / WEIGHTS),
        training={name: value for name, value in dict(training or {}).items() if isinstance(value, (str, int, float))},
    )
