import math

import pytest
import torch

from geotrans.base import Discriminator
from geotrans.losses.adversarial import (
    adv_hinge_d,
    adv_hinge_g,
    adv_lsgan_d,
    adv_lsgan_g,
    adv_vanilla_d,
    adv_vanilla_g,
    adv_wgan_d,
    adv_wgan_g,
    gradient_penalty,
    r1,
)
from geotrans.losses.base import LossInputs
from geotrans.types import Critique, Translation

IMAGE = torch.zeros(2, 3, 4, 4)


def critique(*scores):
    """A critique with one 1 x 1 map a sample."""
    return Critique((torch.tensor(scores).view(-1, 1, 1, 1),))


def judged(real, fake):
    return LossInputs(IMAGE, real=critique(*real), fake=critique(*fake))


class Linear(Discriminator):
    """<a, x>, spread over a map of `parts` equal scores."""

    def __init__(self, a, parts=1, scales=1):
        super().__init__(None)
        self.a, self.parts, self.scales = a, parts, scales

    def forward(self, image, condition=None, flow=None):
        score = (image * self.a).sum((1, 2, 3)).view(-1, 1, 1, 1) / self.parts
        return Critique((score.expand(-1, 1, 1, self.parts),) * self.scales)


def test_vanilla_is_minus_log_sigmoid():
    logits = torch.linspace(-6, 6, 13, dtype=torch.float64)
    inputs = LossInputs(IMAGE, real=critique(*logits.tolist()), fake=critique(*logits.neg().tolist()))
    torch.testing.assert_close(adv_vanilla_g()(inputs).double(), -logits.neg().sigmoid().log(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(adv_vanilla_d()(inputs).double(), -2 * logits.sigmoid().log(), atol=1e-5, rtol=1e-5)


def test_vanilla_does_not_saturate_and_does_not_overflow():
    fake = torch.tensor([-200.0, 200.0]).view(2, 1, 1, 1).requires_grad_()
    value = adv_vanilla_g()(LossInputs(IMAGE, fake=Critique((fake,))))
    value.sum().backward()
    torch.testing.assert_close(value, torch.tensor([200.0, 0.0]))
    torch.testing.assert_close(fake.grad.flatten(), torch.tensor([-1.0, 0.0]))


def test_vanilla_of_an_undecided_critic_is_two_log_two():
    torch.testing.assert_close(adv_vanilla_d()(judged([0.0, 0.0], [0.0, 0.0])), torch.full((2,), 2 * math.log(2)))


def test_lsgan_generator_has_its_minimum_at_one():
    scores = torch.linspace(-2, 3, 51).tolist()  # 1.0 is the 31st
    values = adv_lsgan_g()(judged(scores, scores))
    assert values.argmin() == 30
    torch.testing.assert_close(values[30], torch.tensor(0.0))


@pytest.mark.parametrize(("half", "d", "g"), [(False, 0.25 + 4.0, 1.0), (True, 2.125, 0.5)])
def test_lsgan_known_values(half, d, g):
    inputs = judged([0.5, 0.5], [2.0, 2.0])
    torch.testing.assert_close(adv_lsgan_d(half=half)(inputs), torch.full((2,), d))
    torch.testing.assert_close(adv_lsgan_g(half=half)(inputs), torch.full((2,), g))


def test_wgan_critic_is_antisymmetric_and_opposes_the_generator():
    there, back = judged([1.0, -2.0], [0.5, 4.0]), judged([0.5, 4.0], [1.0, -2.0])
    torch.testing.assert_close(adv_wgan_d()(there), torch.tensor([-0.5, 6.0]))
    torch.testing.assert_close(adv_wgan_d()(there), -adv_wgan_d()(back))
    torch.testing.assert_close(adv_wgan_g()(there), torch.tensor([-0.5, -4.0]))


def test_hinge_charges_nothing_beyond_the_margin():
    inputs = judged([3.0, 0.5, -1.0], [-3.0, -0.5, 1.0])
    torch.testing.assert_close(adv_hinge_d()(inputs), torch.tensor([0.0, 1.0, 4.0]))
    torch.testing.assert_close(adv_hinge_g()(inputs), torch.tensor([3.0, 0.5, -1.0]))


def test_scales_count_alike_whatever_their_size():
    fine, coarse = torch.full((2, 1, 8, 8), 1.0), torch.full((2, 1, 2, 2), 4.0)
    value = adv_wgan_g()(LossInputs(IMAGE, fake=Critique((fine, coarse))))
    torch.testing.assert_close(value, torch.full((2,), -2.5))


@pytest.mark.parametrize("half", [False, True])
def test_least_squares_may_add_the_scales_up(half):
    real, fake = (Critique(tuple(torch.randn(2, 1, side, side) for side in (8, 4, 2))) for _ in range(2))
    inputs = LossInputs(IMAGE, real=real, fake=fake)
    for loss in (adv_lsgan_d, adv_lsgan_g):
        torch.testing.assert_close(loss(half=half, scales="sum")(inputs), 3 * loss(half=half)(inputs))
        with pytest.raises(ValueError, match="scales: expected 'mean' or 'sum', got 'max'"):
            loss(scales="max")


def test_a_critique_without_scores_says_so():
    with pytest.raises(ValueError, match="expected a critique with scores"):
        adv_hinge_g()(LossInputs(IMAGE, fake=Critique()))


@pytest.mark.parametrize(
    ("norm", "one_sided", "expected"),
    [(1.0, False, 0.0), (3.0, False, 4.0), (0.5, False, 0.25), (0.5, True, 0.0), (3.0, True, 4.0)],
)
@pytest.mark.parametrize(("parts", "scales"), [(1, 1), (5, 1), (5, 3)])
def test_penalty_of_a_linear_critic(norm, one_sided, expected, parts, scales):
    a = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    critic = Linear(norm * a / a.norm(), parts, scales)
    inputs = LossInputs(IMAGE, output=Translation(torch.ones_like(IMAGE)), critic=critic)
    value = gradient_penalty(one_sided=one_sided)(inputs)
    torch.testing.assert_close(value, torch.full((2,), expected), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(r1()(inputs), torch.full((2,), norm**2), atol=1e-5, rtol=1e-5)


def test_penalty_draws_one_point_a_sample_between_real_and_fake():
    seen = []

    class Spy(Linear):
        def forward(self, image, condition=None, flow=None):
            seen.append(image.detach())
            return super().forward(image)

    torch.manual_seed(0)
    real, fake = torch.zeros(64, 3, 4, 4), torch.ones(64, 3, 4, 4)
    gradient_penalty()(LossInputs(real, output=Translation(fake), critic=Spy(torch.ones(1, 3, 4, 4))))
    shares = seen[0].flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares))
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert 0.2 < shares[:, 0].std() < 0.4  # uniform: 0.289


def test_penalty_reaches_the_critic_and_not_the_generator():
    a = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    image, painted = IMAGE.clone().requires_grad_(), torch.ones_like(IMAGE).requires_grad_()
    inputs = LossInputs(image, output=Translation(painted), critic=Linear(a))
    (gradient_penalty()(inputs) + r1()(inputs)).sum().backward()
    assert image.grad is None
    assert painted.grad is None
    norm = 0.5 * math.sqrt(48)  # each sample: d (n - 1)^2 + n^2 = (2 (n - 1) + 2 n) a / n
    torch.testing.assert_close(a.grad, torch.full_like(a, 2 * (4 * norm - 2) * 0.5 / norm))


def test_penalty_of_a_flat_critic_has_a_finite_gradient():
    a = torch.zeros(1, 3, 4, 4, requires_grad=True)
    inputs = LossInputs(IMAGE, output=Translation(IMAGE), critic=Linear(a))
    value = gradient_penalty()(inputs)
    value.sum().backward()
    torch.testing.assert_close(value, torch.ones(2))
    assert a.grad.isfinite().all()
