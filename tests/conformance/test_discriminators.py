"""What every registered discriminator promises."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from geotrans import DISCRIMINATORS, create_discriminator
from geotrans.recorded import random_condition


def tiny(name):
    fields = {field.name for field in dataclasses.fields(DISCRIMINATORS.get(name).factory())}
    torch.manual_seed(0)
    return create_discriminator(name, **({"width": 2} if "width" in fields else {}))


def example(model, batch=2):
    side = model.cfg.resolution
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, 3, side, side, generator=generator) * 2 - 1
    flow = 0.1 * (torch.rand(batch, 2, side, side, generator=generator) - 0.5)
    return image, random_condition(model.cfg.condition, batch, side, side, seed=2), flow


@pytest.mark.parametrize("name", DISCRIMINATORS.names())
def test_critique_has_logit_maps_and_conditions(name):
    model = tiny(name)
    image, condition, flow = example(model)
    with torch.no_grad():
        critique = model(image, condition, flow)
    for scores in critique.scores:
        assert scores.ndim == 4
        assert scores.shape[:2] == (2, 1)
    assert critique.scores or critique.condition is not None
    if critique.condition is not None:
        model.cfg.condition.check(critique.condition, 2)


@pytest.mark.parametrize("name", DISCRIMINATORS.names())
def test_a_sample_does_not_depend_on_its_batch(name):
    model = tiny(name).eval()
    image, condition, flow = example(model)
    with torch.no_grad():
        both, alone = model(image, condition, flow), model(image[:1], condition.rows(slice(0, 1)), flow[:1])
    for left, right in zip(both.scores, alone.scores, strict=True):
        torch.testing.assert_close(left[:1], right, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", DISCRIMINATORS.names())
def test_every_parameter_gets_a_gradient(name):
    model = tiny(name)
    image, condition, flow = example(model)
    critique = model(image, condition, flow)
    outputs = [scores.square().mean() for scores in critique.scores]
    if critique.condition is not None:
        outputs.append(model.cfg.condition.vector(critique.condition, 2).square().mean())
    sum(outputs).backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
