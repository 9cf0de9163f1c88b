"""The Inception network that the Frechet distance is defined on, as pytorch-fid runs it, folded for speed.

Paper: Heusel et al. 2017, https://arxiv.org/abs/1706.08500. Differences from pytorch-fid: rounding, below 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from geotrans.features.external import PublishedWeights
from registry import register_feature

WEIGHTS = PublishedWeights(
    name="pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    size=95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    variable="GEOTRANS_INCEPTION",
)
SUB_BATCH = 8  # on a CPU larger ones fall out of the cache: 1.6 times slower at 50


class InceptionFID(nn.Module):
    """The 2048 pool features of the TensorFlow Inception of 2015-12-05.

    Pictures are resized to 299 x 299 (bilinear, align_corners=False, no antialiasing) and scaled to [-1, 1], as
    pytorch-fid does. Batch norms are folded into the convolutions and memory is channels-last: 62 ms a picture on one
    core, against 151.

    Args:
        state: the state dict of `fid_inception_v3()`; None leaves the weights random, for tests.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        net = _architecture()
        if state is not None:
            net.load_state_dict(state)
        net.double().eval()
        fold_batch_norms(net)
        self.layers = nn.Sequential(*(layer for name, layer in net.named_children() if name not in ("dropout", "fc")))
        self.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features (B, 2048) of uint8 (B, 3, H, W).

        Raises:
            TypeError: the pictures are not uint8.
        """
        if images.dtype != torch.uint8:
            raise TypeError(f"expected uint8, got {images.dtype}; quantise pictures with geotrans.ops.images.to_uint8")
        return torch.cat([self._features(part) for part in torch.split(images, SUB_BATCH)])

    def _features(self, images: Tensor) -> Tensor:
        x = F.interpolate(images.float() / 255, (299, 299), mode="bilinear", align_corners=False)
        x = (2 * x - 1).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.layers(x)
        return features.flatten(1)


def fetch_inception() -> Path:
    """Download the weights (96 MB) to where `inception_fid` looks for them, unless they are there."""
    return WEIGHTS.fetch()


@register_feature(dim=2048, licence="Apache-2.0", sha256=WEIGHTS.sha256)
def inception_fid() -> InceptionFID:
    """Inception pool features for the Frechet distance; the same numbers as pytorch-fid 0.3.0.

    Raises:
        FileNotFoundError: the weights are not on this machine; the message says what to put where.
    """
    return InceptionFID(WEIGHTS.load())


def _architecture() -> nn.Module:
    import pytorch_fid.inception as fid
    from torchvision.models import inception_v3

    net: nn.Module = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    replaced = {
        "Mixed_5b": fid.FIDInceptionA(192, 32),
        "Mixed_5c": fid.FIDInceptionA(256, 64),
        "Mixed_5d": fid.FIDInceptionA(288, 64),
        "Mixed_6b": fid.FIDInceptionC(768, 128),
        "Mixed_6c": fid.FIDInceptionC(768, 160),
        "Mixed_6d": fid.FIDInceptionC(768, 160),
        "Mixed_6e": fid.FIDInceptionC(768, 192),
        "Mixed_7b": fid.FIDInceptionE_1(1280),
        "Mixed_7c": fid.FIDInceptionE_2(2048),
    }
    for name, block in replaced.items():
        setattr(net, name, block)
    return net


def fold_batch_norms(net: nn.Module) -> None:
    """Put every batch norm `bn` that stands beside a convolution `conv` into it; for networks in eval mode."""
    for module in list(net.modules()):
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(conv, norm), nn.Identity()
