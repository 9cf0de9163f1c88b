"""One training step: which passes the loss terms need, and the losses of either side.

Exact and cheap: the generator runs once for its own step and the last discriminator step before it, the discriminator
judges real and generated images in one batch, and in the generator's step it is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.base import Discriminator, Generator
from geotrans.factory import create_loss
from geotrans.losses.base import LossInputs, need
from geotrans.train.recipe import LossTerm
from geotrans.types import Condition, ConditionSpec, Critique, Sample, Translation
from registry import LOSSES


class Terms:
    """The loss terms of one side that have a weight: their sum, and what each needs."""

    def __init__(self, terms: Sequence[LossTerm]) -> None:
        active = [term for term in terms if term.weight]
        self.names = tuple(term.name for term in active)
        self.needs = frozenset(name for term in active for name in LOSSES.get(term.name).info.needs)
        self._weights = [term.weight for term in active]
        self._losses = [create_loss(term.name, **term.options) for term in active]

    def __bool__(self) -> bool:
        return bool(self.names)

    def __call__(self, inputs: LossInputs) -> tuple[Tensor, Tensor]:
        """The weighted sum of the terms' means, a scalar, and the unweighted means (len(names),) for the log."""
        means = [loss(inputs).mean() for loss in self._losses]
        total = sum(
            (weight * mean for weight, mean in zip(self._weights, means, strict=True)), start=means[0].new_zeros(())
        )
        return total, torch.stack(means).detach()


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step learns from: images, and the columns of their conditions that the generator reads."""

    image: Tensor
    source: Condition | None
    target: Condition
    truth: Tensor | None = None


def make_batch(sample: Sample, reads: ConditionSpec, have: ConditionSpec) -> Batch:
    """Pick the columns a generator reads. Where the dataset sets no target, the sources of the batch change places.

    Raises:
        ValueError: the dataset has neither targets nor sources, or lacks a column.
    """
    source, target = sample.source, sample.target
    if target is None:
        if source is None:
            raise ValueError("the dataset has neither targets nor sources, so there is nothing to translate to")
        target = source.rows(torch.randperm(len(sample.image)).to(sample.image.device))
    return Batch(
        sample.image,
        None if source is None else reads.select(source, have),
        reads.select(target, have),
        sample.truth if sample.target is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of a run, a maker of the context their passes run in (automatic mixed precision, say), and the
    standard deviation of the noise on what the discriminator sees.

    The losses run outside of that context and see float32, the discriminator of a gradient penalty too.
    """

    generator: Generator
    discriminator: Discriminator | None = None
    motion: Discriminator | None = None
    precision: Callable[[], AbstractContextManager[None]] = nullcontext
    noise: float = 0.0

    def translate(self, image: Tensor, target: Condition, source: Condition | None) -> Translation:
        """The generator's output in float32."""
        with self.precision():
            return self.generator(image, target, source).apply(Tensor.float)  # type: ignore[no-any-return]

    def judge(self, image: Tensor) -> Critique:
        """The discriminator's critique in float32, of the image under instance noise."""
        if self.noise:
            image = image + self.noise * torch.randn_like(image)
        with self.precision():
            return _present(self.discriminator)(image).apply(Tensor.float)  # type: ignore[no-any-return]

    def judge_motion(self, batch: Batch, flow: Tensor | None) -> Critique:
        """What the motion discriminator reads off the motion, in float32."""
        with self.precision():
            return _present(self.motion)(batch.image, batch.source, flow).apply(Tensor.float)  # type: ignore[no-any-return]


def discriminator_inputs(
    networks: Networks, needs: frozenset[str], batch: Batch, output: Translation | None
) -> LossInputs:
    """What the discriminator's terms see; nothing of it reaches the generator."""
    fixed = None if output is None else output.apply(Tensor.detach)
    real: Critique | None = None
    fake: Critique | None = None
    if fixed is not None and {"real", "fake"} <= needs:
        both, count = networks.judge(torch.cat([batch.image, fixed.image])), len(batch.image)
        real, fake = both.rows(slice(0, count)), both.rows(slice(count, None))
    elif fixed is not None and "fake" in needs:
        fake = networks.judge(fixed.image)
    elif "real" in needs:
        real = networks.judge(batch.image)
    return LossInputs(
        batch.image,
        batch.source,
        batch.target,
        output=fixed,
        truth=batch.truth,
        real=real,
        fake=fake,
        critic=networks.discriminator,
    )


def generator_inputs(networks: Networks, needs: frozenset[str], batch: Batch, output: Translation) -> LossInputs:
    """What the generator's terms see."""
    cycle = same = motion = real = None
    if "cycle" in needs:
        cycle = networks.translate(output.image, _known(batch.source, "a cycle"), batch.target)
    if "same" in needs:
        source = _known(batch.source, "an identity translation")
        same = networks.translate(batch.image, source, source)
    if "motion" in needs:
        motion = networks.judge_motion(batch, output.flow)
    if "real" in needs:
        with torch.no_grad():
            real = networks.judge(batch.image)
    return LossInputs(
        batch.image,
        batch.source,
        batch.target,
        output=output,
        cycle=cycle,
        same=same,
        truth=batch.truth,
        real=real,
        fake=networks.judge(output.image) if "fake" in needs else None,
        moved=networks.judge(need(output.warped, "output.warped")) if "moved" in needs else None,
        motion=motion,
        critic=networks.discriminator,
    )


def _known(source: Condition | None, what: str) -> Condition:
    if source is None:
        raise ValueError(f"{what} needs the condition of the source image, which the dataset does not know")
    return source


def _present(network: Discriminator | None) -> Discriminator:
    if network is None:
        raise ValueError("a loss needs a discriminator that the recipe does not name")
    return network
