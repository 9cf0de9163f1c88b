"""Losses divided by slow averages of themselves, and noise on the wanted action units: exact, and resumed exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from geotrans.factory import create_dataset, create_recipe
from geotrans.losses.base import LossInputs
from geotrans.train.balance import Balance
from geotrans.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from geotrans.train.loop import Trainer
from geotrans.train.recipe import LossTerm, Recipe, check_recipe
from geotrans.train.step import Terms, make_batch
from geotrans.types import Condition, ConditionSpec, Sample, Translation

CPU = torch.device("cpu")
BALANCED = Recipe(
    generator="cyclegan_resnet6_64",
    generator_options={"resolution": 16, "width": 4, "blocks": 1},
    discriminator="patchgan_64",
    discriminator_options={"resolution": 16, "width": 4, "layers": 1},
    dataset="synthface",
    dataset_options={"resolution": 16, "size": 8, "task": "modality", "domains": ["photo", "cartoon"]},
    g_losses=(LossTerm("adv_lsgan_g"), LossTerm("cycle_l1", 2.0)),
    d_losses=(LossTerm("adv_lsgan_d", 0.5),),
    batch_size=2,
    total_images=8,
    directions="twin",
    real="target",
    balance=0.9,
    tag="there",
    back_tag="back",
)
NOISY = Recipe(
    generator="ganimation_base_64",
    generator_options={"resolution": 16, "width": 4, "blocks": 1},
    discriminator="ganimation_d_64",
    discriminator_options={"resolution": 16, "width": 4, "layers": 3},
    dataset="synthface",
    dataset_options={"resolution": 16, "size": 8, "task": "aus"},
    g_losses=(LossTerm("adv_lsgan_g"), LossTerm("cls_au_mse_fake")),
    d_losses=(LossTerm("adv_lsgan_d"), LossTerm("cls_au_mse_real")),
    batch_size=2,
    total_images=8,
    au_noise=0.1,
    tag="noisy",
)
UNITS = ConditionSpec(aus=("AU01", "AU02", "AU04"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_averages_start_at_one_and_are_taken_over_at_step_36_and_every_90() -> None:
    balance, losses = Balance(2, 0.9999, CPU), torch.tensor([3.0, 0.5])
    taken = []
    for step in range(181):
        before = balance.divisors.clone()
        balance.update(step, losses)
        if not torch.equal(before, balance.divisors):
            taken.append(step)
    assert taken == [0, 36, 90, 180]
    left = 0.9999**181
    torch.testing.assert_close(balance.averages, left + (1 - left) * losses)
    assert torch.equal(balance.averages, balance.divisors)


def test_divided_terms_make_the_sum_and_the_log_shows_them_as_they_are() -> None:
    image = torch.zeros(2, 3, 4, 4)
    inputs = LossInputs(image, cycle=Translation(image + 0.5), output=Translation(image + 0.25), truth=image)
    terms = Terms([LossTerm("cycle_l1", 2.0), LossTerm("rec_l1", 3.0)])
    total, means = terms(inputs, torch.tensor([4.0, 0.1]))
    torch.testing.assert_close(means, torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(total, torch.tensor(2 * 0.5 / 4 + 3 * 0.25 / 0.1))


def test_both_ways_of_a_twin_count_in_one_average() -> None:
    trainer = Trainer(BALANCED, Accelerator(cpu=True))
    assert trainer.balance is not None
    list(trainer.run(1))
    means = trainer.means.take()
    sums = [means[f"g/{name}"] + means[f"g_back/{name}"] for name in ("adv_lsgan_g", "cycle_l1")]
    torch.testing.assert_close(trainer.balance.averages, 0.9 + 0.1 * torch.tensor(sums))
    assert torch.equal(trainer.balance.divisors, trainer.balance.averages)


def test_without_a_balance_nothing_is_stored_and_the_weights_are_others() -> None:
    balanced, plain = (Trainer(recipe, Accelerator(cpu=True)) for recipe in (BALANCED, replace(BALANCED, balance=0.0)))
    for trainer in (balanced, plain):
        list(trainer.run(3))
    kept = {name for name in balanced.tensors() if name.startswith("balance/")}
    assert kept == {"balance/averages", "balance/divisors"}
    assert balanced.tensors().keys() - kept == plain.tensors().keys()
    assert any(not torch.equal(value, balanced.tensors()[name]) for name, value in plain.tensors().items())


@pytest.mark.parametrize("recipe", [BALANCED, NOISY], ids=["balance", "noise"])
def test_a_resumed_run_ends_with_the_same_bits(recipe: Recipe, tmp_path: Path) -> None:
    straight, resumed = (Trainer(recipe, Accelerator(cpu=True)) for _ in range(2))
    killed = 2
    for step in straight.run(recipe.steps):
        if step == killed:
            write_checkpoint(tmp_path, Checkpoint(step, 0.0, 1, recipe, straight.tensors()))
    resumed.load(read_checkpoint(tmp_path / f"checkpoint-{killed:08d}"))
    list(resumed.run(recipe.steps))
    expected, got = straight.tensors(), resumed.tensors()
    assert expected.keys() == got.keys()
    assert [name for name in expected if not torch.equal(expected[name], got[name])] == []


def _batch(
    noise: float, seed: int = 0, reads: ConditionSpec = UNITS
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    units = torch.rand(400, 3, generator=torch.Generator().manual_seed(1))
    sample = Sample(torch.zeros(400, 3, 2, 2), Condition(aus=units), Condition(aus=units.flip(0)))
    torch.manual_seed(seed)
    batch = make_batch(sample, reads, UNITS, au_noise=noise)
    assert batch.source is not None
    assert batch.source.aus is not None
    assert batch.target.aus is not None
    return batch.source.aus, batch.target.aus, units


def test_noise_is_even_and_only_on_what_is_wanted() -> None:
    source, target, units = _batch(0.1)
    assert torch.equal(source, units)
    off = target - units.flip(0)
    assert 0.095 < float(off.abs().max()) <= 0.1 + 1e-6
    assert float(off.mean().abs()) < 0.01
    assert float(off.std()) == pytest.approx(0.1 / 3**0.5, rel=0.05)  # of an even distribution
    assert float(target.min()) < 0 < 1 < float(target.max())  # as in the authors' code it is not cut off
    assert torch.equal(target, _batch(0.1)[1])
    assert not torch.equal(target, _batch(0.1, seed=1)[1])
    assert torch.equal(_batch(0.0)[1], units.flip(0))


def test_the_papers_recipes_use_them() -> None:
    assert create_recipe("ganimation_base_128_emotionnet").au_noise == 0.1
    assert create_recipe("ganimorph_base_128_unpaired").balance == 0.9999


def test_mistakes_are_named() -> None:
    faces = create_dataset("synthface", resolution=16)
    with pytest.raises(ValueError, match="au_noise: the generator reads no action units"):
        make_batch(faces.batch([0, 1]), ConditionSpec(attributes=("Smiling",)), faces.spec, au_noise=0.1)
    with pytest.raises(ValueError, match="au_noise: expected 0 or more, got -1"):
        check_recipe(replace(NOISY, au_noise=-1.0))
    with pytest.raises(ValueError, match=r"balance: expected a share in \[0, 1\), got 1"):
        check_recipe(replace(BALANCED, balance=1.0))
