"""MUNIT: an image is a content map and a style code; another code makes another picture of the same content.

Paper: Huang et al., "Multimodal Unsupervised Image-to-Image Translation", ECCV 2018.
Differences from the paper: none for the generator; the discriminator's initialisation is PyTorch's, not N(0, 0.02).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geotrans.base import Discriminator, Generator
from geotrans.layers.convert import build, count, drop_stale, shape_of
from geotrans.layers.normed import NormedConv, NormedResBlock
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1804.04732"


def style_columns(size: int) -> ConditionSpec:
    """A spec that reads a style code of `size` numbers, drawn from N(0, 1) in training."""
    return ConditionSpec(style=tuple(f"style_{index}" for index in range(size)))


@dataclass(frozen=True)
class MUNITConfig:
    """Attributes:
    width: channels after the first convolution.
    blocks: residual blocks of the content encoder, and of the decoder.
    mlp_width: hidden units of the network that turns a style code into the decoder's norms.
    downsamples: strided convolutions of the content encoder; each doubles the channels.
    style_downsamples: strided convolutions of the style encoder; the first two double the channels.
    condition: its style columns are the style code.
    """

    resolution: int = 256
    width: int = 64
    blocks: int = 4
    mlp_width: int = 256
    downsamples: int = 2
    style_downsamples: int = 4
    condition: ConditionSpec = style_columns(8)


class MUNIT(Generator):
    """The auto-encoder of one domain: content from the image, style from `Condition.style`.

    It paints the image anew: mask 1, residual = painted - source. `intermediates` holds "content" and "style", the
    codes of the input image itself; the losses that reconstruct codes compare them. To translate between domains, one
    domain's `content` goes into the other's `decode`; a model with the encoders of one domain and the decoder of the
    other is such a translator. H and W divide by 2**downsamples.
    """

    paper = PAPER

    def __init__(self, cfg: MUNITConfig) -> None:
        super().__init__(cfg)
        channels = cfg.width * 2**cfg.downsamples
        self.content_encoder = _content_encoder(cfg)
        self.style_encoder = _style_encoder(cfg)
        self.mlp = nn.Sequential(
            nn.Linear(cfg.condition.size, cfg.mlp_width),
            nn.ReLU(),
            nn.Linear(cfg.mlp_width, cfg.mlp_width),
            nn.ReLU(),
            nn.Linear(cfg.mlp_width, cfg.blocks * AdaptiveBlock.norms * channels),
        )
        self.blocks = nn.ModuleList(AdaptiveBlock(channels) for _ in range(cfg.blocks))
        self.upsample = nn.Sequential(
            *[_Upsample(channels // 2**level) for level in range(cfg.downsamples)],
            _reflect(cfg.width, 3, 7),
        )
        self.apply(_initialise)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        content, style = self.content(image), self.style(image)
        painted = self.decode(content, self.cfg.condition.vector(target, len(image)).to(image))
        return Translation(
            painted,
            warped=image,
            residual=painted - image,
            mask=torch.ones_like(image[:, :1]),
            intermediates={"content": content, "style": style},
        )

    def content(self, image: Tensor) -> Tensor:
        """The content code of an image: (B, width * 2**downsamples, H / 2**downsamples, W / 2**downsamples)."""
        code: Tensor = self.content_encoder(image)
        return code

    def style(self, image: Tensor) -> Tensor:
        """The style code of an image: (B, Z)."""
        code: Tensor = self.style_encoder(image).flatten(1)
        return code

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """A picture (B, 3, H, W) in [-1, 1] from a content code and a style code (B, Z)."""
        parameters = self.adain_parameters(style).chunk(len(self.blocks), dim=1)
        for block, own in zip(self.blocks, parameters, strict=True):
            content = block(content, own)
        painted: Tensor = self.upsample(content).tanh()
        return painted

    def adain_parameters(self, style: Tensor) -> Tensor:
        """Scale and shift of the decoder's adaptive norms, (B, blocks * 4 * C).

        For each norm in turn C shifts, then C scales.
        """
        parameters: Tensor = self.mlp(style)
        return parameters


def adain(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Adaptive instance normalisation (Huang and Belongie, ICCV 2017): instance norm, then a scale and shift.

    Args:
        x: (B, C, H, W).
        scale: (B, C), the standard deviation that each channel shall have.
        shift: (B, C), its mean.
    """
    return F.group_norm(x, x.shape[1]) * scale[:, :, None, None] + shift[:, :, None, None]


class AdaptiveBlock(nn.Module):
    """x + adain(conv(relu(adain(conv(x))))), 3x3 with reflected edges. Its norms take 4 * C numbers a sample."""

    norms = 4  # two norms, a shift and a scale each

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _reflect(channels, channels, 3)
        self.second = _reflect(channels, channels, 3)

    def forward(self, x: Tensor, parameters: Tensor) -> Tensor:
        shift1, scale1, shift2, scale2 = parameters.chunk(self.norms, dim=1)
        hidden = adain(self.first(x), scale1, shift1).relu()
        return x + adain(self.second(hidden), scale2, shift2)


