"""One training step: which passes the loss terms need, and the losses of either side.

Exact and cheap: the generator runs once for its own step and the last discriminator step before it, and in the
generator's step the discriminator is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geotrans.base import Discriminator, Generator, Model
from geotrans.factory import create_loss
from geotrans.losses.base import LossInputs, need
from geotrans.ops import flow as flow_ops
from geotrans.ops.condition import draw_style, pick
from geotrans.ops.images import resize
from geotrans.train.pool import ImagePool
from geotrans.train.recipe import LossTerm
from geotrans.types import Condition, ConditionSpec, Critique, Sample, Translation, cat
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

    def __call__(self, inputs: LossInputs, divisors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The weighted sum of the terms' means, a scalar, and the unweighted means (len(names),) for the log.

        Args:
            divisors: (len(names),), by which the terms are divided in the sum.
        """
        means = [loss(inputs).mean() for loss in self._losses]
        scaled = means if divisors is None else [mean / by for mean, by in zip(means, divisors, strict=True)]
        total = sum(
            (weight * mean for weight, mean in zip(self._weights, scaled, strict=True)), start=means[0].new_zeros(())
        )
        return total, torch.stack(means).detach()


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step learns from: images, the columns of their conditions that the generator reads, and real pictures.

    Attributes:
        source: None where the data does not know it.
        truth: the paired target, where there is one.
        other: real pictures under the target's condition; the truth itself in paired training.
        frames: of each clip; row t * B + b of everything is frame t of clip b.
    """

    image: Tensor
    source: Condition | None
    target: Condition
    truth: Tensor | None = None
    other: Tensor | None = None
    frames: int = 1

    def reversed(self) -> Batch:
        """The same pictures the other way round."""
        source = _known(self.source, "the way back")
        truth = None if self.truth is None else self.image
        return Batch(need(self.other, "a picture under the target's condition"), self.target, source, truth, self.image)

    def real(self, kind: str) -> tuple[Tensor, Condition | None]:
        """The real pictures that a discriminator sees, and their condition; `kind` as `Recipe.real`."""
        if kind == "source":
            return self.image, self.source
        return need(self.other, "a real picture under the target's condition"), self.target


def make_batch(
    sample: Sample, reads: ConditionSpec, have: ConditionSpec, other: str = "", *, au_noise: float = 0.0
) -> Batch:
    """Pick the columns a generator reads. Where the dataset sets no target, the sources of the batch change places.

    Args:
        other: which pictures `Batch.other` holds: none, the paired "truth", or under "target" the truths of other
            samples, unless the dataset has pictures of other subjects itself.
        au_noise: the target's action units are off by up to so much, as `Recipe.au_noise`.

    Raises:
        ValueError: the dataset has neither targets nor sources, or lacks a column or a picture; or there is noise for
            action units that the generator does not read.
    """
    source, target, count = sample.source, sample.target, len(sample.image)
    unconditional = reads == ConditionSpec(style=reads.style)
    if target is None and source is not None:
        target = source.rows(torch.randperm(count).to(sample.image.device))
    if target is None and not unconditional:
        raise ValueError("the dataset has neither targets nor sources, so there is nothing to translate to")
    conditions = []
    for condition in (source, target):
        style = draw_style(reads, count)
        known = condition is not None or unconditional
        conditions.append(
            pick(reads, condition, have, None if style is None else style.to(sample.image)) if known else None
        )
    truth = None if sample.target is None and not unconditional else sample.truth
    wanted = conditions[1] or Condition()
    if au_noise:
        if wanted.aus is None:
            raise ValueError("au_noise: the generator reads no action units; leave it at 0")
        wanted = replace(wanted, aus=wanted.aus + au_noise * (2 * torch.rand(wanted.aus.shape) - 1).to(wanted.aus))
    return Batch(sample.image, conditions[0], wanted, truth, _other(sample, other))


def _other(sample: Sample, kind: str) -> Tensor | None:
    if not kind:
        return None
    if kind == "truth":
        return need(sample.truth, "a paired target; this dataset has none: a recipe with real=truth cannot use it")
    if sample.other is not None:
        return sample.other
    truth = need(sample.truth, "pictures of the target's domain; this dataset has none")
    if len(truth) < 2:
        raise ValueError("a batch of 1 has no picture of another subject; use a batch of 2 or more, or unpaired data")
    return truth.roll(1, 0)


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of one way of translating, and what their passes have in common.

    The losses run outside of the context of the passes and see float32, the discriminator of a gradient penalty too.

    Attributes:
        motion: reads the condition off a motion.
        low: judges pictures of the generator's lowest resolution.
        video: judges clips.
        back: the generator of the way back, if it is another one.
        back_discriminator: its discriminator.
        precision: makes the context that passes run in (automatic mixed precision, say).
        noise: standard deviation of the noise on what the discriminator sees.
        real: which pictures are real, as `Recipe.real`.
        fakes: earlier generated pictures, for the discriminator's step.
        reals: earlier real pictures, for the generator's.
    """

    generator: Generator
    discriminator: Discriminator | None = None
    motion: Discriminator | None = None
    low: Discriminator | None = None
    video: Discriminator | None = None
    back: Generator | None = None
    back_discriminator: Discriminator | None = None
    precision: Callable[[], AbstractContextManager[None]] = nullcontext
    noise: float = 0.0
    real: str = "source"
    fakes: ImagePool | None = None
    reals: ImagePool | None = None

    def reversed(self, fakes: ImagePool | None = None, reals: ImagePool | None = None) -> Networks:
        """The networks of the way back, with pools of its own."""
        if self.back is None:
            return replace(self, fakes=fakes, reals=reals)
        return replace(
            self,
            generator=self.back,
            discriminator=self.back_discriminator,
            back=self.generator,
            back_discriminator=self.discriminator,
            fakes=fakes,
            reals=reals,
        )

    def modules(self) -> dict[str, Model]:
        """The networks that there are, by the names that checkpoints know them by."""
        found: dict[str, Model | None] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "motion": self.motion,
            "low": self.low,
            "video": self.video,
            "back": self.back,
            "back_discriminator": self.back_discriminator,
        }
        return {name: network for name, network in found.items() if network is not None}

    def translate(self, image: Tensor, target: Condition, source: Condition | None) -> Translation:
        """The generator's output in float32."""
        with self.precision():
            return self.generator(image, target, source).apply(Tensor.float)  # type: ignore[no-any-return]

    def judge(
        self,
        output: Translation | Tensor,
        batch: Batch,
        condition: Condition | None = None,
        structure: Tensor | None = None,
    ) -> Critique:
        """The discriminator's critique in float32, under instance noise.

        A conditional discriminator judges a picture beside its `condition`; a structure that it reads is what it says
        in `Discriminator.beside`, or the one given.
        """
        network = _present(self.discriminator)
        beside = None
        if network.conditional:
            if network.cfg.condition.structure and structure is None:
                structure = _beside(network, batch, condition)
            beside = replace(condition or Condition(), structure=structure)
        output = output if isinstance(output, Translation) else Translation(output)
        if self.noise:
            output = _noisy(output, self.noise)
        with self.precision():
            return network.examine(output, beside).apply(Tensor.float)

    def judge_motion(self, batch: Batch, flow: Tensor | None) -> Critique:
        """What the motion discriminator reads off the motion at its own resolution, in float32."""
        network = _present(self.motion)
        image, side = batch.image, int(network.cfg.resolution)
        if flow is not None and flow.shape[2] > side:
            image, flow = resize(image, (side, side)), flow_ops.resize(flow, (side, side))
        with self.precision():
            return network(image, batch.source, flow).apply(Tensor.float)  # type: ignore[no-any-return]


