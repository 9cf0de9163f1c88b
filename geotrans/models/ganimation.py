"""GANimation: action units drive a face; an attention mask says where the picture is painted anew.

Paper: Pumarola et al., "GANimation: Anatomically-aware Facial Animation from a Single Image", ECCV 2018.
Differences from the paper: the mask is 1 where the image is painted, the complement of the paper's A (Eq. 1), and
initialisation is PyTorch's, not N(0, 0.02).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.layers.blocks import Encoder, UpBlock
from geotrans.layers.convert import build, count, drop_stale, shape_of
from geotrans.layers.normed import NormedConv, NormedResBlock, NormedUp
from geotrans.models.stargan import StarDiscriminator, StarDiscriminatorConfig, residual_rules
from geotrans.ops.condition import spatial
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1807.09251"
# The intensities that OpenFace measures, in its order.
AU17 = ConditionSpec(
    aus=(
        *("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12"),
        *("AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU45"),
    )
)


@dataclass(frozen=True)
class GANimationConfig:
    """Attributes:
    width: channels after the first convolution; 4 times as many in the residual blocks.
    blocks: residual blocks at a quarter of the resolution.
    affine: instance norms scale and shift; False gives every convolution of the trunk a bias instead, as in the popular
        re-implementation.
    """

    resolution: int = 128
    width: int = 64
    blocks: int = 6
    affine: bool = True
    condition: ConditionSpec = AU17


class GANimation(Generator):
    """A colour image and a mask: image = source + mask * (colour - source). H and W divide by 4."""

    paper = PAPER

    def __init__(self, cfg: GANimationConfig) -> None:
        super().__init__(cfg)
        trunk = _affine_trunk if cfg.affine else _plain_trunk
        self.trunk = trunk(3 + cfg.condition.size, cfg.width, cfg.blocks)
        self.colour = nn.Conv2d(cfg.width, 3, 7, padding=3, bias=False)
        self.mask = nn.Conv2d(cfg.width, 1, 7, padding=3, bias=False)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        features = self.features(image, target)
        mask = self.mask(features).sigmoid()
        residual = self.colour(features).tanh() - image
        painted = (image + mask * residual).clamp(-1, 1)
        return Translation(painted, warped=image, residual=residual, mask=mask)

    def features(self, image: Tensor, target: Condition) -> Tensor:
        """What both heads read: (B, width, H, W)."""
        vector = self.cfg.condition.vector(target, len(image))
        features: Tensor = self.trunk(torch.cat([image, spatial(vector, image)], dim=1))
        return features


def _affine_trunk(c_in: int, width: int, blocks: int) -> nn.Sequential:
    encoder = Encoder(c_in, width, blocks)
    return nn.Sequential(*encoder, UpBlock(4 * width, 2 * width), UpBlock(2 * width, width))


def _plain_trunk(c_in: int, width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        NormedConv(c_in, width, 7),
        NormedConv(width, 2 * width, 4, 2),
        NormedConv(2 * width, 4 * width, 4, 2),
        *[NormedResBlock(4 * width) for _ in range(blocks)],
        NormedUp(4 * width, 2 * width, 4),
        NormedUp(2 * width, width, 4),
    )


class GANimationDiscriminator(StarDiscriminator):
    """PatchGAN logits and the action units of the image: the network of StarGAN."""

    paper = PAPER


def convert_ganimation(state: Mapping[str, Tensor]) -> GANimation:
    """The official generator (`net_epoch_*_id_G.pth`).

    Its attention is 1 where the input is kept; the sign of the mask head's weights is turned, as
    sigmoid(-x) = 1 - sigmoid(x).

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = drop_stale(state)
    blocks = count(state, r"main\.(\d+)\.main\.")
    rules = _trunk_rules("main", blocks)
    for block in range(blocks):
        rules |= residual_rules(f"main.{9 + block}.main", f"trunk.{3 + block}")
    heads = {"img_reg.0": "colour", "attetion_reg.0": "mask"}
    return _generator(state, "main.0.weight", "attetion_reg.0.weight", blocks, {**rules, **heads}, affine=True)