class SampleNorm(nn.Module):
    """Layer normalisation over all channels and pixels of a sample, then a scale and shift for each channel.

    As in the official code the deviation is the unbiased one, and epsilon is added to it and not to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.rand(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True)
        return (x - mean) / (deviation + self.eps) * self.weight[:, None, None] + self.bias[:, None, None]


class _Upsample(nn.Sequential):
    """(B, C, H, W) -> (B, C / 2, 2 H, 2 W): nearest pixels, 5x5 convolution, norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2), _reflect(channels, channels // 2, 5), SampleNorm(channels // 2), nn.ReLU(True)
        )


def _content_encoder(cfg: MUNITConfig) -> nn.Sequential:
    widths = [cfg.width * 2**level for level in range(cfg.downsamples + 1)]
    return nn.Sequential(
        NormedConv(3, cfg.width, 7, padding="reflect"),
        *[NormedConv(widths[i], widths[i + 1], 4, 2, padding="reflect") for i in range(cfg.downsamples)],
        *[NormedResBlock(widths[-1], padding="reflect") for _ in range(cfg.blocks)],
    )


def _style_encoder(cfg: MUNITConfig) -> nn.Sequential:
    """No norms: they would take away the means and deviations in which style lies."""
    widths = [cfg.width * 2 ** min(level, 2) for level in range(cfg.style_downsamples + 1)]
    convs = [
        _reflect(3, cfg.width, 7),
        *[_reflect(widths[i], widths[i + 1], 4, 2) for i in range(cfg.style_downsamples)],
    ]
    return nn.Sequential(
        *[nn.Sequential(conv, nn.ReLU(True)) for conv in convs],
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(widths[-1], cfg.condition.size, 1),
    )


def _reflect(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, padding_mode="reflect")


