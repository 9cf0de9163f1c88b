"""The training loop: warm-up, discriminator and generator steps, averaging, checkpoints, samples.

What a step draws at random is a function of (recipe.seed, step, process) and nothing else, so a run that was killed and
resumed goes through the very same numbers. Processes hold equal weights: each reads its share of a batch and the gradients
are averaged after every backward pass. That is data parallelism without the `DistributedDataParallel` wrapper, which allows
neither the gradient of a gradient (penalties) nor one forward pass shared by two backward passes.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from geotrans.base import Discriminator, Generator, config_from_dict
from geotrans.data.base import loader
from geotrans.factory import create_dataset, create_discriminator, create_model
from geotrans.train.checkpoint import (
    Checkpoint,
    checkpoints,
    load_optimizer_tensors,
    optimizer_tensors,
    read_checkpoint,
    write_checkpoint,
)
from geotrans.train.log import DivergedError, RunLog, RunningMeans
from geotrans.train.recipe import Options, Recipe, check_recipe, differences, read_recipe, to_json, warmup_terms
from geotrans.train.schedule import Shuffle, averaging, learning_rate, mix
from geotrans.train.step import Batch, Networks, Terms, discriminator_inputs, generator_inputs, make_batch
from geotrans.types import Sample, Translation
from registry import DISCRIMINATORS, GENERATORS

_LOG = logging.getLogger(__name__)

M = TypeVar("M", Generator, Discriminator)


@dataclass(frozen=True, slots=True)
class Session:
    """What a run needs besides its recipe; none of it decides the weights.

    Attributes:
        output: the run's folder.
        resume: go on from the newest checkpoint in `output`, if there is one.
        workers: processes that read data; 0 reads in this one.
        checkpoint_every: images between checkpoints.
        sample_every: images between pictures of the validation samples; 0 draws none.
        log_every: steps between lines of the log.
        stop_after: end this session after so many steps of the run, with a checkpoint.
    """

    output: Path
    resume: bool = False
    workers: int = 0
    checkpoint_every: int = 4_000
    sample_every: int = 4_000
    log_every: int = 50
    stop_after: int | None = None


class Trainer:
    """Networks, optimisers and losses of a recipe, at some step of its run.

    Raises:
        LookupError: a name in the recipe is not registered.
        ValueError: the recipe does not fit its networks, its data or the number of processes.
    """

    def __init__(self, recipe: Recipe, accelerator: Accelerator, workers: int = 0) -> None:
        check_recipe(recipe)
        self.recipe, self.accelerator, self.workers = recipe, accelerator, workers
        self.step = 0
        self.dataset = create_dataset(recipe.dataset, **recipe.dataset_options)
        torch.manual_seed(mix(recipe.seed, "weights"))
        self.networks = self._build_networks()
        self.reads = self.networks.generator.cfg.condition
        self.ema = self._build_average()
        learners = [self.networks.generator, *([self.networks.motion] if self.networks.motion is not None else [])]
        self.g_parameters = [p for p in chain.from_iterable(n.parameters() for n in learners) if p.requires_grad]
        self.d_parameters = list(self.networks.discriminator.parameters()) if self.networks.discriminator else []
        self.g_optim = _adam(self.g_parameters, recipe.g_optim.betas) if self.g_parameters else None
        self.d_optim = _adam(self.d_parameters, recipe.d_optim.betas) if self.d_parameters else None
        self.g_terms, self.d_terms = Terms(recipe.g_losses), Terms(recipe.d_losses)
        self.warmup_terms = Terms(warmup_terms(recipe))
        self.means = RunningMeans()

    @property
    def averaged(self) -> Generator:
        """The generator with the weights to publish: the moving average, or the last ones if there is none."""
        return self.networks.generator if self.ema is None else self.ema.module

    @property
    def images(self) -> int:
        """Images the generator has learned from."""
        return self.recipe.images(self.step)

    def run(self, last: int) -> Iterator[int]:
        """Train up to step `last`, yielding after each step the number of steps done."""
        warmup = min(self.recipe.warmup_steps, last)
        if self.step < warmup:
            for sample in self._samples("warmup", self.recipe.warmup.batch_size, self.step, warmup):
                self._reseed()
                self._warmup_step(self._batch(sample))
                yield self._advance()
            if self.step == self.recipe.warmup_steps and self.d_optim is not None:
                self.d_optim.state.clear()  # the adversarial steps start with moments of their own
        draws, done = self.recipe.n_critic, self.recipe.warmup_steps
        if self.step >= last:
            return
        samples = self._samples("train", self.recipe.batch_size, (self.step - done) * draws, (last - done) * draws)
        while self.step < last:
            self._reseed()
            self._adversarial_step([self._batch(next(samples)) for _ in range(draws)])
            yield self._advance()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, under `part/key`."""
        parts: dict[str, Mapping[str, Tensor]] = {name: module.state_dict() for name, module in self._modules().items()}
        parts |= {name: optimizer_tensors(optimizer) for name, optimizer in self._optimizers().items()}
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
        self.step = checkpoint.step

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
        inputs = discriminator_inputs(self.networks, self.warmup_terms.needs, batch, None)
        self._descend("warmup", self.warmup_terms, inputs, self.d_optim, self.d_parameters, self.recipe.warmup.lr)

    def _adversarial_step(self, batches: list[Batch]) -> None:
        recipe = self.recipe
        for batch in batches[:-1]:
            if self.d_terms:
                with torch.no_grad():
                    output = self._translate(batch)
                self._discriminator_step(batch, output)
        batch = batches[-1]
        output = self._translate(batch)
        if self.d_terms:
            self._discriminator_step(batch, output)
        if self.networks.discriminator is not None:
            self.networks.discriminator.requires_grad_(False)
        inputs = generator_inputs(self.networks, self.g_terms.needs, batch, output)
        rate = learning_rate(recipe.g_optim, self.images, recipe.total_images)
        self._descend("g", self.g_terms, inputs, self.g_optim, self.g_parameters, rate)
        if self.networks.discriminator is not None:
            self.networks.discriminator.requires_grad_(True)
        if self.ema is not None:
            self.ema.update_parameters(self.networks.generator)

    def _discriminator_step(self, batch: Batch, output: Translation) -> None:
        inputs = discriminator_inputs(self.networks, self.d_terms.needs, batch, output)
        rate = learning_rate(self.recipe.d_optim, self.images, self.recipe.total_images)
        self._descend("d", self.d_terms, inputs, self.d_optim, self.d_parameters, rate)

    def _descend(
        self, side: str, terms: Terms, inputs: Any, optimizer: Adam | None, parameters: list[Tensor], rate: float
    ) -> None:
        """One optimiser step on the sum of `terms`."""
        total, means = terms(inputs)
        self.means.add(tuple(f"{side}/{name}" for name in terms.names), means)
        if optimizer is None:
            return
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self._average_gradients(parameters)
        if self.recipe.grad_clip:
            nn.utils.clip_grad_norm_(parameters, self.recipe.grad_clip)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()

    def _average_gradients(self, parameters: Iterable[Tensor]) -> None:
        if self.accelerator.num_processes == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _translate(self, batch: Batch) -> Translation:
        return self.networks.translate(batch.image, batch.target, batch.source)

    def _batch(self, sample: Sample) -> Batch:
        return make_batch(sample.to(self.accelerator.device), self.reads, self.dataset.spec)

    def _samples(self, phase: str, batch_size: int, start: int, stop: int) -> Iterator[Sample]:
        world = self.accelerator.num_processes
        if batch_size % world:
            raise ValueError(f"a batch of {batch_size} images cannot be shared by {world} processes; change one of them")
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

    def _modules(self) -> dict[str, nn.Module]:
        found = {
            "generator": self.networks.generator,
            "discriminator": self.networks.discriminator,
            "motion": self.networks.motion,
            "ema": self.ema,
        }
        return {name: module for name, module in found.items() if module is not None}

    def _optimizers(self) -> dict[str, Adam]:
        found = {"g_optim": self.g_optim, "d_optim": self.d_optim}
        return {name: optimizer for name, optimizer in found.items() if optimizer is not None}

    def _build_networks(self) -> Networks:
        recipe, device = self.recipe, self.accelerator.device
        generator = create_model(recipe.generator, **_revived(GENERATORS, recipe.generator, recipe.generator_options))
        judges = []
        for name, options in (
            (recipe.discriminator, recipe.discriminator_options),
            (recipe.motion_discriminator, recipe.motion_options),
        ):
            network = None if name is None else create_discriminator(name, **_revived(DISCRIMINATORS, name, options))
            if network is not None:
                _check_columns(generator, network, str(name))
                if recipe.d_init == "kaiming":
                    network.apply(_kaiming)
                network.to(device).train()
            judges.append(network)
        return Networks(generator.to(device).train(), judges[0], judges[1], self.accelerator.autocast)

    def _build_average(self) -> AveragedModel | None:
        if not self.recipe.ema_halflife:
            return None
        update = averaging(self.recipe.ema_halflife, self.recipe.batch_size)
        return AveragedModel(self.networks.generator, multi_avg_fn=update)  # type: ignore[arg-type]
