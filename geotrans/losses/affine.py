"""Affine regularisation: neighbouring places of the target come from places that an affine map leads to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.ops.flow import to_pixels
from geotrans.types import Translation
from registry import register_loss


@register_loss("output")
def flow_affine(sizes: Sequence[int] = (3, 5)) -> LossFn:
    """How far the flow of every patch is from the affine map that fits it best; 0 for an affine flow. GFLA, Eq. 6.

    Squared residuals in pixels of the flow's own map, summed over the patch and both channels, averaged over all
    patches that lie inside, and added up over the scales. As in the authors' code, for which the weights 0.0025 (0.01
    while the flow is trained alone) were tuned, the source's places are fitted by the target's; Eq. 4 does it the other
    way round.

    Of a generator that shows flows of several sizes ("flow_0", ... from the coarsest on) each counts, else its flow; of
    one with several references, those of each.

    Args:
        sizes: of the patches, one a flow, the finest flow's last; in GFLA those of its attention kernels.

    Raises:
        ValueError: a size is below 2; when first computed, if there are more flows than sizes, or a flow is smaller
            than its patches.
    """
    if not sizes or min(sizes) < 2:
        raise ValueError(f"sizes: expected numbers of at least 2, got {tuple(sizes)}")

    def loss(inputs: LossInputs) -> Tensor:
        terms: list[Tensor] = []
        for found in flows(need(inputs.output, "output")):
            if len(found) > len(sizes):
                raise ValueError(f"sizes: expected one for each of {len(found)} flows, got {tuple(sizes)}")
            pairs = zip(found, list(sizes)[-len(found) :], strict=True)
            terms += [affine_residual(flow, size) for flow, size in pairs]
        return torch.stack(terms).sum(0)

    return loss


def flows(output: Translation) -> list[list[Tensor]]:
    """The flows of every size that a generator shows, the finest last, for each of its references.

    Raises:
        ValueError: it has none.
    """
    found: dict[str, list[Tensor]] = {}
    for name, flow in output.intermediates.items():
        if name.startswith("flow_"):
            found.setdefault(name[5:].partition("_")[2], []).append(flow)  # "flow_0", or "flow_0_1" of reference 1
    if not found:
        return [[need(output.flow, "output.flow (a generator that warps)")]]
    return [sorted(found[reference], key=lambda flow: flow.shape[2] * flow.shape[3]) for reference in sorted(found)]


def affine_residual(flow: Tensor, size: int) -> Tensor:
    """Mean over patches of the sum of squares that is left of a flow after its best affine fit, (B,), in square pixels.

    A patch of n numbers has n - 3 orthonormal combinations that are 0 for every affine map, and the same for all
    patches: nothing is solved.

    Args:
        flow: (B, 2, H, W), normalised.
        size: of the patches.

    Raises:
        ValueError: the flow is smaller than a patch.
    """
    if min(flow.shape[2:]) < size:
        raise ValueError(f"a flow of {tuple(flow.shape[2:])} has no patches of {size} x {size}; use a smaller size")
    pixels = to_pixels(flow.to(torch.promote_types(flow.dtype, torch.float32)))
    left = F.conv2d(pixels.flatten(0, 1)[:, None], _combinations(size).to(pixels))
    return per_sample(left.square().sum(1).view(len(flow), -1)) * 2  # the mean over the channels, times their number


@cache
def _combinations(size: int) -> Tensor:
    """(size**2 - 3, 1, size, size) orthonormal, each orthogonal to the constant and to both coordinates."""
    steps = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    plane = torch.stack([torch.ones(size * size).double(), steps.repeat(size), steps.repeat_interleave(size)], dim=1)
    basis: Tensor = torch.linalg.qr(plane, mode="complete").Q
    return basis[:, 3:].T.reshape(-1, 1, size, size)
