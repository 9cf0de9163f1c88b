"""The Inception network of GFLA's FID: torchvision's, trained on ImageNet; its numbers are not those of `fid`.

Differences from GFLA's code, an early pytorch-fid: rounding below 1e-5; no picture is lost to a last, smaller batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geotrans.features.external import PublishedWeights
from geotrans.features.inception import SUB_BATCH, fold_batch_norms
from geotrans.ops.images import from_uint8
from registry import register_feature

WEIGHTS = PublishedWeights(
    name="inception_v3_google-0cc3c7bd.pth",
    url="https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
    size=108_949_747,
    sha256="0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef",
    variable="GEOTRANS_INCEPTION_TORCHVISION",
)
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures, in [0, 1]


class TorchvisionInception(nn.Module):
    """The 2048 pool features of torchvision's Inception v3: uint8 (B, 3, H, W) -> (B, 2048), frozen.

    Pictures in [0, 1] are resized to 299 x 299 (bilinear, align_corners=False, no antialiasing) and brought to
    (x * deviation + mean - 0.5) / 0.5, which undoes a normalisation by ImageNet's colours that they never had. That is
    what GFLA's code computes.

    Args:
        state: torchvision's state dict; None leaves the weights random, for tests.

    Raises:
        ValueError: the weights are not those of this network.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        from torchvision.models import inception_v3

        net: nn.Module = inception_v3(weights=None, aux_logits=True, init_weights=False)
        if state is not None:
            try:
                net.load_state_dict(state)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:200]
                raise ValueError(f"expected the weights of torchvision's Inception v3: {reason}") from error
        net.double().eval()
        fold_batch_norms(net)
        unused = ("AuxLogits", "dropout", "fc")
        self.layers = nn.Sequential(*(layer for name, layer in net.named_children() if name not in unused))
        self.register_buffer("scale", torch.tensor(_DEVIATION).view(3, 1, 1) / 0.5, persistent=False)
        self.register_buffer("shift", (torch.tensor(_MEAN).view(3, 1, 1) - 0.5) / 0.5, persistent=False)
        self.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 2048) of uint8 (B, 3, H, W)."""
        return torch.cat([self._features(part) for part in torch.split(images, SUB_BATCH)])

    def _features(self, images: Tensor) -> Tensor:
        x = F.interpolate((from_uint8(images) + 1) / 2, (299, 299), mode="bilinear", align_corners=False)
        x = (x * self.scale + self.shift).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.layers(x)
        return features.flatten(1)


@register_feature(dim=2048, licence="BSD-3-Clause", sha256=WEIGHTS.sha256)
def inception_torchvision() -> TorchvisionInception:
    """Pool features of torchvision's Inception v3, as GFLA's Frechet distance takes them.

    Raises:
        FileNotFoundError: the weights are not on this machine; the message says what to put where.
    """
    return TorchvisionInception(WEIGHTS.load())