def convert_ganimation_replicate(state: Mapping[str, Tensor]) -> GANimation:
    """A generator of the popular re-implementation, ganimation_replicate (`*_net_gen.pth`).

    Raises:
        ValueError: keys or shapes are not those of that code.
    """
    state = drop_stale(state)
    blocks = count(state, r"model\.(\d+)\.conv_block\.")
    rules = _trunk_rules("model", blocks)
    for block in range(blocks):
        rules |= residual_rules(f"model.{9 + block}.conv_block", f"trunk.{3 + block}")
    heads = {"color_top.0": "colour", "au_top.0": "mask"}
    return _generator(state, "model.0.weight", "au_top.0.weight", blocks, {**rules, **heads}, affine=False)


def convert_ganimation_discriminator(state: Mapping[str, Tensor]) -> GANimationDiscriminator:
    """The official discriminator (`net_epoch_*_id_D.pth`).

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    return _discriminator(drop_stale(state), "main", score="conv1", label="conv2")


def convert_ganimation_replicate_discriminator(state: Mapping[str, Tensor]) -> GANimationDiscriminator:
    """A discriminator of ganimation_replicate (`*_net_dis.pth`).

    Raises:
        ValueError: keys or shapes are not those of that code.
    """
    return _discriminator(drop_stale(state), "model", score="dis_top", label="aus_top")


def _trunk_rules(official: str, blocks: int) -> dict[str, str]:
    """Key rules of everything but the residual blocks: convolution, norm and ReLU are three official modules."""
    firsts = {0: 0, 1: 3, 2: 6, 3 + blocks: 9 + blocks, 4 + blocks: 12 + blocks}
    return {
        f"{official}.{first + layer}": f"trunk.{index}.{layer}" for index, first in firsts.items() for layer in (0, 1)
    }


def _generator(
    state: dict[str, Tensor], stem: str, attention: str, blocks: int, rules: dict[str, str], *, affine: bool
) -> GANimation:
    width, channels = shape_of(state, stem, 4)[:2]
    shape_of(state, attention, 4)
    cfg = GANimationConfig(width=width, blocks=blocks, affine=affine, condition=_columns(channels - 3))
    return build(GANimation, cfg, {**state, attention: -state[attention]}, rules)


def _discriminator(state: dict[str, Tensor], trunk: str, score: str, label: str) -> GANimationDiscriminator:
    layers = count(state, rf"{trunk}\.(\d+)\.weight")
    widths = [shape_of(state, f"{trunk}.{2 * layer}.weight", 4)[0] for layer in range(layers)]
    columns, _, kernel, _ = shape_of(state, f"{label}.weight", 4)
    constant = sum(a == b for a, b in pairwise(widths))
    cfg = StarDiscriminatorConfig(kernel * 2**layers, widths[0], layers, constant, _columns(columns))
    rules = {f"{trunk}.{2 * layer}": f"trunk.{2 * layer}" for layer in range(layers)}
    return build(GANimationDiscriminator, cfg, state, {**rules, score: "score", label: "label"})


def _columns(count: int) -> ConditionSpec:
    return AU17 if count == AU17.size else ConditionSpec(aus=tuple(f"au_{index}" for index in range(count)))


@register_generator(GANimation)
def ganimation_base_128() -> GANimationConfig:
    """GANimation as in the official code: 17 action units, 128 px."""
    return GANimationConfig()


@register_generator(GANimation)
def ganimation_replicate_128() -> GANimationConfig:
    """The variant of ganimation_replicate: instance norms without scale and shift, convolutions with bias."""
    return GANimationConfig(affine=False)


@register_generator(GANimation)
def ganimation_base_64() -> GANimationConfig:
    """A small GANimation for the built-in benchmark."""
    return GANimationConfig(resolution=64, width=16)


@register_discriminator(GANimationDiscriminator)
def ganimation_d_128() -> StarDiscriminatorConfig:
    """GANimation's discriminator: 17 action units, 128 px."""
    return StarDiscriminatorConfig(condition=AU17)


@register_discriminator(GANimationDiscriminator)
def ganimation_d_64() -> StarDiscriminatorConfig:
    """A small discriminator for the built-in benchmark."""
    return StarDiscriminatorConfig(resolution=64, width=16, layers=5, condition=AU17)
