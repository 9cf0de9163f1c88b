"""DefGAN: a deformation grid moves the face, then a second net paints what no motion can show.

Paper: DefGAN, facial expression editing in a motion-editing and a texture-editing step (no code
is public). Differences from the paper: none that it decides. It leaves open the action units (here the 17 of OpenFace),
the image size (128 px), what its "maximum offset of 5 pixels" limits (`DefGANConfig.grid`), and how upsampling alone
would turn 256 channels into the 2 of a grid (`DefGANConfig.upsampling`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.layers.blocks import ConvBlock, Encoder
from geotrans.models.ganimation import AU17, GANimation, GANimationConfig, GANimationDiscriminator
from geotrans.models.stargan import StarDiscriminatorConfig
from geotrans.ops.condition import spatial
from geotrans.ops.grids import grid_to_flow, integral_grid
from geotrans.ops.transforms import grid_displacement, grid_integral
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_discriminator, register_generator

AU17_PAIR = replace(AU17, needs_source=True)


@dataclass(frozen=True)
class DefGANConfig:
    """Attributes:
    width: channels after the first convolution of either net; 4 times as many in the residual blocks.
    blocks: residual blocks of either net.
    grid: what the deformation net's output means. "integral": the steps from one sampling position to the next, which
        never fold. "displacement": where each pixel comes from; it may fold. "dae": the steps as Deforming Autoencoders
        sum them, shift included, which cannot express the identity exactly.
    max_offset: the paper's 5 pixels at `resolution`. The largest displacement; or, with steps, 5 / N as in the cited
        work, in units where the image is 2 wide: up to 2.48 pixels from one position to the next at 128 px.
    upsampling: how the deformation net returns to full size. "convolution": twice bilinearly by 2, each followed by a
        convolution. "bilinear": a convolution to 2 channels, then bilinearly by 4, which gives smoother grids.
    """

    resolution: int = 128
    width: int = 64
    blocks: int = 6
    grid: str = "integral"
    max_offset: float = 5.0
    upsampling: str = "convolution"
    condition: ConditionSpec = AU17_PAIR


class DefGAN(Generator):
    """Eq. 1 to 6: `deform`, then paint as GANimation does. H and W divide by 4.

    The deformation net starts at the identity (except with grid "dae"): its last convolution is 0.
    """

    def __init__(self, cfg: DefGANConfig) -> None:
        super().__init__(cfg)
        if cfg.grid not in ("integral", "displacement", "dae"):
            raise ValueError(f"grid: expected 'integral', 'displacement' or 'dae', got {cfg.grid!r}")
        columns = cfg.condition.size
        self.deformation = nn.Sequential(
            Encoder(3 + 2 * columns, cfg.width, cfg.blocks), _upsampling(cfg.upsampling, cfg.width)
        )
        self.texture = GANimation(
            GANimationConfig(
                cfg.resolution, cfg.width, cfg.blocks, condition=replace(cfg.condition, needs_source=False)
            )
        )

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        flow, warped = self.deform(image, target, source)
        painted: Translation = self.texture(warped, target)
        return replace(painted, flow=flow)

    def deform(self, image: Tensor, target: Condition, source: Condition | None) -> tuple[Tensor, Tensor]:
        """The motion-editing step (Eq. 4 and 5): the flow (B, 2, H, W) and the deformed image.

        Raises:
            ValueError: there is no source condition, or a condition does not fit.
        """
        if source is None:
            raise ValueError("DefGAN reads the source's action units too; pass source=")
        vectors = [self.cfg.condition.vector(condition, len(image)) for condition in (source, target)]
        planes = [spatial(vector, image) for vector in vectors]
        flow = self.flow(self.deformation(torch.cat([image, *planes], dim=1)))
        return flow, warp(image, flow)

    def flow(self, params: Tensor) -> Tensor:
        """The flow that the deformation net's output (B, 2, H, W) stands for."""
        cfg = self.cfg
        height, width = params.shape[2:]
        if cfg.grid == "displacement":
            return grid_displacement(params, height, width, limit=cfg.max_offset / cfg.resolution)
        if cfg.grid == "dae":
            return grid_to_flow(integral_grid(cfg.max_offset / cfg.resolution * params.sigmoid()))
        max_step = cfg.max_offset / 2 * (cfg.resolution - 1) / cfg.resolution
        return grid_integral(params, height, width, max_step=max_step)


def _upsampling(kind: str, width: int) -> nn.Sequential:
    """(B, 4 * width, H / 4, W / 4) -> (B, 2, H, W), 0 at the start."""
    if kind == "bilinear":
        layers: list[nn.Module] = [nn.Conv2d(4 * width, 2, 3, padding=1), _enlarge(4)]
        head = layers[0]
    elif kind == "convolution":
        head = nn.Conv2d(width, 2, 7, padding=3, bias=False)
        layers = [_enlarge(2), ConvBlock(4 * width, 2 * width, 3), _enlarge(2), ConvBlock(2 * width, width, 3), head]
    else:
        raise ValueError(f"upsampling: expected 'convolution' or 'bilinear', got {kind!r}")
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(*layers)


def _enlarge(factor: int) -> nn.Module:
    return nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False)


@register_generator(DefGAN)
def defgan_base_128() -> DefGANConfig:
    """DefGAN with a grid that is integrated from steps: 17 action units, 128 px."""
    return DefGANConfig()


@register_generator(DefGAN)
def defgan_displace_128() -> DefGANConfig:
    """DefGAN that moves every pixel on its own by up to 5 pixels: 17 action units, 128 px."""
    return DefGANConfig(grid="displacement")


@register_generator(DefGAN)
def defgan_displace_64() -> DefGANConfig:
    """A small DefGAN for the built-in benchmark that moves every pixel on its own, smoothly."""
    return DefGANConfig(resolution=64, width=16, blocks=4, grid="displacement", upsampling="bilinear")


@register_generator(DefGAN)
def defgan_base_64() -> DefGANConfig:
    """A small DefGAN for the built-in benchmark."""
    return DefGANConfig(resolution=64, width=16, blocks=4)


@register_discriminator(GANimationDiscriminator)
def defgan_d_128() -> StarDiscriminatorConfig:
    """DefGAN's discriminator, GANimation's: 17 action units, 128 px."""
    return StarDiscriminatorConfig(condition=AU17)


@register_discriminator(GANimationDiscriminator)
def defgan_d_64() -> StarDiscriminatorConfig:
    """A small discriminator for the built-in benchmark."""
    return StarDiscriminatorConfig(resolution=64, width=16, layers=5, condition=AU17)
