"""pix2pix's U-Net: an encoder down to one pixel and a decoder that sees every stage of it.

Paper: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
Differences from the paper: initialisation is PyTorch's, not N(0, 0.02).
As in the official test script, dropout and batch statistics are part of the model: `train()` switches them on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.layers.convert import build, count, drop_stale, keep_statistics, shape_of
from geotrans.layers.normed import make_norm, needs_bias
from geotrans.ops.condition import structure_map
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_generator

_FEWEST = 5  # stages: the widths grow to 8 * width over the first four, and the innermost one stands below them


@dataclass(frozen=True)
class Pix2PixConfig:
    """Attributes:
    resolution: a power of two, 32 or more: it decides the depth, so that the innermost map is a single pixel.
    width: channels after the first convolution; they double up to 8 times as many.
    norm: "batch" or "instance" (no scale or shift).
    dropout: dropout of one half in the widest stages of the decoder, all but the innermost.
    condition: with `structure`, the net reads that map in place of the image.
    """

    resolution: int = 256
    width: int = 64
    norm: str = "batch"
    dropout: bool = True
    condition: ConditionSpec = ConditionSpec()


class Pix2Pix(Generator):
    """Paints the image anew: mask 1, residual = painted - source. H and W are multiples of `cfg.resolution`."""

    paper = "https://arxiv.org/abs/1611.07004"

    def __init__(self, cfg: Pix2PixConfig) -> None:
        super().__init__(cfg)
        stages = cfg.resolution.bit_length() - 1
        if cfg.resolution != 2**stages or stages < _FEWEST:
            raise ValueError(f"resolution: expected a power of two of at least {2**_FEWEST}, got {cfg.resolution}")
        widths = [cfg.condition.structure or 3, *(cfg.width * min(2**stage, 8) for stage in range(stages))]
        self.downs = nn.ModuleList(_down(cfg, widths, stage) for stage in range(stages))
        self.ups = nn.ModuleList(_up(cfg, widths, stage) for stage in range(stages))

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        hidden = self._input(image, target)
        skips: list[Tensor] = []
        for down in self.downs:
            hidden = down(hidden)
            skips.append(hidden)
        hidden = self.ups[-1](skips.pop())
        for up in list(self.ups)[-2::-1]:
            hidden = up(torch.cat([skips.pop(), hidden], dim=1))
        painted = hidden.tanh()
        return Translation(painted, warped=image, residual=painted - image, mask=torch.ones_like(image[:, :1]))

    def _input(self, image: Tensor, target: Condition) -> Tensor:
        if any(side % self.cfg.resolution for side in image.shape[2:]):
            raise ValueError(
                f"image: expected height and width to be multiples of {self.cfg.resolution}, got "
                f"{tuple(image.shape[2:])}; resize it, or build the model with another resolution"
            )
        return structure_map(self.cfg.condition, target, image) if self.cfg.condition.structure else image


def _down(cfg: Pix2PixConfig, widths: list[int], stage: int) -> nn.Sequential:
    """A strided convolution; the outermost has no activation before it, and both ends have no norm after it."""
    conv = nn.Conv2d(widths[stage], widths[stage + 1], 4, 2, 1, bias=needs_bias(cfg.norm))
    if stage == 0:
        return nn.Sequential(conv)
    if stage == len(widths) - 2:
        return nn.Sequential(nn.LeakyReLU(0.2), conv)
    return nn.Sequential(nn.LeakyReLU(0.2), conv, make_norm(cfg.norm, widths[stage + 1]))


def _up(cfg: Pix2PixConfig, widths: list[int], stage: int) -> nn.Sequential:
    """The transposed convolution that undoes `_down`; all but the innermost also read the stage's skip."""
    innermost = len(widths) - 2
    c_in = widths[stage + 1] * (1 if stage == innermost else 2)
    if stage == 0:
        return nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(c_in, 3, 4, 2, 1))
    conv = nn.ConvTranspose2d(c_in, widths[stage], 4, 2, 1, bias=needs_bias(cfg.norm))
    layers: list[nn.Module] = [nn.ReLU(), conv, make_norm(cfg.norm, widths[stage])]
    if cfg.dropout and _FEWEST - 1 <= stage < innermost:
        layers.append(nn.Dropout(0.5))
    return nn.Sequential(*layers)


def convert_pix2pix(state: Mapping[str, Tensor], *, dropout: bool = True) -> Pix2Pix:
    """An official U-Net (`*_net_G.pth`): width, depth and norm are read off keys and shapes.

    Args:
        dropout: the network was trained with dropout, which leaves no trace in the weights.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = keep_statistics(state)
    batch = "model.model.1.model.2.weight" in state
    if not batch:
        state = drop_stale(state)
    width, c_in = shape_of(state, "model.model.0.weight", 4)[:2]
    stages = 1 + count(state, r"(model\.model(?:\.\d\.model)+\.1\.weight)$")
    cfg = Pix2PixConfig(
        resolution=2**stages,
        width=width,
        norm="batch" if batch else "instance",
        dropout=dropout,
        condition=ConditionSpec(structure=0 if c_in == 3 else c_in),
    )
    return build(Pix2Pix, cfg, state, _rules(stages))


def _rules(stages: int) -> dict[str, str]:
    """Key rules: each official stage holds the next one, as its module 1 (the outermost) or 3."""
    prefix = "model.model"
    rules = {f"{prefix}.0": "downs.0.0", f"{prefix}.3": "ups.0.1"}
    for stage in range(1, stages):
        prefix += ".1.model" if stage == 1 else ".3.model"
        up, norm = (5, 6) if stage < stages - 1 else (3, 4)
        rules |= {
            f"{prefix}.1": f"downs.{stage}.1",
            f"{prefix}.{up}": f"ups.{stage}.1",
            f"{prefix}.{norm}": f"ups.{stage}.2",
        }
        if stage < stages - 1:
            rules[f"{prefix}.2"] = f"downs.{stage}.2"
    return rules


@register_generator(Pix2Pix)
def pix2pix_unet_256() -> Pix2PixConfig:
    """pix2pix's U-Net for 256 px: eight stages."""
    return Pix2PixConfig()


@register_generator(Pix2Pix)
def pix2pix_unet_128() -> Pix2PixConfig:
    """pix2pix's U-Net for 128 px: seven stages."""
    return Pix2PixConfig(resolution=128)


@register_generator(Pix2Pix)
def pix2pix_unet_64() -> Pix2PixConfig:
    """A small pix2pix for the built-in benchmark."""
    return Pix2PixConfig(resolution=64, width=10)
