"""PortraitGAN: landmarks say how the face shall look, a modality says as what kind of picture it is painted.

Paper: Duan et al., "PortraitGAN for Simultaneous Emotion and Modality Manipulation", arXiv 1807.01826 (no code is
public). Differences from the paper: none that it decides. Its numbers of layers are those of
pix2pixHD's global generator, whose widths, norms and padding are taken here except in the first layer, where reflection
padding and an instance norm would cancel the constant planes of the modality: it pads with zeros and has no norm.
Discriminators see images alone, as in its Eq. 2 and 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from geotrans.base import Discriminator, Generator
from geotrans.layers.normed import NormedConv, NormedResBlock, NormedUp
from geotrans.models.patchgan import PatchGAN, PatchGANConfig
from geotrans.ops.condition import spatial
from geotrans.ops.images import resize
from geotrans.ops.landmarks import draw_landmarks
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from registry import register_discriminator, register_generator

PAPER = "https://arxiv.org/abs/1807.01826"
PHOTO_AND_STYLE = ConditionSpec(modality=("photo", "stylised"), landmarks=True)
SYNTHFACE_MODALITY4 = ConditionSpec(modality=("photo", "sketch", "ink", "cartoon"), landmarks=True)
_FULL = "image_full"


@dataclass(frozen=True)
class PortraitGANConfig:
    """Attributes:
    width: channels after the first convolution; they double with each of the strided ones, up to `max_width`.
    strides: strided convolutions, and as many transposed ones.
    blocks: residual blocks at the lowest resolution.
    levels: how many sizes of the picture there are: 2 are the result and one of half its size, from an auxiliary
        branch.
    full_branch: one more branch paints the picture at full size, beside the result.
    line_width: of the drawn landmarks, in pixels.
    """

    resolution: int = 512
    width: int = 64
    max_width: int = 1024
    strides: int = 4
    blocks: int = 9
    levels: int = 2
    full_branch: bool = False
    line_width: float = 2.0
    condition: ConditionSpec = PHOTO_AND_STYLE


class PortraitGAN(Generator):
    """Paints the image anew: mask 1, residual = painted - source. H and W divide by 2**strides.

    Intermediates: `image_k`, for 1 <= k < levels, the auxiliary branches' pictures at 1 / 2**k of the size, and
    `image_full`, that of the branch at full size.
    """

    paper = PAPER

    def __init__(self, cfg: PortraitGANConfig) -> None:
        super().__init__(cfg)
        if not 1 <= cfg.levels <= cfg.strides:
            raise ValueError(
                f"levels: expected 1 to {cfg.strides}, one for each transposed convolution, got {cfg.levels}"
            )
        if not cfg.condition.landmarks:
            raise ValueError("PortraitGAN reads landmarks; set landmarks=True in its ConditionSpec")
        widths = [min(cfg.width * 2**k, cfg.max_width) for k in range(cfg.strides + 1)]
        self.stem = nn.Sequential(nn.Conv2d(3 + 1 + cfg.condition.size, cfg.width, 7, padding=3), nn.ReLU(inplace=True))
        self.encoder = nn.Sequential(
            *[NormedConv(fine, coarse, 3, 2) for fine, coarse in pairwise(widths)],
            *[NormedResBlock(widths[-1], padding="reflect") for _ in range(cfg.blocks)],
        )
        self.decoder = nn.ModuleList([NormedUp(coarse, fine, 3) for coarse, fine in pairwise(reversed(widths))])
        self.head = nn.Conv2d(cfg.width, 3, 7, padding=3, padding_mode="reflect")
        self.branches = {k: f"image_{k}" for k in range(1, cfg.levels)} | ({0: _FULL} if cfg.full_branch else {})
        self.auxiliary = nn.ModuleList([nn.Conv2d(widths[k], 3, 1) for k in self.branches])

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        hidden = self.encoder(self.stem(torch.cat([image, *self._planes(image, target)], dim=1)))
        heads = dict(zip(self.branches, self.auxiliary, strict=True))
        pictures: dict[str, Tensor] = {}
        for k, up in zip(reversed(range(len(self.decoder))), self.decoder, strict=True):
            hidden = up(hidden)
            if k in heads:
                pictures[self.branches[k]] = heads[k](hidden).tanh()
        painted = self.head(hidden).tanh()
        mask = torch.ones_like(image[:, :1])
        return Translation(painted, None, image, painted - image, mask, pictures)

    def _planes(self, image: Tensor, target: Condition) -> list[Tensor]:
        """The drawn landmarks, and the modality at every pixel."""
        height, width = image.shape[2:]
        multiple = 2**self.cfg.strides
        if height % multiple or width % multiple:
            raise ValueError(
                f"image: expected sides that divide by {multiple}, got {height} x {width}; resize or pad it"
            )
        modality = spatial(self.cfg.condition.vector(target, len(image)), image)
        if target.landmarks is None:
            raise ValueError("PortraitGAN reads landmarks; pass Condition(landmarks=...)")
        drawn = draw_landmarks(target.landmarks, height, width, line_width=self.cfg.line_width)
        return [drawn.to(image), modality]


@dataclass(frozen=True)
class PortraitDiscriminatorConfig:
    """Attributes:
    layers: strided convolutions of each PatchGAN.
    levels: PatchGANs, one for each size of the picture, from `resolution` down by halves.
    """

    resolution: int = 512
    width: int = 64
    layers: int = 3
    levels: int = 2
    condition: ConditionSpec = ConditionSpec()


class PortraitDiscriminator(Discriminator):
    """A PatchGAN for each size of the picture (Eq. 6), trained together.

    The paper shows each of them two kinds of fakes: the result made smaller, which is `forward`, and the picture that
    the generator's branch of that size paints; `examine` sees both, side by side in one map of logits a level.
    """

    paper = PAPER

    def __init__(self, cfg: PortraitDiscriminatorConfig) -> None:
        super().__init__(cfg)
        sizes = [cfg.resolution // 2**k for k in range(cfg.levels)]
        self.levels = nn.ModuleList([PatchGAN(PatchGANConfig(size, cfg.width, cfg.layers)) for size in sizes])

    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        height, width = image.shape[2:]
        sizes = [(height // 2**k, width // 2**k) for k in range(self.cfg.levels)]
        critiques = [self.judge(resize(image, size), level) for level, size in enumerate(sizes)]
        return Critique(
            scores=tuple(score for critique in critiques for score in critique.scores),
            features=tuple(maps for critique in critiques for maps in critique.features),
        )

    def examine(self, output: Translation, condition: Condition | None = None) -> Critique:
        critique: Critique = self(output.image, condition)
        scores = list(critique.scores)
        for level in range(self.cfg.levels):
            if (picture := output.intermediates.get(f"image_{level}" if level else _FULL)) is not None:
                scores[level] = torch.cat([scores[level], *self.judge(picture, level).scores], dim=3)
        return Critique(tuple(scores), critique.features)

    def judge(self, image: Tensor, level: int) -> Critique:
        """What the PatchGAN of one level says to a picture of its size; level 0 has the size of the result."""
        critique: Critique = self.levels[level](image)
        return critique


@register_generator(PortraitGAN)
def portraitgan_base_512() -> PortraitGANConfig:
    """PortraitGAN as in the paper: two modalities, 512 px."""
    return PortraitGANConfig()


@register_generator(PortraitGAN)
def portraitgan_base_256() -> PortraitGANConfig:
    """PortraitGAN at 256 px."""
    return PortraitGANConfig(resolution=256, line_width=1.0)


@register_generator(PortraitGAN)
def portraitgan_base_64() -> PortraitGANConfig:
    """A small PortraitGAN for the built-in benchmark: four modalities."""
    return PortraitGANConfig(
        resolution=64, width=16, max_width=64, strides=3, blocks=4, line_width=1.0, condition=SYNTHFACE_MODALITY4
    )


@register_discriminator(PortraitDiscriminator)
def portraitgan_d_512() -> PortraitDiscriminatorConfig:
    """PortraitGAN's two discriminators, for pictures of 512 and 256 px."""
    return PortraitDiscriminatorConfig()


@register_discriminator(PortraitDiscriminator)
def portraitgan_d_256() -> PortraitDiscriminatorConfig:
    """PortraitGAN's two discriminators, for pictures of 256 and 128 px."""
    return PortraitDiscriminatorConfig(resolution=256)


@register_discriminator(PortraitDiscriminator)
def portraitgan_d_64() -> PortraitDiscriminatorConfig:
    """Two small discriminators for the built-in benchmark, for pictures of 64 and 32 px."""
    return PortraitDiscriminatorConfig(resolution=64, width=16, layers=2)
