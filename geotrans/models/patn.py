"""PATN: blocks of attention carry the features of a person step by step from one pose to another.

Paper: Zhu et al., "Progressive Pose Attention Transfer for Person Image Generation", CVPR 2019.
Differences from the paper: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from geotrans.base import Beside, Discriminator, Generator
from geotrans.layers.convert import build, count, drop_stale, keep_statistics, shape_of
from geotrans.layers.normed import NormedConv, NormedResBlock, NormedUp, make_norm, needs_bias
from geotrans.ops.condition import structure_map, structure_pair
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1904.03349"
POSE = ConditionSpec(structure=18, needs_source=True)
APPEARANCE = ConditionSpec(structure=3)  # the source picture, beside which a result is judged
BOTH = ConditionSpec(structure=3 + 18)  # and the wanted pose


@dataclass(frozen=True)
class PATNConfig:
    """Attributes:
    width: channels after the first convolution; 4 times as many in the blocks.
    blocks: pose-attentional transfer blocks, at a quarter of the size.
    norm: "instance" (no scale or shift), for DeepFashion, or "batch", for Market-1501.
    dropout: dropout of one half in the blocks.
    deviation: of the normal distribution that convolutions start from; 0 for PyTorch's own start.
    """

    resolution: int = 256
    width: int = 64
    blocks: int = 9
    norm: str = "instance"
    dropout: bool = True
    condition: ConditionSpec = POSE
    deviation: float = 0.02


class PATN(Generator):
    """A person in another pose. Paints the image anew: mask 1, residual = painted - source.

    `Condition.structure` of target and source are maps of the joints. The official weights know maps of single pixels
    (`ops.poses.pose_maps` with style "points"): the authors' code stores its Gaussian bumps as whole numbers, which
    leaves their peaks. H and W divide by 4.
    """

    paper = PAPER

    def __init__(self, cfg: PATNConfig) -> None:
        super().__init__(cfg)
        width, norm = cfg.width, cfg.norm
        self.image_encoder = _encoder(3, width, norm)
        self.pose_encoder = _encoder(2 * cfg.condition.structure, width, norm)
        self.blocks = nn.ModuleList(TransferBlock(cfg, first=index == 0) for index in range(cfg.blocks))
        self.decoder = nn.Sequential(
            NormedUp(4 * width, 2 * width, 3, norm=norm),
            NormedUp(2 * width, width, 3, norm=norm),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
        )
        for module in self.modules() if cfg.deviation else ():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, std=cfg.deviation)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        wanted, shown = structure_pair(self.cfg.condition, target, source, image)
        features, pose = self.image_encoder(image), self.pose_encoder(torch.cat([shown, wanted], dim=1))
        for block in self.blocks:
            features, pose = block(features, pose)
        painted = self.decoder(features).tanh()
        return Translation(painted, warped=image, residual=painted - image, mask=torch.ones_like(image[:, :1]))


class TransferBlock(nn.Module):
    """The pose says where the image's features change (Eq. 4 to 7); what they have become goes back into the pose."""

    def __init__(self, cfg: PATNConfig, *, first: bool) -> None:
        super().__init__()
        channels, dropout = 4 * cfg.width, 0.5 if cfg.dropout else 0.0
        inner = channels if first else 2 * channels  # all but the first block's pose holds image features too
        self.image = nn.Sequential(
            NormedConv(channels, channels, 3, norm=cfg.norm, padding="reflect"),
            nn.Dropout(dropout),
            _reflect(channels, channels, cfg.norm),
            make_norm(cfg.norm, channels),
        )
        self.pose = nn.Sequential(
            NormedConv(inner, inner, 3, norm=cfg.norm, padding="reflect"),
            nn.Dropout(dropout),
            _reflect(inner, channels, cfg.norm),
        )

    def forward(self, image: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        code = self.pose(pose)
        image = image + self.image(image) * code.sigmoid()
        return image, torch.cat([code, image], dim=1)


def _reflect(c_in: int, c_out: int, norm: str) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=1, padding_mode="reflect", bias=needs_bias(norm))


def _encoder(c_in: int, width: int, norm: str) -> nn.Sequential:
    """A quarter of the size, 4 * width channels."""
    return nn.Sequential(
        NormedConv(c_in, width, 7, norm=norm, padding="reflect"),
        NormedConv(width, 2 * width, 3, 2, norm=norm),
        NormedConv(2 * width, 4 * width, 3, 2, norm=norm),
    )


