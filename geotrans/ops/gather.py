"""Weighted sums of pixels around real-valued positions: what every sampler beside `warp` is made of.

Convention, for every function: positions (x, y) are in pixels of the image that is read, pixel j at j, and may lie
anywhere; outside, the image goes on with its edge pixels. Rows of pixels, not planes, are fetched and summed in one
pass, so that no map larger than the output is made.
Everything is differentiable once in image and weights, on any device and under `torch.compile`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.ops.warp import check_flow, identity_grid, warp

MANY = 64  # channels from which on rows of pixels are fetched faster than planes of them


def positions(flow: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Where a flow samples an image: x and y in its pixels, (B, H, W) each, float32 or better.

    Args:
        flow: (B, 2, H, W), backward, normalised so that 2 is the image's width or height (align_corners=False). Zero
            flow of the image's size gives whole numbers, exactly.
        image: (B, C, h, w).

    Raises:
        TypeError: the flow is not of a floating type.
        ValueError: a shape is not as above, or the batches differ.
    """
    check_places(flow, image)
    height, width = image.shape[2:]
    flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
    across, down = width / flow.shape[3], height / flow.shape[2]
    columns = torch.arange(flow.shape[3], device=flow.device, dtype=flow.dtype) * across + (across - 1) / 2
    rows = torch.arange(flow.shape[2], device=flow.device, dtype=flow.dtype) * down + (down - 1) / 2
    return columns + flow[:, 0] * (width / 2), rows[:, None] + flow[:, 1] * (height / 2)


def check_places(flow: Tensor, image: Tensor) -> None:
    """Refuse what `positions` does."""
    check_flow(flow)
    if image.ndim != 4 or len(image) != len(flow):
        raise ValueError(f"image: expected shape ({len(flow)}, C, h, w), one a flow, got {tuple(image.shape)}")


def split(position: Tensor, size: int, reach: int) -> tuple[Tensor, Tensor]:
    """The whole pixel at or before each position, and how far beyond it the position lies, in [0, 1).

    Args:
        size: of the image along this axis.
        reach: how many pixels away from the whole pixel will be read. Beyond the edge by more than that, all of them
            are the edge pixel, and the whole pixel stays there: a position may be as far away as its type can say.
    """
    whole = position.detach().floor()
    return whole.clamp(-1 - reach, size + reach).long(), position - whole


def gather(image: Tensor, rows: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of R * S pixels at every place.

    Args:
        image: (B, C, h, w), any floating type; summed in float32 or better. Fastest in channels-last memory format.
        rows: (B, R, H, W) whole numbers; outside the image the nearest edge counts.
        columns: (B, S, H, W).
        weights: (B, R, S, H, W).

    Returns:
        (B, C, H, W) in the image's type and memory format.
    """
    batch, channels, height, width = image.shape
    dtype = torch.promote_types(weights.dtype, torch.promote_types(image.dtype, torch.float32))
    table = image.to(dtype).permute(0, 2, 3, 1).reshape(-1, channels)
    whole = torch.int32 if batch * height * width < 2**31 else torch.int64
    rows, columns = rows.to(whole), columns.to(whole)
    first = torch.arange(batch, device=image.device, dtype=whole).view(-1, 1, 1, 1) * height
    starts = (rows.clamp(0, height - 1) + first) * width
    index = starts[:, :, None] + columns.clamp(0, width - 1)[:, None]  # (B, R, S, H, W)
    sums = F.embedding_bag(_last(index), table, mode="sum", per_sample_weights=_last(weights.to(dtype)))
    out = sums.view(batch, *rows.shape[2:], channels).permute(0, 3, 1, 2).to(image.dtype)
    return out if is_channels_last(image) else out.contiguous()


def bilinear(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The image at positions (x, y), (B, H, W) each: (B, C, H, W). The pixels of `warp` with border padding."""
    if not _by_rows(image):
        grid = identity_grid(*x.shape[1:], device=x.device, dtype=x.dtype).permute(0, 3, 1, 2)
        places = torch.stack([(2 * x + 1) / image.shape[3] - 1, (2 * y + 1) / image.shape[2] - 1], dim=1)
        return warp(image, places - grid, padding="border")
    column, right = split(x, image.shape[3], 1)
    row, below = split(y, image.shape[2], 1)
    across, down = torch.stack([1 - right, right], dim=1), torch.stack([1 - below, below], dim=1)
    rows, columns = torch.stack([row, row + 1], dim=1), torch.stack([column, column + 1], dim=1)
    return gather(image, rows, columns, down[:, :, None] * across[:, None])


def _by_rows(image: Tensor) -> bool:
    """Whether rows of pixels are fetched faster than planes of them: they lie side by side, and are long."""
    return image.shape[1] >= MANY and is_channels_last(image)


def is_channels_last(image: Tensor) -> bool:
    """Whether the channels of a pixel lie side by side in memory, and those of a plane do not."""
    return image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()


def _last(planes: Tensor) -> Tensor:
    """(B, R, S, H, W) -> (B * H * W, R * S)."""
    return planes.permute(0, 3, 4, 1, 2).reshape(-1, planes.shape[1] * planes.shape[2])
