"""The training loop: warm-up, discriminator and generator steps, averaging, checkpoints, samples.

What a step draws at random is a function of (recipe.seed, step, process) and nothing else, so a run that was killed
and resumed goes through the very same numbers. Processes hold equal weights: each reads its share of a batch and the
gradients are averaged after every backward pass. That is data parallelism without `DistributedDataParallel`, which
allows neither the gradient of a gradient (penalties) nor one forward pass that two steps share.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adam

from geotrans.base import Discriminator, Generator
from geotrans.data.base import loader
from geotrans.losses.base import LossInputs
from geotrans.train.balance import Balance
from geotrans.train.build import build_networks, open_dataset
from geotrans.train.checkpoint import Checkpoint, load_optimizer_tensors, optimizer_tensors
from geotrans.train.clips import fed_back, roll_out, video_stage
from geotrans.train.log import DivergedError, RunningMeans
from geotrans.train.pool import ImagePool
from geotrans.train.recipe import Recipe, check_recipe, differences, judged_terms, warmup_terms
from geotrans.train.schedule import Shuffle, average, learning_rate, mix
from geotrans.train.step import (
    Batch,
    Networks,
    Stage,
    Terms,
    discriminator_inputs,
    generator_inputs,
    low_stage,
    make_batch,
)
from geotrans.types import Sample, Translation


class Trainer:
    """Networks, optimisers and losses of a recipe, at some step of its run.

    Args:
        data: the folder of a dataset that reads files.
        workers: processes that read data; 0 reads in this one.
        cache: keep the dataset in memory if it takes no more bytes than that, and no `workers` read it.

    Raises:
        LookupError: a name in the recipe is not registered.
        ValueError: the recipe does not fit its networks, its data or the number of processes.
    """

    def __init__(
        self,
        recipe: Recipe,
        accelerator: Accelerator,
        *,
        data: Path | None = None,
        workers: int = 0,
        cache: int = 0,
    ) -> None:
        check_recipe(recipe)
        self.recipe, self.accelerator, self.data, self.workers = recipe, accelerator, data, workers
        self.step = 0
        self.g_terms, self.d_terms = Terms(recipe.g_losses), Terms(recipe.d_losses)
        self.warmup_terms = Terms(warmup_terms(recipe))
        self.judged_terms = (Terms(judged_terms(recipe.g_losses)), Terms(judged_terms(recipe.d_losses)))
        self.others = _others(recipe)
        pairs = bool(self.others) or "truth" in self.g_terms.needs | self.d_terms.needs
        self.dataset = open_dataset(recipe, data, cache if not workers else 0, truth=pairs)
        torch.manual_seed(mix(recipe.seed, "weights"))
        self.networks = build_networks(recipe, accelerator)
        self.ways = self._ways()
        self.reads = self.networks.generator.cfg.condition
        self.ema = _average_of(self.networks.generator) if recipe.ema_halflife else None
        self.back_ema = _average_of(self.networks.back) if recipe.ema_halflife and self.networks.back else None
        nets = self.networks
        self.g_parameters = _parameters(nets.generator, nets.motion, nets.back)
        self.d_parameters = _parameters(*self._judges())
        self.g_optim = _adam(self.g_parameters, recipe.g_optim.betas)
        self.d_optim = _adam(self.d_parameters, recipe.d_optim.betas)
        count, decay = len(self.g_terms.names), recipe.balance
        self.balance = Balance(count, decay, accelerator.device) if decay else None
        self.means = RunningMeans()

    @property
    def published(self) -> dict[str, Generator]:
        """Tag -> generator with the weights to publish: the moving average, or the last ones if there is none."""
        back = self.back_ema or self.networks.back
        found = {self.recipe.tag: self.ema or self.networks.generator}
        return found if back is None else {**found, self.recipe.back_tag: back}

    @property
    def averaged(self) -> Generator:
        """The generator with the weights to publish; see `published`."""
        return self.published[self.recipe.tag]

    @property
    def images(self) -> int:
        """Images the generator has learned from."""
        return self.recipe.images(self.step)

    def run(self, last: int) -> Iterator[int]:
        """Train up to step `last`, yielding after each step the number of steps done."""
        first, draws = self.recipe.warmup_steps, self.recipe.n_critic
        if self.step < min(first, last):
            for sample in self._samples("warmup", self.recipe.warmup.batch_size, self.step, min(first, last)):
                self._reseed()
                self._warmup_step(self._batch(sample))
                yield self._advance()
        if self.step >= last:
            return
        if self.step == first and self.d_optim is not None:
            self.d_optim.state.clear()  # the adversarial steps start with moments of their own
        samples = self._samples("train", self.recipe.batch_size, (self.step - first) * draws, (last - first) * draws)
        while self.step < last:
            self._reseed()
            self._adversarial_step([self._batch(next(samples)) for _ in range(draws)])
            yield self._advance()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, under `part/key`."""
        parts: dict[str, Mapping[str, Tensor]] = {name: module.state_dict() for name, module in self._modules().items()}
        parts |= {name: optimizer_tensors(optimizer) for name, optimizer in self._optimizers().items()}
        parts |= {name: stored.tensors() for name, stored in self._stores().items()}
        return {f"{part}/{key}": value for part, tensors in parts.items() for key, value in tensors.items()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Go to where a checkpoint was written.

        Raises:
            ValueError: it belongs to another recipe or another number of processes.
        """
        if differing := differences(checkpoint.recipe, self.recipe):
            raise ValueError(
                "the checkpoint belongs to another recipe, so it cannot be resumed; choose another --output, or undo: "
                + "; ".join(differing)
            )
        if checkpoint.world != self.accelerator.num_processes:
            raise ValueError(
                f"the run was started with {checkpoint.world} processes and cannot be resumed with "
                f"{self.accelerator.num_processes}; launch as many as before"
            )
        for name, module in self._modules().items():
            module.load_state_dict(checkpoint.part(name))
        for name, optimizer in self._optimizers().items():
            load_optimizer_tensors(optimizer, checkpoint.part(name))
        for name, stored in self._stores().items():
            stored.load(checkpoint.part(name))
        self.step = checkpoint.step

    def rates(self) -> dict[str, float]:
        """The learning rates of the last step."""
        return {f"{name}.lr": float(optimizer.param_groups[0]["lr"]) for name, optimizer in self._optimizers().items()}

    def check_finite(self, means: Mapping[str, float]) -> None:
        """Make sure that training has not blown up.

        Raises:
            DivergedError: a loss or a weight is not finite; the message names it.
        """
        for name, value in means.items():
            if not math.isfinite(value):
                raise DivergedError(f"the loss {name} became {value} by step {self.step} ({self.images} images)")
        for name, module in self._modules().items():
            if not _all_finite(module.parameters()):
                raise DivergedError(f"the weights of the {name} are not finite after step {self.step}")

    def _warmup_step(self, batch: Batch) -> None:
        ways = [(networks, self._turned(batch, way)) for way, networks in enumerate(self.ways)]
        parts = [
            _Part("warmup", 1.0, self.warmup_terms, discriminator_inputs(networks, self.warmup_terms.needs, seen, None))
            for networks, seen in ways
        ]
        self._descend(parts, self.d_optim, self.d_parameters, self.recipe.warmup.lr)

    def _adversarial_step(self, batches: list[Batch]) -> None:
        recipe = self.recipe
        learns = bool(self.d_terms) and (self.step - recipe.warmup_steps) % recipe.d_every == 0
        for batch in batches:
            teaches = batch is batches[-1]
            for passes in self._passes(batch, teaches) if learns or teaches else ():
                if learns:
                    self._discriminator_step(passes)
                if teaches:
                    self._generator_step(passes)
        forget = recipe.ema_halflife, recipe.batch_size, self.images
        for averaged, current in ((self.ema, self.networks.generator), (self.back_ema, self.networks.back)):
            if averaged is not None and current is not None:
                average(averaged, current, *forget)

    def _discriminator_step(self, passes: Sequence[_Pass]) -> None:
        parts = self._parts("d", passes, self.d_terms, self.judged_terms[1], discriminator_inputs)
        rate = learning_rate(self.recipe.d_optim, self.images, self.recipe.total_images)
        self._descend(parts, self.d_optim, self.d_parameters, rate)

    def _generator_step(self, passes: Sequence[_Pass]) -> None:
        for judge in self._judges():
            judge.requires_grad_(False)
        parts = self._parts("g", passes, self.g_terms, self.judged_terms[0], generator_inputs)
        rate = learning_rate(self.recipe.g_optim, self.images, self.recipe.total_images)
        means = self._descend(parts, self.g_optim, self.g_parameters, rate)
        if self.balance is not None:
            own = [mean for part, mean in zip(parts, means, strict=True) if part.terms is self.g_terms]
            losses = self.accelerator.reduce(torch.stack(own).sum(0), "mean")
            self.balance.update(self.step - self.recipe.warmup_steps, losses)
        for judge in self._judges():
            judge.requires_grad_(True)

    def _parts(
        self, side: str, passes: Sequence[_Pass], terms: Terms, judged: Terms, see: Callable[..., LossInputs]
    ) -> list[_Part]:
        """The losses of one side: those of every way, and those of the low and the video discriminator if there are."""
        parts = []
        for one in passes:
            inputs = see(one.networks, terms.needs, one.batch, one.output)
            parts.append(_Part(f"{side}{one.label}", 1.0, terms, inputs))
            for label, weight, stage in self._stages(one.networks):
                networks, batch, output = stage(one.networks, one.batch, one.output)
                parts.append(_Part(f"{side}_{label}", weight, judged, see(networks, judged.needs, batch, output)))
        return parts

    def _stages(self, networks: Networks) -> Iterator[tuple[str, float, Callable[..., Stage]]]:
        """The other discriminators of a way: where they stand in the log, how much they count, and what they see."""
        if networks.low is not None:
            yield "low", self.recipe.low_weight, low_stage
        if networks.video is not None:
            yield "video", self.recipe.video_weight, video_stage

    def _descend(
        self, parts: Sequence[_Part], optimizer: Adam | None, parameters: Sequence[Tensor], rate: float
    ) -> list[Tensor]:
        """One optimiser step on the weighted sum of `parts`; returns the means of each part's terms."""
        sums, found = [], []
        for part in parts:
            balance = self.balance if part.terms is self.g_terms else None
            total, means = part.terms(part.inputs, None if balance is None else balance.divisors)
            self.means.add(tuple(f"{part.label}/{name}" for name in part.terms.names), means)
            sums.append(part.weight * total)
            found.append(means)
        if optimizer is None:
            return found
        optimizer.zero_grad(set_to_none=True)
        torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]
        self._average_gradients(parameters)
        if self.recipe.grad_clip:
            nn.utils.clip_grad_norm_(parameters, self.recipe.grad_clip)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        return found

    def _average_gradients(self, parameters: Sequence[Tensor]) -> None:
        if self.accelerator.num_processes == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _passes(self, batch: Batch, learns: bool) -> Iterator[list[_Pass]]:
        """What the generators make of a batch, of clips in one rollout after the other.

        Args:
            learns: the generators will learn from it.
        """
        frames, there, structure = self.recipe.rollout, self.ways[0], batch.target.structure
        if frames == 1 and structure is not None and structure.ndim == 5:
            raise ValueError(f"rollout: samples want {structure.shape[1]} frames each, and a step paints 1; raise it")
        if frames == 1:
            with torch.set_grad_enabled(learns):
                passes = self._translate(batch)
            yield passes
            return
        for seen, output in roll_out(there, batch, frames, learns=learns, through_time=self.recipe.through_time):
            yield [_Pass("", there, seen, output)]

    def _translate(self, batch: Batch) -> list[_Pass]:
        """The generators' outputs, one for each way that this recipe translates."""
        passes = []
        for way, networks in enumerate(self.ways):
            seen = self._turned(batch, way)
            if self.recipe.fed_back:
                seen = fed_back(networks, seen, self.recipe.fed_back)
            output = networks.translate(seen.image, seen.target, seen.source)
            passes.append(_Pass("_back" if way else "", networks, seen, output))
        return passes

    @staticmethod
    def _turned(batch: Batch, way: int) -> Batch:
        return batch.reversed() if way else batch

    def _batch(self, sample: Sample) -> Batch:
        noise, sample = self.recipe.au_noise, sample.to(self.accelerator.device)
        return make_batch(sample, self.reads, self.dataset.spec, self.others, au_noise=noise)

    def _samples(self, phase: str, batch_size: int, start: int, stop: int) -> Iterator[Sample]:
        world = self.accelerator.num_processes
        if batch_size % world:
            raise ValueError(
                f"a batch of {batch_size} images cannot be shared by {world} processes; change one of them"
            )
        share = batch_size // world
        order = Shuffle(
            self.dataset,
            mix(self.recipe.seed, phase),
            share,
            start,
            stop,
            rank=self.accelerator.process_index,
            world=world,
        )
        return iter(loader(self.dataset, share, sampler=order, workers=self.workers))

    def _reseed(self) -> None:
        torch.manual_seed(mix(self.recipe.seed, self.step, self.accelerator.process_index))

    def _advance(self) -> int:
        self.step += 1
        return self.step

    def _judges(self) -> list[Discriminator]:
        """The networks that the discriminator's optimiser trains."""
        nets = self.networks
        judges = (nets.discriminator, nets.low, nets.video, nets.back_discriminator)
        return [net for net in judges if net is not None]

    def _modules(self) -> dict[str, nn.Module]:
        averages = {"ema": self.ema, "back_ema": self.back_ema}
        return {**self.networks.modules(), **{name: net for name, net in averages.items() if net is not None}}

    def _stores(self) -> dict[str, ImagePool | Balance]:
        """What a step remembers besides the networks and their optimisers."""
        found: dict[str, ImagePool | Balance | None] = {"balance": self.balance}
        for way, networks in enumerate(self.ways):
            found |= {f"fakes{way}": networks.fakes, f"reals{way}": networks.reals}
        return {name: stored for name, stored in found.items() if stored is not None}

    def _optimizers(self) -> dict[str, Adam]:
        found = {"g_optim": self.g_optim, "d_optim": self.d_optim}
        return {name: optimizer for name, optimizer in found.items() if optimizer is not None}

    def _ways(self) -> tuple[Networks, ...]:
        there = replace(self.networks, fakes=_pool(self.recipe.fake_pool), reals=_pool(self.recipe.real_pool))
        if self.recipe.directions == "one":
            return (there,)
        return there, self.networks.reversed(_pool(self.recipe.fake_pool), _pool(self.recipe.real_pool))


