"""GFLA's discriminators: residual blocks under spectral normalisation, for pictures and for the motion of clips.

Paper: Ren et al., "Deep Image Spatial Transformation for Person Image Generation", CVPR 2020.
Differences from the paper: none; it leaves the network out, and sizes here are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geotrans.base import Discriminator
from geotrans.layers.convert import build, count, drop_stale, shape_of
from geotrans.layers.preactivation import SLOPE, encoder_widths, initialise
from geotrans.models.gfla import PAPER
from geotrans.types import Condition, ConditionSpec, Critique
from registry import register_discriminator

Sizes = int | tuple[int, int, int]  # of time, height and width


@dataclass(frozen=True)
class GFLADiscriminatorConfig:
    """Attributes:
    width: channels after the first block; they double from block to block.
    max_width: at most so many.
    layers: blocks, each of which halves the size.
    frames: 1 judges pictures; more judge clips of so many frames by the differences of neighbouring frames.
    """

    resolution: int = 256
    width: int = 32
    max_width: int = 128
    layers: int = 4
    frames: int = 1
    condition: ConditionSpec = ConditionSpec()


class GFLADiscriminator(Discriminator):
    """One map of logits, 16 x 16 for 256 px with four layers.

    Clips are (B, frames, 3, H, W); a picture (B, 3, H, W) is a clip in which nothing moves.
    """

    paper = PAPER

    def __init__(self, cfg: GFLADiscriminatorConfig) -> None:
        super().__init__(cfg)
        widths = encoder_widths(cfg.width, cfg.max_width, cfg.layers)
        c_in = 3 * max(cfg.frames - 1, 1)
        self.stages = nn.ModuleList(
            _Stage(before, hidden, after)
            for before, hidden, after in zip([c_in, *widths[:-1]], [cfg.width, *widths[:-1]], widths, strict=True)
        )
        self.score = SpectralConv(widths[-1], 1, 1)
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        hidden = image if self.cfg.frames == 1 else self._differences(image)
        features: list[Tensor] = []
        for stage in self.stages:
            hidden = stage(hidden)
            features.append(hidden)
        return Critique(scores=(self.score(self.activation(hidden)),), features=(tuple(features),))

    def _differences(self, image: Tensor) -> Tensor:
        """Each frame less the one after it, as the official weights read them."""
        clip = _clip(image, self.cfg.frames)
        return (clip[:, :-1] - clip[:, 1:]).flatten(1, 2)


@dataclass(frozen=True)
class GFLATemporalDiscriminatorConfig:
    """Attributes: as in `GFLADiscriminatorConfig`; at least 3 layers, the first two of which read at least 5 frames."""

    resolution: int = 256
    width: int = 32
    max_width: int = 128
    layers: int = 4
    frames: int = 6
    condition: ConditionSpec = ConditionSpec()


class GFLATemporalDiscriminator(Discriminator):
    """Judges clips (B, frames, 3, H, W), or pictures (B, 3, H, W) in which nothing moves, with convolutions over time.

    Two blocks of them leave 4 frames less; what is left counts as channels of the pictures that the others see.
    """

    paper = PAPER

    def __init__(self, cfg: GFLATemporalDiscriminatorConfig) -> None:
        super().__init__(cfg)
        if cfg.frames < 5 or cfg.layers < 3:
            raise ValueError(f"expected 5 frames and 3 layers or more, got {cfg.frames} and {cfg.layers}")
        first, second = cfg.width, 2 * cfg.width
        self.clip_stages = nn.Sequential(_ClipStage(3, first, first), _ClipStage(first, first, second))
        after = encoder_widths(cfg.width, cfg.max_width, cfg.layers)[2:]
        before = [second * (cfg.frames - 4), *after[:-1]]
        self.stages = nn.ModuleList(_Stage(here, here, then) for here, then in zip(before, after, strict=True))
        self.score = SpectralConv(after[-1], 1, 1)
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        hidden = self.clip_stages(_clip(image, self.cfg.frames).transpose(1, 2)).flatten(1, 2)
        features: list[Tensor] = [hidden]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return Critique(scores=(self.score(self.activation(features[-1])),), features=(tuple(features),))


def _clip(image: Tensor, frames: int) -> Tensor:
    """Clips of so many frames; a picture is one in which nothing moves."""
    clip = image[:, None].expand(-1, frames, -1, -1, -1) if image.ndim == 4 else image
    if clip.ndim != 5 or clip.shape[1] != frames:
        raise ValueError(f"image: expected shape (B, {frames}, 3, H, W), got {tuple(image.shape)}")
    return clip


class _Spectral(nn.Module):
    """A convolution's weight, which as a matrix of a row an output channel is divided by its largest singular value.

    The value comes from a step of the power method at each training pass, and from the vectors that the steps have led
    to otherwise. Paper: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.
    """

    weight: Tensor
    left: Tensor
    right: Tensor

    def _begin(self) -> None:
        initialise(self)
        for name, size in zip(("left", "right"), self.weight.flatten(1).shape, strict=True):
            self.register_buffer(name, F.normalize(torch.randn(size), dim=0))
        self._step()

    def _normed(self) -> Tensor:
        if self.training:
            self._step()
        # Copies, so that a second pass may step on before the first one's gradient is taken.
        largest = self.left.clone() @ (self.weight.flatten(1) @ self.right.clone())
        return self.weight / largest

    @torch.no_grad()
    def _step(self) -> None:
        matrix = self.weight.flatten(1)
        self.right.copy_(F.normalize(self.left @ matrix, dim=0))
        self.left.copy_(F.normalize(matrix @ self.right, dim=0))


class SpectralConv(_Spectral, nn.Conv2d):
    """A convolution of pictures under spectral normalisation."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(c_in, c_out, kernel, stride, padding)
        self._begin()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self._normed(), self.bias, self.stride, self.padding)


