"""Intrinsic Flow: a flow between two poses moves features of every size; pixels that can be moved too are.

Paper: Li et al., "Dense Intrinsic Appearance Flow for Human Pose Transfer", CVPR 2019.
Differences from the paper: the flow is not tied to a body model's, which its data sets must provide; where features are
small, the visibility of a place is the share of its pixels; the blend of moved and painted pixels is part of the
network, and gradients go through all of it; initialisation is PyTorch's, whose weights are smaller than He's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.layers.convert import build, count, keep_statistics, shape_of
from geotrans.models.patchgan import PatchGAN, PatchGANConfig, convert_patchgan
from geotrans.ops.condition import structure_pair
from geotrans.ops.flow import from_pixels
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1903.11326"
POSE = ConditionSpec(structure=18, needs_source=True)  # discs around OpenPose's 18 joints
BESIDE = ConditionSpec(structure=3 + 18)  # what a result is judged beside: the source picture, the wanted pose
PIXELS = 20.0  # that one unit of the flow net stands for
CLASSES = 3  # of visibility: seen in the source, hidden there, background


@dataclass(frozen=True)
class IntrFlowConfig:
    """Attributes:
    width: channels of the largest features; every smaller size has as many more.
    max_width: at most so many.
    scales: sizes of features, each half of the one before.
    warped_scales: the largest of them, whose features are moved.
    blocks: residual blocks for each size.
    flow_width: channels of the flow net at full size; they double from size to size.
    flow_max_width: at most so many.
    flow_levels: strided convolutions of the flow net's U, which begins at half of the size.
    auxiliary: channels of further maps that are painted beside the picture.
    blend: pixels moved along the flow replace painted ones, by a mask of a net of its own.
    black: what cannot be seen in the source is black among them, as in the authors' code.
    """

    resolution: int = 256
    width: int = 32
    max_width: int = 128
    scales: int = 7
    warped_scales: int = 5
    blocks: int = 2
    flow_width: int = 32
    flow_max_width: int = 512
    flow_levels: int = 5
    auxiliary: tuple[int, ...] = ()
    blend: bool = True
    condition: ConditionSpec = POSE
    black: bool = True


class IntrFlow(Generator):
    """A person in another pose: image = warped + mask * (painted - warped).

    `intermediates` holds "painted" (B, 3, H, W), "visibility" (B, 3, H, W), logits of what is seen in the source, what
    is hidden there and what is background, "flow_0", "flow_1", ... (B, 2, h, w), the flow net's guesses from the finest
    on, and "auxiliary_0", ....

    `Condition.structure` of target and source are discs around the joints (`ops.poses.pose_maps`, style "discs").
    H and W divide by 2**scales and by 2**(flow_levels + 1).
    """

    paper = PAPER

    def __init__(self, cfg: IntrFlowConfig) -> None:
        super().__init__(cfg)
        poses = 2 * cfg.condition.structure
        self.flow_net = FlowUNet(poses, cfg.flow_width, cfg.flow_max_width, cfg.flow_levels)
        self.renderer = DualUNet(cfg)
        self.head = _head(cfg.width, 3)
        self.auxiliary = nn.ModuleList(_head(cfg.width, channels) for channels in cfg.auxiliary)
        if cfg.blend:
            self.mask = nn.Sequential(UNet(cfg, poses + 3 + 3 + 1), _head(cfg.width, 1))

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        self._check(image)
        wanted, shown = structure_pair(self.cfg.condition, target, source, image)
        flows, visibility = self.flow_net(torch.cat([shown, wanted], dim=1))
        flow = from_pixels(_double(PIXELS * flows[0]))
        logits = _double(visibility)
        seen = F.one_hot(logits.argmax(1), CLASSES).permute(0, 3, 1, 2).to(image)
        features = self.renderer(wanted, image, flow, seen)
        painted, warped = self.head(features).tanh(), warp(image, flow)
        mask = torch.ones_like(image[:, :1])
        if self.cfg.blend:
            if self.cfg.black:
                warped = torch.where(seen[:, :1] > 0, warped, -1.0)
            mask = 1 - self.mask(torch.cat([warped, painted, seen[:, :1], shown, wanted], dim=1)).sigmoid()
        residual = painted - warped
        parts = {"painted": painted, "visibility": logits}
        parts |= {f"flow_{scale}": from_pixels(PIXELS / 2 ** (scale + 1) * f) for scale, f in enumerate(flows)}
        parts |= {f"auxiliary_{number}": head(features) for number, head in enumerate(self.auxiliary)}
        return Translation((warped + mask * residual).clamp(-1, 1), flow, warped, residual, mask, parts)

    def _check(self, image: Tensor) -> None:
        divisor = 2 ** max(self.cfg.scales, self.cfg.flow_levels + 1)
        if any(side % divisor for side in image.shape[2:]):
            raise ValueError(
                f"image: expected height and width to be multiples of {divisor}, got {tuple(image.shape[2:])}; "
                "resize it"
            )


class FlowUNet(nn.Module):
    """The flow regression module: from both poses to a flow, and to what of the source can be seen."""

    def __init__(self, poses: int, width: int, max_width: int, levels: int) -> None:
        super().__init__()
        widths = [min(2 * width * 2**level, max_width) for level in range(levels + 1)]
        self.stem = nn.Sequential(
            *[nn.Conv2d(poses, width, 7, padding=3, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.1)],
            *[nn.Conv2d(width, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.LeakyReLU(0.1)],
        )
        self.downs = nn.ModuleList(_strided(widths, level) for level in range(levels))
        self.ups = nn.ModuleList(_transposed(widths, level) for level in range(levels))
        self.flows = nn.ModuleList(_small_head(widths[level], 2) for level in range(levels))
        self.visibility = _small_head(widths[0], CLASSES)

    def forward(self, poses: Tensor) -> tuple[list[Tensor], Tensor]:
        """The flow at half of the size and smaller, in units of `PIXELS` of the full size, and logits of visibility.

        The coarser flows are in the same units.
        """
        features = self.features(poses)
        return [head(x) for head, x in zip(self.flows, features, strict=True)], self.visibility(features[0])

    def features(self, poses: Tensor) -> list[Tensor]:
        """What the U makes of the poses (B, 2 S, H, W), at half of their size, a quarter, ...."""
        skips = [self.stem(poses)]
        for down in self.downs:
            skips.append(down(skips[-1]))
        hidden = skips.pop()
        features: list[Tensor] = []
        for up in reversed(self.ups):
            features.insert(0, up(hidden))
            hidden = torch.cat([skips.pop(), features[0]], dim=1)
        return features


class DualUNet(nn.Module):
    """The image's and the pose's features, side by side; the image's reach the decoder moved along the flow."""

    def __init__(self, cfg: IntrFlowConfig) -> None:
        super().__init__()
        widths = _widths(cfg)
        warped = widths[: min(cfg.warped_scales, cfg.scales)]
        self.pose_stem, self.image_stem = _stem(cfg.condition.structure, cfg.width), _stem(3, cfg.width)
        self.pose = nn.ModuleList(_blocks(c, 0, cfg.blocks) for c in widths[:-1])
        self.image = nn.ModuleList(_blocks(c, 0, cfg.blocks) for c in widths[:-1])
        self.seen = nn.ModuleList(_blocks(c, 2 * c, cfg.blocks) for c in warped)
        self.downs = _downs(widths)  # of both: the authors' code gives the image those of the pose
        self.fuse = _stem(2 * widths[-1], widths[-1])
        self.decoder = _Decoder(widths, 2, cfg.blocks)

    def forward(self, pose: Tensor, image: Tensor, flow: Tensor, seen: Tensor) -> Tensor:
        """Features for the heads, (B, width, H, W).

        Args:
            pose: (B, S, H, W), the wanted one.
            image: (B, 3, H, W), the source.
            flow: (B, 2, H, W), backward, normalised.
            seen: (B, 3, H, W), one-hot: seen in the source, hidden there, background.
        """
        of_pose, pose_skips = _encode(self.pose_stem(pose), self.pose, self.downs)
        hidden, image_skips = _encode(self.image_stem(image), self.image, self.downs)
        for scale, blocks in enumerate(self.seen):
            smaller, shares = F.avg_pool2d(flow, 2**scale), F.avg_pool2d(seen[:, :2], 2**scale)
            for number, block in enumerate(cast(nn.ModuleList, blocks)):
                moved = warp(image_skips[scale][number], smaller)
                parts = torch.cat([moved * shares[:, :1], moved * shares[:, 1:]], dim=1)
                image_skips[scale][number] = block(moved, parts)
        skips = [
            [torch.cat(pair, dim=1) for pair in zip(*sides, strict=True)]
            for sides in zip(pose_skips, image_skips, strict=True)
        ]
        return cast(Tensor, self.decoder(self.fuse(torch.cat([of_pose, hidden], dim=1)), skips))


