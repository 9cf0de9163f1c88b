"""GANimorph: unpaired translation whose discriminator looks at shapes, through dilated convolutions.

Paper: Gokaslan et al., "Improving Shape Deformation in Unsupervised Image-to-Image Translation", ECCV 2018.
Differences from the authors' TensorFlow code: initialisation is PyTorch's. Their images lie in [0, 1] and end in a
sigmoid; both are converted at the model's edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geotrans.base import Discriminator, Generator
from geotrans.layers.blocks import ConvBlock, InstanceNorm, UpBlock
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1808.04325"


@dataclass(frozen=True)
class GANimorphConfig:
    """Attributes:
    width: channels after the first convolution; 8 times as many at the lowest resolution.
    blocks: residual blocks in each stage of the encoder and of the decoder.
    """

    resolution: int = 128
    width: int = 64
    blocks: int = 3
    condition: ConditionSpec = ConditionSpec()


class GANimorph(Generator):
    """Paints the image anew and reads no condition: mask 1, residual = painted - source. H and W divide by 16."""

    paper = PAPER

    def __init__(self, cfg: GANimorphConfig) -> None:
        super().__init__(cfg)
        width = cfg.width
        self.stem = nn.Sequential(nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.ReLU(inplace=True))
        self.down = nn.ModuleList([_down(width * 2**k, width * 2 ** (k + 1), cfg.blocks) for k in range(3)])
        self.up = nn.ModuleList([UpBlock(8 * width, 4 * width), UpBlock(4 * width, 2 * width)])
        self.merge = nn.ModuleList([_stage(8 * width, 4 * width, cfg.blocks), _stage(4 * width, 2 * width, cfg.blocks)])
        self.head = nn.Sequential(
            UpBlock(2 * width, width), nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Sigmoid()
        )

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        height, width = image.shape[2:]
        if height % 16 or width % 16:
            raise ValueError(f"image: expected sides that divide by 16, got {height} x {width}; resize or pad it")
        maps = [self.stem((image + 1) / 2)]
        for down in self.down:
            maps.append(down(maps[-1]))
        hidden = maps.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            hidden = merge(torch.cat([up(hidden), maps.pop()], dim=1))
        painted = 2 * self.head(hidden) - 1
        return Translation(painted, warped=image, residual=painted - image, mask=torch.ones_like(image[:, :1]))


class MergeBlock(nn.Module):
    """Two 3x3 convolutions, and a third that reads their result beside the input; each with norm and ReLU."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(c_in, c_out, 3), ConvBlock(c_out, c_out, 3))
        self.merge = ConvBlock(c_out + c_in, c_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.merge(torch.cat([self.body(x), x], dim=1))
        return out


def _stage(c_in: int, c_out: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(MergeBlock(c_in, c_out), *[MergeBlock(c_out, c_out) for _ in range(blocks - 1)])


def _down(c_in: int, c_out: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(ConvBlock(c_in, c_out, 4, 2), _stage(c_out, c_out, blocks))


@dataclass(frozen=True)
class GANimorphDiscriminatorConfig:
    """Attributes:
    width: channels after the first convolution; 4 times as many at the end.
    dilations: of the convolutions that widen the view without losing resolution.
    """

    resolution: int = 128
    width: int = 128
    dilations: tuple[int, ...] = (2, 4, 8)
    condition: ConditionSpec = ConditionSpec()


class GANimorphDiscriminator(Discriminator):
    """One logit for each patch at an eighth of the size, (B, 1, H / 8, W / 8), seen in a wide context.

    Features: all maps but the first, which has no norm, and the logits: seven with three dilations, as in the official
    code.
    """

    paper = PAPER

    def __init__(self, cfg: GANimorphDiscriminatorConfig) -> None:
        super().__init__(cfg)
        width, wide = cfg.width, 4 * cfg.width
        self.strided = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.ReLU(inplace=True)),
                ConvBlock(width, 2 * width, 4, 2),
                ConvBlock(2 * width, wide, 4, 2),
                ConvBlock(wide, wide, 3),
            ]
        )
        self.dilated = nn.ModuleList([_dilated(wide, dilation) for dilation in cfg.dilations])
        self.merge = ConvBlock(2 * wide, wide, 3)
        # An even kernel that keeps the size: TensorFlow pads one row more after than before.
        self.score = nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(wide, 1, 4, bias=False))

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        hidden = (image + 1) / 2
        features: list[Tensor] = []
        for layer in [*self.strided, *self.dilated]:
            hidden = layer(hidden)
            features.append(hidden)
        near = features[len(self.strided) - 1]
        merged = self.merge(torch.cat([near, hidden], dim=1))
        return Critique(scores=(self.score(merged),), features=((*features[1:], merged),))


def _dilated(channels: int, dilation: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, InstanceNorm(channels), nn.ReLU(inplace=True))


@register_generator(GANimorph)
def ganimorph_base_128() -> GANimorphConfig:
    """GANimorph as in the paper: one direction, 128 px."""
    return GANimorphConfig()


@register_generator(GANimorph)
def ganimorph_base_64() -> GANimorphConfig:
    """A small GANimorph for the built-in benchmark."""
    return GANimorphConfig(resolution=64, width=12, blocks=1)


@register_discriminator(GANimorphDiscriminator)
def ganimorph_d_128() -> GANimorphDiscriminatorConfig:
    """GANimorph's discriminator, 128 px."""
    return GANimorphDiscriminatorConfig()


@register_discriminator(GANimorphDiscriminator)
def ganimorph_d_64() -> GANimorphDiscriminatorConfig:
    """A small discriminator for the built-in benchmark."""
    return GANimorphDiscriminatorConfig(resolution=64, width=24, dilations=(2, 4))
