"""SPM: a spontaneous motion field moves the pixels, a refinement net paints what motion cannot show.

Paper: Wu et al., "Attribute-Driven Spontaneous Motion in Unpaired Image Translation", ICCV 2019.
Differences from the paper: the motion has two channels (Eq. 1; its Table 3 prints three), two strided convolutions
(Tables 3 and 4; its text says three), and the motion discriminator reads (motion, image) only (Eq. 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geotrans.base import Discriminator, Generator
from geotrans.layers.blocks import ConvBlock, Decoder, Encoder, ResBlock, StridedTrunk
from geotrans.layers.convert import build, count, drop_stale, shape_of
from geotrans.models.stargan import SYNTHFACE4, label_columns
from geotrans.ops.condition import spatial
from geotrans.ops.flow import resize
from geotrans.ops.warp import from_corner_units, warp
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1907.01452"
CELEBA4 = SYNTHFACE4  # SPM's four CelebA attributes are the built-in benchmark's
SMILING = ConditionSpec(attributes=("Smiling",))


@dataclass(frozen=True)
class SPMConfig:
    """Attributes:
    width: channels after the first convolution; 4 times as many in the encoder's residual blocks.
    blocks: residual blocks of the encoder.
    refine_blocks: residual blocks of the refinement net, at full resolution.
    max_motion: lambda_w, the largest displacement as a fraction of the image's extent.
    mask_kernel: size of the mask head's kernel: 7 in the paper's Table 4, 3 in the authors' code.
    motion_stride: the motion is predicted at 1/1, 1/2 or 1/4 of the resolution and enlarged bilinearly. 1 in the paper;
        4 in the small variants, where a few thousand images are too few to learn that motion is smooth.
    dead_zone: share of the largest motion below which pixels all but rest (a twentieth of the motion is left, so that
        gradients are). 0 in the paper; 0.15 in the small variants, where the noise of a short training would shake
        every pixel of the background.
    motion: False builds the ablation "No M": nothing moves, and the refinement net reads the condition instead.
    refine: False builds the ablation "No R": nothing is painted.
    """

    resolution: int = 128
    width: int = 64
    blocks: int = 6
    refine_blocks: int = 12
    max_motion: float = 0.1
    mask_kernel: int = 7
    motion_stride: int = 1
    dead_zone: float = 0.0
    motion: bool = True
    refine: bool = True
    condition: ConditionSpec = CELEBA4


class SPM(Generator):
    """Low-resolution SPM (Sec. 3.1, 3.2): image = clamp(warp(source, flow) + mask * residual). H and W divide by 4."""

    paper = PAPER

    def __init__(self, cfg: SPMConfig) -> None:
        super().__init__(cfg)
        if not (cfg.motion or cfg.refine):
            raise ValueError(
                "SPM needs motion or refine; with neither it would return its input (see model 'identity')"
            )
        if cfg.motion_stride not in (1, 2, 4):
            raise ValueError(f"motion_stride: expected 1, 2 or 4, got {cfg.motion_stride}")
        columns = cfg.condition.size
        self.encoder = Encoder(3 + columns, cfg.width, cfg.blocks)
        if cfg.motion:
            self.motion = Decoder(cfg.width, 2, stride=cfg.motion_stride)
        if cfg.refine:
            self.mask = Decoder(cfg.width, 1, cfg.mask_kernel)
            self.refine = Refine(3 if cfg.motion else 3 + columns, cfg.width, cfg.refine_blocks)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        plane = spatial(self.cfg.condition.vector(target, len(image)), image)
        features = self.encoder(torch.cat([image, plane], dim=1))
        flow = self.flow(features) if self.cfg.motion else None
        return self.render(image, features, flow, plane)

    def flow(self, features: Tensor) -> Tensor:
        """The motion field (Eq. 1), (B, 2, H, W): tanh bounded by `max_motion` times the image's extent."""
        # 2 * lambda_w * tanh is a displacement of a corner-aligned grid in the authors' code.
        motion, zone = self.motion(features).tanh(), self.cfg.dead_zone
        motion = motion - 0.95 * motion.clamp(-zone, zone)
        height, width = (4 * side for side in features.shape[2:])
        return from_corner_units(2 * self.cfg.max_motion * resize(motion, (height, width)))

    def render(self, image: Tensor, features: Tensor, flow: Tensor | None, plane: Tensor) -> Translation:
        """Move by `flow` and paint (Eq. 2 and 3)."""
        warped = image if flow is None else warp(image, flow)
        if not self.cfg.refine:
            return Translation(warped, flow, warped)
        mask = self.mask(features).sigmoid()
        residual = self.refine(warped if self.cfg.motion else torch.cat([warped, plane], dim=1))
        return Translation((warped + mask * residual).clamp(-1, 1), flow, warped, residual, mask)

    def combine(self, image: Tensor, targets: list[Condition], weights: list[float]) -> Translation:
        """One picture from several conditions: their motion fields are summed and rendered once (Sec. 4.1, Fig. 7).

        The mask is the largest of the conditions' masks.

        Args:
            image: (B, 3, H, W).
            targets: conditions, each for the whole batch.
            weights: a factor for each motion field.
        """
        planes = [spatial(self.cfg.condition.vector(target, len(image)), image) for target in targets]
        features = [self.encoder(torch.cat([image, plane], dim=1)) for plane in planes]
        flow = torch.stack([w * self.flow(f) for w, f in zip(weights, features, strict=True)]).sum(0)
        warped = warp(image, flow)
        if not self.cfg.refine:
            return Translation(warped, flow, warped)
        mask = torch.stack([self.mask(f).sigmoid() for f in features]).amax(0)
        residual = self.refine(warped)
        return Translation((warped + mask * residual).clamp(-1, 1), flow, warped, residual, mask)


