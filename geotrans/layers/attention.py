"""Attention between the features of a source and those of a target: local, along a flow, or global."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geotrans.ops.attention import Scale, content_sample, flowed_convolution, patch_convolution
from geotrans.ops.gather import bilinear, is_channels_last, positions


class LocalAttention(nn.Module):
    """GFLA's local attention (Sec. 3.2): kernels read off pairs of patches, and source patches weighted by them.

    Args:
        channels: of both features.
        size: of the patches and kernels.
        hidden: units of the kernel prediction net.
        scale: see `ops.attention.content_sample`; the official weights want "mean".
    """

    def __init__(
        self, channels: int, size: int, *, hidden: int = 128, slope: float = 0.1, scale: Scale = "mean"
    ) -> None:
        super().__init__()
        self.slope, self.scale = slope, scale
        # Its first half reads the target's patch, its second half the source's.
        self.patch = nn.Conv2d(2 * channels, hidden, size, size)
        self.kernel = nn.Conv2d(hidden, size * size, 1)

    def forward(self, source: Tensor, target: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            source: (B, C, h, w).
            target: (B, C, H, W).
            flow: (B, 2, H, W) backward, normalised.

        Returns:
            (B, C, H, W), and the kernels (B, size**2, H, W), which add up to 1 over dimension 1.
        """
        # Pixels are fetched as rows of channels; convolutions between them had better leave them so.
        rows = source.contiguous(memory_format=torch.channels_last)
        of_target, of_source = self.patch.weight.chunk(2, dim=1)
        hidden = patch_convolution(target, of_target, self.patch.bias).add_(flowed_convolution(rows, flow, of_source))
        kernels = self.kernel(F.leaky_relu_(hidden, self.slope)).softmax(1)
        attended = content_sample(rows, flow, kernels, scale=self.scale)
        return attended if is_channels_last(source) else attended.contiguous(), kernels


class GlobalAttention(nn.Module):
    """Every place of the target looks at every place of the source, and adds what it sees: (B, C, H, W).

    GFLA's ablation "Global-Attn": similarities of 1x1 convolutions to an eighth of the channels, softmax over all
    places, and a factor that starts at 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // 8, 1)
        self.query, self.key = nn.Conv2d(channels, narrow, 1), nn.Conv2d(channels, narrow, 1)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        query, key, value = (x.flatten(2).mT for x in (self.query(target), self.key(source), source))
        seen = F.scaled_dot_product_attention(query, key, value.to(query), scale=1.0)
        return target + self.gain * seen.mT.view_as(target)


class BilinearSampling(nn.Module):
    """What `LocalAttention` is compared with: the source's features moved along the flow, edges repeated."""

    def forward(self, source: Tensor, target: Tensor, flow: Tensor) -> tuple[Tensor, None]:
        """The moved features (B, C, H, W), and no kernels; the target is not looked at."""
        return bilinear(source, *positions(flow, source)), None
