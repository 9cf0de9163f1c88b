"""Adversarial losses, and the gradient penalties that keep a critic smooth.

A critique holds one logit map a scale, above 0 = real. Every loss here takes the mean over the map, then the mean over
the scales: its weight means the same at any resolution and with any number of scales. Official code that sums over the
scales (MUNIT, pix2pixHD) is reproduced by a weight times their number; the least-squares losses, which both of them
use, can sum as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from geotrans.base import Discriminator
from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.types import Critique
from registry import register_loss

Elementwise = Callable[[Tensor], Tensor]
Scales = Literal["mean", "sum"]


@register_loss("real", "fake")
def adv_vanilla_d() -> LossFn:
    """Critic side of the original GAN loss: -log sigmoid(real) - log(1 - sigmoid(fake)), from logits.

    2 log 2 where the critic cannot tell, towards 0 where it is right and sure. Goodfellow et al., 2014.
    """
    return _critic_loss(lambda score: F.softplus(-score), F.softplus)


@register_loss("fake")
def adv_vanilla_g() -> LossFn:
    """Generator side of the original GAN loss, non-saturating: -log sigmoid(fake)."""
    return _generator_loss(lambda score: F.softplus(-score))


@register_loss("real", "fake")
def adv_lsgan_d(half: bool = False, scales: Scales = "mean") -> LossFn:
    """Critic side of the least-squares loss: (real - 1)^2 + fake^2; 0 at real = 1 and fake = 0.

    Mao et al., 2017.

    Args:
        half: times 1/2, as in that paper, in CycleGAN and in pix2pix; not in MUNIT.
        scales: "sum" adds the scales up, as MUNIT and pix2pixHD do.
    """
    factor = 0.5 if half else 1.0
    return _critic_loss(lambda score: factor * (score - 1).square(), lambda score: factor * score.square(), scales)


@register_loss("fake")
def adv_lsgan_g(half: bool = False, scales: Scales = "mean") -> LossFn:
    """Generator side of the least-squares loss: (fake - 1)^2; 0 at fake = 1.

    Args:
        half: times 1/2, as in Mao et al.; CycleGAN halves its critic's loss only.
        scales: "sum" adds the scales up, as MUNIT and pix2pixHD do.
    """
    factor = 0.5 if half else 1.0
    return _generator_loss(lambda score: factor * (score - 1).square(), scales)


@register_loss("real", "fake")
def adv_wgan_d() -> LossFn:
    """Critic side of the Wasserstein loss: fake - real. Not bounded below, so pair it with `gradient_penalty`.

    Arjovsky et al., 2017.
    """
    return _critic_loss(torch.neg, _same)


@register_loss("fake")
def adv_wgan_g() -> LossFn:
    """Generator side of the Wasserstein loss: -fake."""
    return _generator_loss(torch.neg)


@register_loss("real", "fake")
def adv_hinge_d() -> LossFn:
    """Critic side of the hinge loss: max(0, 1 - real) + max(0, 1 + fake); 0 beyond the margins.

    Lim and Ye, 2017.
    """
    return _critic_loss(lambda score: F.relu(1 - score), lambda score: F.relu(1 + score))


@register_loss("fake")
def adv_hinge_g() -> LossFn:
    """Generator side of the hinge loss: -fake."""
    return _generator_loss(torch.neg)


@register_loss("critic", "output")
def gradient_penalty(one_sided: bool = False) -> LossFn:
    """WGAN-GP: (|g| - 1)^2, where g is the gradient of the critic at a random point between real and fake.

    The point is alpha * image + (1 - alpha) * output.image with alpha ~ U(0, 1) a sample (from the global generator),
    cut off from the graph, so nothing reaches the generator. g is the gradient of the *sum* over the logit map and its
    norm runs over all channels and pixels, as in StarGAN and GANimation, for which the weight 10 was tuned; each of
    several scales is a critic of its own and the penalties are averaged. Gulrajani et al., 2017, Eq. 3.

    Args:
        one_sided: penalise only norms above 1.
    """

    def loss(inputs: LossInputs) -> Tensor:
        real, fake = inputs.image, need(inputs.output, "output").image
        alpha = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
        between = torch.lerp(fake.detach(), real.detach(), alpha)
        norms = _gradient_norms(need(inputs.critic, "critic"), between)
        excess = F.relu(norms - 1) if one_sided else norms - 1
        return excess.square().mean(0)

    return loss


@register_loss("critic")
def r1() -> LossFn:
    """Zero-centred gradient penalty on real images: |g|^2, with g as in `gradient_penalty`; 0 for a flat critic.

    The paper's penalty is gamma/2 times this. Mescheder et al., 2018, Eq. 9.
    """

    def loss(inputs: LossInputs) -> Tensor:
        return _gradient_norms(need(inputs.critic, "critic"), inputs.image.detach()).square().mean(0)

    return loss


def _critic_loss(of_real: Elementwise, of_fake: Elementwise, scales: Scales = "mean") -> LossFn:
    over = _reduction(scales)

    def loss(inputs: LossInputs) -> Tensor:
        return over(_each(need(inputs.real, "real"), of_real)) + over(_each(need(inputs.fake, "fake"), of_fake))

    return loss


def _generator_loss(of_fake: Elementwise, scales: Scales = "mean") -> LossFn:
    over = _reduction(scales)

    def loss(inputs: LossInputs) -> Tensor:
        return over(_each(need(inputs.fake, "fake"), of_fake))

    return loss


def _same(score: Tensor) -> Tensor:
    return score


def _each(critique: Critique, function: Elementwise) -> Tensor:
    """(S, B): the mean over the map of every scale."""
    return torch.stack([per_sample(function(scores)) for scores in _scores(critique)])


def _reduction(scales: Scales) -> Elementwise:
    if scales not in ("mean", "sum"):
        raise ValueError(f"scales: expected 'mean' or 'sum', got {scales!r}")
    return lambda values: values.mean(0) if scales == "mean" else values.sum(0)


def _scores(critique: Critique) -> tuple[Tensor, ...]:
    if not critique.scores:
        raise ValueError("expected a critique with scores, got none; use a discriminator that judges realness")
    return critique.scores


def _gradient_norms(critic: Discriminator, points: Tensor) -> Tensor:
    """(S, B): for each scale, the norm of the gradient of its summed logit map; differentiable by the critic."""
    points = points.requires_grad_()
    sums = [scores.sum() for scores in _scores(critic(points))]
    gradients = [torch.autograd.grad(total, points, create_graph=True)[0] for total in sums]
    return torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
