"""Losses that keep latent codes near the distribution that they are drawn from where no picture tells them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need
from registry import register_loss

Reduction = Literal["sum", "mean"]


@register_loss("output")
def kl_latent(code: str = "posterior", reduction: Reduction = "sum") -> LossFn:
    """Kullback-Leibler divergence of latent codes from their prior, in nats, added up over codes; 0 where they agree.

    Codes are Gaussians of variance 1 whose means a generator shows in `intermediates`, so the divergence is half of the
    squared distance between the means. Esser et al. (VU-Net), 2018, and Liu et al. (UNIT), 2017.

    Args:
        code: "posterior" compares posterior_0, posterior_1, ... with prior_0, prior_1, ... (VU-Net). Any other name is
            that of one code, such as MUNIT's "style" or "content", whose prior is N(0, I).
        reduction: over the elements of a code. "sum" is the divergence, which VU-Net's weight belongs to; "mean" keeps
            its size at any resolution, and is half of what UNIT's code adds to its loss.

    Raises:
        ValueError: an unknown reduction; or, when first computed, the generator shows no such code.
    """
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: expected 'sum' or 'mean', got {reduction!r}")

    def loss(inputs: LossInputs) -> Tensor:
        shown = need(inputs.output, "output").intermediates
        divergences = [offset.flatten(1).square() / 2 for offset in _offsets(shown, code)]
        return torch.stack([d.sum(1) if reduction == "sum" else d.mean(1) for d in divergences]).sum(0)

    return loss


def _offsets(shown: dict[str, Tensor], code: str) -> list[Tensor]:
    """The means of codes less those of their priors."""
    if code == "posterior":
        numbers = [name.removeprefix("posterior_") for name in shown if name.startswith("posterior_")]
        found = [shown[f"posterior_{number}"] - shown[f"prior_{number}"] for number in numbers]
    else:
        found = [shown[code]] if code in shown else []
    if not found:
        names = ", ".join(shown) or "nothing"
        raise ValueError(f"code: expected a generator that shows a {code}, got one that shows {names}")
    return found
