"""Appearance Flow: pixels from where the flow says, and nothing else."""

import pytest
import torch
from torch import nn

from geotrans import Condition, create_model
from geotrans.models.appflow import TURNS
from geotrans.ops.flow import to_pixels


def turn(index, batch=1):
    return Condition(view=torch.eye(19)[[index]].expand(batch, -1))


@torch.no_grad()
def test_a_flow_of_one_pixel_is_a_shift():
    model, image = create_model("appflow_64", condition=TURNS), torch.rand(1, 3, 64, 64) * 2 - 1
    nn.init.zeros_(model.flow[-1].weight)
    model.flow[-1].bias.copy_(torch.tensor([3.0, -2.0]))
    out = model(image, turn(4))
    torch.testing.assert_close(to_pixels(out.flow), torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 64, 64))
    torch.testing.assert_close(out.image[..., 2:, :-3], image[..., :-2, 3:], atol=1e-4, rtol=0)
    assert (out.image[..., :2, :] == -1).all()  # black outside
    assert out.mask is None


@torch.no_grad()
def test_the_turn_decides():
    model, image = create_model("appflow_64", condition=TURNS), torch.rand(1, 3, 64, 64) * 2 - 1
    for head in (model.flow[-1], model.foreground[-1]):
        nn.init.normal_(head.weight)
    first, second = (model(image, turn(index)) for index in (3, 15))
    assert (first.flow - second.flow).abs().max() > 1e-2
    foreground = first.intermediates["foreground"]
    assert foreground.shape == (1, 1, 64, 64)
    assert 0 <= foreground.min() < foreground.max() <= 1


@torch.no_grad()
def test_of_two_views_the_difference_is_read():
    model, image = create_model("appflow_64"), torch.rand(1, 3, 64, 64) * 2 - 1
    nn.init.normal_(model.flow[-1].weight)
    views = torch.eye(21)[:, None]
    here, left, right = (Condition(view=views[i] + views[18]) for i in (0, 3, 4))
    stays = model(image, here, here).flow
    torch.testing.assert_close(model(image, left, left).flow, stays)
    assert (model(image, left, here).flow - stays).abs().max() > 1e-2
    assert (model(image, left, here).flow - model(image, right, here).flow).abs().max() > 1e-2
    with pytest.raises(ValueError, match="also reads the source's view"):
        model(image, left)


def test_sizes_of_the_paper():
    with torch.device("meta"):
        model = create_model("appflow_car_224")
    image = torch.empty(1, 3, 224, 224, device="meta")
    assert model.encoder(image).shape == (1, 4096)
    assert model.flow(torch.empty(1, 4352, device="meta")).shape == (1, 2, 225, 225)
    assert model.turn[0].in_features == 20
    with torch.device("meta"):
        assert create_model("appflow_chair_224").turn[0].in_features == 19


def test_wrong_inputs_are_named():
    model = create_model("appflow_64", condition=TURNS)
    with pytest.raises(ValueError, match=r"expected 64 x 64 pixels, got \(64, 48\)"):
        model(torch.zeros(1, 3, 64, 48), turn(0))
    with pytest.raises(ValueError, match=r"Condition\.view: expected shape \(1, 19\)"):
        model(torch.zeros(1, 3, 64, 64), Condition())
    with pytest.raises(ValueError, match="units: expected a multiple of 64, got 100"):
        create_model("appflow_64", units=100)
