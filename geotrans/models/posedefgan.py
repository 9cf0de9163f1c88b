"""Deformable GAN for poses: ten parts of the body carry the source's features to where the target has them.

Paper: Siarohin et al., "Deformable GANs for Pose-based Human Image Generation", CVPR 2018.
Differences from the paper: joints are read off their maps, the sizes of the parts are those of `ops.limbs`, and
initialisation is PyTorch's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from geotrans.base import Beside, Discriminator, Generator
from geotrans.ops.condition import structure_map, structure_pair
from geotrans.ops.limbs import PARTS, joints_of, part_masks, part_transforms
from geotrans.ops.transforms import affine
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1801.00055"
POSE = ConditionSpec(structure=18, needs_source=True)
BESIDE = ConditionSpec(structure=3 + 18 + 18)  # what a result is judged beside: source picture, its pose, wanted pose


@dataclass(frozen=True)
class PoseDefGANConfig:
    """Attributes:
    width: channels at full size; they double from size to size, up to 8 times as many.
    layers: strided convolutions of the encoders: 6 for 256 px, 5 for Market-1501.
    deformed: sizes, from the largest on, whose features the parts carry.
    dropout: dropout of one half in the three smallest sizes of the decoder.
    """

    resolution: int = 256
    width: int = 64
    layers: int = 6
    deformed: int = 4
    dropout: bool = True
    condition: ConditionSpec = POSE


class PoseDefGAN(Generator):
    """A person in another pose. Paints the image anew: mask 1, residual = painted - source.

    `intermediates` holds "parts" (B, 10, H, W), the pixels of each part in the target, and "transforms" (B, 10, 2, 3),
    the affine map from there to the source, normalised; 0 for a part that cannot be told.

    `Condition.structure` of target and source are heat-maps of OpenPose's 18 joints. H and W divide by 2**layers.
    """

    paper = PAPER

    def __init__(self, cfg: PoseDefGANConfig) -> None:
        super().__init__(cfg)
        poses, widths = cfg.condition.structure, _widths(cfg)
        self.appearance = _Encoder(3 + poses, widths)
        self.pose = _Encoder(poses, widths)
        ups: list[nn.Module] = []
        c_in = 2 * widths[-1]
        for index, level in enumerate(reversed(range(cfg.layers))):
            c_out = widths[level + 1]
            dropout = [nn.Dropout(0.5)] if cfg.dropout and index < 3 else []
            conv = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False)
            ups.append(nn.Sequential(nn.ReLU(), conv, LayerNorm(), *dropout))
            c_in = c_out + 2 * widths[level]
        self.ups = nn.ModuleList(ups)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, 3, 3, padding=1))

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        if any(side % 2**self.cfg.layers for side in image.shape[2:]):
            raise ValueError(
                f"image: expected height and width to be multiples of {2**self.cfg.layers}, got "
                f"{tuple(image.shape[2:])}; resize it"
            )
        wanted, shown = structure_pair(self.cfg.condition, target, source, image)
        seen, poses = self.appearance(torch.cat([image, shown], dim=1)), self.pose(wanted)
        transforms, joints = _transforms(shown, wanted)
        for level in range(min(self.cfg.deformed, self.cfg.layers)):
            seen[level] = carry(seen[level], transforms, part_masks(joints, *seen[level].shape[2:]))
        skips = [torch.cat(pair, dim=1) for pair in zip(seen, poses, strict=True)]
        hidden = skips.pop()
        for up in self.ups:
            hidden = torch.cat([up(hidden), skips.pop()], dim=1)
        painted = self.head(hidden).tanh()
        parts = {"parts": part_masks(joints, *image.shape[2:]), "transforms": transforms.nan_to_num(nan=0.0)}
        mask = torch.ones_like(image[:, :1])
        return Translation(painted, warped=image, residual=painted - image, mask=mask, intermediates=parts)


def carry(features: Tensor, transforms: Tensor, masks: Tensor) -> Tensor:
    """Features moved part by part; where parts overlap, and everywhere with 0, the largest counts (Eq. 4).

    Args:
        features: (B, C, H, W) of the source.
        transforms: (B, 10, 2, 3), from the target's places to the source's, normalised; NaN for a part to leave out.
        masks: (B, 10, H, W), the parts in the target.
    """
    identity = torch.eye(2, 3, device=transforms.device, dtype=transforms.dtype)
    carried: Tensor | None = None
    for part in range(PARTS):
        known = transforms[:, part].isfinite().all(2).all(1)
        motion = torch.where(known[:, None, None], transforms[:, part] - identity, 0.0)
        moved = warp(features, affine(motion, *features.shape[2:]).to(features.dtype))
        moved = moved * (masks[:, part] * known[:, None, None])[:, None].to(features.dtype)
        carried = moved if carried is None else torch.maximum(carried, moved)
    return features if carried is None else carried


def _transforms(shown: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where each part of the wanted pose lies in the source, and the wanted joints."""
    with torch.no_grad():
        source, target = joints_of(shown.float()), joints_of(wanted.float())
        return part_transforms(source, target, *wanted.shape[2:]), target