class UNet(nn.Module):
    """The net of the blending mask: (B, c_in, H, W) -> (B, width, H, W)."""

    def __init__(self, cfg: IntrFlowConfig, c_in: int) -> None:
        super().__init__()
        widths = _widths(cfg)
        self.stem = _stem(c_in, cfg.width)
        self.blocks = nn.ModuleList(_blocks(c, 0, cfg.blocks) for c in widths[:-1])
        self.downs = _downs(widths)
        self.decoder = _Decoder(widths, 1, cfg.blocks)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.decoder(*_encode(self.stem(x), self.blocks, self.downs)))


class _Block(nn.Module):
    """x + norm(conv(relu(x))); what stands beside x comes in through a 1x1 convolution, and doubles the channels."""

    def __init__(self, channels: int, beside: int) -> None:
        super().__init__()
        self.beside = nn.Sequential(nn.ReLU(), *_stem(beside, channels)) if beside else None
        c_in = 2 * channels if beside else channels
        self.main = nn.Sequential(
            nn.ReLU(), nn.Conv2d(c_in, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        seen = x if self.beside is None else torch.cat([x, self.beside(beside)], dim=1)
        out: Tensor = x + self.main(seen)
        return out


class _Decoder(nn.Module):
    """Doublings of the size by pixel shuffle, each followed by blocks that see the encoder's, the last one first."""

    def __init__(self, widths: list[int], encoders: int, blocks: int) -> None:
        super().__init__()
        self.ups = nn.ModuleList(
            nn.Sequential(
                *[nn.ReLU(), nn.Conv2d(after, 4 * before, 3, padding=1, bias=False)],
                *[nn.PixelShuffle(2), nn.BatchNorm2d(before)],
            )
            for before, after in pairwise(widths)
        )
        self.blocks = nn.ModuleList(_blocks(c, encoders * c, blocks) for c in widths[:-1])

    def forward(self, hidden: Tensor, skips: list[list[Tensor]]) -> Tensor:
        for up, blocks, beside in reversed(list(zip(self.ups, self.blocks, skips, strict=True))):
            hidden = up(hidden)
            for block, skip in reversed(list(zip(cast(nn.ModuleList, blocks), beside, strict=True))):
                hidden = block(hidden, skip)
        return hidden


def _encode(x: Tensor, scales: nn.ModuleList, downs: nn.ModuleList) -> tuple[Tensor, list[list[Tensor]]]:
    """The smallest features, and what every block gave."""
    skips: list[list[Tensor]] = []
    for blocks, down in zip(scales, downs, strict=True):
        skips.append([])
        for block in cast(nn.ModuleList, blocks):
            x = block(x)
            skips[-1].append(x)
        x = down(x)
    return x, skips


def _widths(cfg: IntrFlowConfig) -> list[int]:
    return [min(cfg.width * (scale + 1), cfg.max_width) for scale in range(cfg.scales + 1)]


def _blocks(channels: int, beside: int, number: int) -> nn.ModuleList:
    return nn.ModuleList(_Block(channels, beside) for _ in range(number))


def _downs(widths: list[int]) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(nn.ReLU(), nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after))
        for before, after in pairwise(widths)
    )


