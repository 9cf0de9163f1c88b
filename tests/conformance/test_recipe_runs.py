"""Every recipe, made small, runs for 50 steps; killed at the 25th and resumed, it ends with the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from geotrans.factory import create_recipe, list_recipes
from geotrans.publishing import save_folder
from geotrans.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from geotrans.train.loop import Trainer
from geotrans.train.recipe import Recipe
from tests.tiny_recipes import example_folder, reads_folder, tiny

STEPS, KILLED = 50, 25
STAGES = ("spm_refine_128_celeba", "spm_refine_256_celebahq", "spm_refine_512_celebahq")


@pytest.fixture(scope="module", autouse=True)
def _plain_kernels() -> Iterator[None]:
    """For networks this small, oneDNN's preparations take longer than the convolutions."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    (enabled, *_) = torch.backends.mkldnn.set_flags(False)
    yield
    torch.backends.mkldnn.set_flags(enabled)
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Example folders, each written when it is first wanted."""
    return {"": tmp_path_factory.mktemp("folders")}


def data_of(recipe: Recipe, folders: dict[str, Path]) -> Path | None:
    if not reads_folder(recipe.dataset):
        return None
    key = f"{recipe.dataset}{recipe.dataset_options.get('domains', '')}"
    if key not in folders:
        root = folders[""] / str(len(folders))
        root.mkdir()
        folders[key] = example_folder(recipe, root)
    return folders[key]


@pytest.mark.parametrize("name", list_recipes())
def test_a_killed_run_ends_as_if_it_had_not_been_killed(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    recipe = tiny(create_recipe(name), STEPS)
    assert recipe.steps == STEPS
    data = data_of(recipe, folders)

    def start() -> Trainer:
        return Trainer(recipe, Accelerator(cpu=True), data=data, cache=1 << 28)

    straight = start()
    before = {key: value.clone() for key, value in straight.tensors().items()}
    for step in straight.run(STEPS):
        if step == KILLED:
            write_checkpoint(tmp_path, Checkpoint(step, 0.0, 1, recipe, straight.tensors()))
    straight.check_finite(straight.means.take())
    resumed = start()
    resumed.load(read_checkpoint(tmp_path / f"checkpoint-{KILLED:08d}"))
    assert resumed.step == KILLED
    assert list(resumed.run(STEPS)) == list(range(KILLED + 1, STEPS + 1))
    expected, got = straight.tensors(), resumed.tensors()
    assert expected.keys() == got.keys()
    for key, value in expected.items():
        assert torch.equal(value, got[key]), key
    learned = {key.partition("/")[0] for key, value in before.items() if not torch.equal(value, expected[key])}
    assert {key.partition("/")[0] for key in before if not key.startswith(("fakes", "reals"))} == learned


def test_the_stages_of_spm_start_from_each_other(folders: dict[str, Path], tmp_path: Path) -> None:
    """Each recipe names the folder that the run of the one before publishes, and takes over its low stage."""
    low: dict[str, torch.Tensor] = {}
    for stage, name in enumerate(STAGES):
        full = create_recipe(name)
        recipe = tiny(full, 1)
        published = tmp_path / str(stage)
        if stage:
            before = create_recipe(STAGES[stage - 1])
            assert full.start == f"local-dir:runs/{STAGES[stage - 1]}/published/{before.generator}.{before.tag}"
            recipe = replace(recipe, start=f"local-dir:{tmp_path / str(stage - 1)}")
        trainer = Trainer(recipe, Accelerator(cpu=True), data=data_of(recipe, folders))
        for key, value in low.items():
            assert torch.equal(trainer.networks.generator.get_parameter(f"low.{key}"), value)
        list(trainer.run(1))
        save_folder(trainer.averaged, published, arch=recipe.generator, tag=recipe.tag)
        parameters = {key.removeprefix("low."): value for key, value in trainer.averaged.named_parameters()}
        low = {key: value.detach().clone() for key, value in parameters.items() if not stage or key in low}
