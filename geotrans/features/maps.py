"""How far two pictures are apart in the inner layers of any frozen feature that shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geotrans.ops.images import from_uint8


class MapDistance(nn.Module):
    """LPIPS without its linear heads: maps of unit length at each place, their squared differences, means.

    At every place of a layer the difference of two unit vectors, squared: 0 if they are parallel, 2 if orthogonal, 4 if
    opposite; averaged over places, then over layers. Zhang et al. 2018, Eq. 1, with weights of 1 and a mean over layers
    in place of the sum, so that networks with other depths have one scale.

    Args:
        feature: a frozen module with `maps(image)`, image (B, 3, H, W) in [-1, 1].

    Raises:
        ValueError: the feature has no maps.
    """

    def __init__(self, feature: Callable[..., Tensor]) -> None:
        super().__init__()
        maps: Any = getattr(feature, "maps", None)
        if not isinstance(feature, nn.Module) or maps is None:
            raise ValueError(f"{type(feature).__name__} has no method `maps`; choose a feature whose inner layers show")
        self.feature = feature
        self._maps: Callable[[Tensor], Sequence[Tensor]] = maps

    @torch.no_grad()
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance (B,) of two batches (B, 3, H, W), uint8 or in [-1, 1].

        Raises:
            ValueError: the shapes differ.
        """
        if a.ndim != 4 or a.shape[1] != 3 or a.shape != b.shape:
            raise ValueError(
                f"expected two batches of one shape (B, 3, H, W), got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        layers = zip(*(self._maps(_levels(image)) for image in (a, b)), strict=True)
        return torch.stack([_between(x, y) for x, y in layers]).mean(0)


def _between(a: Tensor, b: Tensor) -> Tensor:
    """(B,) of two maps (B, C, h, w)."""
    return (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).flatten(1).mean(1)


def _levels(image: Tensor) -> Tensor:
    return image if image.is_floating_point() else from_uint8(image)
