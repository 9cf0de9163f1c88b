"""The divergence of latent codes: closed forms, the codes of registered models, mistakes."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from geotrans import create_loss, create_model
from geotrans.losses.base import LossInputs
from geotrans.losses.latent import kl_latent
from geotrans.types import Condition, Translation


def shows(**codes):
    image = torch.zeros(len(next(iter(codes.values()))), 3, 4, 4)
    return LossInputs(image, output=Translation(image, intermediates=codes))


def closed_form(mean, prior):
    """By torch.distributions: KL(N(mean, I) || N(prior, I)) of each sample."""
    sides = [Independent(Normal(m, torch.ones_like(m)), m.ndim - 1) for m in (mean, prior)]
    return kl_divergence(*sides)


def test_codes_are_compared_with_their_own_priors_and_added_up():
    posterior, prior = ([torch.randn(2, 3, 2, 2), torch.randn(2, 5, 4, 4)] for _ in range(2))
    shown = {f"posterior_{i}": m for i, m in enumerate(posterior)} | {f"prior_{i}": m for i, m in enumerate(prior)}
    expected = sum(closed_form(*pair) for pair in zip(posterior, prior, strict=True))
    torch.testing.assert_close(kl_latent()(shows(**shown, looks=torch.randn(2, 7))), expected)
    means = sum((p - q).flatten(1).square().mean(1) / 2 for p, q in zip(posterior, prior, strict=True))
    torch.testing.assert_close(kl_latent(reduction="mean")(shows(**shown)), means)


def test_a_code_without_a_prior_of_its_own_is_compared_with_the_standard_normal():
    style = torch.tensor([[1.0, -2.0], [0.0, 0.0]])
    loss = kl_latent(code="style")(shows(style=style, content=torch.randn(2, 4, 3, 3)))
    torch.testing.assert_close(loss, torch.tensor([2.5, 0.0]))
    torch.testing.assert_close(loss, closed_form(style, torch.zeros(2, 2)))
    torch.testing.assert_close(kl_latent(code="style", reduction="mean")(shows(style=style)), torch.tensor([1.25, 0]))


def test_vunets_divergence_reaches_both_of_its_sides():
    """Figure and parts each have a net: what the parts say is pulled to what the figure alone says, and back."""
    torch.manual_seed(0)
    model = create_model("vunet_64", resolution=32, width=4, max_width=8, scales=3)
    pose = Condition(structure=torch.rand(2, 18, 32, 32))
    output = model(torch.rand(2, 3, 32, 32), pose, pose)
    value = create_loss("kl_latent")(LossInputs(output.image, output=output))
    codes = output.intermediates
    expected = [closed_form(codes[f"posterior_{i}"], codes[f"prior_{i}"]) for i in range(2)]
    torch.testing.assert_close(value, sum(expected))
    value.sum().backward()
    for net in (model.posterior.means, model.decoder.priors):
        assert all(parameter.grad.any() for name, parameter in net.named_parameters() if "direction" in name)


def test_munits_style_code():
    model = create_model("munit_base_64", resolution=32, width=4, blocks=1, mlp_width=8)
    image = torch.rand(2, 3, 32, 32)
    output = model(image, Condition(style=torch.randn(2, 8)))
    value = kl_latent(code="style")(LossInputs(image, output=output))
    torch.testing.assert_close(value, closed_form(model.style(image), torch.zeros(2, 8)))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="reduction: expected 'sum' or 'mean', got 'max'"):
        kl_latent(reduction="max")
    with pytest.raises(ValueError, match="expected a generator that shows a posterior, got one that shows style"):
        kl_latent()(shows(style=torch.zeros(1, 2)))
    image = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match="shows a style, got one that shows nothing"):
        kl_latent(code="style")(LossInputs(image, output=Translation(image)))
