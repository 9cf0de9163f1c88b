"""LPIPS: how different two pictures look to a trained network.

Paper: Zhang et al. 2018, https://arxiv.org/abs/1801.03924. The numbers are those of the `lpips` package, weights 0.1.
"""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor, nn

from geotrans.features.external import PublishedWeights
from geotrans.ops.images import from_uint8

Net = Literal["alex", "vgg", "squeeze"]

BACKBONES = {
    "alex": PublishedWeights(
        name="alexnet-owt-7be5be79.pth",
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        size=244_408_911,
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    ),
    "vgg": PublishedWeights(
        name="vgg16-397923af.pth",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        size=553_433_881,
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    ),
    "squeeze": PublishedWeights(
        name="squeezenet1_1-b8a52dc0.pth",
        url="https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        size=4_958_839,
        sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
    ),
}
MINIMUM_SIDE = {"alex": 31, "vgg": 16, "squeeze": 17}  # below, a pooling layer has nothing left
SUB_BATCH = 8


class LpipsDistance(nn.Module):
    """The LPIPS distance of pairs of pictures: 0 for equal ones, around 0.5 for unrelated ones.

    Args:
        net: `alex` is what papers report as LPIPS, `vgg` what they train with.
        untrained: leave the backbone random, for tests; such numbers mean nothing.

    Raises:
        ValueError: there is no such net.
        FileNotFoundError: the backbone is not on this machine; the message says what to put where.
    """

    def __init__(self, net: Net = "alex", *, untrained: bool = False) -> None:
        super().__init__()
        if net not in BACKBONES:
            raise ValueError(f"net: expected {', '.join(BACKBONES)}, got {net!r}")
        state = None if untrained else BACKBONES[net].load()
        self.net = net
        self.distance = _untrained(net)
        if state is not None:
            _load_backbone(self.distance.get_submodule("net"), state)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance (B,) of two batches (B, 3, H, W), uint8 or in [-1, 1].

        Raises:
            ValueError: the shapes differ, or the pictures are too small for the net.
        """
        if a.ndim != 4 or a.shape[1] != 3 or a.shape != b.shape:
            raise ValueError(
                f"expected two batches of one shape (B, 3, H, W), got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        smallest, size = MINIMUM_SIDE[self.net], tuple(a.shape[-2:])
        if min(size) < smallest:
            raise ValueError(
                f"LPIPS {self.net} needs pictures of at least {(smallest, smallest)} pixels, got {size}; enlarge both"
            )
        pairs = zip(torch.split(a, SUB_BATCH), torch.split(b, SUB_BATCH), strict=True)
        return torch.cat([self.distance(_levels(x), _levels(y)).flatten() for x, y in pairs])


def _levels(image: Tensor) -> Tensor:
    return image if image.is_floating_point() else from_uint8(image)


def lpips_distance(net: Net = "alex") -> LpipsDistance:
    """A callable (uint8 (B, 3, H, W), uint8 (B, 3, H, W)) -> (B,); see `LpipsDistance`."""
    return LpipsDistance(net)


def fetch_lpips(net: Net = "alex") -> None:
    """Download the backbone of `net` to where `lpips_distance` looks for it, unless it is there."""
    BACKBONES[net].fetch()


def _untrained(net: Net) -> nn.Module:
    import lpips

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The parameter 'pretrained'", category=UserWarning)
        warnings.filterwarnings("ignore", message="Arguments other than a weight enum", category=UserWarning)
        distance: nn.Module = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    return distance


def _load_backbone(slices: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy `features.N.*` of a torchvision classifier into lpips' `sliceK.N.*`; the classifier is not used."""
    wanted = slices.state_dict()
    slices.load_state_dict({key: state["features." + key.partition(".")[2]] for key in wanted})