@dataclass(frozen=True, slots=True)
class _Pass:
    """A batch translated in one way."""

    label: str
    networks: Networks
    batch: Batch
    output: Translation


@dataclass(frozen=True, slots=True)
class _Part:
    """Terms of one side, what they see, how much their sum counts, and where they stand in the log."""

    label: str
    weight: float
    terms: Terms
    inputs: LossInputs


def _others(recipe: Recipe) -> str:
    """Which pictures besides its sources a recipe learns from, as in `make_batch`."""
    if recipe.real != "source":
        return recipe.real
    return "" if recipe.directions == "one" else "target"


def _pool(size: int) -> ImagePool | None:
    return ImagePool(size) if size else None


def _average_of(generator: Generator) -> Generator:
    return copy.deepcopy(generator).eval().requires_grad_(False)


def _parameters(*networks: nn.Module | None) -> list[nn.Parameter]:
    return [p for network in networks if network is not None for p in network.parameters() if p.requires_grad]


def _adam(parameters: list[nn.Parameter], betas: tuple[float, float]) -> Adam | None:
    return Adam(parameters, betas=betas, fused=True) if parameters else None


def _all_finite(parameters: Iterator[Tensor]) -> bool:
    sums = [parameter.detach().abs().sum() for parameter in parameters]
    return not sums or bool(torch.stack(sums).sum().isfinite())
