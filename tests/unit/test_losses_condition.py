import math

import pytest
import torch

from geotrans.losses.base import LossInputs
from geotrans.losses.condition import (
    cls_au_mse_fake,
    cls_au_mse_moved,
    cls_au_mse_real,
    cls_bce_fake,
    cls_bce_moved,
    cls_bce_real,
    cls_ce_fake,
    cls_ce_moved,
    cls_ce_real,
    motion_cls,
)
from geotrans.types import Condition, Critique

IMAGE = torch.zeros(2, 3, 4, 4)


def read(**parts):
    return Critique(condition=Condition(**parts))


def test_undecided_attributes_cost_log_two_each():
    labels = Condition(attributes=torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    inputs = LossInputs(IMAGE, source=labels, real=read(attributes=torch.zeros(2, 3)))
    torch.testing.assert_close(cls_bce_real()(inputs), torch.full((2,), 3 * math.log(2)))
    torch.testing.assert_close(cls_bce_real(reduction="mean")(inputs), torch.full((2,), math.log(2)))


def test_samples_of_a_set_that_does_not_know_a_label_cost_nothing():
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    sets, emotion = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    known = Condition(attributes=labels, emotion=emotion, modality=sets)
    critique = read(attributes=torch.zeros(2, 2), emotion=torch.zeros(2, 2))
    inputs = LossInputs(IMAGE, source=known, target=known, real=critique, fake=critique)
    for loss in (cls_bce_real(where=0), cls_bce_fake(where=0)):
        torch.testing.assert_close(loss(inputs), torch.tensor([2 * math.log(2), 0.0]))
    for loss in (cls_ce_real(), cls_ce_fake()):
        torch.testing.assert_close(loss(inputs), torch.tensor([0.0, math.log(2)]))
    without = LossInputs(IMAGE, source=Condition(attributes=labels), real=critique)
    with pytest.raises(ValueError, match=r"source\.modality"):
        cls_bce_real(where=0)(without)


def test_binary_cross_entropy_is_minus_log_sigmoid():
    logits, labels = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    inputs = LossInputs(IMAGE, target=Condition(attributes=labels), fake=read(attributes=logits))
    expected = -((2 * labels - 1) * logits).sigmoid().log().sum(1)
    torch.testing.assert_close(cls_bce_fake()(inputs), expected)


@pytest.mark.parametrize("part", ["emotion", "modality"])
def test_cross_entropy_is_minus_log_softmax(part):
    logits = torch.tensor([[2.0, -1.0, 0.0], [0.5, 3.0, 1.0]])
    goal = Condition(**{part: torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])})
    expected = -logits.softmax(1)[[0, 1], [2, 1]].log()
    inputs = LossInputs(IMAGE, source=goal, real=read(**{part: logits}), target=goal, fake=read(**{part: 2 * logits}))
    torch.testing.assert_close(cls_ce_real(part=part)(inputs), expected)
    torch.testing.assert_close(cls_ce_fake(part=part)(inputs), -(2 * logits).softmax(1)[[0, 1], [2, 1]].log())


def test_action_units_are_compared_by_squared_error():
    goal = Condition(aus=torch.tensor([[0.0, 0.5], [1.0, 1.0]]))
    inputs = LossInputs(IMAGE, source=goal, real=read(aus=torch.tensor([[0.0, 0.0], [0.0, 1.0]])))
    torch.testing.assert_close(cls_au_mse_real()(inputs), torch.tensor([0.125, 0.5]))
    torch.testing.assert_close(cls_au_mse_real(reduction="sum")(inputs), torch.tensor([0.25, 1.0]))


@pytest.mark.parametrize(
    ("real", "fake", "part"),
    [
        (cls_bce_real, cls_bce_fake, "attributes"),
        (cls_ce_real, cls_ce_fake, "emotion"),
        (cls_au_mse_real, cls_au_mse_fake, "aus"),
    ],
)
def test_real_is_held_to_the_source_and_fake_to_the_target(real, fake, part):
    first, second = torch.eye(2), torch.eye(2).flip(0)
    inputs = LossInputs(
        IMAGE,
        source=Condition(**{part: first}),
        target=Condition(**{part: second}),
        real=read(**{part: 9 * first}),
        fake=read(**{part: 9 * second}),
    )
    swapped = LossInputs(IMAGE, inputs.target, inputs.source, real=inputs.real, fake=inputs.fake)
    for loss in (real(), fake()):
        assert (loss(inputs) < loss(swapped)).all()
    torch.testing.assert_close(real()(inputs), fake()(inputs))


@pytest.mark.parametrize(
    ("moved", "fake", "part"),
    [
        (cls_bce_moved, cls_bce_fake, "attributes"),
        (cls_ce_moved, cls_ce_fake, "emotion"),
        (lambda: cls_ce_moved(part="modality"), lambda: cls_ce_fake(part="modality"), "modality"),
        (cls_au_mse_moved, cls_au_mse_fake, "aus"),
        (lambda: cls_au_mse_moved(reduction="sum"), lambda: cls_au_mse_fake(reduction="sum"), "aus"),
    ],
)
def test_the_warped_image_is_read_as_the_output_is(moved, fake, part):
    goal, values = torch.eye(3), torch.randn(2, 3, 3)
    target = Condition(**{part: goal})
    inputs = LossInputs(IMAGE, target=target, moved=read(**{part: values[0]}), fake=read(**{part: values[1]}))
    painted = LossInputs(IMAGE, target=target, fake=inputs.moved)
    assert torch.equal(moved()(inputs), fake()(painted))
    assert (moved()(inputs) != fake()(inputs)).any()


@pytest.mark.parametrize(
    ("part", "expected"), [("attributes", 2 * math.log(2)), ("emotion", math.log(2)), ("aus", 1.0)]
)
def test_motion_is_read_for_the_target(part, expected):
    goal = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    inputs = LossInputs(IMAGE, target=Condition(**{part: goal}), motion=read(**{part: torch.zeros(2, 2)}))
    torch.testing.assert_close(motion_cls(part=part)(inputs), torch.full((2,), expected))


def test_says_what_is_missing():
    goal = Condition(attributes=torch.zeros(2, 3))
    with pytest.raises(ValueError, match="a discriminator that reads attributes"):
        cls_bce_real()(LossInputs(IMAGE, source=goal, real=Critique()))
    with pytest.raises(ValueError, match=r"needs source\.emotion"):
        cls_ce_real()(LossInputs(IMAGE, source=goal, real=read(emotion=torch.zeros(2, 8))))
    with pytest.raises(ValueError, match=r"read \(2, 1\) and source has \(2, 3\)"):
        cls_bce_real()(LossInputs(IMAGE, source=goal, real=read(attributes=torch.zeros(2, 1))))


def test_rejects_options_it_does_not_know():
    with pytest.raises(ValueError, match="reduction: expected 'sum' or 'mean', got 'none'"):
        cls_bce_real(reduction="none")
    with pytest.raises(ValueError, match="part: expected 'emotion' or 'modality', got 'aus'"):
        cls_ce_real(part="aus")
    with pytest.raises(ValueError, match="part: expected one of attributes, aus, emotion, modality, got 'view'"):
        motion_cls(part="view")
