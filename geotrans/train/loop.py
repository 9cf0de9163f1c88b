"""The training loop: warm-up, discriminator and generator steps, averaging, checkpoints, samples.

What a step draws at random is a function of (recipe.seed, step, process) and nothing else, so a run that was killed
and resumed goes through the very same numbers. Processes hold equal weights: each reads its share of a batch and the
gradients are averaged after every backward pass. That is data parallelism without `DistributedDataParallel`, which
allows neither the gradient of a gradient (penalties) nor one forward pass that two steps share.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adam

from geotrans.base import Discriminator, Generator, config_from_dict
from geotrans.data.base import Dataset, loader
from geotrans.factory import create_dataset, create_discriminator, create_model
from geotrans.losses.base import LossInputs
from geotrans.train.cache import Cached
from geotrans.train.checkpoint import Checkpoint, load_optimizer_tensors, optimizer_tensors
from geotrans.train.log import DivergedError, RunningMeans
from geotrans.train.recipe import Options, Recipe, check_recipe, differences, warmup_terms
from geotrans.train.schedule import Shuffle, average, learning_rate, mix
from geotrans.train.step import Batch, Networks, Terms, discriminator_inputs, generator_inputs, make_batch
from geotrans.types import VECTOR_FIELDS, Sample, Translation
from registry import DISCRIMINATORS, GENERATORS, suggest


class Trainer:
    """Networks, optimisers and losses of a recipe, at some step of its run.

    Args:
        workers: processes that read data; 0 reads in this one.
        cache: keep the dataset in memory if it takes no more bytes than that, and no `workers` read it.

    Raises:
        LookupError: a name in the recipe is not registered.
        ValueError: the recipe does not fit its networks, its data or the number of processes.
    """

    def __init__(self, recipe: Recipe, accelerator: Accelerator, *, workers: int = 0, cache: int = 0) -> None:
        check_recipe(recipe)
        self.recipe, self.accelerator, self.workers = recipe, accelerator, workers
        self.step = 0
        self.g_terms, self.d_terms = Terms(recipe.g_losses), Terms(recipe.d_losses)
        self.warmup_terms = Terms(warmup_terms(recipe))
        self.dataset = self._open_dataset(cache if not workers else 0)
        torch.manual_seed(mix(recipe.seed, "weights"))
        self.networks = self._build_networks()
        self.reads = self.networks.generator.cfg.condition
        self.ema = copy.deepcopy(self.networks.generator).eval().requires_grad_(False) if recipe.ema_halflife else None
        self.g_parameters = _parameters(self.networks.generator, self.networks.motion)
        self.d_parameters = _parameters(self.networks.discriminator)
        self.g_optim = _adam(self.g_parameters, recipe.g_optim.betas)
        self.d_optim = _adam(self.d_parameters, recipe.d_optim.betas)
        self.means = RunningMeans()

    @property
    def averaged(self) -> Generator:
        """The generator with the weights to publish: the moving average, or the last ones if there is none."""
        return self.networks.generator if self.ema is None else self.ema

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
            average(self.ema, self.networks.generator, recipe.ema_halflife, recipe.batch_size, self.images)

    def _discriminator_step(self, batch: Batch, output: Translation) -> None:
        inputs = discriminator_inputs(self.networks, self.d_terms.needs, batch, output)
        rate = learning_rate(self.recipe.d_optim, self.images, self.recipe.total_images)
        self._descend("d", self.d_terms, inputs, self.d_optim, self.d_parameters, rate)

    def _descend(
        self,
        side: str,
        terms: Terms,
        inputs: LossInputs,
        optimizer: Adam | None,
        parameters: Sequence[Tensor],
        rate: float,
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

    def _average_gradients(self, parameters: Sequence[Tensor]) -> None:
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

    def _open_dataset(self, cache: int) -> Dataset:
        dataset = create_dataset(self.recipe.dataset, **self.recipe.dataset_options)
        cached = Cached(dataset, truth="truth" in self.g_terms.needs | self.d_terms.needs)
        return cached if cache and cached.nbytes() <= cache else dataset

    def _build_networks(self) -> Networks:
        recipe, device = self.recipe, self.accelerator.device
        generator = create_model(
            recipe.generator, **_revived(GENERATORS.get(recipe.generator).factory(), recipe.generator_options)
        )
        _zero(generator, recipe.zero_init)
        judges = []
        for name, options in (
            (recipe.discriminator, recipe.discriminator_options),
            (recipe.motion_discriminator, recipe.motion_options),
        ):
            network = (
                None
                if name is None
                else create_discriminator(name, **_revived(DISCRIMINATORS.get(name).factory(), options))
            )
            if network is not None:
                _check_columns(generator, network, str(name))
                if recipe.d_init == "kaiming":
                    network.apply(_kaiming)
                network.to(device).train()
            judges.append(network)
        return Networks(
            generator.to(device).train(), judges[0], judges[1], self.accelerator.autocast, recipe.instance_noise
        )


def _zero(generator: Generator, names: Sequence[str]) -> None:
    parameters = dict(generator.named_parameters())
    for name in names:
        if name not in parameters:
            raise ValueError(f"zero_init: the generator has no parameter {name!r}; {suggest(name, parameters)}")
        nn.init.zeros_(parameters[name])


def _parameters(*networks: nn.Module | None) -> list[nn.Parameter]:
    return [p for network in networks if network is not None for p in network.parameters() if p.requires_grad]


def _adam(parameters: list[nn.Parameter], betas: tuple[float, float]) -> Adam | None:
    return Adam(parameters, betas=betas, fused=True) if parameters else None


def _all_finite(parameters: Iterator[Tensor]) -> bool:
    sums = [parameter.detach().abs().sum() for parameter in parameters]
    return not sums or bool(torch.stack(sums).sum().isfinite())


def _kaiming(module: nn.Module) -> None:
    """He initialisation for leaky rectifiers: activations keep their size from the first step on."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _revived(entry_cfg: Any, options: Options) -> dict[str, Any]:
    """Options as the config's types: what a JSON recipe holds as an object becomes the config that it stands for."""
    return {
        name: config_from_dict(type(getattr(entry_cfg, name)), value)
        if isinstance(value, Mapping) and hasattr(entry_cfg, name)
        else value
        for name, value in options.items()
    }


def _check_columns(generator: Generator, judge: Discriminator, name: str) -> None:
    """A discriminator that reads a condition must read the generator's, or its losses compare unlike columns."""
    wanted, got = generator.cfg.condition, judge.cfg.condition
    for part in VECTOR_FIELDS:
        if getattr(got, part) and getattr(got, part) != getattr(wanted, part):
            columns = [", ".join(getattr(spec, part)) or "none" for spec in (got, wanted)]
            raise ValueError(
                f"{name} reads {part} {columns[0]}, the generator {columns[1]}; give both the same condition"
            )
