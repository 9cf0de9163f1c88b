"""CycleGAN's ResNet generator: a picture of one domain becomes one of another; each direction has its own.

Paper: Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", ICCV 2017.
Differences from the paper: initialisation is PyTorch's, not N(0, 0.02).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.layers.convert import build, count, drop_stale, keep_statistics, shape_of
from geotrans.layers.normed import NormedConv, NormedResBlock, NormedUp
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_generator


@dataclass(frozen=True)
class CycleGANConfig:
    """Attributes:
    width: channels after the first convolution; 4 times as many in the residual blocks.
    blocks: residual blocks at a quarter of the resolution: 9 at 256 px, 6 at 128 px in the paper.
    norm: "instance" (no scale or shift) or "batch".
    dropout: dropout of one half in the residual blocks.
    """

    resolution: int = 256
    width: int = 64
    blocks: int = 9
    norm: str = "instance"
    dropout: bool = False
    condition: ConditionSpec = ConditionSpec()


class CycleGAN(Generator):
    """Paints the image anew and reads no condition: mask 1, residual = painted - source. H and W divide by 4."""

    paper = "https://arxiv.org/abs/1703.10593"

    def __init__(self, cfg: CycleGANConfig) -> None:
        super().__init__(cfg)
        width, norm = cfg.width, cfg.norm
        dropout = 0.5 if cfg.dropout else 0.0
        self.encoder = nn.Sequential(
            NormedConv(3, width, 7, norm=norm, padding="reflect"),
            NormedConv(width, 2 * width, 3, 2, norm=norm),
            NormedConv(2 * width, 4 * width, 3, 2, norm=norm),
            *[NormedResBlock(4 * width, norm=norm, padding="reflect", dropout=dropout) for _ in range(cfg.blocks)],
        )
        self.decoder = nn.Sequential(
            NormedUp(4 * width, 2 * width, 3, norm=norm),
            NormedUp(2 * width, width, 3, norm=norm),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
        )

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        painted = self.decoder(self.encoder(image)).tanh()
        return Translation(painted, warped=image, residual=painted - image, mask=torch.ones_like(image[:, :1]))


def convert_cyclegan(state: Mapping[str, Tensor]) -> CycleGAN:
    """An official ResNet generator (`*_net_G_A.pth`): width, depth, norm and dropout are read off keys and shapes.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = keep_statistics(state)
    batch = "model.2.weight" in state
    if not batch:
        state = drop_stale(state)
    blocks = count(state, r"model\.(\d+)\.conv_block\.")
    # A dropout layer has no weights of its own, but moves the second convolution one place on.
    dropout = blocks > 0 and "model.10.conv_block.5.weight" not in state
    second = 6 if dropout else 5
    rules: dict[str, str] = {}
    for index, first in {0: 1, 1: 4, 2: 7}.items():
        rules |= _pair(f"model.{first}", f"model.{first + 1}", f"encoder.{index}")
    for block in range(blocks):
        official, ours = f"model.{10 + block}.conv_block", f"encoder.{3 + block}"
        rules |= _pair(f"{official}.1", f"{official}.2", f"{ours}.first")
        rules |= _pair(f"{official}.{second}", f"{official}.{second + 1}", f"{ours}.second")
    last = 10 + blocks
    for index in range(2):
        rules |= _pair(f"model.{last + 3 * index}", f"model.{last + 3 * index + 1}", f"decoder.{index}")
    rules[f"model.{last + 7}"] = "decoder.2"
    width = shape_of(state, "model.1.weight", 4)[0]
    cfg = CycleGANConfig(width=width, blocks=blocks, norm="batch" if batch else "instance", dropout=dropout)
    return build(CycleGAN, cfg, state, rules)


def _pair(conv: str, norm: str, ours: str) -> dict[str, str]:
    return {conv: f"{ours}.0", norm: f"{ours}.1"}


@register_generator(CycleGAN)
def cyclegan_resnet9_256() -> CycleGANConfig:
    """CycleGAN's generator for 256 px."""
    return CycleGANConfig()


@register_generator(CycleGAN)
def cyclegan_resnet6_256() -> CycleGANConfig:
    """The generator with six blocks, at 256 px."""
    return CycleGANConfig(blocks=6)


@register_generator(CycleGAN)
def cyclegan_resnet9_128() -> CycleGANConfig:
    """The generator with nine blocks, at 128 px."""
    return CycleGANConfig(resolution=128)


@register_generator(CycleGAN)
def cyclegan_resnet6_128() -> CycleGANConfig:
    """CycleGAN's generator for 128 px."""
    return CycleGANConfig(resolution=128, blocks=6)


@register_generator(CycleGAN)
def cyclegan_resnet6_64() -> CycleGANConfig:
    """A small CycleGAN for the built-in benchmark."""
    return CycleGANConfig(resolution=64, width=16, blocks=6)
