"""Affine regularisation: neighbouring places of the target come from places that an affine map leads to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.ops.flow import to_pixels
from geotrans.types import Translation
from registry import register_loss

Direction = Literal["code", "paper"]


@register_loss("output")
def flow_affine(sizes: Sequence[int] = (3, 5), direction: Direction = "code") -> LossFn:
    """How far the flow of every patch is from the affine map that fits it best; 0 for an affine flow. GFLA, Eq. 6.

    Squared residuals in pixels of the flow's own map, summed over the patch and both channels, averaged over all
    patches that lie inside, and added up over the scales.

    Of a generator that shows flows of several sizes ("flow_0", ... from the coarsest on) each counts, else its flow; of
    one with several references, those of each.

    Args:
        sizes: of the patches, one a flow, the finest flow's last; in GFLA those of its attention kernels.
        direction: "code" fits the source's places by the target's, as the authors' code does, for which the weights
            0.0025 (0.01 while the flow is trained alone) were tuned; "paper" the target's by the source's, as Eq. 4
            prints it.

    Raises:
        ValueError: a size is below 2, or an unknown direction; when first computed, if there are more flows than sizes,
            or a flow is smaller than its patches.
    """
    if not sizes or min(sizes) < 2:
        raise ValueError(f"sizes: expected numbers of at least 2, got {tuple(sizes)}")
    if direction not in (known := get_args(Direction)):
        raise ValueError(f"direction: expected one of {', '.join(known)}, got {direction!r}")

    def loss(inputs: LossInputs) -> Tensor:
        terms: list[Tensor] = []
        for found in flows(need(inputs.output, "output")):
            if len(found) > len(sizes):
                raise ValueError(f"sizes: expected one for each of {len(found)} flows, got {tuple(sizes)}")
            pairs = zip(found, list(sizes)[-len(found) :], strict=True)
            terms += [affine_residual(*pair, direction=direction) for pair in pairs]
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


def affine_residual(flow: Tensor, size: int, *, direction: Direction = "code") -> Tensor:
    """Mean over patches of the sum of squares that is left of a flow after its best affine fit, (B,), in square pixels.

    Args:
        flow: (B, 2, H, W), normalised.
        size: of the patches.
        direction: see `flow_affine`.

    Raises:
        ValueError: the flow is smaller than a patch.
    """
    if min(flow.shape[2:]) < size:
        raise ValueError(f"a flow of {tuple(flow.shape[2:])} has no patches of {size} x {size}; use a smaller size")
    pixels = to_pixels(flow.to(torch.promote_types(flow.dtype, torch.float32)))
    if direction == "paper":
        return _left_of_targets(pixels.double(), size).to(pixels)
    # A patch of n numbers has n - 3 orthonormal combinations that are 0 for every affine map, and the same for all
    # patches: nothing is solved.
    left = F.conv2d(pixels.flatten(0, 1)[:, None], _combinations(size).to(pixels))
    return per_sample(left.square().sum(1).view(len(flow), -1)) * 2  # the mean over the channels, times their number


def _left_of_targets(pixels: Tensor, size: int) -> Tensor:
    """What the best affine maps from the source's places leave of the target's, whose patches are all alike."""
    moves = F.unfold(pixels, size).view(len(pixels), 2, size**2, -1)
    target = _ticks(size).to(pixels)
    source = target[..., None] + moves - moves.mean(2, keepdim=True)
    system = torch.einsum("binp,bjnp->bpij", source, source)
    # Where all places are on one line, or one point, the map is not determined, but what it leaves is.
    spread = 1e-12 * (1 + system.diagonal(dim1=2, dim2=3).sum(2))
    system = system + spread[..., None, None] * torch.eye(2).to(pixels)
    maps: Tensor = torch.linalg.solve(system, torch.einsum("binp,jn->bpij", source, target))
    left = target[..., None] - torch.einsum("bpij,binp->bjnp", maps, source)
    return left.square().sum((1, 2)).mean(1)


def _ticks(size: int) -> Tensor:
    """The places of a patch around its middle, x and y row by row, (2, size**2)."""
    steps = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return torch.stack([steps.repeat(size), steps.repeat_interleave(size)])


@cache
def _combinations(size: int) -> Tensor:
    """(size**2 - 3, 1, size, size) orthonormal, each orthogonal to the constant and to both coordinates."""
    plane = torch.cat([torch.ones(1, size * size, dtype=torch.float64), _ticks(size)]).T
    basis: Tensor = torch.linalg.qr(plane, mode="complete").Q
    return basis[:, 3:].T.reshape(-1, 1, size, size)
