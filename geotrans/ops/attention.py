"""Local attention: every output pixel is a weighted sum over a patch of the source that a flow points to.

Paper: Ren et al., "Deep Image Spatial Transformation for Person Image Generation", CVPR 2020, Sec. 3.2 and A.
Differences from the paper: bilinear weights are 1 - fraction and fraction (Eq. A.16 prints weights that vanish at whole
pixels), as in the authors' code.

Convention, for every function: the flow is (B, 2, H, W), backward, normalised so that 2 is the source's width or
height (align_corners=False). The patch at p holds size x size samples of the source, a pixel apart, at
p + flow(p) + (i, j) for i, j = -(size // 2), ..., size - 1 - size // 2; it is numbered row by row. Outside, the source
goes on with its edge pixels.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

import torch
from torch import Tensor

from geotrans.ops.convolution import edge_convolution
from geotrans.ops.gather import bilinear, check_places, gather, positions, split

Scale = Literal["mean", "sum"]

TRITON = importlib.util.find_spec("triton") is not None  # where False, plain PyTorch is taken on GPUs too
KERNEL_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def extract_blocks(source: Tensor, flow: Tensor, size: int) -> Tensor:
    """The flowed patches themselves, side by side: (B, C, size * H, size * W).

    To look at, and to check the other functions with: they give the same numbers without making this map, which is
    size**2 times as large as the source.
    """
    offsets = torch.arange(size, device=flow.device) - size // 2
    x, y = (place.repeat_interleave(size, 1).repeat_interleave(size, 2) for place in positions(flow, source))
    return bilinear(source, x + offsets.repeat(flow.shape[3]), y + offsets.repeat(flow.shape[2])[:, None])


def content_sample(source: Tensor, flow: Tensor, kernels: Tensor, *, scale: Scale = "mean") -> Tensor:
    """Content-aware sampling (Eq. 9): the flowed patches weighted by a kernel of their own at every pixel.

    Args:
        source: (B, C, h, w).
        kernels: (B, size**2, H, W), one weight a sample of the patch; in the paper a softmax over dimension 1.
        scale: "mean" divides the sum by size**2, as the paper's average pooling does: kernels that add up to 1 then
            make a constant c into c / size**2. "sum" does not.

    Returns:
        (B, C, H, W). Neighbouring samples share source pixels, so a patch is (size + 1)**2 of them and not 4 * size**2.
        Differentiable once. On a GPU with Triton at hand it is one kernel, whose gradient by the source is summed in
        no fixed order: not so under `torch.use_deterministic_algorithms`.

    Raises:
        ValueError: the number of kernel weights is no square, or shapes do not fit each other.
    """
    check_places(flow, source)
    size = 1
    while size * size < kernels.shape[1]:  # math.isqrt does not compile where the size varies
        size += 1
    if size * size != kernels.shape[1] or kernels.shape[0] != flow.shape[0] or kernels.shape[2:] != flow.shape[2:]:
        raise ValueError(
            f"kernels: expected shape (B, size**2, H, W) with the flow's B, H and W, got {tuple(kernels.shape)} "
            f"for a flow {tuple(flow.shape)}"
        )
    if scale not in ("mean", "sum"):
        raise ValueError(f"scale: expected 'mean' or 'sum', got {scale!r}")
    if _has_kernels(source, flow, kernels):
        from geotrans.ops.attention_triton import content_sample as fused

        out: Tensor = fused(source, flow, kernels, 1 / size**2 if scale == "mean" else 1.0)
        return out
    x, y = positions(flow, source)
    column, right = split(x, source.shape[3], size)
    row, below = split(y, source.shape[2], size)
    weights = kernels.to(torch.promote_types(kernels.dtype, x.dtype)).reshape(len(x), size, size, *x.shape[1:])
    weights = weights / size**2 if scale == "mean" else weights
    weights = _interpolate(weights, below, 1)
    weights = _interpolate(weights, right, 2)  # (B, size + 1, size + 1, H, W)
    taps = torch.arange(size + 1, device=flow.device)[:, None, None] - size // 2
    return gather(source, row[:, None] + taps, column[:, None] + taps, weights)


def flowed_convolution(source: Tensor, flow: Tensor, weight: Tensor) -> Tensor:
    """A fully connected layer on every flowed patch: `conv2d(extract_blocks(source, flow, size), weight, stride=size)`.

    All samples of a patch share one fraction of a pixel, so that the layer may come before the bilinear sampling: a
    plain convolution, whose output is sampled once instead of its input size**2 times.

    Args:
        source: (B, C, h, w).
        weight: (K, C, size, size).

    Returns:
        (B, K, H, W).
    """
    size = weight.shape[2]
    x, y = positions(flow, source)
    layer = edge_convolution(source, weight, None, size - 1, size - 1)
    # The first position that the layer is known at is the last whose patches lie on the left edge altogether.
    first = size - 1 - size // 2
    return bilinear(layer, x + first, y + first)


def patch_convolution(target: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`flowed_convolution` at zero flow: a convolution of stride 1 that goes on with the edge pixels: (B, K, H, W)."""
    size = weight.shape[2]
    return edge_convolution(target, weight, bias, size // 2, size - 1 - size // 2)


def _has_kernels(source: Tensor, flow: Tensor, kernels: Tensor) -> bool:
    """Whether the Triton kernels can do it: on a GPU, in float32 or less, where sums may be made in any order."""
    return (
        TRITON
        and source.is_cuda
        and all(x.device == source.device and x.dtype in KERNEL_TYPES for x in (source, flow, kernels))
        and not torch.are_deterministic_algorithms_enabled()
        # What torch.compile itself makes for a GPU runs on the same ones.
        and (torch.compiler.is_compiling() or torch.cuda.get_device_capability(source.device) >= (7, 0))
    )


def _interpolate(weights: Tensor, share: Tensor, dim: int) -> Tensor:
    """Split every weight between its pixel and the next along `dim`, which gets one longer.

    Args:
        share: (B, H, W), what the next pixel gets.
    """
    zero = torch.zeros_like(weights.narrow(dim, 0, 1))
    return torch.lerp(
        torch.cat([weights, zero], dim), torch.cat([zero, weights], dim), share[:, None, None].to(weights)
    )
