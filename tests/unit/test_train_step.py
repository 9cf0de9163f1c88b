"""One step: nothing is computed that no term needs, and the shortcuts are exact."""

from __future__ import annotations

import pytest
import torch

from geotrans.factory import create_dataset, create_discriminator, create_model
from geotrans.train.recipe import LossTerm
from geotrans.train.step import Batch, Networks, Terms, discriminator_inputs, generator_inputs, make_batch
from geotrans.types import Condition, ConditionSpec, Sample

FOUR = ConditionSpec(attributes=("a", "b", "c", "d"))


@pytest.fixture
def networks() -> Networks:
    return Networks(
        create_model("spm_refine_64", resolution=16, width=4, blocks=1, refine_blocks=1),
        create_discriminator("star_d_64", resolution=16, width=4, layers=3),
        create_discriminator("spm_motion_d_64", resolution=16, width=4),
    )


@pytest.fixture
def batch() -> Batch:
    image = torch.rand(3, 3, 16, 16) * 2 - 1
    bits = torch.tensor([[0.0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]])
    return Batch(image, Condition(attributes=bits), Condition(attributes=1 - bits))


def _count_passes(network: torch.nn.Module) -> list[int]:
    sizes: list[int] = []
    network.register_forward_hook(lambda _, arguments, __: sizes.append(len(arguments[0])))
    return sizes


@pytest.mark.parametrize(
    ("names", "translations", "judgements", "motions"),
    [
        (["adv_lsgan_g", "cls_bce_fake"], 0, [3], 0),
        (["mask_area"], 0, [], 0),
        (["cycle_l1", "adv_lsgan_g"], 1, [3], 0),
        (["cycle_l1", "idt_l1"], 2, [], 0),
        (["motion_cls"], 0, [], 1),
    ],
)
def test_the_generator_step_runs_only_what_its_terms_need(
    networks: Networks, batch: Batch, names: list[str], translations: int, judgements: list[int], motions: int
) -> None:
    assert networks.discriminator is not None
    assert networks.motion is not None
    output = networks.translate(batch.image, batch.target, batch.source)
    runs = [_count_passes(network) for network in (networks.generator, networks.discriminator, networks.motion)]
    terms = Terms([LossTerm(name) for name in names])
    total, means = terms(generator_inputs(networks, terms.needs, batch, output))
    assert [len(runs[0]), runs[1], len(runs[2])] == [translations, judgements, motions]
    torch.testing.assert_close(total.detach(), means.sum())


def test_the_discriminator_sees_the_source_and_the_output(networks: Networks, batch: Batch) -> None:
    assert networks.discriminator is not None
    output = networks.translate(batch.image, batch.target, batch.source)
    inputs = discriminator_inputs(networks, frozenset({"real", "fake"}), batch, output)
    assert inputs.real is not None
    assert inputs.fake is not None
    torch.testing.assert_close(inputs.real.scores[0], networks.discriminator(batch.image).scores[0])
    torch.testing.assert_close(inputs.fake.scores[0], networks.discriminator(output.image).scores[0])


def test_nothing_of_the_discriminators_step_reaches_the_generator(networks: Networks, batch: Batch) -> None:
    output = networks.translate(batch.image, batch.target, batch.source)
    terms = Terms([LossTerm("adv_wgan_d"), LossTerm("gradient_penalty", 10.0), LossTerm("cls_bce_real")])
    total, _ = terms(discriminator_inputs(networks, terms.needs, batch, output))
    total.backward()
    assert networks.discriminator is not None
    assert all(parameter.grad is None for parameter in networks.generator.parameters())
    assert all(parameter.grad is not None for parameter in networks.discriminator.parameters())


def test_the_warmup_judges_real_images_alone(networks: Networks, batch: Batch) -> None:
    assert networks.discriminator is not None
    sizes = _count_passes(networks.discriminator)
    terms = Terms([LossTerm("cls_bce_real")])
    terms(discriminator_inputs(networks, terms.needs, batch, None))
    assert sizes == [3]


def test_weights_count_and_the_log_is_unweighted(networks: Networks, batch: Batch) -> None:
    output = networks.translate(batch.image, batch.target, batch.source)
    terms = Terms([LossTerm("mask_area", 3.0), LossTerm("flow_tv", 0.0), LossTerm("flow_identity", 0.5)])
    assert terms.names == ("mask_area", "flow_identity")
    total, means = terms(generator_inputs(networks, terms.needs, batch, output))
    assert output.mask is not None
    torch.testing.assert_close(means[0], output.mask.mean())
    torch.testing.assert_close(total, 3 * means[0] + 0.5 * means[1])


def test_low_precision_stays_inside_the_networks(networks: Networks, batch: Batch) -> None:
    low = Networks(
        networks.generator,
        networks.discriminator,
        networks.motion,
        precision=lambda: torch.autocast("cpu", torch.bfloat16),
    )
    output = low.translate(batch.image, batch.target, batch.source)
    inputs = generator_inputs(low, frozenset({"fake", "cycle", "motion"}), batch, output)
    assert inputs.fake is not None
    assert {output.image.dtype, inputs.fake.scores[0].dtype} == {torch.float32}


def test_targets_are_the_datasets_own() -> None:
    dataset = create_dataset("synthface", resolution=16)
    sample = dataset.batch([0, 1, 2])
    batch = make_batch(sample, ConditionSpec(attributes=("Big_Nose", "Smiling")), dataset.spec)
    assert sample.target is not None
    assert sample.target.attributes is not None
    assert batch.target.attributes is not None
    assert torch.equal(batch.target.attributes, sample.target.attributes[:, [2, 0]])
    assert batch.truth is sample.truth


def test_without_targets_the_sources_change_places() -> None:
    bits = torch.eye(4)
    batch = make_batch(Sample(torch.zeros(4, 3, 8, 8), Condition(attributes=bits), truth=torch.ones(4)), FOUR, FOUR)
    assert batch.target.attributes is not None
    assert torch.equal(batch.target.attributes.sum(0), torch.ones(4))
    assert not torch.equal(batch.target.attributes, bits)
    assert batch.truth is None  # it is the picture of another target


def test_data_without_any_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="neither targets nor sources"):
        make_batch(Sample(torch.zeros(4, 3, 8, 8)), FOUR, FOUR)


def test_a_cycle_without_sources_is_refused(networks: Networks, batch: Batch) -> None:
    blind = Batch(batch.image, None, batch.target)
    output = networks.translate(blind.image, blind.target, None)
    with pytest.raises(ValueError, match="a cycle needs the condition of the source image"):
        generator_inputs(networks, frozenset({"cycle"}), blind, output)
