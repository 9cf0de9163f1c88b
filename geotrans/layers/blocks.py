"""The trunk that StarGAN, GANimation and SPM share: convolution, instance norm, ReLU; zero padding throughout."""

from __future__ import annotations

from torch import Tensor, nn


class InstanceNorm(nn.GroupNorm):
    """Instance normalisation with scale and shift, computed as group norm with a group a channel.

    The same numbers as `nn.InstanceNorm2d(affine=True)` without running statistics, 1.8 to 4 times as fast on a CPU.
    A sample never depends on its batch or on train/eval mode.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)


class ConvBlock(nn.Sequential):
    """Convolution without bias, instance norm, ReLU: (B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        padding = (kernel - 1) // 2
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False), InstanceNorm(c_out), nn.ReLU(inplace=True)
        )


class UpBlock(nn.Sequential):
    """Transposed 4x4 convolution of stride 2 without bias, instance norm, ReLU: doubles height and width."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False), InstanceNorm(c_out), nn.ReLU(inplace=True)
        )


class ResBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3x3, no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels, 3)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), InstanceNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first(x))
        return out


class Encoder(nn.Sequential):
    """(B, c_in, H, W) -> (B, 4 * width, H / 4, W / 4): 7x7 stem, two strided 4x4 convolutions, residual blocks."""

    def __init__(self, c_in: int, width: int, blocks: int) -> None:
        super().__init__(
            ConvBlock(c_in, width, 7),
            ConvBlock(width, 2 * width, 4, 2),
            ConvBlock(2 * width, 4 * width, 4, 2),
            *[ResBlock(4 * width) for _ in range(blocks)],
        )


class Decoder(nn.Sequential):
    """(B, 4 * width, H / 4, W / 4) -> (B, c_out, H, W): two transposed convolutions and a bare convolution as head.

    `stride` 2 or 4 leaves one or both of the transposed convolutions out: the output is that much smaller.
    """

    def __init__(self, width: int, c_out: int, kernel: int = 7, stride: int = 1) -> None:
        ups = [UpBlock(4 * width, 2 * width), UpBlock(2 * width, width)][: {1: 2, 2: 1, 4: 0}[stride]]
        channels = stride * width
        super().__init__(*ups, nn.Conv2d(channels, c_out, kernel, padding=kernel // 2, bias=False))


class StridedTrunk(nn.Sequential):
    """PatchGAN trunk without norms: `layers` 4x4 convolutions of stride 2 with bias and leaky ReLU 0.01.

    The width doubles from layer to layer; the last `constant` layers keep it.
    """

    def __init__(self, c_in: int, width: int, layers: int, constant: int = 0) -> None:
        modules: list[nn.Module] = []
        for index in range(layers):
            c_out = width * 2 ** min(index, layers - 1 - constant)
            modules += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.LeakyReLU(0.01, inplace=True)]
            c_in = c_out
        super().__init__(*modules)
        self.channels = c_in
