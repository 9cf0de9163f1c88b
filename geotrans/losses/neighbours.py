"""The nearest-neighbour loss: a place of the output may look like any near-by place of the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from geotrans.losses.base import LossFn, LossInputs, need, per_sample
from geotrans.losses.frozen import frozen
from geotrans.losses.perceptual import Layers, Maps
from registry import register_loss


@register_loss("output", "truth")
def nn_l1(size: int = 5, feature: str | Maps = "", layers: Layers = None) -> LossFn:
    """How far each place of the output is from the nearest of the truth's size x size places around it; 0 if equal.

    Places are as far apart as their channels' absolute differences add up to; the mean over places, added up over the
    layers. A pose that is a little off costs nothing, where L1 blurs. With size 1 and pixels, 3 times `rec_l1`.
    Siarohin et al. (Deformable GANs), 2018, Eq. 7: relu1_2 of VGG-19, a size of 5 (3 for Market-1501), and a weight of
    0.01 where the VGG is one that sees levels of 0 to 255.

    Args:
        size: odd, in pixels of the maps.
        feature: what is compared: pixels if empty, else see `perc_vgg19`.
        layers: names that the feature knows; None: its own choice.

    Raises:
        ValueError: the size is even or below 1; when first computed, if the feature has no such layers, has no maps, or
            cuts the gradient.
    """
    if size < 1 or not size % 2:
        raise ValueError(f"size: expected an odd number of at least 1, got {size}")
    maps: Callable[..., Sequence[Tensor]] = frozen(feature, "maps") if feature else _pixels

    def loss(inputs: LossInputs) -> Tensor:
        image, truth = need(inputs.output, "output").image, need(inputs.truth, "truth")
        with torch.no_grad():
            fixed = maps(truth.detach(), layers)
        pairs = zip(maps(image, layers), fixed, strict=True)
        return torch.stack([per_sample(nearest_distance(*pair, size)) for pair in pairs]).sum(0)

    return loss


def nearest_distance(maps: Tensor, reference: Tensor, size: int) -> Tensor:
    """From each place of `maps` (B, C, H, W) to the nearest of the size x size places around it in `reference`.

    (B, H, W), sums of absolute differences over the channels. Places outside of `reference` do not count. The gradient
    reaches `maps` alone.
    """
    height, width = maps.shape[2:]
    with torch.no_grad():
        padded = F.pad(reference, [size // 2] * 4, value=torch.inf)
        nearest, least = reference, (maps - reference).abs().sum(1)
        for row in range(size):
            for column in range(size):
                shifted = padded[..., row : row + height, column : column + width]
                distance = (maps - shifted).abs().sum(1)
                nearest = torch.where((distance < least)[:, None], shifted, nearest)
                least = torch.minimum(least, distance)
    return (maps - nearest).abs().sum(1)


def _pixels(image: Tensor, layers: Layers) -> tuple[Tensor]:
    return (image,)
