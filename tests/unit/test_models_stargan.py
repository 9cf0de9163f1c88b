from dataclasses import replace

import pytest
import torch

from geotrans import Condition, Critique, create_discriminator, create_loss, create_model
from geotrans.losses.base import LossInputs
from geotrans.models.stargan import convert_stargan


def test_converted_weights_ignore_stale_running_statistics(golden):
    case = golden("stargan_g")
    stale = {k: v + 100 if "running" in k else v for k, v in case.state.items()}
    image, target = case.inputs["image"], Condition(attributes=case.inputs["cond"])
    assert torch.equal(convert_stargan(stale)(image, target).image, convert_stargan(case.state)(image, target).image)


def test_converter_says_what_does_not_fit(golden):
    state = golden("stargan_g").state
    without = {k: v for k, v in state.items() if k != "main.3.weight"}
    with pytest.raises(ValueError, match=r"missing: main\.3\.weight"):
        convert_stargan(without)
    with pytest.raises(ValueError, match=r"unexpected: head\.weight"):
        convert_stargan({**state, "head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"shapes: main\.3\.weight \(expected"):
        convert_stargan({**state, "main.3.weight": state["main.3.weight"].mT[:, :, :3]})
    with pytest.raises(ValueError, match="another family"):
        convert_stargan({"a": torch.zeros(1)})


def test_condition_reaches_the_image():
    model = create_model("stargan_base_64", width=8)
    image = torch.rand(1, 3, 32, 32)
    off, on = (model(image, Condition(attributes=torch.full((1, 4), v))).image for v in (0.0, 1.0))
    assert (on - off).abs().max() > 1e-3


def test_discriminator_refuses_another_size():
    with pytest.raises(ValueError, match=r"expected \(B, 3, 64, 64\), got \(1, 3, 32, 32\)"):
        create_discriminator("star_d_64")(torch.zeros(1, 3, 32, 32))


def joint(n=2):
    """Labels of a CelebA picture and of a RaFD picture, each with zeros for what its set does not say."""
    attributes, emotion = torch.zeros(n, 5), torch.zeros(n, 8)
    attributes[0, 1] = emotion[1, 4] = 1
    return Condition(attributes=attributes, emotion=emotion, modality=torch.eye(2))


def test_the_joint_label_is_attributes_emotions_and_mask_in_the_official_order():
    model = create_model("stargan_both_128", width=4, blocks=1)
    vector = model.cfg.condition.vector(joint(), 2)
    assert vector.tolist() == [[0, 1, 0, 0, 0, *[0] * 8, 1, 0], [0] * 9 + [1, 0, 0, 0, 0, 1]]
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    other_mask = replace(joint(), modality=torch.eye(2).flip(0))
    assert (model(image, joint()).image - model(image, other_mask).image).abs().max() > 1e-4


@pytest.mark.parametrize("side", [128, 256])
def test_the_joint_discriminator_reads_labels_and_no_mask(side):
    model = create_discriminator(f"star_both_d_{side}", width=2)
    read = model(torch.rand(2, 3, side, side)).condition
    assert (read.attributes.shape, read.emotion.shape, read.modality) == ((2, 5), (2, 8), None)
    known = create_model(f"stargan_both_{side}", width=2).cfg.condition
    assert replace(known, modality=()) == model.cfg.condition


def test_what_a_set_does_not_label_costs_nothing():
    read = Condition(attributes=torch.randn(2, 5, requires_grad=True), emotion=torch.randn(2, 8, requires_grad=True))
    inputs = LossInputs(torch.zeros(2, 3, 4, 4), joint(), real=Critique(condition=read))
    attributes, emotion = create_loss("cls_bce_real", where=0)(inputs), create_loss("cls_ce_real")(inputs)
    assert attributes[1] == emotion[0] == 0
    assert min(attributes[0], emotion[1]) > 0
    (attributes.sum() + emotion.sum()).backward()
    assert [read.attributes.grad[1].abs().max(), read.emotion.grad[0].abs().max()] == [0, 0]