def _widths(cfg: PoseDefGANConfig) -> list[int]:
    return [cfg.width * 2 ** min(level, 3) for level in range(cfg.layers + 1)]


class LayerNorm(nn.Module):
    """Normalisation over all channels and pixels of a sample, with one scale and one shift for all of them.

    What the authors' instance norm does. Epsilon is added to the deviation and not to the variance.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(x, dim=(1, 2, 3), correction=0, keepdim=True)
        return (x - mean) / (deviation + self.eps) * self.weight + self.bias


class _Encoder(nn.ModuleList):
    """A convolution at full size and strided ones: the features of every size, largest first."""

    def __init__(self, c_in: int, widths: list[int]) -> None:
        super().__init__([nn.Conv2d(c_in, widths[0], 3, padding=1)])
        for level in range(1, len(widths)):
            conv = nn.Conv2d(widths[level - 1], widths[level], 4, 2, 1, bias=False)
            norm = [LayerNorm()] if level < len(widths) - 1 else []
            self.append(nn.Sequential(nn.LeakyReLU(0.2), conv, *norm))

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        for stage in self:
            x = stage(x)
            features.append(x)
        return features


@dataclass(frozen=True)
class PoseDefGANDiscriminatorConfig:
    """Attributes:
    layers: strided convolutions; the last gives the score, the others double the channels up to 8 times as many.
    """

    resolution: int = 256
    width: int = 64
    layers: int = 5
    condition: ConditionSpec = BESIDE


class PoseDefGANDiscriminator(Discriminator):
    """Judges source, its pose, result and wanted pose together: (B, 1, 7, 7) for 256 px.

    `Condition.structure` is the source picture, its pose and the wanted pose, one after another.
    """

    paper, conditional = PAPER, True

    @property
    def beside(self) -> tuple[Beside, ...]:
        return "picture", "shown", "wanted"

    def __init__(self, cfg: PoseDefGANDiscriminatorConfig) -> None:
        super().__init__(cfg)
        widths = [cfg.width * 2 ** min(level, 3) for level in range(cfg.layers - 1)]
        self.stages = nn.ModuleList([nn.Conv2d(3 + cfg.condition.structure, cfg.width, 4, 2)])
        for before, after in pairwise(widths):
            conv = nn.Conv2d(before, after, 4, 2, 1, bias=False)
            self.stages.append(nn.Sequential(nn.LeakyReLU(0.2), conv, LayerNorm()))
        self.score = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(widths[-1], 1, 4, 2, 1, bias=False))

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        hidden = torch.cat([structure_map(self.cfg.condition, condition, image), image], dim=1)
        features: list[Tensor] = []
        for stage in self.stages:
            hidden = stage(hidden)
            features.append(hidden)
        return Critique(scores=(self.score(hidden),), features=(tuple(features),))


@register_generator(PoseDefGAN)
def posedefgan_fashion_256() -> PoseDefGANConfig:
    """Deformable GAN for DeepFashion, 256 px."""
    return PoseDefGANConfig()


@register_generator(PoseDefGAN)
def posedefgan_market_128() -> PoseDefGANConfig:
    """Deformable GAN for Market-1501, 128 x 64."""
    return PoseDefGANConfig(resolution=128, layers=5)


@register_generator(PoseDefGAN)
def posedefgan_64() -> PoseDefGANConfig:
    """A small deformable GAN for the built-in benchmark."""
    return PoseDefGANConfig(resolution=64, width=16, layers=4, deformed=3)


@register_discriminator(PoseDefGANDiscriminator)
def posedefgan_d_256() -> PoseDefGANDiscriminatorConfig:
    """The discriminator of the deformable GAN."""
    return PoseDefGANDiscriminatorConfig()


@register_discriminator(PoseDefGANDiscriminator)
def posedefgan_d_64() -> PoseDefGANDiscriminatorConfig:
    """A small discriminator for the built-in benchmark."""
    return PoseDefGANDiscriminatorConfig(resolution=64, width=16, layers=4)
