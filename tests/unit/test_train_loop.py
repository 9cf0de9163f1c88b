"""The loop: what each step does to the weights, exact resuming, divergence, and the published folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from geotrans.factory import create_dataset, create_model, verify_folder
from geotrans.train.cache import Cached
from geotrans.train.checkpoint import Checkpoint, checkpoints, read_checkpoint, write_checkpoint
from geotrans.train.log import DivergedError
from geotrans.train.loop import Trainer
from geotrans.train.override import set_fields
from geotrans.train.recipe import LossTerm, Optim, Recipe, Warmup, from_json
from geotrans.train.session import Session, train
from geotrans.train.step import Batch
from geotrans.types import Condition

TINY = Recipe(
    generator="spm_refine_64",
    generator_options={"resolution": 16, "width": 4, "blocks": 1, "refine_blocks": 1},
    discriminator="star_d_64",
    discriminator_options={"resolution": 16, "width": 4, "layers": 3},
    motion_discriminator="spm_motion_d_64",
    motion_options={"resolution": 16, "width": 4},
    dataset="synthface",
    dataset_options={"resolution": 16, "size": 10},
    g_losses=(
        LossTerm("adv_wgan_g"),
        LossTerm("cls_bce_fake"),
        LossTerm("cycle_l1", 10.0),
        LossTerm("mask_area", 0.1),
        LossTerm("motion_cls", 0.5),
    ),
    d_losses=(LossTerm("adv_wgan_d"), LossTerm("cls_bce_real"), LossTerm("gradient_penalty", 10.0)),
    g_optim=Optim(1e-3, decay_images=8),
    d_optim=Optim(1e-3),
    batch_size=4,
    total_images=16,
    n_critic=2,
    warmup=Warmup(images=12, batch_size=6, lr=1e-2),
    d_init="kaiming",
    ema_halflife=8,
    tag="test",
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Pictures of 16 pixels are not worth sharing between threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def _weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.tensors().items()}


def _changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name.split("/")[0] for name in before if not torch.equal(before[name], after[name])}


def test_the_warmup_moves_the_discriminator_alone(accelerator: Accelerator) -> None:
    trainer = Trainer(TINY, accelerator)
    start = _weights(trainer)
    assert list(trainer.run(2)) == [1, 2]
    assert _changed(start, _weights(trainer)) == {"discriminator"}
    assert trainer.images == 0
    assert set(trainer.means.take()) == {"warmup/cls_bce_real"}


def test_a_step_moves_every_network_and_the_average(accelerator: Accelerator) -> None:
    trainer = Trainer(replace(TINY, warmup=Warmup()), accelerator)
    start = _weights(trainer)
    list(trainer.run(1))
    assert _changed(start, _weights(trainer)) == {"generator", "discriminator", "motion", "ema"}
    assert trainer.images == 4
    assert all(parameter.requires_grad for parameter in trainer.d_parameters)


def test_the_discriminator_moves_n_critic_times_a_step(accelerator: Accelerator) -> None:
    trainer = Trainer(replace(TINY, warmup=Warmup(), n_critic=3), accelerator)
    list(trainer.run(2))
    state = trainer.tensors()
    assert state["d_optim/0.step"].item() == 6
    assert state["g_optim/0.step"].item() == 2


def test_the_discriminator_forgets_the_moments_of_its_warmup(accelerator: Accelerator) -> None:
    trainer = Trainer(TINY, accelerator)
    list(trainer.run(3))
    assert trainer.tensors()["d_optim/0.step"].item() == TINY.n_critic


def test_each_step_sees_other_images(accelerator: Accelerator) -> None:
    trainer = Trainer(
        replace(TINY, n_critic=1, warmup=Warmup(), dataset_options={"resolution": 16, "size": 16}), accelerator
    )
    seen: list[int] = []
    read = trainer.dataset.batch
    trainer.dataset.batch = lambda indices: (seen.extend(indices), read(indices))[1]  # type: ignore[method-assign, func-returns-value]
    list(trainer.run(4))
    assert sorted(seen) == list(range(16))


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
@pytest.mark.parametrize("cache", [0, 1 << 24])
def test_a_resumed_run_ends_with_the_same_bits(accelerator: Accelerator, tmp_path: Path, stop: int, cache: int) -> None:
    whole = Trainer(TINY, accelerator, cache=cache)
    list(whole.run(TINY.steps))

    first = Trainer(TINY, accelerator, cache=cache)
    for _ in first.run(stop):
        torch.rand(7)  # what others draw between the steps must not matter
    write_checkpoint(tmp_path, Checkpoint(first.step, 0.0, 1, TINY, first.tensors()))
    torch.manual_seed(99)
    second = Trainer(TINY, accelerator, cache=cache)
    second.load(read_checkpoint(checkpoints(tmp_path)[-1]))
    list(second.run(TINY.steps))
    assert _changed(_weights(whole), _weights(second)) == set()
    assert whole.step == second.step == TINY.steps == 6


def test_a_cache_gives_the_same_samples_and_reads_them_once() -> None:
    dataset = create_dataset("synthface", resolution=16, size=40)
    cached = Cached(dataset, truth=True)
    reads: list[list[int]] = []
    draw = dataset.batch
    dataset.batch = lambda indices: (reads.append(list(indices)), draw(indices))[1]  # type: ignore[method-assign, func-returns-value]
    for _ in range(2):
        got, wanted = cached.batch([35, 9, 35]), draw([35, 9, 35])
        assert got.id == wanted.id
        torch.testing.assert_close(got.image, wanted.image)
        torch.testing.assert_close(got.truth, wanted.truth)
    assert reads == [list(range(32, 40)), list(range(16))]
    assert got.flow is None


def test_a_cache_knows_its_size_beforehand(accelerator: Accelerator) -> None:
    size = 10 * (3 * 16 * 16 * 4 + 2 * 4 * (4 + 17 + 8 + 4 + 136))
    assert isinstance(Trainer(TINY, accelerator, cache=size).dataset, Cached)
    assert not isinstance(Trainer(TINY, accelerator, cache=size - 1).dataset, Cached)
    assert not isinstance(Trainer(TINY, accelerator, cache=size, workers=1).dataset, Cached)


def test_another_recipe_is_refused(accelerator: Accelerator, tmp_path: Path) -> None:
    train(replace(TINY, total_images=4), Session(tmp_path, sample_every=0), accelerator)
    other = set_fields(TINY, ["total_images=4", "g_losses.cycle_l1.weight=5"])
    with pytest.raises(ValueError, match=r"belongs to another recipe.*: g_losses.cycle_l1.weight: 10.0 -> 5.0$"):
        train(other, Session(tmp_path, resume=True), accelerator)


def test_a_folder_in_use_is_refused(accelerator: Accelerator, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty; add --resume"):
        train(TINY, Session(tmp_path), accelerator)
    with pytest.raises(ValueError, match="is not the folder of a run"):
        train(TINY, Session(tmp_path, resume=True), accelerator)


def test_divergence_names_the_term_and_the_last_good_checkpoint(accelerator: Accelerator, tmp_path: Path) -> None:
    recipe = replace(TINY, warmup=Warmup(), total_images=40, g_optim=Optim(1e30), d_optim=Optim(1e30))
    with pytest.raises(
        DivergedError, match=r"(the loss [dg]/\w+ became (nan|inf)|the weights of the \w+ are not).*checkpoint"
    ):
        train(recipe, Session(tmp_path, sample_every=0, checkpoint_every=4), accelerator)
    for path in checkpoints(tmp_path):
        tensors = read_checkpoint(path).tensors
        assert all(torch.isfinite(value).all() for name, value in tensors.items() if "optim" not in name)


def test_columns_that_differ_are_refused(accelerator: Accelerator) -> None:
    recipe = set_fields(TINY, ['generator_options.condition={"attributes": ["Smiling"]}'])
    with pytest.raises(ValueError, match=r"star_d_64 reads attributes Smiling, .*the generator Smiling; give both"):
        Trainer(recipe, accelerator)


def test_a_generator_alone_trains_on_the_truth(accelerator: Accelerator) -> None:
    recipe = replace(
        TINY,
        discriminator=None,
        motion_discriminator=None,
        d_losses=(),
        g_losses=(LossTerm("rec_l1"),),
        warmup=Warmup(),
    )
    trainer = Trainer(replace(recipe, total_images=160, g_optim=Optim(3e-3)), accelerator, cache=1 << 24)
    losses = []
    for _ in trainer.run(40):
        losses.append(trainer.means.take()["g/rec_l1"])
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_run_publishes_its_average_with_cost_and_recipe(accelerator: Accelerator, tmp_path: Path) -> None:
    [folder] = train(TINY, Session(tmp_path, sample_every=8, log_every=2), accelerator)
    assert folder == tmp_path / "published" / "spm_refine_64.test"
    verify_folder(folder)
    published = create_model(f"local-dir:{folder}", pretrained=True)
    final = read_checkpoint(checkpoints(tmp_path)[-1])
    assert final.step == TINY.steps
    assert all(torch.equal(value, final.part("ema")[name]) for name, value in published.state_dict().items())
    training = json.loads((folder / "results.json").read_text())["training"]
    assert training["images"] == 16
    assert training["seconds"] > 0
    assert training["device"].startswith("cpu")
    assert from_json(json.dumps(training["recipe"])) == TINY
    card = (folder / "README.md").read_text()
    assert "Smiling, Arched_Eyebrows, Big_Nose, Pointy_Nose" in card
    assert "16 images" in card
    assert [path.name for path in sorted((tmp_path / "samples").iterdir())] == ["00000008.png", "00000016.png"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert {"images", "g/cycle_l1", "d/gradient_penalty", "g_optim.lr", "steps_per_second"} <= set(lines[-1])


def test_resuming_a_finished_run_publishes_it_again(accelerator: Accelerator, tmp_path: Path) -> None:
    recipe = replace(TINY, warmup=Warmup(), total_images=4)
    [folder] = train(recipe, Session(tmp_path, sample_every=0), accelerator)
    before = create_model(f"local-dir:{folder}", pretrained=True)
    [folder] = train(recipe, Session(tmp_path, resume=True, sample_every=0), accelerator)
    after = create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.state_dict().items())


def test_named_parameters_start_at_zero(accelerator: Accelerator) -> None:
    trainer = Trainer(replace(TINY, zero_init=("motion.0.weight", "refine.2.weight")), accelerator)
    generator = trainer.networks.generator
    assert not generator.get_parameter("motion.0.weight").any()
    assert generator.get_parameter("encoder.0.0.weight").any()
    batch = create_dataset("synthface", resolution=16, size=2).batch([0, 1])
    assert batch.target is not None
    with torch.no_grad():
        out = generator(batch.image, trainer.reads.select(batch.target, trainer.dataset.spec))
    torch.testing.assert_close(out.image, batch.image, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r"zero_init: the generator has no parameter 'motion\.weight'; did you mean"):
        Trainer(replace(TINY, zero_init=("motion.weight",)), accelerator)


def test_instance_noise_reaches_the_discriminator_and_nothing_else(accelerator: Accelerator) -> None:
    trainer = Trainer(replace(TINY, instance_noise=0.5), accelerator)
    image = torch.zeros(1, 3, 16, 16)
    seen = []
    discriminator = trainer.networks.discriminator
    assert discriminator is not None
    hook = discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer.networks.judge(image, Batch(image, None, Condition()))
    hook.remove()
    assert float(seen[0].std()) == pytest.approx(0.5, rel=0.1)
    assert not image.any()


def test_the_motion_is_judged_before_paint_when_a_term_asks_for_it(accelerator: Accelerator) -> None:
    terms = (LossTerm("cls_bce_moved"), LossTerm("cycle_l1"))
    trainer = Trainer(replace(TINY, g_losses=terms, motion_discriminator=None, warmup=Warmup()), accelerator)
    before = _weights(trainer)
    list(trainer.run(1))
    motion = "generator/motion.0.weight"
    assert not torch.equal(before[motion], trainer.tensors()[motion])
    assert "g/cls_bce_moved" in trainer.means.take()


def test_a_run_killed_while_its_recipe_was_written_can_start_again(accelerator: Accelerator, tmp_path: Path) -> None:
    (tmp_path / ".recipe.json.tmp").write_text("{")
    [folder] = train(replace(TINY, total_images=4), Session(tmp_path, resume=True, sample_every=0), accelerator)
    assert create_model(f"local-dir:{folder}", pretrained=True).cfg.width == 4
