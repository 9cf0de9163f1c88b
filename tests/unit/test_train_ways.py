"""Two domains, both directions, pools, a low stage, and starting from trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from geotrans.factory import create_discriminator, create_model
from geotrans.losses.base import LossInputs
from geotrans.train.checkpoint import checkpoints, read_checkpoint
from geotrans.train.loop import Trainer
from geotrans.train.pool import ImagePool
from geotrans.train.recipe import LossTerm, Optim, Recipe, check_recipe
from geotrans.train.session import Session, train
from geotrans.train.step import Batch, Networks, discriminator_inputs, generator_inputs, low_stage, make_batch
from geotrans.types import Condition, ConditionSpec, Sample, Translation

TWIN = Recipe(
    generator="cyclegan_resnet6_64",
    generator_options={"resolution": 16, "width": 4, "blocks": 1},
    discriminator="patchgan_64",
    discriminator_options={"resolution": 16, "width": 4, "layers": 1},
    dataset="synthface",
    dataset_options={"resolution": 16, "size": 8, "task": "modality", "domains": ["photo", "cartoon"]},
    g_losses=(LossTerm("adv_lsgan_g"), LossTerm("cycle_l1", 10.0), LossTerm("idt_l1", 5.0)),
    d_losses=(LossTerm("adv_lsgan_d", 0.5),),
    g_optim=Optim(1e-3),
    d_optim=Optim(1e-3),
    batch_size=4,
    total_images=16,
    directions="twin",
    real="target",
    fake_pool=3,
    ema_halflife=8,
    tag="there",
    back_tag="back",
)
MUNIT = replace(
    TWIN,
    generator="munit_base_64",
    generator_options={"resolution": 16, "width": 4, "blocks": 1, "mlp_width": 8, "style_downsamples": 2},
    g_losses=(
        LossTerm("adv_lsgan_g"),
        LossTerm("rec_self", 10.0),
        LossTerm("rec_content"),
        LossTerm("rec_style"),
        LossTerm("cycle_l1"),
    ),
    fake_pool=0,
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def _tensors(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.tensors().items()}


def _batch(count: int = 2, side: int = 16) -> Batch:
    pictures = torch.rand(3, count, 3, side, side) * 2 - 1
    return Batch(pictures[0], Condition(), Condition(), None, pictures[1])


def test_each_domain_has_its_own_networks_and_all_of_them_learn(accelerator: Accelerator) -> None:
    trainer = Trainer(TWIN, accelerator)
    before = _tensors(trainer)
    list(trainer.run(1))
    after = trainer.tensors()
    for part in ("generator", "back", "discriminator", "back_discriminator"):
        changed = [
            name for name in before if name.startswith(f"{part}/") and not torch.equal(before[name], after[name])
        ]
        assert changed, part
    assert {"g/cycle_l1", "g_back/cycle_l1", "d/adv_lsgan_d", "d_back/adv_lsgan_d"} <= trainer.means.take().keys()


def test_the_way_back_swaps_networks_and_pictures() -> None:
    there, back = (create_model("cyclegan_resnet6_64", width=4, blocks=1) for _ in range(2))
    networks = Networks(there, back=back, real="target")
    batch = _batch()
    assert batch.other is not None
    turned = batch.reversed()
    assert torch.equal(turned.image, batch.other)
    assert turned.other is not None
    assert torch.equal(turned.other, batch.image)
    assert networks.reversed().generator is back
    assert networks.reversed().reversed().generator is there
    output = networks.translate(batch.image, batch.target, batch.source)
    inputs = generator_inputs(networks, frozenset({"cycle", "same"}), batch, output)
    assert inputs.cycle is not None
    assert inputs.same is not None
    torch.testing.assert_close(inputs.cycle.image, back(output.image, Condition()).image)
    torch.testing.assert_close(inputs.same.image, there(batch.other, Condition()).image)


def test_one_network_in_both_directions_swaps_the_pairs() -> None:
    first, second = torch.rand(2, 2, 3, 16, 16)
    one, two = (Condition(modality=torch.eye(2)[[row, row]]) for row in (0, 1))
    turned = Batch(first, one, two, second, second).reversed()
    assert torch.equal(turned.image, second)
    assert turned.truth is not None
    assert torch.equal(turned.truth, first)
    assert turned.source is two
    assert turned.target is one


def test_the_discriminator_of_a_domain_sees_its_own_pictures() -> None:
    networks = Networks(
        create_model("cyclegan_resnet6_64", width=4, blocks=1),
        create_discriminator("patchgan_64", width=4, layers=1),
        real="target",
    )
    batch = _batch()
    inputs = discriminator_inputs(networks, frozenset({"real"}), batch, None)
    assert networks.discriminator is not None
    assert batch.other is not None
    assert inputs.real is not None
    torch.testing.assert_close(inputs.real.scores[0], networks.discriminator(batch.other).scores[0])


def test_unpaired_pictures_never_show_the_sample_itself() -> None:
    pictures = torch.arange(4.0)[:, None, None, None].expand(4, 3, 8, 8)
    sample = Sample(pictures, Condition(), Condition(), truth=pictures)
    batch = make_batch(sample, ConditionSpec(), ConditionSpec(), "target")
    assert batch.other is not None
    assert not (batch.other == pictures).any()
    with pytest.raises(ValueError, match="batch of 1"):
        make_batch(Sample(pictures[:1], truth=pictures[:1]), ConditionSpec(), ConditionSpec(), "target")
    with pytest.raises(ValueError, match="paired target"):
        make_batch(Sample(pictures), ConditionSpec(), ConditionSpec(), "truth")


def test_a_pool_hands_the_discriminator_earlier_pictures() -> None:
    older = torch.full((1, 3, 16, 16), 0.5)
    pool = ImagePool(1, choose=lambda size: 0)
    pool(older)
    networks = Networks(
        create_model("identity"), create_discriminator("patchgan_64", width=4, layers=1), real="target", fakes=pool
    )
    batch = _batch(1)
    output = networks.translate(batch.image, batch.target, batch.source)
    inputs = discriminator_inputs(networks, frozenset({"fake"}), batch, output)
    assert inputs.output is not None
    assert torch.equal(inputs.output.image, older)


def test_earlier_pictures_are_judged_beside_what_they_were_made_for() -> None:
    discriminator = create_discriminator("patn_d_64", width=4, blocks=1).eval()
    poses = discriminator.cfg.condition.structure
    pool = ImagePool(1, choose=lambda size: 0)
    networks = Networks(create_model("identity"), discriminator, real="truth", fakes=pool)
    structure = {"picture": 3, "shown": 18, "wanted": 18}
    assert poses == sum(structure[name] for name in discriminator.beside)
    steps = []
    for _ in range(2):
        shown, wanted = (Condition(structure=torch.rand(1, 18, 64, 64)) for _ in range(2))
        image, truth = torch.rand(2, 1, 3, 64, 64)
        batch = Batch(image, shown, wanted, truth, truth)
        output = Translation(torch.rand(1, 3, 64, 64))
        inputs = discriminator_inputs(networks, frozenset({"fake"}), batch, output)
        steps.append((networks.judge(output, batch, wanted), inputs.fake))
    (own, first), (newer, second) = steps
    assert first is not None
    assert second is not None
    for expected, different, got in zip(own.scores, newer.scores, second.scores, strict=True):
        torch.testing.assert_close(got, expected)
        assert not torch.allclose(got, different)


@pytest.mark.parametrize("recipe", [TWIN, MUNIT], ids=["cyclegan", "munit"])
def test_a_resumed_run_of_two_domains_ends_with_the_same_bits(
    recipe: Recipe, accelerator: Accelerator, tmp_path: Path
) -> None:
    straight = Trainer(recipe, accelerator)
    list(straight.run(recipe.steps))
    train(recipe, Session(tmp_path, sample_every=0, checkpoint_every=8), accelerator)
    resumed = Trainer(recipe, accelerator)
    resumed.load(read_checkpoint(checkpoints(tmp_path)[0]))
    assert resumed.step < recipe.steps
    list(resumed.run(recipe.steps))
    expected, got = straight.tensors(), resumed.tensors()
    assert expected.keys() == got.keys()
    assert [name for name in expected if not torch.equal(expected[name], got[name])] == []


def test_a_twin_publishes_both_of_its_generators(accelerator: Accelerator, tmp_path: Path) -> None:
    folders = train(TWIN, Session(tmp_path, sample_every=0), accelerator)
    assert [folder.name for folder in folders] == ["cyclegan_resnet6_64.there", "cyclegan_resnet6_64.back"]
    there, back = (create_model(f"local-dir:{folder}", pretrained=True).state_dict() for folder in folders)
    assert any(not torch.equal(there[name], back[name]) for name in there)


def test_a_translators_own_codes_rebuild_the_source_and_the_cycle_keeps_its_style() -> None:
    options = {"width": 4, "blocks": 1, "mlp_width": 8, "style_downsamples": 2}
    there, back = (create_model("munit_base_64", **options) for _ in range(2))
    networks, batch = Networks(there, back=back, real="target"), _batch()
    styled = Condition(style=torch.randn(2, 8))
    batch = replace(batch, source=styled, target=styled)
    output = networks.translate(batch.image, batch.target, batch.source)
    inputs = generator_inputs(networks, frozenset({"cycle", "rebuilt"}), batch, output)
    assert inputs.rebuilt is not None
    assert inputs.cycle is not None
    codes = there.content(batch.image), there.style(batch.image)
    torch.testing.assert_close(inputs.rebuilt, back.decode(*codes))
    torch.testing.assert_close(inputs.cycle.image, back(output.image, Condition(style=codes[1])).image)
    torch.testing.assert_close(inputs.cycle.intermediates["content"], back.content(output.image))


def test_the_low_discriminator_sees_both_kinds_of_negatives() -> None:
    generator = create_model("spm_pyramid_64", resolution=32, width=4, blocks=1, refine_blocks=1)
    low = create_discriminator("star_d_64", resolution=16, width=4, layers=3)
    bits = Condition(attributes=torch.tensor([[0.0, 1, 0, 1], [1, 1, 0, 0]]))
    networks = Networks(generator, low=low)
    batch = Batch(torch.rand(2, 3, 32, 32), bits, bits)
    output = networks.translate(batch.image, batch.target, batch.source)
    view, twice, pictures = low_stage(networks, batch, output)
    assert view.discriminator is low
    assert twice.image.shape == (4, 3, 16, 16)
    assert torch.equal(pictures.image[:2], output.intermediates["image_0"])
    assert twice.target.attributes is not None
    assert torch.equal(twice.target.attributes[:2], twice.target.attributes[2:])


def test_a_stage_starts_from_the_one_before(tmp_path: Path, accelerator: Accelerator) -> None:
    small = {"resolution": 16, "width": 4, "blocks": 1, "refine_blocks": 1}
    trained = create_model("spm_refine_64", **small)
    folder = trained.save_pretrained(tmp_path / "low")
    recipe = Recipe(
        generator="spm_pyramid_64",
        generator_options={**small, "resolution": 32},
        discriminator="star_d_64",
        discriminator_options={"resolution": 32, "width": 4, "layers": 4},
        low_discriminator="star_d_64",
        low_options={"resolution": 16, "width": 4, "layers": 3},
        dataset="synthface",
        dataset_options={"resolution": 32, "size": 8},
        g_losses=(LossTerm("adv_lsgan_g"), LossTerm("cls_bce_fake"), LossTerm("cycle_l1", 10.0)),
        d_losses=(LossTerm("adv_lsgan_d", 0.5), LossTerm("cls_bce_real")),
        batch_size=4,
        total_images=8,
        start=f"local-dir:{folder}",
        tag="test",
    )
    trainer = Trainer(recipe, accelerator)
    for name, value in trained.state_dict().items():
        assert torch.equal(trainer.networks.generator.state_dict()[f"low.{name}"], value)
    before = _tensors(trainer)
    list(trainer.run(2))
    assert {"g_low/adv_lsgan_g", "d_low/cls_bce_real"} <= trainer.means.take().keys()
    assert "g_low/cycle_l1" not in trainer.means.take()
    after = trainer.tensors()
    changed = [name for name, value in before.items() if not torch.equal(after[name], value)]
    assert any(name.startswith("low/") for name in changed)
    with pytest.raises(ValueError, match="another shape: encoder"):
        Trainer(replace(recipe, generator="spm_refine_64", generator_options={}, low_discriminator=None), accelerator)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"back_tag": ""}, "back_tag"),
        ({"directions": "one"}, "back_tag"),
        ({"real": "source"}, "real"),
        ({"d_every": 0}, "d_every"),
        ({"low_discriminator": "nothing"}, "nothing"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        check_recipe(replace(TWIN, **change))  # type: ignore[arg-type]


def test_the_discriminator_may_learn_in_every_second_step_only(accelerator: Accelerator) -> None:
    trainer = Trainer(replace(TWIN, d_every=2), accelerator)
    list(trainer.run(1))
    before = _tensors(trainer)
    list(trainer.run(2))
    after = trainer.tensors()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("discriminator/"))


def test_losses_see_a_style_code_where_data_has_none() -> None:
    sample = Sample(torch.rand(3, 3, 8, 8), truth=torch.rand(3, 3, 8, 8))
    batch = make_batch(sample, ConditionSpec(style=("a", "b")), ConditionSpec(), "target")
    assert batch.target.style is not None
    assert batch.target.style.shape == (3, 2)
    assert LossInputs(batch.image, batch.source, batch.target).target is batch.target


def test_a_conditional_discriminator_sees_each_picture_beside_its_own_label() -> None:
    spec = ConditionSpec(attributes=("a", "b"))
    judge = create_discriminator("patchgan_64", width=4, layers=1, condition=spec)
    networks = Networks(create_model("identity"), judge)
    one, two = (Condition(attributes=torch.tensor([row, row])) for row in ([0.0, 1.0], [1.0, 0.0]))
    batch = Batch(torch.rand(2, 3, 16, 16), one, two)
    output = networks.translate(batch.image, batch.target, batch.source)
    inputs = discriminator_inputs(networks, frozenset({"real", "fake"}), batch, output)
    assert inputs.real is not None
    assert inputs.fake is not None
    torch.testing.assert_close(inputs.real.scores[0], judge(batch.image, one).scores[0])
    torch.testing.assert_close(inputs.fake.scores[0], judge(output.image, two).scores[0])
    assert not torch.equal(inputs.real.scores[0], inputs.fake.scores[0])


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("pix2pix_d_64", ["picture"]),
        ("patn_image_d_256", ["picture"]),
        ("patn_pose_d_256", ["wanted"]),
        ("patn_d_64", ["picture", "wanted"]),
        ("intrflow_d_256", ["picture", "wanted"]),
        ("posedefgan_d_64", ["picture", "shown", "wanted"]),
    ],
)
def test_a_discriminator_sees_the_pictures_and_poses_that_it_names(name: str, channels: list[str]) -> None:
    judge = create_discriminator(name, width=4, resolution=64).eval()
    networks = Networks(create_model("identity"), judge, real="truth")
    parts = {
        "picture": torch.rand(2, 3, 64, 64),
        "shown": torch.rand(2, 18, 64, 64),
        "wanted": torch.rand(2, 18, 64, 64),
    }
    truth = torch.rand(2, 3, 64, 64)
    shown, wanted = (Condition(structure=parts[side]) for side in ("shown", "wanted"))
    batch = Batch(parts["picture"], shown, wanted, truth, truth)
    inputs = discriminator_inputs(networks, frozenset({"real", "fake"}), batch, Translation(parts["picture"]))
    beside = Condition(structure=torch.cat([parts[part] for part in channels], dim=1))
    for critique, picture in ((inputs.real, truth), (inputs.fake, batch.image)):
        assert critique is not None
        for got, expected in zip(critique.scores, judge(picture, beside).scores, strict=True):
            assert torch.equal(got, expected)
