"""StarGAN: one generator for all attributes, which repaints the whole image.

Paper: Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation",
CVPR 2018. Differences from the paper: none. As in the official code, instance statistics are used in training and in
testing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from geotrans.base import Discriminator, Generator
from geotrans.layers.blocks import Decoder, Encoder, StridedTrunk
from geotrans.layers.convert import count, drop_stale, load_strict, rename, shape_of
from geotrans.ops.condition import spatial
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1711.09020"
CELEBA5 = ConditionSpec(attributes=("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"))
SYNTHFACE4 = ConditionSpec(attributes=("Smiling", "Arched_Eyebrows", "Big_Nose", "Pointy_Nose"))


@dataclass(frozen=True)
class StarGANConfig:
    """Attributes:
    width: channels after the first convolution; 4 times as many in the residual blocks.
    blocks: residual blocks at a quarter of the resolution.
    """

    resolution: int = 128
    width: int = 64
    blocks: int = 6
    condition: ConditionSpec = CELEBA5


class StarGAN(Generator):
    """Paints the image anew: warped is the source, the mask is 1, residual = painted - source. H and W divide by 4."""

    paper = PAPER

    def __init__(self, cfg: StarGANConfig) -> None:
        super().__init__(cfg)
        self.encoder = Encoder(3 + cfg.condition.size, cfg.width, cfg.blocks)
        self.decoder = Decoder(cfg.width, 3)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        vector = self.cfg.condition.vector(target, len(image))
        painted = self.decoder(self.encoder(torch.cat([image, spatial(vector, image)], dim=1))).tanh()
        return Translation(painted, warped=image, residual=painted - image, mask=torch.ones_like(image[:, :1]))


@dataclass(frozen=True)
class StarDiscriminatorConfig:
    """Attributes:
    resolution: fixed; the label head covers the last map, (resolution / 2**layers)^2.
    layers: strided convolutions; the width doubles in each but the last `constant` ones.
    """

    resolution: int = 128
    width: int = 64
    layers: int = 6
    constant: int = 0
    condition: ConditionSpec = CELEBA5


class StarDiscriminator(Discriminator):
    """PatchGAN logits and the label of the image. StarGAN's D, and SPM's D_l and D_h."""

    paper = PAPER

    def __init__(self, cfg: StarDiscriminatorConfig) -> None:
        super().__init__(cfg)
        if cfg.resolution % 2**cfg.layers:
            raise ValueError(f"resolution: expected a multiple of 2**layers = {2**cfg.layers}, got {cfg.resolution}")
        self.trunk = StridedTrunk(3, cfg.width, cfg.layers, cfg.constant)
        self.score = nn.Conv2d(self.trunk.channels, 1, 3, padding=1, bias=False)
        self.label = nn.Conv2d(self.trunk.channels, cfg.condition.size, cfg.resolution // 2**cfg.layers, bias=False)

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        if image.shape[2:] != (self.cfg.resolution, self.cfg.resolution):
            size = self.cfg.resolution
            raise ValueError(f"image: expected (B, 3, {size}, {size}), got {tuple(image.shape)}; resize it")
        hidden = self.trunk(image)
        label = self.cfg.condition.split(self.label(hidden).flatten(1))
        return Critique(scores=(self.score(hidden),), condition=label)


def convert_stargan(state: Mapping[str, Tensor]) -> StarGAN:
    """The official generator (`*-G.ckpt`): width, number of blocks and of attributes are read off the shapes.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = drop_stale(state)
    width, channels = shape_of(state, "main.0.weight", 4)[:2]
    blocks = count(state, r"main\.(\d+)\.main\.")
    rules = {f"main.{3 * block + layer}": f"encoder.{block}.{layer}" for block in range(3) for layer in range(2)}
    for block in range(blocks):
        rules |= residual_rules(f"main.{9 + block}.main", f"encoder.{3 + block}")
    rules |= decoder_rules("main", "decoder", first=9 + blocks)
    names = tuple(f"attribute_{index}" for index in range(channels - 3))
    model = StarGAN(StarGANConfig(width=width, blocks=blocks, condition=_columns(names, CELEBA5)))
    load_strict(model, rename(state, rules))
    return model


def convert_star_discriminator(state: Mapping[str, Tensor]) -> StarDiscriminator:
    """The official discriminator (`*-D.ckpt`).

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = drop_stale(state)
    layers = count(state, r"main\.(\d+)\.weight")
    widths = [shape_of(state, f"main.{2 * layer}.weight", 4)[0] for layer in range(layers)]
    attributes, _, kernel, _ = shape_of(state, "conv2.weight", 4)
    constant = sum(a == b for a, b in pairwise(widths))
    names = tuple(f"attribute_{index}" for index in range(attributes))
    cfg = StarDiscriminatorConfig(kernel * 2**layers, widths[0], layers, constant, _columns(names, CELEBA5))
    model = StarDiscriminator(cfg)
    rules = {f"main.{2 * layer}": f"trunk.{2 * layer}" for layer in range(layers)}
    load_strict(model, rename(state, {**rules, "conv1": "score", "conv2": "label"}))
    return model


def residual_rules(official: str, ours: str) -> dict[str, str]:
    """Key rules of one residual block of the StarGAN family."""
    return {
        f"{official}.0": f"{ours}.first.0",
        f"{official}.1": f"{ours}.first.1",
        f"{official}.3": f"{ours}.second.0",
        f"{official}.4": f"{ours}.second.1",
    }


def decoder_rules(official: str, ours: str, first: int) -> dict[str, str]:
    """Key rules of a decoder of the StarGAN family whose first transposed convolution is number `first`."""
    return {
        f"{official}.{first}": f"{ours}.0.0",
        f"{official}.{first + 1}": f"{ours}.0.1",
        f"{official}.{first + 3}": f"{ours}.1.0",
        f"{official}.{first + 4}": f"{ours}.1.1",
        f"{official}.{first + 6}": f"{ours}.2",
    }


def _columns(names: tuple[str, ...], default: ConditionSpec) -> ConditionSpec:
    return default if len(names) == default.size else ConditionSpec(attributes=names)


@register_generator(StarGAN)
def stargan_base_128() -> StarGANConfig:
    """StarGAN as in the paper: CelebA, five attributes, 128 px."""
    return StarGANConfig()


@register_generator(StarGAN)
def stargan_base_64() -> StarGANConfig:
    """A small StarGAN for the built-in benchmark."""
    return StarGANConfig(resolution=64, width=24, blocks=4, condition=SYNTHFACE4)


@register_discriminator(StarDiscriminator)
def star_d_128() -> StarDiscriminatorConfig:
    """StarGAN's discriminator: CelebA, five attributes, 128 px."""
    return StarDiscriminatorConfig()


@register_discriminator(StarDiscriminator)
def star_d_64() -> StarDiscriminatorConfig:
    """A small discriminator for the built-in benchmark."""
    return StarDiscriminatorConfig(resolution=64, width=16, layers=5, condition=SYNTHFACE4)
