"""A run from start to end: its folder, resuming, logging, checkpoints, pictures and the published result."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from geotrans.train.checkpoint import Checkpoint, checkpoints, read_checkpoint, write_checkpoint
from geotrans.train.log import DivergedError, RunLog
from geotrans.train.loop import Trainer
from geotrans.train.publish import publish
from geotrans.train.recipe import Recipe, differences, read_recipe, to_json
from geotrans.train.samples import SampleSheet

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """What a run needs besides its recipe; none of it decides the weights.

    Attributes:
        output: the run's folder.
        data: the folder of a dataset that reads files.
        resume: go on from the newest checkpoint in `output`, if there is one.
        workers: processes that read data; 0 reads in this one.
        cache_mb: keep the dataset in memory if it takes no more megabytes than that, and `workers` is 0.
        checkpoint_every: images between checkpoints.
        sample_every: images between pictures of the validation samples; 0 draws none.
        log_every: steps between lines of the log.
        half: publish the weights in float16.
    """

    output: Path
    data: Path | None = None
    resume: bool = False
    workers: int = 0
    cache_mb: int = 1024
    checkpoint_every: int = 4_000
    sample_every: int = 4_000
    log_every: int = 50
    half: bool = False


def train(recipe: Recipe, session: Session, accelerator: Accelerator | None = None) -> list[Path]:
    """Train a recipe and write the published folder, or folders.

    Args:
        accelerator: device, number of processes and precision; by default what the environment says.

    Returns:
        `output/published/GENERATOR.TAG`; a twin has two of them.

    Raises:
        LookupError: a name in the recipe is not registered.
        ValueError: the recipe cannot be trained, `output` holds something else, or a loss is no longer finite.
    """
    accelerator = accelerator or Accelerator()
    trainer = Trainer(recipe, accelerator, data=session.data, workers=session.workers, cache=session.cache_mb << 20)
    made = not session.output.exists()
    seconds = _open(session, trainer)
    accelerator.wait_for_everyone()
    try:
        run = _Run(trainer, session, seconds)
        try:
            run.to_the_end()
        finally:
            run.log.close()
    finally:
        if made and not trainer.step and accelerator.is_main_process:  # nothing was done that could be gone on with
            shutil.rmtree(session.output, ignore_errors=True)
    folder = session.output / "published"
    if accelerator.is_main_process:
        publish(trainer, folder, run.seconds(), half=session.half)
    accelerator.wait_for_everyone()
    return [folder / f"{recipe.generator}.{tag}" for tag in trainer.published]


class _Run:
    """The bookkeeping around the steps of one session."""

    def __init__(self, trainer: Trainer, session: Session, seconds: float) -> None:
        self.trainer, self.session, self.main = trainer, session, trainer.accelerator.is_main_process
        self._before, self._start = seconds, time.perf_counter()
        self._saved = trainer.step
        self.samples = SampleSheet(trainer, session.output / "samples") if self.main and session.sample_every else None
        self.log = RunLog(session.output, trainer.step, trainer.recipe.steps, quiet=not self.main)

    def seconds(self) -> float:
        """Wall-clock time of the run so far, earlier sessions included."""
        return self._before + time.perf_counter() - self._start

    def to_the_end(self) -> None:
        """Every step that is left, with what belongs between the steps."""
        recipe, session = self.trainer.recipe, self.session
        for step in self.trainer.run(recipe.steps):
            self.log.advance()
            last = step == recipe.steps
            save = last or self._due(session.checkpoint_every, step)
            if save or step % session.log_every == 0:
                self._write_log()
            if save:
                self._save()
            if self.samples is not None and (last or self._due(session.sample_every, step)):
                self.samples.draw(recipe.images(step))

    def _due(self, every: int, step: int) -> bool:
        """Whether the images that a step saw cross a multiple of `every`."""
        recipe = self.trainer.recipe
        return every > 0 and recipe.images(step) // every > recipe.images(step - 1) // every

    def _write_log(self) -> None:
        trainer = self.trainer
        means = trainer.means.take()
        try:
            trainer.check_finite(means)
        except DivergedError as error:
            kept = checkpoints(self.session.output)
            last = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
            raise DivergedError(f"{error}; {last}; lower the rates or the term's weight") from None
        self.log.write(trainer.step, trainer.images, means | trainer.rates())

    def _save(self) -> None:
        if self.main:
            trainer = self.trainer
            world = trainer.accelerator.num_processes
            checkpoint = Checkpoint(trainer.step, self.seconds(), world, trainer.recipe, trainer.tensors())
            write_checkpoint(self.session.output, checkpoint)


def _open(session: Session, trainer: Trainer) -> float:
    """Prepare the output folder, or go on from what is in it; returns the seconds that the run has taken so far."""
    output, found = session.output, checkpoints(session.output)
    filled = output.is_dir() and any(not path.name.startswith(".") for path in output.iterdir())
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; choose another --output")
    if filled and not session.resume:
        raise ValueError(f"{output} is not empty; add --resume to go on with it, or choose another --output")
    if found:
        checkpoint = read_checkpoint(found[-1])
        trainer.load(checkpoint)
        return checkpoint.seconds
    if filled and (output / "recipe.json").is_file():
        if differing := differences(read_recipe(output / "recipe.json"), trainer.recipe):
            raise ValueError(
                f"{output} belongs to another recipe; choose another --output, or undo: {'; '.join(differing)}"
            )
    elif filled:
        raise ValueError(f"{output} is not the folder of a run: it has no recipe.json; choose another --output")
    trainer.accelerator.wait_for_everyone()  # all have looked at the folder before the first one writes there
    if session.resume:
        _LOG.warning("%s holds no checkpoint: starting from the beginning", output)
    if trainer.accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        temporary = output / ".recipe.json.tmp"
        temporary.write_text(to_json(trainer.recipe), encoding="utf-8")
        temporary.replace(output / "recipe.json")
    return 0.0
