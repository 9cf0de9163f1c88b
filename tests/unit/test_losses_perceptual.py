"""Losses on feature maps: official numbers, Gram matrices, and which features they take."""

import pytest
import torch
from torch import nn

from geotrans import create_loss
from geotrans.features.judge import STAGES
from geotrans.losses.base import LossInputs
from geotrans.losses.perceptual import gram, perc_vgg19, style_vgg19, texture_gram
from geotrans.types import Translation
from registry import FEATURES, register_feature

CONTENT = tuple(f"relu{stage}_1" for stage in range(1, 6))
LOSSES = {"perc_vgg19": perc_vgg19, "style_vgg19": style_vgg19, "texture_gram": texture_gram}


def compared(output, wanted):
    return LossInputs(wanted, output=Translation(output), truth=wanted, other=wanted)


def channels(image, layers):
    """Maps that are linear in the image: itself, and its first two channels at half the size."""
    return 1 * image, image[:, :2, ::2, ::2]


def test_gfla_content_and_style_and_their_gradients(golden):
    """The official losses on recorded feature maps; pictures of one value stand for x and y."""
    case = golden("op_gfla_style_content")
    fed = {name: value.requires_grad_(name.startswith("x")) for name, value in case.inputs.items()}

    def maps(image, layers):
        side = "x" if image.flatten()[0] > 0 else "y"
        return [fed[f"{side}_{layer}"] for layer in layers]

    x, y = torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    content = perc_vgg19(feature=maps, layers=CONTENT)(compared(x, y)).mean()
    style = style_vgg19(feature=maps)(compared(x, y)).mean()
    case.close("content", content)
    case.close("style", style)
    case.close("gram_x_relu2_2", gram(fed["x_relu2_2"]))
    case.close("gram_y_relu2_2", gram(fed["y_relu2_2"]))
    (content + style).backward()
    for layer in ("relu2_2", "relu5_2", "relu3_1"):
        torch.testing.assert_close(fed[f"x_{layer}"].grad, case.outputs[f"d_x_{layer}"], atol=1e-7, rtol=1e-4)


def test_values_by_hand():
    output, wanted = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    wanted[1] *= 2
    inputs = compared(output, wanted)
    torch.testing.assert_close(perc_vgg19(feature=channels)(inputs), torch.tensor([1.0, 2.0]))
    weighted = perc_vgg19(feature=channels, weights=(1.0, 0.25))
    torch.testing.assert_close(weighted(inputs), torch.tensor([0.625, 1.25]))
    # Gram matrices of a flat picture of value v: v^2 / C everywhere.
    torch.testing.assert_close(style_vgg19(feature=channels)(inputs), torch.tensor([0.25, 1.0]) * (1 / 3 + 1 / 2))
    expected = torch.tensor([0.25, 1.0]).square() * (1 / 9 + 1 / 4)
    torch.testing.assert_close(texture_gram(feature=channels)(inputs), expected)


def test_raw_gram_matrices_are_as_printed():
    """PortraitGAN, Eq. 8 and 9: the sum over layers and channels of (sum_p f_ip f_jp - sum_p g_ip g_jp)^2."""
    output, wanted = torch.rand(2, 2, 3, 6, 4, dtype=torch.float64)
    products = []
    for side in (output, wanted):
        products.append([torch.einsum("bihw,bjhw->bij", layer, layer) for layer in channels(side, None)])
    differences = [got - fixed for got, fixed in zip(*products, strict=True)]
    inputs = compared(output, wanted)
    squares = sum(d.square().sum((1, 2)) for d in differences)
    torch.testing.assert_close(texture_gram(feature=channels, raw=True)(inputs), squares)
    torch.testing.assert_close(
        style_vgg19(feature=channels, raw=True)(inputs), sum(d.abs().sum((1, 2)) for d in differences)
    )
    # One layer of C channels and P places: C^4 P^2 times the loss that does not depend on the picture's size.
    first, factor = (lambda image, layers: image[None]), 3**4 * (6 * 4) ** 2
    usual, raw = (texture_gram(feature=first, raw=raw)(inputs) for raw in (False, True))
    torch.testing.assert_close(raw, factor * usual)


@pytest.mark.parametrize("name", LOSSES)
def test_the_wanted_side_is_held_fixed(name):
    output, wanted = (torch.rand(2, 3, 4, 4).requires_grad_() for _ in range(2))
    LOSSES[name](feature=channels)(compared(output, wanted)).sum().backward()
    assert output.grad.any()
    assert wanted.grad is None


@pytest.mark.parametrize("name", LOSSES)
def test_runs_on_the_built_in_feature_by_name(name):
    """Offline, and as a recipe names it."""
    layers = tuple(STAGES)
    loss = create_loss(name, feature="synthface_features", layers=layers, weights=(1.0, 1.0, 0.5))
    output, wanted = (torch.rand(2, 2, 3, 64, 64) * 2 - 1).unbind()
    output.requires_grad_()
    value = loss(compared(output, wanted))
    assert value.shape == (2,)
    assert (value > 0).all()
    value[0].backward()
    assert output.grad[0].any()
    assert not output.grad[1].any()


def test_a_named_feature_is_loaded_once_at_the_first_use():
    made = []

    class Network(nn.Module):
        def maps(self, image, layers):
            assert layers is None
            return channels(image, layers)

    with FEATURES.temporary():

        @register_feature(dim=3, licence="MIT")
        def tiny_maps():
            made.append(Network())
            return made[-1]

        loss = perc_vgg19(feature="tiny_maps")
        assert not made
        inputs = compared(*torch.rand(2, 2, 3, 4, 4))
        torch.testing.assert_close(loss(inputs), perc_vgg19(feature=channels)(inputs))
        loss(inputs)
    assert len(made) == 1


def test_says_what_is_wrong():
    inputs = compared(*torch.rand(2, 2, 3, 4, 4))
    with pytest.raises(LookupError, match="vgg19"):
        perc_vgg19(feature="vgg91")
    with pytest.raises(ValueError, match="weights: expected one for each of 2 layers, got 3"):
        perc_vgg19(feature=channels, weights=(1.0, 1.0, 1.0))(inputs)
    with FEATURES.temporary():

        @register_feature(dim=3, licence="MIT")
        def inception_like():
            return nn.Identity()

        with pytest.raises(ValueError, match="'inception_like' has no method maps"):
            texture_gram(feature="inception_like")(inputs)
    learning = compared(torch.rand(1, 3, 4, 4, requires_grad=True), torch.rand(1, 3, 4, 4))
    with pytest.raises(ValueError, match="differentiable feature"):
        texture_gram(feature=torch.no_grad()(channels))(learning)