class SpectralConv3d(_Spectral, nn.Conv3d):
    """A convolution of clips (B, C, T, H, W) under spectral normalisation."""

    def __init__(self, c_in: int, c_out: int, kernel: Sizes, stride: Sizes = 1, padding: Sizes = 0) -> None:
        super().__init__(c_in, c_out, kernel, stride, padding)
        self._begin()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(x, self._normed(), self.bias, self.stride, self.padding)


class _Stage(nn.Module):
    """act-conv3-act-conv4s2 beside pool-conv1, added: half the size. Every convolution is spectrally normalised."""

    def __init__(self, c_in: int, hidden: int, c_out: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            SpectralConv(c_in, hidden, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            SpectralConv(hidden, c_out, 4, 2, 1),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), SpectralConv(c_in, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x) + self.shortcut(x)
        return out


class _ClipStage(nn.Module):
    """`_Stage` over time, (B, C, T, H, W): half the height and width, and two frames less."""

    def __init__(self, c_in: int, hidden: int, c_out: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            SpectralConv3d(c_in, hidden, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            SpectralConv3d(hidden, c_out, (3, 4, 4), (1, 2, 2), (0, 1, 1)),
        )
        self.shortcut = nn.Sequential(nn.AvgPool3d((3, 2, 2), (1, 2, 2)), SpectralConv3d(c_in, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.main(x) + self.shortcut(x)
        return out


def convert_gfla_discriminator(state: Mapping[str, Tensor], *, resolution: int = 256) -> GFLADiscriminator:
    """An official discriminator of pictures (`*_net_D.pth`), or of a face's motion (`*_net_D_V.pth`), by its shapes.

    Args:
        resolution: the height that it was trained at: 256, or 128 for Market-1501.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = drop_stale(state)
    layers = 1 + count(state, r"encoder(\d+)\.")
    official = ["block0", *(f"encoder{i}" for i in range(layers - 1))]
    widths = [shape_of(state, f"{block}.model.3.weight_orig", 4)[0] for block in official]
    c_in = shape_of(state, "block0.model.1.weight_orig", 4)[1]
    if c_in not in (3, 6):
        raise ValueError(
            f"block0.model.1.weight_orig reads {c_in} channels; expected 3, a picture, or 6, the two differences of "
            "three frames: what other numbers stand for, the official code does not tell"
        )
    cfg = GFLADiscriminatorConfig(resolution, widths[0], max(widths), layers, 1 if c_in == 3 else 3)
    ours = [f"stages.{index}" for index in range(layers)]
    return build(GFLADiscriminator, cfg, state, _rules(official, ours))


def convert_gfla_temporal_discriminator(
    state: Mapping[str, Tensor], *, resolution: int = 256
) -> GFLATemporalDiscriminator:
    """An official discriminator of a dancer's motion (`*_net_D_V.pth`). Sizes are read off the shapes.

    Args:
        resolution: the height that it was trained at.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = drop_stale(state)
    encoders = [f"encoder{i}" for i in range(count(state, r"encoder(\d+)\."))]
    width = shape_of(state, "block0.model.3.weight_orig", 5)[0]
    frames = 4 + shape_of(state, "encoder0.model.1.weight_orig", 4)[1] // (2 * width)
    widest = max(shape_of(state, f"{encoder}.model.3.weight_orig", 4)[0] for encoder in encoders)
    cfg = GFLATemporalDiscriminatorConfig(resolution, width, widest, 2 + len(encoders), frames)
    ours = [f"clip_stages.{index}" for index in range(2)] + [f"stages.{index}" for index in range(len(encoders))]
    return build(GFLATemporalDiscriminator, cfg, state, _rules(["block0", "block1", *encoders], ours))


def _rules(official: Sequence[str], ours: Sequence[str]) -> dict[str, str]:
    """Official prefix -> ours, for blocks by their names and the last layer."""
    rules = _normed("conv", "score")
    for theirs, mine in zip(official, ours, strict=True):
        for layer, name in (("model.1", "main.1"), ("model.3", "main.3"), ("shortcut.1", "shortcut.1")):
            rules |= _normed(f"{theirs}.{layer}", f"{mine}.{name}")
    return rules


def _normed(official: str, ours: str) -> dict[str, str]:
    """A spectrally normalised convolution: its weight before the division, and the two vectors that tell its norm."""
    parts = {"bias": "bias", "weight_orig": "weight", "weight_u": "left", "weight_v": "right"}
    return {f"{official}.{theirs}": f"{ours}.{mine}" for theirs, mine in parts.items()}


@register_discriminator(GFLADiscriminator)
def gfla_d_256() -> GFLADiscriminatorConfig:
    """GFLA's discriminator of pictures, 256 px."""
    return GFLADiscriminatorConfig()


@register_discriminator(GFLADiscriminator)
def gfla_market_d_128() -> GFLADiscriminatorConfig:
    """GFLA's discriminator for Market-1501, 128 x 64."""
    return GFLADiscriminatorConfig(resolution=128, layers=3)


@register_discriminator(GFLADiscriminator)
def gfla_video_d_256() -> GFLADiscriminatorConfig:
    """GFLA's discriminator of a face's motion: three frames, 256 px."""
    return GFLADiscriminatorConfig(frames=3)


@register_discriminator(GFLATemporalDiscriminator)
def gfla_dance_d_256() -> GFLATemporalDiscriminatorConfig:
    """GFLA's discriminator of a dancer's motion: six frames, 256 px, convolutions over time."""
    return GFLATemporalDiscriminatorConfig()


@register_discriminator(GFLADiscriminator)
def gfla_d_64() -> GFLADiscriminatorConfig:
    """A small discriminator for the built-in benchmark."""
    return GFLADiscriminatorConfig(resolution=64, width=16, max_width=64, layers=3)


@register_discriminator(GFLADiscriminator)
def gfla_video_d_64() -> GFLADiscriminatorConfig:
    """A small discriminator of motion for the built-in benchmark: three frames."""
    return GFLADiscriminatorConfig(resolution=64, width=16, max_width=64, layers=3, frames=3)
