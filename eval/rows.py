"""One row of a board while it is scored: pictures go in, metrics take them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from eval.contestants import Contestant
from eval.cost import count_macs
from eval.metrics.base import EvalBatch, Metric, made_by_model
from eval.metrics.sets import SetMetric
from eval.shards import Part
from eval.wanted import wanted
from geotrans.base import Generator
from geotrans.ops.images import from_uint8, to_uint8
from geotrans.types import Condition, ConditionSpec, Sample
from registry import METRICS

STYLES = 10  # results for one input, where a metric asks how they differ


class RowRun:
    """One row while it is scored on a shard."""

    def __init__(
        self,
        entrant: Contestant,
        have: ConditionSpec,
        metrics: Sequence[str],
        device: torch.device,
        told: ConditionSpec,
    ) -> None:
        """told: the columns whose changes are put into words beside the pictures."""
        self.entrant, self.part, self._told = entrant, Part(), told
        self._have, self._device, self._wanted = have, device, metrics
        self._further = {need for name in metrics for need in METRICS.get(name).info.needs if made_by_model(need)}
        if isinstance(entrant.model, torch.nn.Module):
            entrant.model.to(device).eval()

    def step(self, base: EvalBatch, real_ids: Sequence[str], shown: list[int]) -> None:
        """Translate a batch, hand it to every metric, and keep the rows `shown`.

        Args:
            real_ids: names of the batch's real pictures.
        """
        batch = self._translated(base)
        if batch is None:
            self.part.ids += base.id
            return
        if shown and batch.sample and batch.translation:
            self.part.wanted += wanted(batch.sample.rows(shown), self._told)
            sample = replace(batch.sample, source=None, target=None, visible=None, other=None)
            self.part.samples.append(sample.rows(shown))
            self.part.translations.append(replace(batch.translation, intermediates={}).rows(shown))
        if not self.part.ids:
            self.part.metrics = {name: METRICS.get(name).factory() for name in self._wanted if self._able(name, batch)}
        for name, metric in self.part.metrics.items():
            try:
                _update(metric, batch, real_ids)
            except ValueError as error:
                raise ValueError(f"{name} of {self.entrant.name}: {error}") from error
        self.part.ids += batch.id

    def _able(self, name: str, batch: EvalBatch) -> bool:
        """Whether a metric has all it needs; real pictures may come with a later batch, but not to themselves."""
        needs = METRICS.get(name).info.needs
        if "real" in needs and self.entrant.kind == "real":
            return False
        return not batch.lacks(need for need in needs if need != "real")

    def _translated(self, base: EvalBatch) -> EvalBatch | None:
        assert base.sample is not None
        sample, entrant = base.sample, self.entrant
        if entrant.kind == "real":
            return _real(base, sample)
        inputs = entrant.inputs(sample.image, sample.target, sample.source, sample.id, self._have, self._device)
        self._wait()
        start = time.perf_counter()
        translation = entrant.translate(inputs, sample.id)
        self._wait()
        self.part.seconds.append((time.perf_counter() - start) / len(sample.image))
        if self.part.macs is None and entrant.kind == "model" and isinstance(entrant.model, Generator):
            self.part.macs = count_macs(entrant.model, inputs[0], inputs[1] or Condition(), inputs[2])
        translation = translation.to("cpu")
        batch = replace(base, generated=to_uint8(translation.image), translation=translation, _own={})
        cycle = self._back(sample, batch.generated) if "cycle" in self._further else None
        variants = self._styled(sample) if "variants" in self._further else None
        return replace(batch, cycle=cycle, variants=variants)

    def _back(self, sample: Sample, generated: Tensor) -> Tensor | None:
        """The results translated to the condition of the source; None if that is not known, or the model reads none."""
        reads_nothing = self.entrant.config is not None and self.entrant.config.condition == ConditionSpec()
        if self.entrant.model is None or (reads_nothing and self.entrant.kind == "model"):
            return None
        if sample.source is None or sample.image.ndim != 4:
            return None
        image = from_uint8(generated)
        inputs = self.entrant.inputs(image, sample.source, sample.target, sample.id, self._have, self._device)
        return to_uint8(self.entrant.translate(inputs, sample.id).image).cpu()

    def _styled(self, sample: Sample) -> Tensor | None:
        """Results in several random styles (B, V, 3, H, W); None if the model reads no style, or the data gives it."""
        if self.entrant.config is None or not self.entrant.config.condition.style or self._have.style:
            return None
        results = []
        for style in range(STYLES):
            codes = [f"{name} style {style}" for name in sample.id]
            inputs = self.entrant.inputs(sample.image, sample.target, sample.source, codes, self._have, self._device)
            results.append(to_uint8(self.entrant.translate(inputs, sample.id).image).cpu())
        return torch.stack(results, dim=1)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _real(base: EvalBatch, sample: Sample) -> EvalBatch | None:
    """The truth as if it were a result, not compared with itself; without one, the source under its own labels."""
    if base.truth is not None:
        return replace(base, generated=base.truth, truth=None, real=None, _own={})
    if sample.source is None:
        return None
    known = replace(sample, target=sample.source)
    return replace(base, generated=base.get("source"), source=None, real=None, sample=known, _own={})


def _update(metric: Metric, batch: EvalBatch, real_ids: Sequence[str]) -> None:
    """Hand a batch to a metric; the two sides of a distance between sets may differ in number."""
    if not isinstance(metric, SetMetric):
        metric.update(batch)
        return
    metric.add("generated", batch.feature(metric.feature, "generated"), batch.id)
    if batch.real is not None:
        metric.add("real", batch.feature(metric.feature, "real"), real_ids)
