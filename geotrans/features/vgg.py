"""VGG trained on ImageNet, whose feature maps perceptual and texture losses compare.

Paper: Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556. Weights: torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from geotrans.features.external import PublishedWeights
from geotrans.features.lpips import BACKBONES
from geotrans.ops.images import from_uint8
from registry import register_feature

Depth = Literal[16, 19]

WEIGHTS: dict[Depth, PublishedWeights] = {
    16: replace(BACKBONES["vgg"], variable="GEOTRANS_VGG16"),
    19: PublishedWeights(
        name="vgg19-dcbb9e9d.pth",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        size=574_673_361,
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        variable="GEOTRANS_VGG19",
    ),
}
CONVOLUTIONS: dict[Depth, tuple[int, ...]] = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # of each resolution
WIDTHS = (64, 128, 256, 512, 512)
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures, in [0, 1]


class VGG(nn.Module):
    """The convolutions of VGG-16 or VGG-19, frozen, as a feature: uint8 (B, 3, H, W) -> float32 (B, 512).

    For losses, `maps` shows inner layers of float images and lets gradients through. Pictures keep their size.

    Args:
        state: the state dict of torchvision's classifier; None leaves the weights random, for tests.
        normalise: bring pictures to the mean and deviation of ImageNet's, which the weights were trained with.

    Raises:
        ValueError: the weights are not those of this network.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, depth: Depth, state: Mapping[str, Any] | None = None, *, normalise: bool = True) -> None:
        super().__init__()
        self.depth, self.normalise = depth, normalise
        self.names: list[str] = []  # of the layers, in their order
        layers: list[nn.Module] = []
        before = 3
        for stage, (count, width) in enumerate(zip(CONVOLUTIONS[depth], WIDTHS, strict=True), start=1):
            for index in range(1, count + 1):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                self.names += [f"conv{stage}_{index}", f"relu{stage}_{index}"]
                before = width
            layers.append(nn.MaxPool2d(2))
            self.names.append(f"pool{stage}")
        self.features = nn.Sequential(*layers)
        if state is not None:
            self._load(state)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def _load(self, state: Mapping[str, Any]) -> None:
        convolutions = {key.removeprefix("features."): state[key] for key in state if key.startswith("features.")}
        try:
            self.features.load_state_dict(convolutions)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"expected the weights of torchvision's VGG-{self.depth}: {reason}") from error

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 512) of uint8 (B, 3, H, W): the last layer before the last pooling, averaged over places."""
        return self.maps(from_uint8(images), [self.names[-2]])[0].mean((2, 3))

    def maps(self, image: Tensor, layers: Sequence[str] | None = None) -> tuple[Tensor, ...]:
        """Feature maps (B, C, h, w) of (B, 3, H, W) in [-1, 1], one a layer, in the order asked for.

        Args:
            layers: `conv1_1` before its ReLU, `relu1_1` after it, ..., `pool1`, ...; None: the first ReLU of each of
                the five resolutions.

        Raises:
            ValueError: there is no such layer, none is asked for, or the picture is smaller than 16 pixels.
        """
        wanted = LAYERS if layers is None else tuple(layers)
        if not wanted or (unknown := [name for name in wanted if name not in self.names]):
            got = ", ".join(unknown) if wanted else "none"
            raise ValueError(f"layers of VGG-{self.depth}: expected some of {', '.join(self.names)}, got {got}")
        if min(image.shape[2:]) < 16:
            raise ValueError(
                f"VGG needs pictures of at least (16, 16) pixels, got {tuple(image.shape[2:])}; enlarge them"
            )
        x = ((image + 1) / 2 - self.mean) / self.deviation if self.normalise else image
        found: dict[str, Tensor] = {}
        for name, layer in zip(self.names, self.features, strict=True):
            x = layer(x)
            if name in wanted:
                found[name] = x
            if len(found) == len(set(wanted)):
                break
        return tuple(found[name] for name in wanted)


@register_feature(dim=512, licence="BSD-3-Clause", sha256=WEIGHTS[19].sha256)
def vgg19(normalise: bool = True) -> VGG:
    """VGG-19 with torchvision's ImageNet weights.

    Args:
        normalise: see `VGG`; GFLA feeds pictures in [-1, 1] as they are.

    Raises:
        FileNotFoundError: the weights are not on this machine; the message says what to put where.
    """
    return VGG(19, WEIGHTS[19].load(), normalise=normalise)


@register_feature(dim=512, licence="BSD-3-Clause", sha256=WEIGHTS[19].sha256)
def vgg19_plain() -> VGG:
    """VGG-19 that sees pictures in [-1, 1] as they are, as GFLA's losses do; otherwise as `vgg19`."""
    return vgg19(normalise=False)


@register_feature(dim=512, licence="BSD-3-Clause", sha256=WEIGHTS[16].sha256)
def vgg16(normalise: bool = True) -> VGG:
    """VGG-16 with torchvision's ImageNet weights; otherwise as `vgg19`."""
    return VGG(16, WEIGHTS[16].load(), normalise=normalise)