Stage = tuple[Networks, Batch, Translation]  # a step as another discriminator than the usual one sees it


def discriminator_inputs(
    networks: Networks, needs: frozenset[str], batch: Batch, output: Translation | None
) -> LossInputs:
    """What the discriminator's terms see; nothing of it reaches the generator.

    Here `image` and `source` are the real pictures and their condition.
    """
    image, condition = batch.real(networks.real)
    fixed = None if output is None else output.apply(Tensor.detach)
    structure = None
    if fixed is not None and networks.fakes is not None:
        fixed, structure = _pooled(networks, networks.fakes, batch, fixed)
    return LossInputs(
        image,
        condition,
        batch.target,
        output=fixed,
        truth=batch.truth,
        other=batch.other,
        real=networks.judge(image, batch, condition) if "real" in needs else None,
        fake=networks.judge(fixed, batch, batch.target, structure) if fixed is not None and "fake" in needs else None,
        critic=networks.discriminator,
    )


def generator_inputs(networks: Networks, needs: frozenset[str], batch: Batch, output: Translation) -> LossInputs:
    """What the generator's terms see."""
    cycle = same = rebuilt = motion = real = None
    back = networks.reversed()
    if "cycle" in needs:
        source = _known(batch.source, "a cycle")
        if "style" in output.intermediates:  # the way back restores the picture's own style
            source = replace(source, style=output.intermediates["style"])
        cycle = back.translate(output.image, source, batch.target)
    if "same" in needs and batch.other is not None:
        same = networks.translate(batch.other, batch.target, batch.target)
    elif "same" in needs:
        source = _known(batch.source, "an identity translation")
        same = networks.translate(batch.image, source, source)
    if "rebuilt" in needs:
        rebuilt = _rebuild(back, output)
    if "motion" in needs:
        motion = networks.judge_motion(batch, output.flow)
    if "real" in needs:
        pictures, condition = batch.real(networks.real)
        with torch.no_grad():
            real = networks.judge(pictures if networks.reals is None else networks.reals(pictures), batch, condition)
    return LossInputs(
        batch.image,
        batch.source,
        batch.target,
        output=output,
        cycle=cycle,
        same=same,
        truth=batch.truth,
        other=batch.other,
        rebuilt=rebuilt,
        real=real,
        fake=networks.judge(output, batch, batch.target) if "fake" in needs else None,
        moved=networks.judge(need(output.warped, "output.warped"), batch, batch.target) if "moved" in needs else None,
        motion=motion,
        critic=networks.discriminator,
    )


