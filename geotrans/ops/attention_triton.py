"""Triton kernels of `ops.attention.content_sample`: one forward, one backward, and no map of patches or of weights.

That module, where the convention stands, loads this one where it may be used; triton is not among the requirements.
Positions are rounded as there, and sums are made in float32. The gradient by the source is added up in no fixed order.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def"

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from geotrans.ops.gather import is_channels_last

TILE = 1024  # samples that a program holds at a time: so many pixels times so many channels
MOST_CHANNELS = 128  # of a tile


@torch.library.custom_op("geotrans::content_sample", mutates_args=())
def content_sample(source: Tensor, flow: Tensor, kernels: Tensor, factor: float) -> Tensor:
    """Content-aware sampling, times a factor.

    Args:
        source: (B, C, h, w), of a floating type up to float32, as all three.
        flow: (B, 2, H, W), backward, normalised.
        kernels: (B, size**2, H, W).

    Returns:
        (B, C, H, W) in the source's type and memory format. Differentiable once in the three tensors.
    """
    out: Tensor = _empty(source, flow)
    source, flow, kernels = _dense(source), flow.contiguous(), kernels.contiguous()
    pixels, channels = _tile(source)
    grid = (triton.cdiv(math.prod(flow.shape[2:]), pixels), triton.cdiv(source.shape[1], channels), len(source))
    with torch.cuda.device(source.get_device()):
        _forward[grid](
            source, flow, kernels, out, factor, *_shape(source, flow), *_strides(source), *_strides(out),
            SIZE=math.isqrt(kernels.shape[1]), PIXELS=pixels, CHANNELS=channels, enable_fp_fusion=False,
        )  # fmt: skip
    return out


@torch.library.custom_op("geotrans::content_sample_backward", mutates_args=())
def content_sample_backward(
    upstream: Tensor, source: Tensor, flow: Tensor, kernels: Tensor, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by source, flow and kernels, in their types, of what has the gradient `upstream`."""
    types = source.dtype, flow.dtype, kernels.dtype
    source, flow, kernels = _dense(source), flow.contiguous(), kernels.contiguous()
    upstream = upstream.contiguous(memory_format=_format(source))
    by_source = torch.zeros_like(source, dtype=torch.float32)
    by_flow, by_kernels = (torch.empty_like(x, dtype=torch.float32) for x in (flow, kernels))
    size = math.isqrt(kernels.shape[1])
    pixels, channels = _tile(source)
    with torch.cuda.device(source.get_device()):
        _backward[triton.cdiv(math.prod(flow.shape[2:]), pixels), len(source)](
            upstream, source, flow, kernels, by_source, by_flow, by_kernels, factor, *_shape(source, flow),
            *_strides(source), *_strides(upstream),
            SIZE=size, PADDED=triton.next_power_of_2(size), PIXELS=pixels, CHANNELS=channels, enable_fp_fusion=False,
        )  # fmt: skip
    by_source, by_flow, by_kernels = (x.to(t) for x, t in zip((by_source, by_flow, by_kernels), types, strict=True))
    return by_source, by_flow, by_kernels


@content_sample.register_fake
def _empty(source: Tensor, flow: Tensor, *_: object) -> Tensor:
    """What the output looks like."""
    return torch.empty(
        (*source.shape[:2], *flow.shape[2:]), dtype=source.dtype, device=source.device, memory_format=_format(source)
    )


@content_sample_backward.register_fake
def _gradients(
    upstream: Tensor, source: Tensor, flow: Tensor, kernels: Tensor, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    by_source = torch.empty(source.shape, dtype=source.dtype, device=source.device, memory_format=_format(source))
    return by_source, torch.empty_like(flow.contiguous()), torch.empty_like(kernels.contiguous())


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, float], output: Tensor) -> None:
    *tensors, ctx.factor = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return *content_sample_backward(upstream, *ctx.saved_tensors, ctx.factor), None


content_sample.register_autograd(_differentiate, setup_context=_keep)


def _format(image: Tensor) -> torch.memory_format:
    return torch.channels_last if is_channels_last(image) else torch.contiguous_format


def _dense(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=_format(image))


def _strides(image: Tensor) -> tuple[int, int]:
    """From a channel to the next, and from a pixel to the next."""
    _, channels, height, width = image.shape
    return (1, channels) if is_channels_last(image) else (height * width, 1)


def _shape(source: Tensor, flow: Tensor) -> tuple[int, int, int, int, int, float, float]:
    """Channels, height and width of the source, those of the output, and what the first are of the second."""
    (channels, height, width), (rows, columns) = source.shape[1:], flow.shape[2:]
    return channels, height, width, rows, columns, height / rows, width / columns


