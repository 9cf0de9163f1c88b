"""Forward splatting: pixels are thrown along a flow instead of being fetched along it."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.ops.warp import check_flow

MIN_COVERAGE = 1e-3  # below it a pixel counts as a hole: dividing by less would blow up values and gradients


def splat(image: Tensor, flow: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Throw every pixel of an image along a forward flow; it lands on the four pixels around, bilinearly.

    With weights 1 this is the adjoint of `warp(..., padding="zeros")`. Differentiable in image, flow and weights; sums
    on CUDA are added in no fixed order.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W) at the image's pixels.
        weights: (B, 1, H, W), not negative: how much each pixel counts where several land; 1 when None.

    Returns:
        The weighted sum of what landed (B, C, H, W), and the sum of its weights, the coverage (B, 1, H, W). Divide the
        one by the other for an image; where the coverage is 0, nothing landed. What lands outside is lost.

    Convention:
        Forward: pixel p moves to p + flow(p). Channels (x, y), normalised so that 2 is the width or height
        (align_corners=False).

    Raises:
        ValueError: a shape is not as above.
    """
    _check(image, flow, weights)
    batch, channels, height, width = image.shape
    dtype = torch.promote_types(torch.promote_types(image.dtype, flow.dtype), torch.float32)
    weights = image.new_ones(batch, 1, height, width) if weights is None else weights
    values = torch.cat([image * weights, weights.to(image.dtype)], dim=1).to(dtype).flatten(2)
    x, y = _landing(flow.to(dtype))
    total = torch.zeros_like(values)
    for column, across in _neighbours(x):
        for row, down in _neighbours(y):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            landed = values * (across * down * inside).flatten(1)[:, None]
            total = total.scatter_add(2, index.flatten(1)[:, None].expand_as(values), landed)
    total = total.view(batch, channels + 1, height, width).to(image.dtype)
    return total[:, :channels], total[:, channels:]


def normalise(splatted: Tensor, coverage: Tensor) -> Tensor:
    """The mean of what landed on each pixel: splatted / coverage, falling to 0 where less than 0.001 landed."""
    return splatted / coverage.clamp_min(MIN_COVERAGE)


def _landing(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows, in pixels, where each pixel lands, (B, H, W) each."""
    height, width = flow.shape[2:]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)
    return columns + flow[:, 0] * (width / 2), rows[:, None] + flow[:, 1] * (height / 2)


def _neighbours(position: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The two integers around each position, and the share that each gets."""
    low = position.detach().floor()
    share = position - low
    index = low.long()
    return [(index, 1 - share), (index + 1, share)]


def _check(image: Tensor, flow: Tensor, weights: Tensor | None) -> None:
    check_flow(flow)
    if image.ndim != 4 or image.shape[0] != flow.shape[0] or image.shape[2:] != flow.shape[2:]:
        raise ValueError(
            f"image: expected shape (B, C, H, W) with the flow's B, H and W, got {tuple(image.shape)} "
            f"for a flow {tuple(flow.shape)}; a forward flow stands at the image's own pixels"
        )
    if weights is not None and weights.shape != (image.shape[0], 1, *image.shape[2:]):
        raise ValueError(f"weights: expected shape {(image.shape[0], 1, *image.shape[2:])}, got {tuple(weights.shape)}")