def low_stage(networks: Networks, batch: Batch, output: Translation) -> Stage:
    """The same step as a low discriminator sees it: each source twice, with the low stage's result and the final one.

    Both are negatives of D_l (SPM, Sec. 3.3). The generator documents its lowest resolution's picture as `image_0`.
    """
    low = output.intermediates.get("image_0")
    if low is None:
        raise ValueError("low_discriminator: the generator has no stage of lower resolution; leave it out")
    image = resize(batch.image, (low.shape[2], low.shape[3]))
    smaller = resize(output.image, (low.shape[2], low.shape[3]))
    twice = Batch(
        torch.cat([image, image]),
        None if batch.source is None else cat([batch.source, batch.source]),
        cat([batch.target, batch.target]),
    )
    view = replace(networks, discriminator=networks.low, real="source", fakes=None, reals=None)
    return view, twice, Translation(torch.cat([low, smaller]))


def _rebuild(back: Networks, output: Translation) -> Tensor:
    """The source from its own codes: a translator decodes into the other domain, so the way back's decoder does it."""
    decode = getattr(back.generator, "decode", None)
    if decode is None or not {"content", "style"} <= output.intermediates.keys():
        raise ValueError(
            "a loss rebuilds the source from its codes, and this generator has none; use MUNIT or leave it"
        )
    with back.precision():
        picture: Tensor = decode(output.intermediates["content"], output.intermediates["style"])
    return picture.float()


def _noisy(output: Translation, noise: float) -> Translation:
    """Noise on all pictures that a discriminator may look at."""
    smaller = {
        name: value + noise * torch.randn_like(value) if name.startswith("image_") else value
        for name, value in output.intermediates.items()
    }
    return replace(output, image=output.image + noise * torch.randn_like(output.image), intermediates=smaller)


def _pooled(
    networks: Networks, pool: ImagePool, batch: Batch, output: Translation
) -> tuple[Translation, Tensor | None]:
    """The output with pictures out of the pool, and what a discriminator judges these beside, kept with them."""
    network = _present(networks.discriminator)
    if not (network.conditional and network.cfg.condition.structure):
        return replace(output, image=pool(output.image)), None
    kept = pool(torch.cat([output.image, _beside(network, batch, batch.target)], dim=1))
    return replace(output, image=kept[:, :3]), kept[:, 3:]


def _beside(network: Discriminator, batch: Batch, condition: Condition | None) -> Tensor:
    """The maps that a discriminator judges a picture of that condition beside, (B, S, H, W)."""
    parts = {
        "picture": batch.image,
        "shown": None if batch.source is None else batch.source.structure,
        "wanted": None if condition is None else condition.structure,
    }
    return torch.cat([need(parts[name], f"the {name} structure, beside which it judges") for name in network.beside], 1)


def _known(source: Condition | None, what: str) -> Condition:
    if source is None:
        raise ValueError(f"{what} needs the condition of the source image, which the dataset does not know")
    return source


def _present(network: Discriminator | None) -> Discriminator:
    if network is None:
        raise ValueError("a loss needs a discriminator that the recipe does not name")
    return network