def _tile(source: Tensor) -> tuple[int, int]:
    """Pixels and channels of a tile."""
    channels = min(int(triton.next_power_of_2(source.shape[1])), MOST_CHANNELS)
    return min(TILE // channels, 128), channels


@triton.jit
def _forward(
    source, flow, kernels, out, factor, channels, height, width, rows, columns,
    down, across, source_c, source_p, out_c, out_p,
    SIZE: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """A tile of the output: PIXELS x CHANNELS of one image."""
    image, plane = tl.program_id(2).to(tl.int64), rows * columns
    source += image * channels * height * width
    flow += image * 2 * plane
    kernels += image * SIZE * SIZE * plane
    out += image * channels * plane
    place = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = place < plane
    inside = there[:, None] & (channel < channels)[None, :]
    column, row, right, below = _positions(flow, place, there, height, width, rows, columns, down, across, SIZE)
    total = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for i in range(SIZE + 1):
        start = tl.minimum(tl.maximum(row + i, 0), height - 1) * width
        last = tl.zeros((PIXELS,), tl.float32)
        for j in range(SIZE + 1):
            mixed, _ = _mixed(kernels, place, there, plane, i, j, below, SIZE)
            pixel = start + tl.minimum(tl.maximum(column + j, 0), width - 1)
            value = tl.load(source + pixel[:, None] * source_p + channel[None, :] * source_c, mask=inside, other=0.0)
            total += (mixed + right * (last - mixed))[:, None] * value.to(tl.float32)
            last = mixed
    total = (total * factor).to(out.dtype.element_ty)
    tl.store(out + place[:, None] * out_p + channel[None, :] * out_c, total, mask=inside)


@triton.jit
def _backward(
    upstream, source, flow, kernels, by_source, by_flow, by_kernels, factor, channels, height, width, rows, columns,
    down, across, source_c, source_p, upstream_c, upstream_p,
    SIZE: tl.constexpr, PADDED: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """All that PIXELS pixels of one image's output, in all channels, add to the gradients."""
    image, plane = tl.program_id(1).to(tl.int64), rows * columns
    upstream += image * channels * plane
    source += image * channels * height * width
    by_source += image * channels * height * width
    flow += image * 2 * plane
    by_flow += image * 2 * plane
    kernels += image * SIZE * SIZE * plane
    by_kernels += image * SIZE * SIZE * plane
    place = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    there = place < plane
    cell = tl.arange(0, PADDED)[None, :]  # a column of the kernel
    column, row, right, below = _positions(flow, place, there, height, width, rows, columns, down, across, SIZE)
    by_right = tl.zeros((PIXELS,), tl.float32)
    by_below = tl.zeros((PIXELS,), tl.float32)
    over = tl.zeros((PIXELS, PADDED), tl.float32)
    for i in range(SIZE + 1):
        start = tl.minimum(tl.maximum(row + i, 0), height - 1) * width
        last = tl.zeros((PIXELS,), tl.float32)
        last_slope = tl.zeros((PIXELS,), tl.float32)
        here = tl.zeros((PIXELS, PADDED), tl.float32)
        for j in range(SIZE + 1):
            mixed, slope = _mixed(kernels, place, there, plane, i, j, below, SIZE)
            weight = mixed + right * (last - mixed)
            pixel = start + tl.minimum(tl.maximum(column + j, 0), width - 1)
            by_weight = tl.zeros((PIXELS,), tl.float32)
            for first in range(0, channels, CHANNELS):
                channel = first + tl.arange(0, CHANNELS)
                inside = there[:, None] & (channel < channels)[None, :]
                read = pixel[:, None] * source_p + channel[None, :] * source_c
                value = tl.load(source + read, mask=inside, other=0.0).to(tl.float32)
                written = place[:, None] * upstream_p + channel[None, :] * upstream_c
                part = tl.load(upstream + written, mask=inside, other=0.0).to(tl.float32) * factor
                by_weight += tl.sum(part * value, axis=1)
                tl.atomic_add(by_source + read, weight[:, None] * part, mask=inside, sem="relaxed")
            by_right += by_weight * (last - mixed)
            by_below += by_weight * (slope + right * (last_slope - slope))
            share = tl.where(cell == j, 1 - right[:, None], tl.where(cell == j - 1, right[:, None], 0.0))
            here += share * by_weight[:, None]
            last, last_slope = mixed, slope
        # A row of the kernel weighs two rows of pixels: the one over this, and this.
        by_row = over + below[:, None] * (here - over)
        written = ((i - 1) * SIZE + cell) * plane + place[:, None]
        tl.store(by_kernels + written, by_row, mask=there[:, None] & (cell < SIZE) & (i > 0))
        over = here
    tl.store(by_flow + place, by_right * (width * 0.5), mask=there)
    tl.store(by_flow + plane + place, by_below * (height * 0.5), mask=there)


@triton.jit
def _positions(flow, place, there, height, width, rows, columns, down, across, SIZE: tl.constexpr):
    """The first column and row of the patches, and how far beyond them they begin: `gather.positions` and `split`."""
    x = tl.load(flow + place, mask=there, other=0.0).to(tl.float32)
    x = (place % columns) * across + (across - 1) * 0.5 + x * (width * 0.5)
    y = tl.load(flow + rows * columns + place, mask=there, other=0.0).to(tl.float32)
    y = (place // columns) * down + (down - 1) * 0.5 + y * (height * 0.5)
    left, top = tl.floor(x), tl.floor(y)
    column = tl.minimum(tl.maximum(left, -1.0 - SIZE), width + 1.0 * SIZE).to(tl.int32) - SIZE // 2
    row = tl.minimum(tl.maximum(top, -1.0 - SIZE), height + 1.0 * SIZE).to(tl.int32) - SIZE // 2
    return column, row, x - left, y - top


@triton.jit
def _mixed(kernels, place, there, plane, i, j, below, SIZE: tl.constexpr):
    """What the kernels' column j weighs row i of a patch's SIZE + 1 rows of pixels with, and its slope by `below`."""
    known = there & (j < SIZE)
    place += (i * SIZE + j) * plane
    here = tl.load(kernels + place, mask=known & (i < SIZE), other=0.0).to(tl.float32)
    over = tl.load(kernels + place - SIZE * plane, mask=known & (i > 0), other=0.0).to(tl.float32)
    return here + below * (over - here), over - here
