"""SPM at higher resolution: what the low-resolution stage found is enlarged and corrected by three small nets a level.

Paper: Wu et al., "Attribute-Driven Spontaneous Motion in Unpaired Image Translation", ICCV 2019, Sec. 3.3.
Differences from the paper: none in `spm_refine_*`; the small nets, which it does not describe, are those of the
authors' code. `spm_official_*` is the layout of their checkpoints: a mask head of 3x3, a residual that is masked at
every level and not only at the last, and resizing with aligned corners.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geotrans.base import Generator
from geotrans.layers.blocks import ConvBlock, ResBlock
from geotrans.layers.convert import build, count, drop_stale, shape_of
from geotrans.models.spm import CELEBA4, PAPER, SMILING, SPM, SPMConfig, authors_unit, spm_refine_64
from geotrans.models.stargan import (
    StarDiscriminator,
    StarDiscriminatorConfig,
    decoder_rules,
    label_columns,
    residual_rules,
)
from geotrans.ops import flow as flow_ops
from geotrans.ops import images as image_ops
from geotrans.ops.condition import spatial
from geotrans.ops.warp import from_corner_units, warp
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_discriminator, register_generator


@dataclass(frozen=True)
class SPMPyramidConfig:
    """Attributes:
    resolution: of the result; the low-resolution stage works at resolution / 2**len(kernels).
    width: of the low-resolution stage, as `blocks`, `refine_blocks`, `max_motion`, `mask_kernel`, `motion_stride` and
        `dead_zone` (see `SPMConfig`); the small nets have half of it.
    kernels: size of the first and the last kernel of the small nets, for each doubling of the resolution.
    mask_twice: the residual is also masked before it is enlarged, as in the authors' code.
    align_corners: resize as the authors do, with aligned corners and without smoothing, instead of as the library does.
    """

    resolution: int = 256
    width: int = 64
    blocks: int = 6
    refine_blocks: int = 12
    max_motion: float = 0.1
    mask_kernel: int = 7
    motion_stride: int = 1
    dead_zone: float = 0.0
    kernels: tuple[int, ...] = (3,)
    mask_twice: bool = False
    align_corners: bool = False
    condition: ConditionSpec = CELEBA4


class SPMPyramid(Generator):
    """Coarse-to-fine SPM (Sec. 3.3). H and W divide by 4 * 2**levels.

    Training starts from the stage before (`adopt`): a trained `SPM`, or a trained pyramid of fewer levels.

    Intermediates, with k = 0 for the lowest resolution and so on below the result's: `source_k` the resized image,
    `image_k`, `flow_k`, `warped_k`, `residual_k`, `mask_k` as in `Translation`.
    """

    paper = PAPER

    def __init__(self, cfg: SPMPyramidConfig) -> None:
        super().__init__(cfg)
        if not cfg.kernels or cfg.resolution % (4 * 2 ** len(cfg.kernels)):
            raise ValueError(
                f"expected at least one kernel and a resolution that divides by 4 * 2**levels, got "
                f"kernels {cfg.kernels} and resolution {cfg.resolution}"
            )
        low = cfg.resolution // 2 ** len(cfg.kernels)
        shared = {f.name for f in fields(SPMConfig)} & {f.name for f in fields(cfg)}
        stage = SPMConfig(**{name: getattr(cfg, name) for name in shared} | {"resolution": low})
        self.low = SPM(stage)
        self.motion = nn.ModuleList([Enhance(2, cfg.width // 2, kernel) for kernel in cfg.kernels])
        self.mask = nn.ModuleList([Enhance(1, cfg.width // 2, kernel) for kernel in cfg.kernels])
        self.residual = nn.ModuleList([Enhance(3, cfg.width // 2, kernel) for kernel in cfg.kernels])

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        views = self.views(image)
        return self.render(views, *self.motions(views, target))

    def adopt(self, stage: Generator) -> None:
        prefix = "low." if isinstance(stage, SPM) else ""
        self._adopt({prefix + name: value for name, value in stage.state_dict().items()}, whole=False)

    def combine(self, image: Tensor, targets: list[Condition], weights: list[float]) -> Translation:
        """One picture from several conditions: their motion fields are summed at every level, then rendered once.

        The mask is the largest of the conditions' masks. Arguments as for `SPM.combine` (Sec. 4.1, Fig. 7).
        """
        views = self.views(image)
        found = [self.motions(views, target) for target in targets]
        moves = zip(*[[w * flow for flow in flows] for w, (flows, _) in zip(weights, found, strict=True)], strict=True)
        masks = zip(*[masks for _, masks in found], strict=True)
        return self.render(views, [torch.stack(m).sum(0) for m in moves], [torch.stack(m).amax(0) for m in masks])

    def views(self, image: Tensor) -> list[Tensor]:
        """The image at every level's size, the lowest first.

        Raises:
            ValueError: its sides do not divide by 4 * 2**levels.
        """
        height, width = image.shape[2:]
        levels = len(self.cfg.kernels)
        if height % (4 * 2**levels) or width % (4 * 2**levels):
            raise ValueError(
                f"image: expected sides that divide by {4 * 2**levels}, got {height} x {width}; resize or pad it"
            )
        sizes = [(height // 2**k, width // 2**k) for k in range(levels, 0, -1)]
        return [*[self._shrink(image, size) for size in sizes], image]

    def motions(self, views: list[Tensor], target: Condition) -> tuple[list[Tensor], list[Tensor]]:
        """The flow (Eq. 6) and the mask of every level, the lowest first."""
        plane = spatial(self.cfg.condition.vector(target, len(views[0])), views[0])
        features = self.low.encoder(torch.cat([views[0], plane], dim=1))
        flows, masks = [self.low.flow(features)], [self.low.mask(features).sigmoid()]
        for view, enhance_motion, enhance_mask in zip(views[1:], self.motion, self.mask, strict=True):
            size = (view.shape[2], view.shape[3])
            flow, mask = self._enlarge_flow(flows[-1], size), self._enlarge(masks[-1], size)
            correction = 2 * self.cfg.max_motion * enhance_motion(authors_unit(flow))
            flows.append(flow + from_corner_units(correction))
            masks.append((mask + enhance_mask(mask)).clamp(0, 1))
        return flows, masks

    def render(self, views: list[Tensor], flows: list[Tensor], masks: list[Tensor]) -> Translation:
        """Move the view of every level by its flow and paint it."""
        warped = [warp(view, flow) for view, flow in zip(views, flows, strict=True)]
        parts = zip(flows, warped, self._residuals(warped[0], masks), masks, strict=True)
        *lower, top = [Translation((w + m * r).clamp(-1, 1), f, w, r, m) for f, w, r, m in parts]
        intermediates = {f"source_{k}": views[k] for k in range(len(lower))}
        for name in ("image", "flow", "warped", "residual", "mask"):
            intermediates |= {f"{name}_{k}": getattr(level, name) for k, level in enumerate(lower)}
        return replace(top, intermediates=intermediates)

    def _residuals(self, warped: Tensor, masks: list[Tensor]) -> list[Tensor]:
        """What is painted at every level, before the mask of that level."""
        residuals = [self.low.refine(warped)]
        for enhance, below, mask in zip(self.residual, masks[:-1], masks[1:], strict=True):
            coarse = residuals[-1] * below if self.cfg.mask_twice else residuals[-1]
            residual = self._enlarge(coarse, (mask.shape[2], mask.shape[3]))
            residuals.append(residual + enhance(residual))
        return residuals

    def _enlarge(self, field: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(field, size, mode="bilinear", align_corners=self.cfg.align_corners)

    def _enlarge_flow(self, flow: Tensor, size: tuple[int, int]) -> Tensor:
        if self.cfg.align_corners:
            return from_corner_units(2 * self._enlarge(authors_unit(flow), size))
        return flow_ops.resize(flow, size)

    def _shrink(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        return self._enlarge(image, size) if self.cfg.align_corners else image_ops.resize(image, size)


class Enhance(nn.Sequential):
    """One of the small nets T_w, T_m, T_r: (B, channels, H, W) -> a correction in [-1, 1] of the same shape."""

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__(
            ConvBlock(channels, width, kernel),
            ResBlock(width),
            nn.Conv2d(width, channels, kernel, padding=kernel // 2, bias=False),
            nn.Tanh(),
        )


def convert_adspm(
    state: Mapping[str, Tensor],
    *,
    resolution: int | None = None,
    max_motion: float = 0.1,
    condition: ConditionSpec = ConditionSpec(),
) -> SPM | SPMPyramid:
    """The authors' generator: `Stage1-*-G.ckpt` (128 px, an `SPM`), `Stage2-*` (256 px) or `Stage3-*` (512 px).

    Width, numbers of blocks, kernels, levels and condition size are read off the shapes.

    Args:
        state: the official state dict.
        resolution: what the weights were trained at; by default 128, 256 or 512, by the number of levels.
        max_motion: lambda_w of the training (`coff` in the authors' settings); it is not in the weights.
        condition: what the label's columns are; by default attributes, those of the paper if there are one or four.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    if resolution is not None and resolution < 1:
        raise ValueError(f"resolution: expected the side of the pictures in pixels, got {resolution}")
    state = drop_stale(state)
    suffixes = [suffix for suffix in ("", "512") if any(f"_refine{suffix}." in key for key in state)]
    width, channels = shape_of(state, "encoding.0.weight", 4)[:2]
    low = SPMConfig(
        resolution=resolution or 128 * 2 ** len(suffixes),
        width=width,
        blocks=count(state, r"encoding\.(\d+)\.main\."),
        refine_blocks=count(state, r"refine\.(\d+)\.main\."),
        max_motion=max_motion,
        mask_kernel=shape_of(state, "att_mask.6.weight", 4)[3],
        condition=label_columns(channels - 3, condition, SMILING, CELEBA4),
    )
    if not suffixes:
        return build(SPM, low, state, _low_rules(low, ""))
    kernels = tuple(shape_of(state, f"flow_refine{suffix}.0.weight", 4)[3] for suffix in suffixes)
    cfg = SPMPyramidConfig(
        low.resolution,
        low.width,
        low.blocks,
        low.refine_blocks,
        low.max_motion,
        low.mask_kernel,
        kernels=kernels,
        mask_twice=True,
        align_corners=True,
        condition=low.condition,
    )
    return build(SPMPyramid, cfg, state, _low_rules(low, "low.") | _enhance_rules(suffixes))


def _low_rules(cfg: SPMConfig, ours: str) -> dict[str, str]:
    """Official key -> that of an `SPM` whose own keys start with `ours`."""
    rules = {
        f"encoding.{3 * block + layer}": f"{ours}encoder.{block}.{layer}" for block in range(3) for layer in range(2)
    }
    for block in range(cfg.blocks):
        rules |= residual_rules(f"encoding.{9 + block}.main", f"{ours}encoder.{3 + block}")
    rules |= decoder_rules("flow_pred", f"{ours}motion", first=0) | decoder_rules("att_mask", f"{ours}mask", first=0)
    rules |= {"refine.0": f"{ours}refine.0.0", "refine.1": f"{ours}refine.0.1"}
    for block in range(cfg.refine_blocks):
        rules |= residual_rules(f"refine.{3 + block}.main", f"{ours}refine.{1 + block}")
    return {**rules, f"refine.{3 + cfg.refine_blocks}": f"{ours}refine.{1 + cfg.refine_blocks}"}


def _enhance_rules(suffixes: list[str]) -> dict[str, str]:
    """Official key -> ours for the small nets of every level."""
    rules: dict[str, str] = {}
    for level, suffix in enumerate(suffixes):
        for official, ours in (("flow", "motion"), ("mask", "mask"), ("app", "residual")):
            theirs = f"{official}_refine{suffix}"
            rules |= {f"{theirs}.{layer}": f"{ours}.{level}.0.{layer}" for layer in range(2)}
            rules |= residual_rules(f"{theirs}.3.main", f"{ours}.{level}.1") | {f"{theirs}.4": f"{ours}.{level}.2"}
    return rules


@register_generator(SPMPyramid)
def spm_refine_256() -> SPMPyramidConfig:
    """SPM from 128 to 256 px as in the paper: CelebA-HQ, four attributes."""
    return SPMPyramidConfig()


@register_generator(SPMPyramid)
def spm_refine_512() -> SPMPyramidConfig:
    """SPM from 128 over 256 to 512 px as in the paper: CelebA-HQ, four attributes."""
    return SPMPyramidConfig(resolution=512, kernels=(3, 7))


@register_generator(SPMPyramid)
def spm_official_256() -> SPMPyramidConfig:
    """The layout of the authors' checkpoint for 256 px, attribute Smiling."""
    return SPMPyramidConfig(mask_kernel=3, mask_twice=True, align_corners=True, condition=SMILING)


@register_generator(SPMPyramid)
def spm_official_512() -> SPMPyramidConfig:
    """The layout of the authors' checkpoint for 512 px, attribute Smiling."""
    return replace(spm_official_256(), resolution=512, kernels=(3, 7))


@register_generator(SPMPyramid)
def spm_pyramid_64() -> SPMPyramidConfig:
    """A small coarse-to-fine SPM for the built-in benchmark, 32 to 64 px; `low` has the layout of `spm_refine_64`."""
    low = spm_refine_64()
    return SPMPyramidConfig(
        64, low.width, low.blocks, low.refine_blocks, motion_stride=low.motion_stride, dead_zone=low.dead_zone
    )


@register_discriminator(StarDiscriminator)
def spm_d_128() -> StarDiscriminatorConfig:
    """SPM's discriminator of the low-resolution stage, D_l with its classifier D_c."""
    return StarDiscriminatorConfig(condition=CELEBA4)


@register_discriminator(StarDiscriminator)
def spm_d_256() -> StarDiscriminatorConfig:
    """SPM's discriminator D_h for 256 px: one convolution more than D_l, of the same width as the one before."""
    return StarDiscriminatorConfig(resolution=256, layers=7, constant=1, condition=CELEBA4)


@register_discriminator(StarDiscriminator)
def spm_d_512() -> StarDiscriminatorConfig:
    """SPM's discriminator D_h for 512 px: two convolutions more than D_l, of the same width as the one before."""
    return StarDiscriminatorConfig(resolution=512, layers=8, constant=2, condition=CELEBA4)
