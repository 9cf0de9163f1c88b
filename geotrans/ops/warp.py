"""The one place where pixels move: every warp of the library becomes a flow, and `warp` samples it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Padding = Literal["zeros", "border"]


def identity_grid(
    height: int, width: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """The centres of an image's pixels, (1, H, W, 2).

    Convention:
        (x, y) in [-1, 1] at the image's outer edges (align_corners=False): pixel j of W sits at (2j + 1) / W - 1.
    """
    x = (2 * torch.arange(width, device=device, dtype=dtype) + 1) / width - 1
    y = (2 * torch.arange(height, device=device, dtype=dtype) + 1) / height - 1
    return torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)], dim=-1)[None]


def warp(image: Tensor, flow: Tensor, *, padding: Padding = "zeros") -> Tensor:
    """Move an image along a backward flow: out(p) = image(p + flow(p)), bilinear.

    Args:
        image: (B, C, h, w), any floating type; sampled in float32 or better whatever its type.
        flow: (B, 2, H, W).
        padding: what lies outside the image: 0, or its nearest edge pixel.

    Returns:
        (B, C, H, W) in the image's type. Zero flow returns the image: to the bit where the sides are powers of two,
        else as exactly as coordinates are rounded (float32: some 1e-5 of a pixel at 500 pixels).

    Convention:
        Backward: the flow stands at the output's pixels and points to where in `image` they come from. Channels (x, y),
        normalised so that 2 is the image's width or height, align_corners=False.

    Raises:
        TypeError: the image or the flow is not of a floating type.
        ValueError: a shape is not as above, or the batches differ.
    """
    _check(image, flow)
    if padding not in ("zeros", "border"):
        raise ValueError(f"padding: expected 'zeros' or 'border', got {padding!r}")
    dtype = torch.promote_types(torch.promote_types(image.dtype, flow.dtype), torch.float32)
    grid = identity_grid(flow.shape[2], flow.shape[3], device=flow.device, dtype=dtype)
    grid = grid + flow.to(dtype).permute(0, 2, 3, 1)
    out = F.grid_sample(image.to(dtype), grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return out.to(image.dtype)


def from_corner_units(displacement: Tensor) -> Tensor:
    """Turn a displacement in align_corners=True units into a flow of the library, pixel for pixel.

    Args:
        displacement: (B, 2, H, W), channels (x, y), where 2 is the distance between the centres of the first and the
            last pixel: u moves by u * (W - 1) / 2 pixels. Codes written for PyTorch before 1.3 use these units.

    Returns:
        (B, 2, H, W) where 2 is the full width or height: u * (W - 1) / W along x, u * (H - 1) / H along y. `warp` then
        samples the same pixels, at the borders too, as long as the image has the flow's size.
    """
    check_flow(displacement, "displacement")
    height, width = displacement.shape[2:]
    return torch.cat(
        [displacement[:, :1] * ((width - 1) / width), displacement[:, 1:] * ((height - 1) / height)], dim=1
    )


def check_flow(flow: Tensor, name: str = "flow") -> None:
    """Refuse what is not a flow.

    Raises:
        TypeError: not of a floating type.
        ValueError: not of shape (B, 2, H, W).
    """
    if flow.ndim != 4 or flow.shape[1] != 2:
        raise ValueError(f"{name}: expected shape (B, 2, H, W), got {tuple(flow.shape)}")
    if not flow.is_floating_point():
        raise TypeError(f"{name}: expected a floating type, got {flow.dtype}; convert it with .float()")


def _check(image: Tensor, flow: Tensor) -> None:
    check_flow(flow)
    if image.ndim != 4:
        raise ValueError(f"image: expected shape (B, C, h, w), got {tuple(image.shape)}")
    if not image.is_floating_point():
        raise TypeError(f"image: expected a floating type, got {image.dtype}; convert it with .float()")
    if image.shape[0] != flow.shape[0]:
        raise ValueError(
            f"expected as many flows as images, got {flow.shape[0]} flows for {image.shape[0]} images; "
            "expand the smaller batch"
        )
