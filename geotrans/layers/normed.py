"""Convolutions with the norms of the CycleGAN family: instance norm without scale and shift, or batch norm."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Padding = Literal["zeros", "reflect"]


class PlainInstanceNorm(nn.GroupNorm):
    """Instance normalisation without scale and shift: the numbers of `nn.InstanceNorm2d`, faster on a CPU."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, affine=False)


def make_norm(kind: str, channels: int) -> nn.Module:
    """The norm named "instance" (no parameters) or "batch" (scale, shift and running statistics).

    Raises:
        ValueError: another name.
    """
    if kind == "instance":
        return PlainInstanceNorm(channels)
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    raise ValueError(f"norm: expected 'instance' or 'batch', got {kind!r}")


def needs_bias(norm: str) -> bool:
    """Whether the official code gives a convolution before this norm a bias: batch norm brings its own."""
    return norm == "instance"


class NormedConv(nn.Sequential):
    """Convolution, norm, ReLU: (B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, *, norm: str = "instance", padding: Padding = "zeros"
    ) -> None:
        super().__init__(_conv(c_in, c_out, kernel, stride, norm, padding), make_norm(norm, c_out), nn.ReLU(True))


class NormedUp(nn.Sequential):
    """Transposed convolution of stride 2 (kernel 3 or 4), norm, ReLU: doubles height and width."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *, norm: str = "instance") -> None:
        bias = needs_bias(norm)
        conv = nn.ConvTranspose2d(c_in, c_out, kernel, 2, padding=1, output_padding=4 - kernel, bias=bias)
        super().__init__(conv, make_norm(norm, c_out), nn.ReLU(True))


class NormedResBlock(nn.Module):
    """x + norm(conv(dropout(relu(norm(conv(x)))))), 3x3, no activation after the sum.

    Args:
        dropout: the probability that an activation is dropped; 0 leaves the layer out.
    """

    def __init__(
        self, channels: int, *, norm: str = "instance", padding: Padding = "zeros", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.first = NormedConv(channels, channels, 3, norm=norm, padding=padding)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.second = nn.Sequential(_conv(channels, channels, 3, 1, norm, padding), make_norm(norm, channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.dropout(self.first(x)))
        return out


def _conv(c_in: int, c_out: int, kernel: int, stride: int, norm: str, padding: Padding) -> nn.Conv2d:
    side = (kernel - 1) // 2
    return nn.Conv2d(c_in, c_out, kernel, stride, side, bias=needs_bias(norm), padding_mode=padding)
