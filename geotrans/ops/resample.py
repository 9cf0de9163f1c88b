"""Other ways to sample an image along a flow than `warp`: wider neighbourhoods, whose gradients see further.

The gradient of a bilinear sample by its position is the difference of two neighbouring pixels, which says little about
where a better match lies.

Convention, for every function: the flow is (B, 2, H, W), backward, channels (x, y), normalised so that 2 is the image's
width or height, align_corners=False. Outside, the image goes on with its edge pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.ops.gather import bilinear, gather, positions, split


def resample_gaussian(image: Tensor, flow: Tensor, *, size: int = 4, dilation: int = 1, sigma: float = 2.0) -> Tensor:
    """The mean of size x size pixels around p + flow(p), weighted by a Gaussian of their distance: (B, C, H, W).

    The sampling of GFLA's correctness loss. It blurs: zero flow is not the identity, and a constant stays as it is.

    Args:
        image: (B, C, h, w).
        size: even: as many pixels on each side of the position.
        dilation: distance between the pixels.
        sigma: of the Gaussian, in pixels.

    Raises:
        ValueError: the size is odd or not positive, or the dilation or sigma is not positive.
    """
    if size < 2 or size % 2 or dilation < 1 or sigma <= 0:
        raise ValueError(
            "expected an even size, a dilation of at least 1 and a positive sigma, got "
            f"size {size}, dilation {dilation}, sigma {sigma}"
        )
    x, y = positions(flow, image)
    reach = dilation * size
    column, right = split(x, image.shape[3], reach)
    row, below = split(y, image.shape[2], reach)
    offsets = dilation * (torch.arange(size, device=flow.device)[:, None, None] - size // 2 + 1)
    # exp(-d^2 / 2 sigma^2) over its sum, which is the product of the sums along x and along y
    across, down = ((-(offsets - share[:, None]).square() / (2 * sigma**2)).softmax(1) for share in (right, below))
    return gather(image, row[:, None] + offsets, column[:, None] + offsets, down[:, :, None] * across[:, None])


def resample_linearized(image: Tensor, flow: Tensor, *, reach: int = 1) -> Tensor:
    """The bilinear sample, whose gradient by the flow is the slope of a plane fitted to the pixels around it.

    Paper: Jiang et al., "Linearized Multi-Sampling for Differentiable Image Transformation", ICCV 2019. Differences
    from the paper: the plane goes through the (2 * reach + 1)**2 samples of a regular window, a pixel apart, instead of
    through samples at random places, so that results repeat.

    Args:
        image: (B, C, h, w); its own gradient is that of the bilinear sample.
        reach: how many pixels the window extends to each side.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: the reach is not positive.
    """
    if reach < 1:
        raise ValueError(f"reach: expected at least 1 pixel, got {reach}")
    x, y = positions(flow, image)
    fixed_x, fixed_y = x.detach(), y.detach()
    value = bilinear(image, fixed_x, fixed_y)
    if not (torch.is_grad_enabled() and flow.requires_grad):
        return value
    with torch.no_grad():
        slopes = bilinear(_slopes(image, reach), fixed_x + reach, fixed_y + reach)
        along_x, along_y = slopes.to(x.dtype).chunk(2, dim=1)
    motion = along_x * (x - fixed_x)[:, None] + along_y * (y - fixed_y)[:, None]  # 0, but for its gradient
    return value + motion.to(value.dtype)


def _slopes(image: Tensor, reach: int) -> Tensor:
    """The least-squares slopes along x, then along y, of every window, (B, 2 * C, h + 2 * reach, w + 2 * reach).

    The image is known in every direction from `reach` pixels outside: further out all windows are alike.
    """
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    grown = F.pad(image, (2 * reach,) * 4, mode="replicate")
    steps = range(1, reach + 1)
    along_x, along_y = _steps(grown, steps, 3), _steps(grown, steps, 2)
    sums = [_total(along_x, 2 * reach + 1, 2), _total(along_y, 2 * reach + 1, 3)]
    return torch.cat(sums, dim=1) / (2 * sum(step * step for step in steps) * (2 * reach + 1))


def _steps(x: Tensor, steps: range, dim: int) -> Tensor:
    """Around every place along `dim` the sum over steps of the step times the difference across it; shorter by them."""
    reach = steps[-1]
    kept = x.shape[dim] - 2 * reach
    parts = [step * (x.narrow(dim, reach + step, kept) - x.narrow(dim, reach - step, kept)) for step in steps]
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _total(x: Tensor, size: int, dim: int) -> Tensor:
    """The sum of `size` neighbours along `dim`; shorter by size - 1."""
    kept = x.shape[dim] - size + 1
    total = x.narrow(dim, 0, kept).clone()
    for start in range(1, size):
        total += x.narrow(dim, start, kept)
    return total