def _stem(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))


def _head(width: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(width, channels, 7, padding=3, padding_mode="reflect")


def _small_head(width: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.LeakyReLU(0.1), nn.Conv2d(width, channels, 3, padding=1))


def _strided(widths: list[int], level: int) -> nn.Sequential:
    """The outermost has no activation before it, the innermost no norm after it."""
    conv = nn.Conv2d(widths[level], widths[level + 1], 4, 2, 1, bias=False)
    before: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
    after: list[nn.Module] = [nn.BatchNorm2d(widths[level + 1])] if level < len(widths) - 2 else []
    return nn.Sequential(*before, conv, *after)


def _transposed(widths: list[int], level: int) -> nn.Sequential:
    """All but the innermost also read what the strided convolution above them read; the outermost has a bias."""
    c_in = widths[level + 1] * (1 if level == len(widths) - 2 else 2)
    conv = nn.ConvTranspose2d(c_in, widths[level], 4, 2, 1, bias=level == 0)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(widths[level]))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def convert_intrflow(state: Mapping[str, Tensor], *, resolution: int = 256) -> IntrFlow:
    """The official flow net and generator, which lie in a file each, as {"flow": ..., "generator": ...}.

    What they make is painted only: the weights of the net of the blending mask are not converted, and `blend` is off.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    if {"encp_pre_conv.0.weight", "conv_downsample.0.weight"} & state.keys():
        raise ValueError(
            "one of Intrinsic Flow's two files; expected both state dicts in one, saved as a dict with the keys "
            "'flow' and 'generator'"
        )
    state = _without_twins(keep_statistics(state))
    first = shape_of(state, "generator.encp_pre_conv.0.weight", 4)
    scales, levels = count(state, r"generator\.encp_(\d+)_res"), count(state, r"flow\.((?:\w+\.)+)down\.[01]\.weight")
    flow_widths = [
        shape_of(state, f"flow.unet_block{'.submodule' * level}.down.{min(level, 1)}.weight", 4)[0]
        for level in range(levels)
    ]
    smaller = [shape_of(state, f"generator.encp_{scale}_downsample.1.weight", 4)[0] for scale in range(scales)]
    auxiliary = count(state, r"generator\.dec_aux_output_(\d+)\.")
    cfg = IntrFlowConfig(
        resolution=resolution,
        width=first[0],
        max_width=max(first[0], *smaller),
        scales=scales,
        warped_scales=count(state, r"generator\.enca_(\d+)_vis"),
        blocks=count(state, r"generator\.encp_0_res_(\d+)\."),
        flow_width=shape_of(state, "flow.conv_downsample.0.weight", 4)[0],
        flow_max_width=max(flow_widths),
        flow_levels=levels,
        auxiliary=tuple(
            shape_of(state, f"generator.dec_aux_output_{number}.1.weight", 4)[0] for number in range(auxiliary)
        ),
        blend=False,
        condition=replace(POSE, structure=first[1]),
    )
    return build(IntrFlow, cfg, state, _flow_rules(cfg) | _generator_rules(cfg))


def _without_twins(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the second names of the strided convolutions, which the official encoders share."""
    kept = dict(state)
    for key in state:
        twin = key.replace(".enca_", ".encp_")
        if "_downsample." in key and twin != key:
            if twin not in state or not torch.equal(state[key], state[twin]):
                raise ValueError(f"{key} and {twin} differ; in the official code they are the same tensor")
            del kept[key]
    return kept


