"""VU-Net: a U-Net draws a person from a stick figure, with the looks that a variational auto-encoder saw in its parts.

Paper: Esser et al., "A Variational U-Net for Conditional Appearance and Shape Generation", CVPR 2018.
Differences from the paper: stick figure and parts are made from the maps of 18 joints; filters start with
norm 1, those of residual blocks with 0.2, in place of an initialisation by four batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.ops.condition import structure_pair
from geotrans.ops.limbs import CROPS, joints_of, part_crops
from geotrans.ops.poses import stick_figure
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_generator

PAPER = "https://arxiv.org/abs/1804.04694"
POSE = ConditionSpec(structure=18, needs_source=True)


@dataclass(frozen=True)
class VUNetConfig:
    """Attributes:
    width: channels at full size; they double from size to size.
    max_width: at most so many.
    scales: sizes of the U-Net, each half of the one before.
    crop_scales: by how many halvings the parts' pictures are smaller than the whole.
    latents: the smallest sizes, which have a latent code each.
    dropout: in every block, in training.
    """

    resolution: int = 256
    width: int = 32
    max_width: int = 128
    scales: int = 7
    crop_scales: int = 2
    latents: int = 2
    dropout: float = 0.1
    condition: ConditionSpec = POSE


class VUNet(Generator):
    """A person in another pose. Paints the image anew: mask 1, residual = painted - source.

    The codes are drawn in training, and are the posterior's means otherwise. `intermediates` holds, from the smallest
    size on, "posterior_0" and "prior_0", ..., (B, C, h, w): the means of what the parts and of what the pose alone say;
    all variances are 1, so that half of the squared difference, summed, is their divergence. "looks" are the features
    that the parts' net ends with, one size beyond the codes, where the authors' net ends too; nothing reads them.

    `Condition.structure` of target and source are heat-maps of OpenPose's 18 joints. H and W divide by 2**scales.
    """

    paper = PAPER

    def __init__(self, cfg: VUNetConfig) -> None:
        super().__init__(cfg)
        if not 1 <= cfg.latents <= cfg.scales - cfg.crop_scales:
            raise ValueError(
                f"latents: expected 1 to {cfg.scales - cfg.crop_scales}, the sizes of the parts' net, got {cfg.latents}"
            )
        widths = [min(cfg.width * 2**scale, cfg.max_width) for scale in range(cfg.scales)]
        self.shape_encoder = _Up(3, widths, cfg.dropout)
        self.parts_encoder = _Up(3 * CROPS, widths[cfg.crop_scales :], cfg.dropout)
        self.posterior = _Posterior(widths[cfg.crop_scales :], cfg.latents, cfg.dropout)
        self.decoder = _Down(widths, cfg.latents, cfg.dropout)
        self.head = NormedConv(cfg.width, 3, 3)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        if any(side % 2**self.cfg.scales for side in image.shape[2:]):
            raise ValueError(
                f"image: expected height and width to be multiples of {2**self.cfg.scales}, got "
                f"{tuple(image.shape[2:])}; resize it"
            )
        wanted, shown = structure_pair(self.cfg.condition, target, source, image)
        height, width = (side // 2**self.cfg.crop_scales for side in image.shape[2:])
        with torch.no_grad():
            figure = stick_figure(joints_of(wanted), *image.shape[2:]).to(image)
            joints = joints_of(shown).to(image)
        crops = part_crops(image, joints, height, width)
        means, codes, looks = self.posterior(self.parts_encoder(crops))
        hidden, priors = self.decoder(self.shape_encoder(figure), codes)
        painted = self.head(hidden)
        parts = {f"posterior_{scale}": mean for scale, mean in enumerate(means)}
        parts |= {f"prior_{scale}": mean for scale, mean in enumerate(priors)}
        parts["looks"] = looks
        residual, mask = painted - image, torch.ones_like(image[:, :1])
        return Translation(painted.clamp(-1, 1), None, image, residual, mask, parts)


class NormedConv(nn.Module):
    """A convolution whose filters have a direction and a length of their own (Salimans and Kingma, 2016)."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, *, length: float = 1.0) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2
        self.direction = nn.Parameter(0.05 * torch.randn(c_out, c_in, kernel, kernel))
        self.length = nn.Parameter(torch.full((c_out,), length))
        self.bias = nn.Parameter(torch.zeros(c_out))

    def forward(self, x: Tensor) -> Tensor:
        weight = F.normalize(self.direction.flatten(1), dim=1) * self.length[:, None]
        return F.conv2d(x, weight.view_as(self.direction), self.bias, self.stride, self.padding)


class _Block(nn.Module):
    """x + conv(dropout(elu(x))); what stands beside x comes in through a 1x1 convolution, and doubles the channels."""

    def __init__(self, channels: int, dropout: float, beside: int = 0) -> None:
        super().__init__()
        self.beside = NormedConv(beside, channels, 1) if beside else None
        self.dropout = nn.Dropout(dropout)
        self.main = NormedConv(2 * channels if beside else channels, channels, 3, length=0.2)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        seen = x
        if self.beside is not None and beside is not None:
            seen = torch.cat([x, self.beside(F.elu(beside))], dim=1)
        out: Tensor = x + self.main(self.dropout(F.elu(seen)))
        return out


