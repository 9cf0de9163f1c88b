"""A convolution whose image goes on with its edge pixels, and that keeps no larger copy of it for the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def edge_convolution(image: Tensor, weight: Tensor, bias: Tensor | None, before: int, after: int) -> Tensor:
    """A convolution of stride 1 over an image grown by its own edge pixels. Differentiable once.

    Args:
        image: (B, C, h, w).
        weight: (K, C, size, size).
        bias: (K,).
        before: by how many pixels the image grows at the top and on the left.
        after: and at the bottom and on the right.

    Returns:
        (B, K, h + before + after + 1 - size, w + before + after + 1 - size), in channels-last memory format.
    """
    out: Tensor = _EdgeConvolution.apply(image, weight, bias, before, after)
    return out


class _EdgeConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor | None, before: int, after: int) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.biases, ctx.margins = None if bias is None else list(bias.shape), (before, after)
        return F.conv2d(_grown(image, before, after), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        image, weight = ctx.saved_tensors
        stride, padding, dilation, dtype = [1, 1], [0, 0], [1, 1], upstream.dtype  # autocast chose the type
        by_grown, by_weight, by_bias = torch.ops.aten.convolution_backward(
            upstream, _grown(image.to(dtype), *ctx.margins), weight.to(dtype), ctx.biases,
            stride, padding, dilation, False, [0, 0], 1, ctx.needs_input_grad[:3],
        )  # fmt: skip
        by_image = None if by_grown is None else _shrunk(by_grown, *ctx.margins)
        return by_image, by_weight, by_bias, None, None


def _grown(image: Tensor, before: int, after: int) -> Tensor:
    rows = image.contiguous(memory_format=torch.channels_last)
    return F.pad(rows, (before, after, before, after), mode="replicate")


def _shrunk(gradient: Tensor, before: int, after: int) -> Tensor:
    """The gradient by the image from that by the grown one, in its place."""
    for dim in (2, 3):
        kept = gradient.shape[dim] - before - after
        inner = gradient.narrow(dim, before, kept)
        inner.select(dim, 0).add_(gradient.narrow(dim, 0, before).sum(dim))
        inner.select(dim, kept - 1).add_(gradient.narrow(dim, before + kept, after).sum(dim))
        gradient = inner
    return gradient
