"""How fast the library samples along a flow, next to the usual published form: a mesh grid in every call, grid_sample.

Images (3 channels) and features (64): the one warp of the library, the bilinear samples that attention is
made of, and the two wider samplers, with Gaussian resampling next to a loop over its 16 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from interleaved import Case, Way, main
from torch import Tensor

from geotrans.ops.flow import from_pixels
from geotrans.ops.gather import bilinear, positions
from geotrans.ops.resample import resample_gaussian, resample_linearized
from geotrans.ops.warp import warp


def bilinear_case(batch: int, channels: int, side: int) -> Case:
    """A case of bilinear samples."""

    def case(device: torch.device) -> Mapping[str, Way]:
        image, flow = example(batch, channels, side, device)
        last = image.detach().to(memory_format=torch.channels_last).requires_grad_()
        return {
            "mesh grid, grid_sample": Way(lambda: published(image, flow), [image, flow]),
            "warp": Way(lambda: warp(image, flow), [image, flow]),
            "bilinear": Way(lambda: bilinear(image, *positions(flow, image)), [image, flow]),
            "warp, channels last": Way(lambda: warp(last, flow), [last, flow]),
            "bilinear, channels last": Way(lambda: bilinear(last, *positions(flow, last)), [last, flow]),
            "linearized": Way(lambda: resample_linearized(image, flow), [image, flow]),
            "linearized, channels last": Way(lambda: resample_linearized(last, flow), [last, flow]),
        }

    return case


def gaussian_case(batch: int, channels: int, side: int) -> Case:
    """A case of Gaussian means."""

    def case(device: torch.device) -> Mapping[str, Way]:
        image, flow = example(batch, channels, side, device)
        return {
            "loop over 16 pixels": Way(lambda: looped_gaussian(image, flow), [image, flow]),
            "resample_gaussian": Way(lambda: resample_gaussian(image, flow), [image, flow]),
        }

    return case


def example(batch: int, channels: int, side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """An image, and a flow of some pixels."""
    image = torch.randn(batch, channels, side, side, device=device, requires_grad=True)
    return image, from_pixels(4 * torch.randn(batch, 2, side, side, device=device)).requires_grad_()


def published(image: Tensor, flow: Tensor) -> Tensor:
    """The usual form: displacements in [-1, 1] between the outermost pixel centres."""
    height, width = image.shape[2:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    grid = torch.stack([x, y], dim=-1).to(image.device) + flow.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, align_corners=True)


def looped_gaussian(image: Tensor, flow: Tensor, size: int = 4, sigma: float = 2.0) -> Tensor:
    """The definition, a pixel of the window at a time."""
    height, width = image.shape[2:]
    x, y = positions(flow, image)
    left, top = x.detach().floor().long(), y.detach().floor().long()
    total, weights = torch.zeros_like(image), torch.zeros_like(x)[:, None]
    for i in range(1 - size // 2, 1 + size // 2):
        for j in range(1 - size // 2, 1 + size // 2):
            weight = torch.exp(-((x - left - j) ** 2 + (y - top - i) ** 2) / (2 * sigma**2))[:, None]
            index = (top + i).clamp(0, height - 1) * width + (left + j).clamp(0, width - 1)
            pixels = image.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, image.shape[1], -1))
            total, weights = total + weight * pixels.view_as(image), weights + weight
    return total / weights


if __name__ == "__main__":
    main(
        {
            "image, 4 x 3 x 128 x 128": bilinear_case(4, 3, 128),
            "image, 4 x 3 x 256 x 256": bilinear_case(4, 3, 256),
            "features, 4 x 64 x 128 x 128": bilinear_case(4, 64, 128),
            "features, 2 x 256 x 64 x 64": bilinear_case(2, 256, 64),
            "Gaussian, 2 x 256 x 64 x 64": gaussian_case(2, 256, 64),
        },
        __doc__,
    )
