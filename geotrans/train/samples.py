"""Pictures of a run: the same validation samples again and again, translated with the weights to be published."""

from __future__ import annotations

import inspect
from pathlib import Path

import torch

from geotrans import viz
from geotrans.base import Generator
from geotrans.data.base import Dataset
from geotrans.factory import create_dataset
from geotrans.losses.base import need
from geotrans.ops.images import write_image
from geotrans.train.build import with_root
from geotrans.train.clips import roll_out
from geotrans.train.loop import Trainer
from geotrans.train.recipe import Recipe
from geotrans.train.step import Networks, make_batch
from geotrans.types import Sample, Translation
from registry import DATASETS


class SampleSheet:
    """Draws `folder/IMAGES.png`, a row a sample: source, flow, warped, mask, residual, result, truth.

    Args:
        count: rows; the first samples of the dataset's validation split, or of its only one.
    """

    def __init__(self, trainer: Trainer, folder: Path, count: int = 8) -> None:
        self._trainer, self._folder = trainer, folder
        dataset = _validation(trainer.recipe, trainer.data)
        self._sample = dataset.batch(range(min(count, len(dataset))))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(trainer.recipe.seed)
            self._batch = make_batch(self._sample.to(trainer.accelerator.device), trainer.reads, dataset.spec)

    def draw(self, images: int) -> Path:
        """Write the picture of the weights as they are now."""
        with torch.inference_mode():
            sample, output = self._translated(self._trainer.averaged.eval())
        if self._trainer.ema is None:
            self._trainer.averaged.train()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{images:08d}.png"
        write_image(path, viz.sheet(sample.to("cpu"), output.to("cpu"), scale=2))
        return path

    def _translated(self, generator: Generator) -> tuple[Sample, Translation]:
        """The samples and what becomes of them; of clips, their last frames."""
        batch = self._batch
        if self._trainer.recipe.rollout == 1:
            return self._sample, generator(batch.image, batch.target, batch.source)
        frames = need(batch.truth, "the true frames of a clip").shape[1]
        ((seen, output),) = roll_out(Networks(generator), batch, frames, learns=False)
        last = slice(-len(batch.image), None)
        return Sample(seen.image[last], truth=need(seen.truth, "truth")[last]), output.rows(last)


def _validation(recipe: Recipe, data: Path | None) -> Dataset:
    options = with_root(recipe.dataset, recipe.dataset_options, data)
    if "split" in inspect.signature(DATASETS.get(recipe.dataset).factory).parameters:
        options["split"] = "val"
    return create_dataset(recipe.dataset, **options)
