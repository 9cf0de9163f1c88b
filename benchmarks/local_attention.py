"""How fast local attention is, and what it needs, next to the published formulation that lays all patches side by side.

A block is the kernel prediction net and the sampling, at the two sizes of GFLA for DeepFashion, batch 2; then the
sampling alone. All ways give the same numbers (tests/unit/test_ops_attention.py). On a GPU geotrans samples with its
Triton kernels where Triton is installed, and stands there a second time ("plain") without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from interleaved import Case, Way, main
from torch import Tensor

from geotrans.layers.attention import LocalAttention
from geotrans.ops import attention
from geotrans.ops.flow import from_pixels
from geotrans.ops.gather import positions

BATCH, HIDDEN = 2, 128


def block(channels: int, side: int, size: int) -> Case:
    """A case: features of so many channels, squares of that side, kernels of that size."""

    def case(device: torch.device) -> Mapping[str, Way]:
        layer = LocalAttention(channels, size, hidden=HIDDEN).to(device)
        shape = (BATCH, channels, side, side)
        source, target = (torch.randn(shape, device=device, requires_grad=True) for _ in range(2))
        flow = from_pixels(4 * torch.randn(BATCH, 2, side, side, device=device)).requires_grad_()
        last, wanted = (x.detach().to(memory_format=torch.channels_last).requires_grad_() for x in (source, target))
        leaves = [source, target, flow, *layer.parameters()]
        ways = {
            "patches side by side": Way(lambda: side_by_side(layer, source, target, flow, size), leaves),
            "one sample of all patches a time": Way(lambda: one_at_a_time(layer, source, target, flow, size), leaves),
            "geotrans": Way(lambda: layer(source, target, flow)[0], leaves),
            "geotrans, channels last": Way(lambda: layer(last, wanted, flow)[0], [last, wanted, *leaves[2:]]),
        }
        return with_plain(ways) if device.type == "cuda" else ways

    return case


def sampling(channels: int, side: int, size: int) -> Case:
    """A case: the same without the kernel prediction net."""

    def case(device: torch.device) -> Mapping[str, Way]:
        source = torch.randn(BATCH, channels, side, side, device=device, requires_grad=True)
        last = source.detach().to(memory_format=torch.channels_last).requires_grad_()
        flow = from_pixels(4 * torch.randn(BATCH, 2, side, side, device=device)).requires_grad_()
        kernels = torch.randn(BATCH, size**2, side, side, device=device).softmax(1).requires_grad_()
        ways = {
            "patches side by side": Way(lambda: pooled(source, flow, kernels, size), [source, flow, kernels]),
            "geotrans": Way(lambda: attention.content_sample(source, flow, kernels), [source, flow, kernels]),
            "geotrans, channels last": Way(
                lambda: attention.content_sample(last, flow, kernels), [last, flow, kernels]
            ),
        }
        return with_plain(ways) if device.type == "cuda" else ways

    return case


def with_plain(ways: dict[str, Way]) -> dict[str, Way]:
    """The ways, and those of geotrans without its Triton kernels."""

    def plain(run: Callable[[], Tensor]) -> Tensor:
        before, attention.TRITON = attention.TRITON, False
        try:
            return run()
        finally:
            attention.TRITON = before

    ours = {name: way for name, way in ways.items() if name.startswith("geotrans")}
    return ways | {f"{name}, plain": Way(partial(plain, way.run), way.leaves) for name, way in ours.items()}


def side_by_side(layer: LocalAttention, source: Tensor, target: Tensor, flow: Tensor, size: int) -> Tensor:
    """The published formulation: patches of both in maps of size * H x size * W, a strided layer, a pooled product."""
    patches = sample(source, flow, offsets(size, flow), size)
    own = sample(target, torch.zeros_like(flow), offsets(size, flow), size)
    hidden = F.leaky_relu(layer.patch(torch.cat([own, patches], dim=1)), layer.slope)
    kernels = layer.kernel(hidden).softmax(1)
    return F.avg_pool2d(F.pixel_shuffle(kernels, size) * patches, size)


def pooled(source: Tensor, flow: Tensor, kernels: Tensor, size: int) -> Tensor:
    """The second half of it."""
    return F.avg_pool2d(F.pixel_shuffle(kernels, size) * sample(source, flow, offsets(size, flow), size), size)


def one_at_a_time(layer: LocalAttention, source: Tensor, target: Tensor, flow: Tensor, size: int) -> Tensor:
    """No large map: each of the size**2 samples of all patches by itself, twice."""
    still, taps = torch.zeros_like(flow), offsets(size, flow)
    hidden = layer.patch.bias[:, None, None]
    seen = []
    for number in range(size * size):
        tap = taps[number : number + 1]
        seen.append(sample(source, flow, tap, 1))
        weight = layer.patch.weight[:, :, number // size, number % size, None, None]
        hidden = hidden + F.conv2d(torch.cat([sample(target, still, tap, 1), seen[-1]], dim=1), weight)
    kernels = layer.kernel(F.leaky_relu(hidden, layer.slope)).softmax(1)
    return torch.stack([kernels[:, i, None] * part for i, part in enumerate(seen)]).sum(0) / size**2


def offsets(size: int, like: Tensor) -> Tensor:
    """Where a patch's samples lie, (size**2, 2) as (x, y) in pixels, row by row."""
    steps = torch.arange(size, device=like.device, dtype=like.dtype) - size // 2
    return torch.stack([steps.repeat(size), steps.repeat_interleave(size)], dim=1)


def sample(source: Tensor, flow: Tensor, taps: Tensor, size: int) -> Tensor:
    """The source at every tap of every place, taps side by side: (B, C, size * H, size * W)."""
    height, width = source.shape[2:]
    x, y = (at[..., None] + taps[:, axis] for axis, at in enumerate(positions(flow, source)))
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)  # (B, H, W, size**2, 2)
    batch, rows, columns = x.shape[:3]
    grid = grid.view(batch, rows, columns, size, size, 2).transpose(2, 3).reshape(batch, rows * size, columns * size, 2)
    return F.grid_sample(source, grid, padding_mode="border", align_corners=False)


if __name__ == "__main__":
    main(
        {
            "256 channels, 32x32, 3x3": block(256, 32, 3),
            "128 channels, 64x64, 5x5": block(128, 64, 5),
            "sampling, 256 ch., 32x32, 3x3": sampling(256, 32, 3),
            "sampling, 128 ch., 64x64, 5x5": sampling(128, 64, 5),
        },
        __doc__,
    )
