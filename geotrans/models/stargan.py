"""StarGAN: one generator for all attributes, which repaints the whole image.

Paper: Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation",
CVPR 2018. Differences from the paper: none. As in the official code, instance statistics are used in training and in
testing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from geotrans.base import Discriminator, Generator
from geotrans.layers.blocks import Decoder, Encoder, StridedTrunk
from geotrans.layers.convert import build, count, drop_stale, shape_of
from geotrans.ops.condition import spatial
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1711.09020"
CELEBA5 = ConditionSpec(attributes=("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"))
RAFD8 = ConditionSpec(emotion=("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"))
# The joint label of two datasets: which of them it speaks of is the mask vector of the paper's Sec. 3.3. What the other
# one labels is unknown and 0, and the discriminator reads labels and no mask.
CELEBA_RAFD = ConditionSpec(CELEBA5.attributes, emotion=RAFD8.emotion, modality=("celeba", "rafd"))
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


def convert_stargan(state: Mapping[str, Tensor], *, condition: ConditionSpec = ConditionSpec()) -> StarGAN:
    """The official generator (`*-G.ckpt`): width, number of blocks and of attributes are read off the shapes.

    Args:
        condition: what the columns of the label are; by default attributes, CelebA's five if there are five.

    Raises:
        ValueError: keys or shapes are not those of the official code, or `condition` has another number of columns.
    """
    state = drop_stale(state)
    width, channels = shape_of(state, "main.0.weight", 4)[:2]
    blocks = count(state, r"main\.(\d+)\.main\.")
    rules = {f"main.{3 * block + layer}": f"encoder.{block}.{layer}" for block in range(3) for layer in range(2)}
    for block in range(blocks):
        rules |= residual_rules(f"main.{9 + block}.main", f"encoder.{3 + block}")
    rules |= decoder_rules("main", "decoder", first=9 + blocks)
    cfg = StarGANConfig(width=width, blocks=blocks, condition=label_columns(channels - 3, condition, CELEBA5))
    return build(StarGAN, cfg, state, rules)


def convert_star_discriminator(
    state: Mapping[str, Tensor], *, condition: ConditionSpec = ConditionSpec()
) -> StarDiscriminator:
    """The official discriminator (`*-D.ckpt`); `condition` and errors as for `convert_stargan`."""
    state = drop_stale(state)
    layers = count(state, r"main\.(\d+)\.weight")
    widths = [shape_of(state, f"main.{2 * layer}.weight", 4)[0] for layer in range(layers)]
    attributes, _, kernel, _ = shape_of(state, "conv2.weight", 4)
    constant = sum(a == b for a, b in pairwise(widths))
    columns = label_columns(attributes, condition, CELEBA5)
    cfg = StarDiscriminatorConfig(kernel * 2**layers, widths[0], layers, constant, columns)
    rules = {f"main.{2 * layer}": f"trunk.{2 * layer}" for layer in range(layers)}
    return build(StarDiscriminator, cfg, state, {**rules, "conv1": "score", "conv2": "label"})


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


def label_columns(size: int, given: ConditionSpec, *known: ConditionSpec) -> ConditionSpec:
    """What the `size` columns of an official label are: as given, else the known spec of that size, else numbered.

    Raises:
        ValueError: another number of columns is given.
    """
    if given.size not in (0, size):
        raise ValueError(f"condition: expected {size} columns, as the checkpoint has, got {given.size}")
    if given.size:
        return given
    numbered = ConditionSpec(attributes=tuple(f"attribute_{index}" for index in range(size)))
    return next((spec for spec in known if spec.size == size), numbered)


@register_generator(StarGAN)
def stargan_base_128() -> StarGANConfig:
    """StarGAN as in the paper: CelebA, five attributes, 128 px."""
    return StarGANConfig()


@register_generator(StarGAN)
def stargan_base_256() -> StarGANConfig:
    """StarGAN at 256 px."""
    return StarGANConfig(resolution=256)


@register_generator(StarGAN)
def stargan_both_128() -> StarGANConfig:
    """StarGAN trained on CelebA and RaFD together: the label is five attributes, eight emotions and a mask."""
    return StarGANConfig(condition=CELEBA_RAFD)


@register_generator(StarGAN)
def stargan_both_256() -> StarGANConfig:
    """StarGAN for CelebA and RaFD together, at 256 px."""
    return StarGANConfig(resolution=256, condition=CELEBA_RAFD)


@register_generator(StarGAN)
def stargan_base_64() -> StarGANConfig:
    """A small StarGAN for the built-in benchmark."""
    return StarGANConfig(resolution=64, width=24, blocks=4, condition=SYNTHFACE4)


@register_discriminator(StarDiscriminator)
def star_d_128() -> StarDiscriminatorConfig:
    """StarGAN's discriminator: CelebA, five attributes, 128 px."""
    return StarDiscriminatorConfig()


@register_discriminator(StarDiscriminator)
def star_d_256() -> StarDiscriminatorConfig:
    """StarGAN's discriminator at 256 px."""
    return StarDiscriminatorConfig(resolution=256)


@register_discriminator(StarDiscriminator)
def star_both_d_128() -> StarDiscriminatorConfig:
    """StarGAN's discriminator for CelebA and RaFD together."""
    return StarDiscriminatorConfig(condition=replace(CELEBA_RAFD, modality=()))


@register_discriminator(StarDiscriminator)
def star_both_d_256() -> StarDiscriminatorConfig:
    """StarGAN's discriminator for CelebA and RaFD together, at 256 px."""
    return replace(star_both_d_128(), resolution=256)


@register_discriminator(StarDiscriminator)
def star_d_32() -> StarDiscriminatorConfig:
    """A small discriminator for the low-resolution stage of `spm_pyramid_64`."""
    return StarDiscriminatorConfig(resolution=32, width=16, layers=4, condition=SYNTHFACE4)


@register_discriminator(StarDiscriminator)
def star_d_64() -> StarDiscriminatorConfig:
    """A small discriminator for the built-in benchmark."""
    return StarDiscriminatorConfig(resolution=64, width=16, layers=5, condition=SYNTHFACE4)
