"""PatchGAN: a discriminator that judges overlapping patches.

Paper: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
Differences from the paper: instance norm, as in CycleGAN, is the default, and initialisation is PyTorch's,
not N(0, 0.02).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from geotrans.base import Beside, Discriminator
from geotrans.layers.convert import build, count, drop_stale, keep_statistics, shape_of
from geotrans.layers.normed import make_norm, needs_bias
from geotrans.ops.condition import spatial, structure_map
from geotrans.types import Condition, ConditionSpec, Critique
from registry import register_discriminator

INPUT_PICTURE = ConditionSpec(structure=3)


@dataclass(frozen=True)
class PatchGANConfig:
    """Attributes:
    layers: strided 4x4 convolutions; 3 give a receptive field of 70 pixels, 0 judges single pixels.
    norm: "instance" (no scale or shift) or "batch".
    condition: what the net sees beside the image, D(x, c) of a conditional GAN: the map `structure` (pix2pix's is its
        input picture, 3 channels), and the other columns as constant planes.
    """

    resolution: int = 256
    width: int = 64
    layers: int = 3
    norm: str = "instance"
    condition: ConditionSpec = ConditionSpec()


class PatchGAN(Discriminator):
    """One map of logits, 30 x 30 for 256 px with three layers. Any size. The condition comes before the image."""

    paper = "https://arxiv.org/abs/1611.07004"
    conditional = True

    @property
    def beside(self) -> tuple[Beside, ...]:
        """Maps beyond a picture's three channels are the wanted structure, as in Intrinsic Flow."""
        return ("picture",) if self.cfg.condition.structure <= 3 else ("picture", "wanted")

    def __init__(self, cfg: PatchGANConfig) -> None:
        super().__init__(cfg)
        bias, c_in = needs_bias(cfg.norm), cfg.condition.structure + cfg.condition.size + 3
        if cfg.layers == 0:
            self.stages = nn.ModuleList([_pixel(cfg, c_in)])
            self.score = nn.Conv2d(2 * cfg.width, 1, 1, bias=bias)
            return
        stages: list[nn.Module] = [nn.Sequential(nn.Conv2d(c_in, cfg.width, 4, 2, 1), nn.LeakyReLU(0.2))]
        channels = cfg.width
        for index in range(1, cfg.layers + 1):
            wider = cfg.width * min(2**index, 8)
            conv = nn.Conv2d(channels, wider, 4, 2 if index < cfg.layers else 1, 1, bias=bias)
            stages.append(nn.Sequential(conv, make_norm(cfg.norm, wider), nn.LeakyReLU(0.2)))
            channels = wider
        self.stages = nn.ModuleList(stages)
        self.score = nn.Conv2d(channels, 1, 4, padding=1)

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        features: list[Tensor] = []
        hidden, spec = image, self.cfg.condition
        if spec.size:
            hidden = torch.cat([spatial(spec.vector(condition or Condition(), len(image)), image), hidden], dim=1)
        if spec.structure:
            hidden = torch.cat([structure_map(spec, condition, image), hidden], dim=1)
        for stage in self.stages:
            hidden = stage(hidden)
            features.append(hidden)
        return Critique(scores=(self.score(hidden),), features=(tuple(features),))


def _pixel(cfg: PatchGANConfig, c_in: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(c_in, cfg.width, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(cfg.width, 2 * cfg.width, 1, bias=needs_bias(cfg.norm)),
        make_norm(cfg.norm, 2 * cfg.width),
        nn.LeakyReLU(0.2),
    )


def receptive_field(layers: int) -> int:
    """Side of the patch that one logit of a PatchGAN with `layers` strided convolutions sees, in pixels."""
    if layers == 0:
        return 1
    side = 1
    for stride in (1, 1, *[2] * layers):
        side = (side - 1) * stride + 4
    return side


def convert_patchgan(state: Mapping[str, Tensor]) -> PatchGAN:
    """An official discriminator of CycleGAN or pix2pix (`*_net_D*.pth`), the 1x1 "pixel" one too.

    Width, depth and norm are read off keys and shapes. The last three input channels are the image's; those before
    them, pix2pix's input picture, become the condition's `structure`.

    Raises:
        ValueError: keys or shapes are not those of the official code, or there are fewer than three input channels.
    """
    state = keep_statistics(state)
    pixel = "net.0.weight" in state
    norm = "batch" if ("net.3.weight" if pixel else "model.3.weight") in state else "instance"
    if norm == "instance":
        state = drop_stale(state)
    width, c_in = shape_of(state, "net.0.weight" if pixel else "model.0.weight", 4)[:2]
    if c_in < 3:
        raise ValueError(f"expected at least the three channels of an RGB image, got a network that reads {c_in}")
    layers = 0 if pixel else _convolutions(state) - 2
    cfg = PatchGANConfig(width=width, layers=layers, norm=norm, condition=ConditionSpec(structure=c_in - 3))
    return build(PatchGAN, cfg, state, _PIXEL_RULES if pixel else _rules(layers))


# The single stage is a sequence of convolution, activation, convolution, norm, activation.
_PIXEL_RULES = {**{f"net.{index}": f"stages.0.{index}" for index in (0, 2, 3)}, "net.5": "score"}


def _convolutions(state: Mapping[str, Tensor]) -> int:
    return count({key: value for key, value in state.items() if value.ndim == 4}, r"model\.(\d+)\.weight")


def _rules(layers: int) -> dict[str, str]:
    rules = {"model.0": "stages.0.0", f"model.{3 * layers + 2}": "score"}
    for stage in range(1, layers + 1):
        rules |= {f"model.{3 * stage - 1}": f"stages.{stage}.0", f"model.{3 * stage}": f"stages.{stage}.1"}
    return rules


@register_discriminator(PatchGAN)
def patchgan_70() -> PatchGANConfig:
    """The 70 x 70 PatchGAN."""
    return PatchGANConfig()


@register_discriminator(PatchGAN)
def patchgan_64() -> PatchGANConfig:
    """A small PatchGAN for the built-in benchmark: patches of 34 pixels."""
    return PatchGANConfig(resolution=64, width=16, layers=2)


@register_discriminator(PatchGAN)
def pixelgan_256() -> PatchGANConfig:
    """Judges each pixel on its own."""
    return PatchGANConfig(layers=0)


@register_discriminator(PatchGAN)
def pix2pix_d_256() -> PatchGANConfig:
    """pix2pix's discriminator: the 70 x 70 PatchGAN with batch norm, which sees the input picture too."""
    return PatchGANConfig(norm="batch", condition=INPUT_PICTURE)


@register_discriminator(PatchGAN)
def pix2pix_d_64() -> PatchGANConfig:
    """A small pix2pix discriminator for the built-in benchmark: patches of 34 pixels."""
    return replace(patchgan_64(), norm="batch", condition=INPUT_PICTURE)
