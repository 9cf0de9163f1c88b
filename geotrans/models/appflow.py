"""Appearance Flow: an object from another side is its picture, every pixel fetched from where a flow says.

Paper: Zhou et al., "View Synthesis by Appearance Flow", ECCV 2016.
Differences from the paper: the picture goes in in [-1, 1] minus its mean colour, not in [0, 255]; initialisation is
He's. One source picture; the paper's confidences for several are not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.models.gfla_view import VIEWS
from geotrans.ops.condition import view_of_source
from geotrans.ops.flow import from_pixels
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_generator

PAPER = "https://arxiv.org/abs/1605.03557"
MEAN = (123.0, 117.0, 104.0)  # RGB, of the pictures, in [0, 255]
SEED = 8  # side of the maps that the decoders start from

# By how many degrees of azimuth the wanted view is turned from the source's.
TURNS = ConditionSpec(view=tuple(f"turn_{turn:+04d}" for turn in range(-180, 181, 20)))


@dataclass(frozen=True)
class AppFlowConfig:
    """Attributes:
    resolution: fixed: fully connected layers read all of the picture.
    width: channels after the first convolution, and of the decoders' last; they double from layer to layer.
    layers: strided convolutions of the encoder.
    growths: strided transposed convolutions of the decoders, from 8 x 8 on.
    units: of the fully connected layers.
    mask_units: of those of the mask's decoder.
    view_units: of the fully connected layers that read the turn.
    constant: the turn is followed by a constant 1, as in the authors' network for cars.
    condition: how far the view is turned; or with `needs_source` views, of which the difference is read.
    """

    resolution: int = 224
    width: int = 16
    layers: int = 6
    growths: int = 5
    units: int = 4096
    mask_units: int = 1024
    view_units: tuple[int, int] = (128, 256)
    constant: bool = True
    condition: ConditionSpec = TURNS


class AppFlow(Generator):
    """The source along a flow, and nothing painted; black outside the source.

    `Condition.view` says how far the wanted view is turned from the source's, one-hot; or which view is wanted, where
    the source's condition says which it shows. `intermediates` holds "foreground" (B, 1, H, W) in [0, 1], the pixels of
    the object in the wanted view.
    """

    paper = PAPER
    mean: Tensor

    def __init__(self, cfg: AppFlowConfig) -> None:
        super().__init__(cfg)
        widths = [cfg.width * 2**layer for layer in range(cfg.layers)]
        convs = zip([3, *widths], widths, strict=False)
        self.encoder = nn.Sequential(
            *[nn.Sequential(nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()) for before, after in convs],
            nn.Flatten(),
            *_dense(widths[-1] * (-(-cfg.resolution // 2**cfg.layers)) ** 2, cfg.units, cfg.units),
        )
        self.turn = nn.Sequential(*_dense(cfg.condition.size + cfg.constant, *cfg.view_units))
        joined = cfg.units + cfg.view_units[1]
        self.flow, self.foreground = (_decoder(cfg, joined, units) for units in (cfg.units, cfg.mask_units))
        self.apply(_initialise)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) / 127.5 - 1, persistent=False)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        side = self.cfg.resolution
        if image.shape[2:] != (side, side):
            raise ValueError(f"image: expected {side} x {side} pixels, got {tuple(image.shape[2:])}; resize it")
        spec = self.cfg.condition
        turn = spec.vector(target, len(image)).to(image)
        if spec.needs_source:
            turn = turn - view_of_source(spec, source, image)
        if self.cfg.constant:
            turn = torch.cat([turn, torch.ones_like(turn[:, :1])], dim=1)
        code = torch.cat([self.encoder(image - self.mean), self.turn(turn)], dim=1)
        pixels, classes = (
            F.interpolate(decoder(code), (side, side), mode="bilinear", align_corners=True)
            for decoder in (self.flow, self.foreground)
        )
        flow = from_pixels(pixels)
        warped = warp(image + 1, flow) - 1
        return Translation(warped, flow, warped, intermediates={"foreground": classes.softmax(1)[:, 1:]})


def _initialise(module: nn.Module) -> None:
    """He initialisation: there are no norms, and without it nothing of the turn would reach the flow."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        nn.init.kaiming_normal_(module.weight)
    elif isinstance(module, nn.ConvTranspose2d) and module.stride[0] > 1:  # the heads start with small flows
        reached = module.in_channels * (module.kernel_size[0] / module.stride[0]) ** 2
        nn.init.normal_(module.weight, std=(2 / reached) ** 0.5)


def _dense(*sizes: int) -> list[nn.Module]:
    """Fully connected layers, each with its ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers


def _decoder(cfg: AppFlowConfig, joined: int, units: int) -> nn.Sequential:
    """Two fully connected layers, then transposed convolutions from 8 x 8 to two channels."""
    if units % SEED**2:
        raise ValueError(f"units: expected a multiple of {SEED**2}, got {units}")
    widths = [units // SEED**2, *(cfg.width * 2**level for level in reversed(range(cfg.growths)))]
    growths = pairwise(widths)
    return nn.Sequential(
        *_dense(joined, units, units),
        nn.Unflatten(1, (widths[0], SEED, SEED)),
        *[nn.Sequential(nn.ConvTranspose2d(before, after, 3, 2, 1), nn.ReLU()) for before, after in growths],
        nn.ConvTranspose2d(widths[-1], 2, 3, 1, 1),
    )


@register_generator(AppFlow)
def appflow_car_224() -> AppFlowConfig:
    """Appearance Flow for ShapeNet's cars, 224 px."""
    return AppFlowConfig()


@register_generator(AppFlow)
def appflow_chair_224() -> AppFlowConfig:
    """Appearance Flow for ShapeNet's chairs, 224 px: without the constant beside the turn."""
    return AppFlowConfig(constant=False)


@register_generator(AppFlow)
def appflow_64() -> AppFlowConfig:
    """A small Appearance Flow for the built-in benchmark; like GFLA it reads two views and not a turn."""
    return AppFlowConfig(
        resolution=64,
        width=12,
        layers=4,
        growths=3,
        units=320,
        mask_units=128,
        view_units=(32, 64),
        condition=VIEWS,
    )