@dataclass(frozen=True)
class PATNDiscriminatorConfig:
    """Attributes:
    blocks: residual blocks at a quarter of the size.
    condition: its `structure` is what the picture is judged beside: the wanted pose, the source picture, or both.
    """

    resolution: int = 256
    width: int = 64
    blocks: int = 3
    norm: str = "instance"
    dropout: bool = True
    condition: ConditionSpec = ConditionSpec(structure=18)


class PATNDiscriminator(Discriminator):
    """Is this the wanted pose (D_S), or the same person (D_A)?

    Every number of the last feature map is a score; they come as one map, channel under channel:
    (B, 1, 4 * width * H / 4, W / 4).
    """

    paper, conditional = PAPER, True

    @property
    def beside(self) -> tuple[Beside, ...]:
        return ("picture",) if self.cfg.condition == APPEARANCE else ("wanted",)

    def __init__(self, cfg: PATNDiscriminatorConfig) -> None:
        super().__init__(cfg)
        dropout = 0.5 if cfg.dropout else 0.0
        self.encoder = _encoder(3 + cfg.condition.structure, cfg.width, cfg.norm)
        self.blocks = nn.ModuleList(
            NormedResBlock(4 * cfg.width, norm=cfg.norm, padding="reflect", dropout=dropout) for _ in range(cfg.blocks)
        )

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        beside = structure_map(self.cfg.condition, condition, image)
        features = [self.encoder(torch.cat([image, beside], dim=1))]
        for block in self.blocks:
            features.append(block(features[-1]))
        return Critique(scores=(features[-1].flatten(1, 2)[:, None],), features=(tuple(features),))


class PATNDiscriminatorPair(Discriminator):
    """D_A and D_S, which judge a picture as two scales would: same person, and wanted pose.

    `Condition.structure` is the source picture and the wanted pose, one after another.
    """

    paper, conditional = PAPER, True

    def __init__(self, cfg: PATNDiscriminatorConfig) -> None:
        super().__init__(cfg)
        self.poses = cfg.condition.structure - APPEARANCE.structure
        self.appearance = PATNDiscriminator(replace(cfg, condition=APPEARANCE))
        self.shape = PATNDiscriminator(replace(cfg, condition=ConditionSpec(structure=self.poses)))

    @property
    def beside(self) -> tuple[Beside, ...]:
        return "picture", "wanted"

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        beside = structure_map(self.cfg.condition, condition, image)
        picture, pose = beside[:, : -self.poses], beside[:, -self.poses :]
        same: Critique = self.appearance(image, Condition(structure=picture))
        posed: Critique = self.shape(image, Condition(structure=pose))
        return Critique(same.scores + posed.scores, same.features + posed.features)


def convert_patn(state: Mapping[str, Tensor], *, resolution: int = 256) -> PATN:
    """An official generator (`*_net_netG.pth`): sizes, norm and dropout are read off keys and shapes.

    Args:
        resolution: the height that it was trained at: 256, or 128 for Market-1501.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state, norm = _statistics(state, "model.stream1_down.2.weight")
    blocks = count(state, r"model\.att\.(\d+)\.")
    second = _second(state, "model.att.0.conv_block_stream1")
    rules: dict[str, str] = {}
    for official, ours in (("stream1_down", "image_encoder"), ("stream2_down", "pose_encoder")):
        for index in range(3):
            rules |= _pair(f"model.{official}", 3 * index + 1, f"{ours}.{index}")
    for block in range(blocks):
        official, ours = f"model.att.{block}.conv_block_stream", f"blocks.{block}"
        for stream, part in ((1, "image"), (2, "pose")):
            rules |= _pair(f"{official}{stream}", 1, f"{ours}.{part}.0")
            rules[f"{official}{stream}.{second}"] = f"{ours}.{part}.2"
        rules[f"{official}1.{second + 1}"] = f"{ours}.image.3"
    for index in range(2):
        rules |= _pair("model.stream1_up", 3 * index, f"decoder.{index}")
    rules["model.stream1_up.7"] = "decoder.2"
    width = shape_of(state, "model.stream1_down.1.weight", 4)[0]
    poses = shape_of(state, "model.stream2_down.1.weight", 4)[1] // 2
    cfg = PATNConfig(resolution, width, blocks, norm, second == 6, replace(POSE, structure=poses))
    return build(PATN, cfg, state, rules)


def convert_patn_discriminator(state: Mapping[str, Tensor], *, resolution: int = 256) -> PATNDiscriminator:
    """An official discriminator (`*_net_netD_PB.pth`, beside the pose, or `*_net_netD_PP.pth`, beside the source).

    Args:
        resolution: the height that it was trained at: 256, or 128 for Market-1501.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state, norm = _statistics(state, "model.2.weight")
    blocks = count(state, r"model\.(\d+)\.conv_block\.")
    second = _second(state, "model.10.conv_block")
    rules: dict[str, str] = {}
    for index in range(3):
        rules |= _pair("model", 3 * index + 1, f"encoder.{index}")
    for block in range(blocks):
        official, ours = f"model.{10 + block}.conv_block", f"blocks.{block}"
        rules |= _pair(official, 1, f"{ours}.first") | _pair(official, second, f"{ours}.second")
    width, c_in = shape_of(state, "model.1.weight", 4)[:2]
    cfg = PATNDiscriminatorConfig(resolution, width, blocks, norm, second == 6, ConditionSpec(structure=c_in - 3))
    return build(PATNDiscriminator, cfg, state, rules)