def _initialise(module: nn.Module) -> None:
    """He initialisation, as in the official code: the adaptive norms start with scales of about one, not of zero."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class MUNITDiscriminatorConfig:
    """Attributes:
    layers: strided 4x4 convolutions of each scale; each doubles the channels.
    scales: critics, each of which sees the image at half the size of the one before.
    """

    resolution: int = 256
    width: int = 64
    layers: int = 4
    scales: int = 3
    condition: ConditionSpec = ConditionSpec()


class MUNITDiscriminator(Discriminator):
    """Multi-scale PatchGAN without norms; the first scale is the full resolution."""

    paper = PAPER

    def __init__(self, cfg: MUNITDiscriminatorConfig) -> None:
        super().__init__(cfg)
        self.critics = nn.ModuleList(_ScaleCritic(cfg.width, cfg.layers) for _ in range(cfg.scales))
        self.shrink = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        self._check(image)
        scores: list[Tensor] = []
        features: list[tuple[Tensor, ...]] = []
        for critic in self.critics:
            score, seen = critic(image)
            scores.append(score)
            features.append(seen)
            image = self.shrink(image)
        return Critique(scores=tuple(scores), features=tuple(features))

    def _check(self, image: Tensor) -> None:
        # Reflection needs two pixels before the last convolution of the smallest scale, and shrinking rounds up.
        least = (2**self.cfg.layers - 1) * 2 ** (self.cfg.scales - 1) + 1
        if min(image.shape[2:]) < least:
            raise ValueError(
                f"image: expected at least {least} pixels a side for {self.cfg.scales} scales of {self.cfg.layers} "
                f"layers, got {tuple(image.shape)}; use fewer scales or layers"
            )


class _ScaleCritic(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        widths = [3, *(width * 2**layer for layer in range(layers))]
        self.stages = nn.ModuleList(
            nn.Sequential(_reflect(widths[i], widths[i + 1], 4, 2), nn.LeakyReLU(0.2)) for i in range(layers)
        )
        self.score = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        features: list[Tensor] = []
        hidden = image
        for stage in self.stages:
            hidden = stage(hidden)
            features.append(hidden)
        return self.score(hidden), tuple(features)


def convert_munit(state: Mapping[str, Tensor], *, source: str = "", target: str = "") -> MUNIT:
    """Official generators (`gen_*.pt`, an auto-encoder for each of the domains a and b). Sizes are read off the shapes.

    Args:
        state: of a whole file, with keys such as a.enc_content..., or of one of its domains.
        source: for a whole file, the domain of the input, "a" or "b": its encoders are taken.
        target: the domain of the output, whose decoder is taken; by default the input's.

    Raises:
        ValueError: keys or shapes are not those of the official code, or no such domain is in the file.
    """
    state = drop_stale(state)
    if source or target or _domains(state):
        encoders, decoder = _domain(state, "source", source), _domain(state, "target", target or source)
        state = {key: value for key, value in encoders.items() if key.startswith("enc_")}
        state |= {key: value for key, value in decoder.items() if not key.startswith("enc_")}
    width = shape_of(state, "enc_content.model.0.conv.weight", 4)[0]
    mlp_width, style = shape_of(state, "mlp.model.0.fc.weight", 2)
    cfg = MUNITConfig(
        width=width,
        blocks=count(state, r"dec\.model\.0\.model\.(\d+)\."),
        mlp_width=mlp_width,
        downsamples=count(state, r"enc_content\.model\.(\d+)\.conv\.weight") - 1,
        style_downsamples=count(state, r"enc_style\.model\.(\d+)\.conv\.weight") - 1,
        condition=style_columns(style),
    )
    return build(MUNIT, cfg, state, _encoder_rules(cfg) | _decoder_rules(cfg))


def _domains(state: Mapping[str, Tensor]) -> list[str]:
    """The domains whose networks stand side by side in a state dict; none if it is that of one network."""
    first = {key.partition(".")[0] for key in state if re.match(r"\w+\.(enc_content|cnns)\.", key)}
    return sorted(first)


def _domain(state: Mapping[str, Tensor], option: str, name: str) -> dict[str, Tensor]:
    """The network of one domain."""
    known = _domains(state)
    if name not in known:
        if not known:
            raise ValueError(f"{option}: the checkpoint is of one domain, which has no name; got {name!r}")
        raise ValueError(f"{option}: expected one of {', '.join(known)}, the domains in the checkpoint; got {name!r}")
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def _encoder_rules(cfg: MUNITConfig) -> dict[str, str]:
    down = cfg.downsamples
    rules = {f"enc_content.model.{i}.conv": f"content_encoder.{i}.0" for i in range(down + 1)}
    for block in range(cfg.blocks):
        official, ours = f"enc_content.model.{down + 1}.model.{block}.model", f"content_encoder.{down + 1 + block}"
        rules |= {f"{official}.0.conv": f"{ours}.first.0", f"{official}.1.conv": f"{ours}.second.0"}
    rules |= {f"enc_style.model.{i}.conv": f"style_encoder.{i}.0" for i in range(cfg.style_downsamples + 1)}
    last = cfg.style_downsamples + 2
    return {**rules, f"enc_style.model.{last}": f"style_encoder.{last}"}


def _decoder_rules(cfg: MUNITConfig) -> dict[str, str]:
    rules = {f"mlp.model.{layer}.fc": f"mlp.{2 * layer}" for layer in range(3)}
    for block in range(cfg.blocks):
        official = f"dec.model.0.model.{block}.model"
        rules |= {f"{official}.0.conv": f"blocks.{block}.first", f"{official}.1.conv": f"blocks.{block}.second"}
    for level in range(cfg.downsamples):
        official, ours = f"dec.model.{2 + 2 * level}", f"upsample.{level}"
        rules |= {
            f"{official}.conv": f"{ours}.1",
            f"{official}.norm.gamma": f"{ours}.2.weight",
            f"{official}.norm.beta": f"{ours}.2.bias",
        }
    rules[f"dec.model.{2 * cfg.downsamples + 1}.conv"] = f"upsample.{cfg.downsamples}"
    return rules


def convert_munit_discriminator(state: Mapping[str, Tensor], *, domain: str = "") -> MUNITDiscriminator:
    """An official discriminator of one domain (`dis_*.pt` holds two).

    Args:
        state: of a whole file, with keys such as a.cnns..., or of one of its domains.
        domain: for a whole file, "a" or "b".

    Raises:
        ValueError: keys or shapes are not those of the official code, or no such domain is in the file.
    """
    state = drop_stale(state)
    if domain or _domains(state):
        state = _domain(state, "domain", domain)
    width = shape_of(state, "cnns.0.0.conv.weight", 4)[0]
    layers, scales = count(state, r"cnns\.0\.(\d+)\.conv\.weight"), count(state, r"cnns\.(\d+)\.")
    rules: dict[str, str] = {}
    for scale in range(scales):
        rules |= {f"cnns.{scale}.{i}.conv": f"critics.{scale}.stages.{i}.0" for i in range(layers)}
        rules[f"cnns.{scale}.{layers}"] = f"critics.{scale}.score"
    cfg = MUNITDiscriminatorConfig(width=width, layers=layers, scales=scales)
    return build(MUNITDiscriminator, cfg, state, rules)


@register_generator(MUNIT)
def munit_base_256() -> MUNITConfig:
    """MUNIT's auto-encoder of one domain, 256 px, style codes of eight numbers."""
    return MUNITConfig()


@register_generator(MUNIT)
def munit_base_64() -> MUNITConfig:
    """A small MUNIT for the built-in benchmark."""
    return MUNITConfig(resolution=64, width=16, mlp_width=64)


@register_discriminator(MUNITDiscriminator)
def munit_d_256() -> MUNITDiscriminatorConfig:
    """MUNIT's discriminator: three scales."""
    return MUNITDiscriminatorConfig()


@register_discriminator(MUNITDiscriminator)
def munit_d_64() -> MUNITDiscriminatorConfig:
    """A small discriminator for the built-in benchmark."""
    return MUNITDiscriminatorConfig(resolution=64, width=16, scales=2)
