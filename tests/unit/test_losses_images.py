"""Losses on images, masks and embeddings: reconstruction, mask, identity."""

import pytest
import torch
from torch import nn

from geotrans.losses.base import LossInputs
from geotrans.losses.identity import id_cosine
from geotrans.losses.mask import mask_area, mask_area_cycle, mask_tv, mask_tv_cycle
from geotrans.losses.reconstruction import (
    cycle_l1,
    feature_matching,
    idt_l1,
    rec_content,
    rec_l1,
    rec_self,
    rec_style,
)
from geotrans.types import Condition, Critique, Translation
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
        rebuilt=shifted([0.7, -0.6]).image,
    )
    torch.testing.assert_close(rec_l1()(inputs), torch.tensor([0.0, 0.75]))
    torch.testing.assert_close(rec_self()(inputs), torch.tensor([0.7, 0.6]))
    torch.testing.assert_close(cycle_l1()(inputs), torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(idt_l1()(inputs), torch.tensor([0.3, 0.4]))


def test_reconstruction_looks_at_the_moved_picture_if_told_to():
    moved = LossInputs(IMAGE, output=Translation(IMAGE, warped=shifted([0.5, -0.25]).image), truth=IMAGE + 0.5)
    torch.testing.assert_close(rec_l1("warped")(moved), torch.tensor([0.0, 0.75]))
    torch.testing.assert_close(rec_l1()(moved), torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"needs output\.warped"):
        rec_l1("warped")(LossInputs(IMAGE, output=Translation(IMAGE), truth=IMAGE))
    with pytest.raises(ValueError, match="of: expected 'image' or 'warped', got 'flow'"):
        rec_l1("flow")


def test_feature_matching_counts_layers_alike_and_leaves_the_real_side_alone():
    real = [torch.zeros(2, 4, 8, 8, requires_grad=True), torch.zeros(2, 9, 2, 2, requires_grad=True)]
    fake = [torch.full((2, 4, 8, 8), 1.0, requires_grad=True), torch.full((2, 9, 2, 2), -4.0, requires_grad=True)]
    critiques = [Critique(features=((first,), (second,))) for first, second in (real, fake)]
    value = feature_matching()(LossInputs(IMAGE, real=critiques[0], fake=critiques[1]))
    torch.testing.assert_close(value, torch.full((2,), 2.5))
    value.sum().backward()
    assert all(layer.grad is None for layer in real)
    assert all(layer.grad.any() for layer in fake)


def test_identity_translation_of_another_picture_is_compared_with_that_picture():
    inputs = LossInputs(IMAGE, same=shifted([0.3, 0.4]), other=shifted([0.3, -0.4]).image)
    torch.testing.assert_close(idt_l1()(inputs), torch.tensor([0.0, 0.8]))


def coded(content, style):
    return Translation(IMAGE, intermediates={"content": content, "style": style})


def test_codes_are_compared_with_those_that_made_the_output_and_both_sides_learn():
    content, again = torch.zeros(2, 3, 2, 2, requires_grad=True), torch.full((2, 3, 2, 2), 0.5, requires_grad=True)
    own, style = torch.full((2, 8), 9.0), torch.full((2, 8), -0.25, requires_grad=True)
    wanted = Condition(style=torch.tensor([[0.0], [1.0]]).expand(2, 8))
    inputs = LossInputs(IMAGE, target=wanted, output=coded(content, own), cycle=coded(again, style))
    torch.testing.assert_close(rec_content()(inputs), torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(rec_style()(inputs), torch.tensor([0.25, 1.25]))
    (rec_content()(inputs) + rec_style()(inputs)).sum().backward()
    assert all(code.grad.any() for code in (content, again, style))


def test_codes_that_a_generator_does_not_make_are_asked_for():
    nothing = LossInputs(IMAGE, target=Condition(), output=Translation(IMAGE), cycle=Translation(IMAGE))
    with pytest.raises(ValueError, match=r'needs output\.intermediates\["content"\]'):
        rec_content()(nothing)
    with pytest.raises(ValueError, match=r"needs target\.style"):
        rec_style()(nothing)
    with pytest.raises(ValueError, match=r'needs cycle\.intermediates\["style"\]'):
        rec_style()(LossInputs(IMAGE, target=Condition(style=torch.zeros(2, 8)), cycle=Translation(IMAGE)))


def layered(*layers):
    return Critique(features=(layers,))


def test_feature_matching_of_batch_means_lets_pictures_differ():
    real = layered(torch.tensor([[1.0, 3.0], [3.0, -1.0]])[..., None, None])  # mean (2, 1)
    fake = layered(torch.tensor([[4.0, 0.0], [0.0, 8.0]])[..., None, None])  # mean (2, 4)
    inputs = LossInputs(IMAGE, real=real, fake=fake)
    torch.testing.assert_close(feature_matching()(inputs), torch.tensor([3.0, 6.0]))
    torch.testing.assert_close(feature_matching(squared=True)(inputs), torch.tensor([9.0, 45.0]))
    torch.testing.assert_close(feature_matching(batch_mean=True)(inputs), torch.full((2,), 1.5))
    torch.testing.assert_close(feature_matching(batch_mean=True, squared=True)(inputs), torch.full((2,), 4.5))


def test_feature_matching_says_when_there_are_no_features():
    with pytest.raises(ValueError, match="expected a critique with features"):
        feature_matching()(LossInputs(IMAGE, real=Critique(), fake=Critique()))


def test_mask_area_is_the_painted_share():
    mask = torch.zeros(2, 1, 4, 6)
    mask[0, :, :2], mask[1] = 1.0, 0.25
    torch.testing.assert_close(mask_area()(masked(mask)), torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(mask_area(kept=True)(masked(mask)), torch.tensor([0.5, 0.75]))


@pytest.mark.parametrize(("p", "painted", "kept"), [(1, 0.25, 0.75), (2, 0.0625, 0.5625)])
def test_mask_area_of_a_power(p, painted, kept):
    mask = torch.full((2, 1, 4, 6), 0.25)
    torch.testing.assert_close(mask_area(p=p)(masked(mask)), torch.full((2,), painted))
    torch.testing.assert_close(mask_area(p=p, kept=True)(masked(mask)), torch.full((2,), kept))


def test_mask_area_refuses_a_power_without_a_finite_gradient():
    with pytest.raises(ValueError, match=r"p: expected at least 1, got 0\.5"):
        mask_area(p=0.5)


@pytest.mark.parametrize(("there", "back"), [(mask_area, mask_area_cycle), (mask_tv, mask_tv_cycle)])
def test_masks_of_the_way_back_are_charged_alike(there, back):
    mask, other = torch.rand(2, 2, 1, 4, 6)
    inputs = LossInputs(IMAGE, output=Translation(IMAGE, mask=mask), cycle=Translation(IMAGE, mask=other))
    assert torch.equal(back()(inputs), there()(masked(other)))
    assert (back()(inputs) != there()(inputs)).all()
    with pytest.raises(ValueError, match=r"needs cycle\.mask"):
        back()(LossInputs(IMAGE, cycle=Translation(IMAGE)))


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


def test_id_cosine_of_the_warped_image():
    image, opposite = torch.ones(2, 3, 4, 4), torch.full((2, 3, 4, 4), -1.0)
    inputs = LossInputs(image, output=Translation(image, warped=opposite))
    torch.testing.assert_close(id_cosine(feature=mean_colour)(inputs), torch.zeros(2))
    torch.testing.assert_close(id_cosine(feature=mean_colour, of="warped")(inputs), torch.full((2,), 2.0))
    with pytest.raises(ValueError, match=r"needs output\.warped"):
        id_cosine(feature=mean_colour, of="warped")(LossInputs(image, output=Translation(image)))
    with pytest.raises(ValueError, match="of: expected 'image' or 'warped', got 'flow'"):
        id_cosine(of="flow")


def test_id_cosine_says_at_once_that_there_is_no_such_feature():
    with pytest.raises(LookupError, match="synthface_identity"):
        id_cosine(feature="synthface_identty")


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

        with pytest.raises(ValueError, match="'bytes_only' has no method embed"):
            id_cosine(feature="bytes_only")(LossInputs(IMAGE, output=Translation(IMAGE)))


def test_id_cosine_refuses_a_feature_that_cuts_the_gradient():
    loss = id_cosine(feature=torch.no_grad()(mean_colour))
    inputs = LossInputs(torch.ones(1, 3, 4, 4), output=Translation(torch.ones(1, 3, 4, 4, requires_grad=True)))
    with pytest.raises(ValueError, match="differentiable feature"):
        loss(inputs)
