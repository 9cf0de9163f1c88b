"""The blocks of GFLA: instance norm and leaky ReLU come before every convolution, which has a bias.

Paper: Ren et al., "Deep Image Spatial Transformation for Person Image Generation", CVPR 2020, Fig. D.16.
"""

from __future__ import annotations

from torch import Tensor, nn

from geotrans.layers.blocks import InstanceNorm

SLOPE = 0.1  # of every leaky ReLU


class EncoderBlock(nn.Sequential):
    """Norm, activation, 4x4 convolution of stride 2, and the same again with a 3x3 convolution: half the size.

    The first block of an encoder normalises its raw input.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(
            *_active(c_in), nn.Conv2d(c_in, c_out, 4, 2, 1), *_active(c_out), nn.Conv2d(c_out, c_out, 3, padding=1)
        )


class PreResBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), 3x3; a 1x1 convolution takes x to another width.

    Args:
        hidden: channels between the convolutions; those of the input where None.
    """

    def __init__(self, c_in: int, c_out: int | None = None, hidden: int | None = None) -> None:
        super().__init__()
        c_out, hidden = c_out or c_in, hidden or c_in
        self.main = nn.Sequential(
            *_active(c_in),
            nn.Conv2d(c_in, hidden, 3, padding=1),
            *_active(hidden),
            nn.Conv2d(hidden, c_out, 3, padding=1),
        )
        self.shortcut = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x) + self.shortcut(x)
        return out


class DecoderBlock(nn.Module):
    """A residual block that doubles the size, by a transposed 3x3 convolution on both of its paths.

    Args:
        hidden: channels between the convolutions; those of the input where None.
    """

    def __init__(self, c_in: int, c_out: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or c_in
        self.main = nn.Sequential(
            *_active(c_in), nn.Conv2d(c_in, hidden, 3, padding=1), *_active(hidden), _double(hidden, c_out)
        )
        self.shortcut = _double(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x) + self.shortcut(x)
        return out


class EdgeConv(nn.Sequential):
    """Activation and a 3x3 convolution with reflected edges, without a norm: jump connections and output layers."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(nn.LeakyReLU(SLOPE), nn.Conv2d(c_in, c_out, 3, padding=1, padding_mode="reflect"))


class FeatureEncoder(nn.ModuleList):
    """Encoder blocks whose widths double from `width` to at most `max_width`: features of every size, finest first."""

    def __init__(self, c_in: int, width: int, max_width: int, layers: int) -> None:
        self.widths = encoder_widths(width, max_width, layers)
        super().__init__(
            EncoderBlock(before, after) for before, after in zip([c_in, *self.widths], self.widths, strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        for block in self:
            x = block(x)
            features.append(x)
        return features


def encoder_widths(width: int, max_width: int, layers: int) -> list[int]:
    """Channels after each of `layers` blocks."""
    return [min(width * 2**layer, max_width) for layer in range(layers)]


def initialise(module: nn.Module) -> None:
    """The paper's code: orthogonal weights of gain 0.02, so that flows start near 0, and biases of 0."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)):
        nn.init.orthogonal_(module.weight, gain=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _active(channels: int) -> tuple[nn.Module, nn.Module]:
    return InstanceNorm(channels), nn.LeakyReLU(SLOPE)


def _double(c_in: int, c_out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(c_in, c_out, 3, 2, padding=1, output_padding=1)