class _Double(nn.Module):
    """A 3x3 convolution and pixel shuffle: twice the size."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = NormedConv(c_in, 4 * c_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


class _Up(nn.Module):
    """An encoder with two blocks a size: what each block gave, the largest size first."""

    def __init__(self, c_in: int, widths: list[int], dropout: float) -> None:
        super().__init__()
        self.stem = NormedConv(c_in, widths[0], 1)
        self.blocks = nn.ModuleList(nn.ModuleList(_Block(c, dropout) for _ in range(2)) for c in widths)
        self.shrinks = nn.ModuleList(NormedConv(before, after, 3, 2) for before, after in pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        hidden, features = self.stem(x), []
        for scale, blocks in enumerate(self.blocks):
            if scale:
                hidden = self.shrinks[scale - 1](hidden)
            for block in cast(nn.ModuleList, blocks):
                hidden = block(hidden)
                features.append(hidden)
        return features


class _Posterior(nn.Module):
    """From the parts' features the mean of each code, the smallest size first; a code read off one size helps the next.

    Where there is a size beyond the codes', it goes on to that, as the authors' net does.
    """

    def __init__(self, widths: list[int], latents: int, dropout: float) -> None:
        super().__init__()
        down = widths[::-1]
        self.stem = NormedConv(down[0], down[0], 1)
        self.first = nn.ModuleList(_Block(c, dropout, c) for c in down[: latents + 1])
        self.means = nn.ModuleList(NormedConv(c, c, 3) for c in down[:latents])
        self.second = nn.ModuleList(_Block(c, dropout, 2 * c) for c in down[:latents])
        self.grows = nn.ModuleList(_Double(before, after) for before, after in pairwise(down[: latents + 1]))

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """The means, codes drawn around them (the means themselves outside training), and features not read again."""
        features, means, codes = list(features), [], []
        hidden = self.stem(features[-1])
        for scale, first in enumerate(self.first):
            if scale:
                hidden = self.grows[scale - 1](hidden)
            hidden = first(hidden, features.pop())
            if scale == len(self.means):
                break
            means.append(self.means[scale](hidden))
            codes.append(means[-1] + torch.randn_like(means[-1]) if self.training else means[-1])
            hidden = self.second[scale](hidden, torch.cat([features.pop(), codes[-1]], dim=1))
        return means, codes, hidden


class _Down(nn.Module):
    """The U-Net's decoder: the figure's features, and at the smallest sizes the codes, become the person's."""

    def __init__(self, widths: list[int], latents: int, dropout: float) -> None:
        super().__init__()
        down = widths[::-1]
        self.stem = NormedConv(down[0], down[0], 1)
        self.first = nn.ModuleList(_Block(c, dropout, c) for c in down)
        self.priors = nn.ModuleList(_Prior(c, dropout) for c in down[:latents])
        self.codes = nn.ModuleList(NormedConv(2 * c, c, 1) for c in down[:latents])
        self.second = nn.ModuleList(_Block(c, dropout, c) for c in down)
        self.grows = nn.ModuleList(_Double(before, after) for before, after in pairwise(down))

    def forward(self, features: list[Tensor], codes: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The person's features at full size, and the means that the figure alone says of each code."""
        features, priors = list(features), []
        hidden = self.stem(features[-1])
        for scale, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            if scale:
                hidden = self.grows[scale - 1](hidden)
            hidden = first(hidden, features.pop())
            if scale < len(codes):
                priors.append(self.priors[scale](hidden, codes[scale]))
                hidden = self.codes[scale](torch.cat([hidden, codes[scale]], dim=1))
            hidden = second(hidden, features.pop())
        return hidden, priors


class _Prior(nn.Module):
    """The mean of a code, a quarter of its places at a time; each quarter knows the ones before."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.stem = _Block(channels, dropout)
        self.means = nn.ModuleList(NormedConv(4 * channels, channels, 3) for _ in range(4))
        self.feedback = nn.ModuleList(_Block(4 * channels, dropout, channels) for _ in range(3))

    def forward(self, hidden: Tensor, code: Tensor) -> Tensor:
        quarters = [code[:, :, row::2, column::2] for row in range(2) for column in range(2)]
        features, means = F.pixel_unshuffle(self.stem(hidden), 2), []
        for number, mean in enumerate(self.means):
            if number:
                features = self.feedback[number - 1](features, quarters[number - 1])
            means.append(mean(features))
        return F.pixel_shuffle(torch.stack(means, dim=2).flatten(1, 2), 2)


@register_generator(VUNet)
def vunet_fashion_256() -> VUNetConfig:
    """VU-Net for DeepFashion, 256 px."""
    return VUNetConfig()


@register_generator(VUNet)
def vunet_market_128() -> VUNetConfig:
    """VU-Net for Market-1501, in squares of 128 px."""
    return VUNetConfig(resolution=128, crop_scales=1)


@register_generator(VUNet)
def vunet_64() -> VUNetConfig:
    """A small VU-Net for the built-in benchmark."""
    return VUNetConfig(resolution=64, width=16, max_width=64, scales=5, crop_scales=1)
