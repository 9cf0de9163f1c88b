"""Registered warps that fetch pixels in another way than bilinearly, and `move`, which applies any registered warp.

Each is a flow, like every warp, and brings its own sampling along it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geotrans.ops.attention import content_sample
from geotrans.ops.flow import from_pixels, resize
from geotrans.ops.resample import resample_gaussian, resample_linearized
from geotrans.ops.warp import check_flow, warp
from registry import WARPS, register_warp


def move(name: str, image: Tensor, params: Tensor) -> Tensor:
    """Apply the registered warp called `name` to an image (B, C, H, W): the flow of its params, sampled its own way.

    Args:
        params: what the warp takes.

    Raises:
        LookupError: there is no such warp.
        ValueError: the params have another shape than the warp takes.
    """
    entry = WARPS.get(name)
    if entry.info.sample is not None:
        moved: Tensor = entry.info.sample(image, params)
        return moved
    return warp(image, entry.factory(params, *image.shape[2:]))


def _sample_attention(image: Tensor, params: Tensor) -> Tensor:
    flow, logits = _parts(params, *image.shape[2:])
    return content_sample(image, flow, logits.softmax(1), scale="sum")


def _sample_gaussian(image: Tensor, params: Tensor) -> Tensor:
    return resample_gaussian(image, resize(params, (image.shape[2], image.shape[3])))


def _sample_linearized(image: Tensor, params: Tensor) -> Tensor:
    return resample_linearized(image, resize(params, (image.shape[2], image.shape[3])))


@register_warp(params=lambda batch, height, width: (batch, 2 + 9, height, width), sample=_sample_attention)
def local_attention(params: Tensor, height: int, width: int) -> Tensor:
    """A flow, and at every pixel a kernel over the patch that it points to (GFLA's content-aware sampling).

    As a flow it is where the kernel's centre of mass lies; `move` takes the weighted sum over the patch.

    Args:
        params: (B, 2 + k * k, h, w) with an odd k: a flow, and the logits of a k x k kernel, row by row, of samples a
            pixel of the output apart; resized.
        height: of the flow.
        width: of the flow.

    Raises:
        ValueError: another shape.
    """
    flow, logits = _parts(params, height, width)
    side = math.isqrt(logits.shape[1])
    kernel = logits.softmax(1).view(-1, side, side, height, width)
    centre = torch.stack([_centre(kernel.sum(1)), _centre(kernel.sum(2))], dim=1)
    return flow + from_pixels(centre)


@register_warp(params=lambda batch, height, width: (batch, 2, height, width), sample=_sample_gaussian)
def gaussian_resample(params: Tensor, height: int, width: int) -> Tensor:
    """The params are the flow, (B, 2, h, w) of any size; `move` takes Gaussian means, which blur, along it."""
    return resize(params, (height, width))


@register_warp(params=lambda batch, height, width: (batch, 2, height, width), sample=_sample_linearized)
def linearized(params: Tensor, height: int, width: int) -> Tensor:
    """The params are the flow, (B, 2, h, w) of any size; `move` gives it the gradients of linearized multi-sampling."""
    return resize(params, (height, width))


def _parts(params: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The flow and the logits, at the size of the output."""
    side = math.isqrt(max(params.shape[1] - 2, 0)) if params.ndim == 4 else 0
    if side % 2 == 0 or params.shape[1] != 2 + side * side:
        raise ValueError(
            f"local_attention params: expected shape (B, 2 + k * k, h, w) with an odd k, got {tuple(params.shape)}"
        )
    flow, logits = resize(params[:, :2], (height, width)), params[:, 2:]
    check_flow(flow)
    if logits.shape[2:] != flow.shape[2:]:
        logits = torch.nn.functional.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
    return flow, logits


def _centre(profile: Tensor) -> Tensor:
    """The mean offset of a profile of weights (B, k, H, W), k odd: (B, H, W). Exactly 0 where it is symmetric."""
    half = profile.shape[1] // 2
    ahead, behind = profile[:, half + 1 :], profile[:, :half].flip(1)
    steps = torch.arange(1, half + 1, device=profile.device, dtype=profile.dtype)
    return torch.einsum("bkhw,k->bhw", ahead - behind, steps)