class Refine(nn.Sequential):
    """The refinement net R: full resolution, residual blocks, tanh."""

    def __init__(self, c_in: int, width: int, blocks: int) -> None:
        super().__init__(
            ConvBlock(c_in, width, 7),
            *[ResBlock(width) for _ in range(blocks)],
            nn.Conv2d(width, 3, 7, padding=3, bias=False),
            nn.Tanh(),
        )


def authors_unit(flow: Tensor) -> Tensor:
    """A flow as the authors' lambda_w * tanh, where 1 is the distance between the first and the last pixel centre."""
    height, width = flow.shape[2:]
    return flow * (flow.new_tensor([width / (width - 1), height / (height - 1)]).view(1, 2, 1, 1) / 2)


@dataclass(frozen=True)
class MotionDiscriminatorConfig:
    """Attributes:
    resolution: fixed; motions of another size are resized.
    reads_condition: the net also reads the source's condition, as the authors' class does.
    """

    resolution: int = 128
    width: int = 64
    layers: int = 3
    reads_condition: bool = False
    condition: ConditionSpec = CELEBA4


class MotionDiscriminator(Discriminator):
    """D_w (Eq. 4): which attributes does this motion of this image lead to?"""

    paper = PAPER

    def __init__(self, cfg: MotionDiscriminatorConfig) -> None:
        super().__init__(cfg)
        extra = cfg.condition.size if cfg.reads_condition else 0
        self.trunk = StridedTrunk(2 + 3 + extra, cfg.width, cfg.layers)
        self.label = nn.Conv2d(self.trunk.channels, cfg.condition.size, cfg.resolution // 2**cfg.layers, bias=False)

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        if flow is None:
            raise ValueError("a motion discriminator needs flow (B, 2, H, W); this generator has none")
        size = (self.cfg.resolution, self.cfg.resolution)
        seen = [
            resize(authors_unit(flow), size),
            nn.functional.interpolate(image, size, mode="bilinear", antialias=True),
        ]
        if self.cfg.reads_condition:
            if condition is None:
                raise ValueError("this motion discriminator reads the source's condition; pass condition=")
            seen.append(spatial(self.cfg.condition.vector(condition, len(image)), seen[0]))
        hidden = self.trunk(torch.cat(seen, dim=1))
        return Critique(condition=self.cfg.condition.split(self.label(hidden).flatten(1)))


def convert_motion_discriminator(
    state: Mapping[str, Tensor], *, condition: ConditionSpec = ConditionSpec()
) -> MotionDiscriminator:
    """The authors' `uv_classifier`, which also reads the source's condition.

    Args:
        condition: what the label's columns are; by default attributes, those of the paper if there are one or four.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = drop_stale(state)
    layers = count(state, r"main\.(\d+)\.bias")
    width = shape_of(state, "main.0.weight", 4)[0]
    columns, _, kernel, _ = shape_of(state, f"main.{2 * layers}.weight", 4)
    spec = label_columns(columns, condition, SMILING, CELEBA4)
    cfg = MotionDiscriminatorConfig(kernel * 2**layers, width, layers, True, spec)
    rules = {f"main.{2 * layer}": f"trunk.{2 * layer}" for layer in range(layers)}
    return build(MotionDiscriminator, cfg, state, {**rules, f"main.{2 * layers}": "label"})


@register_generator(SPM)
def spm_refine_128() -> SPMConfig:
    """SPM with its refinement net, low-resolution stage as in the paper: CelebA, four attributes, 128 px."""
    return SPMConfig()


@register_generator(SPM)
def spm_warp_128() -> SPMConfig:
    """The paper's ablation "No R" (Fig. 4): motion alone."""
    return SPMConfig(refine=False)


@register_generator(SPM)
def spm_paint_128() -> SPMConfig:
    """The paper's ablation "No M" (Fig. 4): painting alone."""
    return SPMConfig(motion=False)


@register_generator(SPM)
def spm_refine_32() -> SPMConfig:
    """The low-resolution stage of `spm_pyramid_64`."""
    return SPMConfig(resolution=32, width=16, blocks=6, refine_blocks=4, motion_stride=4, dead_zone=0.15)


@register_generator(SPM)
def spm_refine_64() -> SPMConfig:
    """A small SPM for the built-in benchmark."""
    return SPMConfig(resolution=64, width=16, blocks=6, refine_blocks=4, motion_stride=4, dead_zone=0.15)


@register_generator(SPM)
def spm_warp_64() -> SPMConfig:
    """A small SPM for the built-in benchmark, motion alone."""
    return SPMConfig(resolution=64, width=16, blocks=6, motion_stride=4, dead_zone=0.15, refine=False)


@register_generator(SPM)
def spm_paint_64() -> SPMConfig:
    """A small SPM for the built-in benchmark, painting alone."""
    return SPMConfig(resolution=64, width=16, blocks=6, refine_blocks=4, motion=False)


@register_discriminator(MotionDiscriminator)
def spm_motion_d_128() -> MotionDiscriminatorConfig:
    """SPM's motion discriminator, 128 px."""
    return MotionDiscriminatorConfig()


@register_discriminator(MotionDiscriminator)
def spm_motion_d_32() -> MotionDiscriminatorConfig:
    """A small motion discriminator for the low-resolution stage of `spm_pyramid_64`."""
    return MotionDiscriminatorConfig(resolution=32, width=16)


@register_discriminator(MotionDiscriminator)
def spm_motion_d_64() -> MotionDiscriminatorConfig:
    """A small motion discriminator for the built-in benchmark."""
    return MotionDiscriminatorConfig(resolution=64, width=16)
