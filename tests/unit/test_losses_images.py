"""Losses on images, masks and embeddings: reconstruction, mask, identity."""

import pytest
import torch
from torch import nn

from geotrans.losses.base import LossInputs
from geotrans.losses.identity import id_cosine
from geotrans.losses.mask import mask_area, mask_tv
from geotrans.losses.reconstruction import cycle_l1, feature_matching, idt_l1, rec_l1
from geotrans.types import Critique, Translation
from registry import FEATURES, register_feature

IMAGE = torch.zeros(2, 3, 4, 6)


def shifted(by):
    return Translation(IMAGE + torch.tensor(by).view(2, 1, 1, 1))


def masked(mask):
    return LossInputs(IMAGE, output=Translation(IMAGE, mask=mask))


def mean_colour(image):
    return image.mean((2, 3))


def test_l1_losses_compare_the_right_pairs():
    inputs = LossInputs(
        IMAGE,
        output=shifted([0.5, -0.25]),
        cycle=shifted([0.1, -0.2]),
        same=shifted([0.3, 0.4]),
        truth=IMAGE + 0.5,
    )
    torch.testing.assert_close(rec_l1()(inputs), torch.tensor([0.0, 0.75]))
    torch.testing.assert_close(cycle_l1()(inputs), torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(idt_l1()(inputs), torch.tensor([0.3, 0.4]))


def test_feature_matching_counts_layers_alike_and_leaves_the_real_side_alone():
    real = [torch.zeros(2, 4, 8, 8, requires_grad=True), torch.zeros(2, 9, 2, 2, requires_grad=True)]
    fake = [torch.full((2, 4, 8, 8), 1.0, requires_grad=True), torch.full((2, 9, 2, 2), -4.0, requires_grad=True)]
    critiques = [Critique(features=((first,), (second,))) for first, second in (real, fake)]
    value = feature_matching()(LossInputs(IMAGE, real=critiques[0], fake=critiques[1]))
    torch.testing.assert_close(value, torch.full((2,), 2.5))
    value.sum().backward()
    assert all(layer.grad is None for layer in real)
    assert all(layer.grad.any() for layer in fake)


def test_feature_matching_says_when_there_are_no_features():
    with pytest.raises(ValueError, match="expected a critique with features"):
        feature_matching()(LossInputs(IMAGE, real=Critique(), fake=Critique()))


def test_mask_area_is_the_painted_share():
    mask = torch.zeros(2, 1, 4, 6)
    mask[0, :, :2], mask[1] = 1.0, 0.25
    torch.testing.assert_close(mask_area()(masked(mask)), torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(mask_area(kept=True)(masked(mask)), torch.tensor([0.5, 0.75]))


def test_mask_tv_of_a_half_painted_image():
    mask = torch.zeros(1, 1, 4, 6).expand(2, 1, 4, 6).clone()
    mask[:, :, :, 3:] = 0.5  # one edge in the five across, none down
    torch.testing.assert_close(mask_tv()(masked(mask)), torch.full((2,), 0.5 / 5))
    torch.testing.assert_close(mask_tv(squared=True)(masked(mask)), torch.full((2,), 0.25 / 5))


@pytest.mark.parametrize("loss", [mask_area, mask_tv])
def test_a_model_that_does_not_paint_cannot_be_charged_for_it(loss):
    with pytest.raises(ValueError, match=r"needs output\.mask"):
        loss()(masked(None))


def test_id_cosine_of_equal_opposite_and_orthogonal_embeddings():
    image = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0.2, 0, 0]])[..., None, None].expand(3, 3, 4, 4)
    output = torch.tensor([[0.5, 0, 0], [-1, 0, 0], [0, 0.7, 0]])[..., None, None].expand(3, 3, 4, 4)
    value = id_cosine(feature=mean_colour)(LossInputs(image, output=Translation(output)))
    torch.testing.assert_close(value, torch.tensor([0.0, 2.0, 1.0]))


def test_id_cosine_holds_the_source_fixed():
    image = torch.rand(2, 3, 4, 4).requires_grad_()
    output = torch.rand(2, 3, 4, 4).requires_grad_()
    id_cosine(feature=mean_colour)(LossInputs(image, output=Translation(output))).sum().backward()
    assert image.grad is None
    assert output.grad.any()


def test_id_cosine_loads_a_named_feature_once_and_uses_its_differentiable_side():
    made = []

    class Network(nn.Module):
        def embed(self, image):
            return mean_colour(image)

    with FEATURES.temporary():

        @register_feature(dim=3, licence="MIT")
        def tiny_identity():
            made.append(Network())
            return made[-1]

        loss = id_cosine(feature="tiny_identity")
        assert not made
        image, output = torch.rand(2, 3, 4, 4) * 2 - 1, (torch.rand(2, 3, 4, 4) * 2 - 1).requires_grad_()
        inputs = LossInputs(image, output=Translation(output))
        torch.testing.assert_close(loss(inputs), id_cosine(feature=mean_colour)(inputs))
        loss(inputs).sum().backward()
    assert len(made) == 1
    assert output.grad.any()


def test_id_cosine_refuses_a_feature_that_takes_bytes_only():
    with FEATURES.temporary():

        @register_feature(dim=3, licence="MIT")
        def bytes_only():
            return nn.Identity()

        with pytest.raises(ValueError, match="'bytes_only' takes bytes only"):
            id_cosine(feature="bytes_only")(LossInputs(IMAGE, output=Translation(IMAGE)))


def test_id_cosine_refuses_a_feature_that_cuts_the_gradient():
    loss = id_cosine(feature=torch.no_grad()(mean_colour))
    inputs = LossInputs(torch.ones(1, 3, 4, 4), output=Translation(torch.ones(1, 3, 4, 4, requires_grad=True)))
    with pytest.raises(ValueError, match="differentiable feature"):
        loss(inputs)