def _statistics(state: Mapping[str, Tensor], norm: str) -> tuple[dict[str, Tensor], str]:
    """The state, and its kind of norm, which a scale gives away; instance norms' statistics are dropped."""
    kept = keep_statistics(state)
    return (kept, "batch") if norm in kept else (drop_stale(state), "instance")


def _second(state: Mapping[str, Tensor], block: str) -> int:
    """The place of a block's second convolution: a dropout layer has no weights, but moves it one on."""
    return 5 if f"{block}.5.weight" in state else 6


def _pair(official: str, place: int, ours: str) -> dict[str, str]:
    """A convolution and the norm after it."""
    return {f"{official}.{place}": f"{ours}.0", f"{official}.{place + 1}": f"{ours}.1"}


@register_generator(PATN)
def patn_fashion_256() -> PATNConfig:
    """PATN for DeepFashion, 256 x 176."""
    return PATNConfig()


@register_generator(PATN)
def patn_market_128() -> PATNConfig:
    """PATN for Market-1501, 128 x 64: batch norm."""
    return PATNConfig(resolution=128, norm="batch")


@register_generator(PATN)
def patn_64() -> PATNConfig:
    """A small PATN for the built-in benchmark."""
    return PATNConfig(resolution=64, width=12, blocks=5, deviation=0.0)


@register_discriminator(PATNDiscriminator)
def patn_pose_d_256() -> PATNDiscriminatorConfig:
    """PATN's discriminator of poses (D_S), for DeepFashion."""
    return PATNDiscriminatorConfig()


@register_discriminator(PATNDiscriminator)
def patn_image_d_256() -> PATNDiscriminatorConfig:
    """PATN's discriminator of appearance (D_A), for DeepFashion."""
    return PATNDiscriminatorConfig(condition=APPEARANCE)


@register_discriminator(PATNDiscriminator)
def patn_pose_d_128() -> PATNDiscriminatorConfig:
    """PATN's discriminator of poses (D_S), for Market-1501: batch norm."""
    return PATNDiscriminatorConfig(resolution=128, norm="batch")


@register_discriminator(PATNDiscriminator)
def patn_image_d_128() -> PATNDiscriminatorConfig:
    """PATN's discriminator of appearance (D_A), for Market-1501: batch norm."""
    return PATNDiscriminatorConfig(resolution=128, norm="batch", condition=APPEARANCE)


@register_discriminator(PATNDiscriminatorPair)
def patn_d_256() -> PATNDiscriminatorConfig:
    """Both of PATN's discriminators, for DeepFashion."""
    return PATNDiscriminatorConfig(condition=BOTH)


@register_discriminator(PATNDiscriminatorPair)
def patn_d_128() -> PATNDiscriminatorConfig:
    """Both of PATN's discriminators, for Market-1501: batch norm."""
    return PATNDiscriminatorConfig(resolution=128, norm="batch", condition=BOTH)


@register_discriminator(PATNDiscriminatorPair)
def patn_d_64() -> PATNDiscriminatorConfig:
    """Both of PATN's discriminators, small, for the built-in benchmark."""
    return PATNDiscriminatorConfig(resolution=64, width=16, condition=BOTH)