def _flow_rules(cfg: IntrFlowConfig) -> dict[str, str]:
    rules = {"flow.conv_downsample": "flow_net.stem", "flow.predict_vis": "flow_net.visibility"}
    for level in range(cfg.flow_levels):
        official = f"flow.unet_block{'.submodule' * level}"
        rules |= {f"{official}.down": f"flow_net.downs.{level}", f"{official}.up": f"flow_net.ups.{level}"}
        rules[f"{official}.predict_flow"] = f"flow_net.flows.{level}"
    return rules


def _generator_rules(cfg: IntrFlowConfig) -> dict[str, str]:
    rules = {"generator.dec_output.1": "head", "generator.dec_fuse": "renderer.fuse"}
    rules |= {f"generator.enc{a}_pre_conv": f"renderer.{b}_stem" for a, b in (("p", "pose"), ("a", "image"))}
    rules |= {f"generator.dec_aux_output_{n}.1": f"auxiliary.{n}" for n in range(len(cfg.auxiliary))}
    for scale in range(cfg.scales):
        rules[f"generator.encp_{scale}_downsample"] = f"renderer.downs.{scale}"
        rules[f"generator.dec_{scale}_upsample"] = f"renderer.decoder.ups.{scale}"
        kinds = {"encp_{}_res": "pose", "enca_{}_res": "image", "enca_{}_vis": "seen", "dec_{}_res": "decoder.blocks"}
        for official, ours in kinds.items():
            for number in range(cfg.blocks):
                block = f"renderer.{ours}.{scale}.{number}"
                for part, name in (("conv", "main"), ("conv_a", "beside")):
                    key = f"generator.{official.format(scale)}_{number}.{part}"
                    rules |= {f"{key}.{place}": f"{block}.{name}.{place + 1}" for place in range(2)}
    return rules


def convert_intrflow_discriminator(state: Mapping[str, Tensor], *, resolution: int = 256) -> PatchGAN:
    """The official discriminator: a PatchGAN with batch norm of the source picture, the result and the wanted pose.

    Its `Condition.structure` is the source picture and the wanted pose, 3 + 18 channels.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    channels = shape_of(state, "model.0.weight", 4)[1]
    order = [*range(3), *range(6, channels), *range(3, 6)]  # the library's PatchGAN reads the picture last
    model = convert_patchgan({**state, "model.0.weight": state["model.0.weight"][:, order]})
    model.cfg = replace(model.cfg, resolution=resolution)
    return model


@register_generator(IntrFlow)
def intrflow_fashion_256() -> IntrFlowConfig:
    """Intrinsic Flow for DeepFashion, 256 x 256."""
    return IntrFlowConfig()


@register_generator(IntrFlow)
def intrflow_market_128() -> IntrFlowConfig:
    """Intrinsic Flow for Market-1501, 128 x 64: five sizes, four of them moved."""
    return IntrFlowConfig(resolution=128, scales=5, warped_scales=4)


@register_generator(IntrFlow)
def intrflow_64() -> IntrFlowConfig:
    """A small Intrinsic Flow for the built-in benchmark."""
    return IntrFlowConfig(
        resolution=64,
        width=16,
        max_width=64,
        scales=5,
        warped_scales=3,
        flow_width=8,
        flow_max_width=64,
        flow_levels=4,
        black=False,
    )


@register_discriminator(PatchGAN)
def intrflow_d_256() -> PatchGANConfig:
    """Intrinsic Flow's discriminator: a PatchGAN with batch norm beside the source picture and the wanted pose."""
    return PatchGANConfig(norm="batch", condition=BESIDE)
