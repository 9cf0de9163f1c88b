"""Judges of real data: a timm network that reads attributes, an emotion or a modality off a picture.

`geotrans train-judge` makes one from any labelled dataset. SPM and StarGAN score expressions with such a ResNet-18.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from geotrans.base import Model, config_from_dict
from geotrans.ops.images import from_uint8, resize
from geotrans.types import Condition, ConditionSpec
from hub.folder import WEIGHTS, read_folder

ARCH = "judge_timm"
ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "mobilenetv3_large_100", "efficientnet_b0")
SUB_BATCH = 64
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which timm's weights expect


@dataclass(frozen=True)
class ClassifierConfig:
    """What a classifier is built from.

    Attributes:
        architecture: one of timm's: those in `ARCHITECTURES`, as a config may come from anyone.
        resolution: side of the pictures it sees; others are resized to it.
        condition: what it reads: attributes, emotion or modality.
    """

    architecture: str = "resnet18"
    resolution: int = 128
    condition: ConditionSpec = ConditionSpec()

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture: expected one of {', '.join(ARCHITECTURES)}, got {self.architecture!r}")
        if not 32 <= self.resolution <= 1024:
            raise ValueError(f"resolution: expected 32 to 1024, got {self.resolution}")


class Classifier(Model):
    """Reads the columns of its condition off a picture.

    Args:
        weights: a file of ImageNet weights as timm publishes them, to start from; None starts from nothing.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, cfg: ClassifierConfig, weights: str | None = None) -> None:
        import timm

        super().__init__(cfg)
        start = {"pretrained": True, "pretrained_cfg_overlay": {"file": weights}} if weights else {"pretrained": False}
        self.net: nn.Module = timm.create_model(cfg.architecture, num_classes=cfg.condition.size, **start)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(3, 1, 1), persistent=False)

    def features(self, image: Tensor) -> Tensor:
        """The penultimate layer (B, D) of (B, 3, H, W) in [-1, 1]."""
        maps = self.net.forward_features(self._seen(image))  # type: ignore[operator]
        features: Tensor = self.net.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        return features

    def forward(self, image: Tensor) -> Condition:
        """Logits of the columns that `cfg.condition` names."""
        condition: Condition = self.cfg.condition.split(self.net(self._seen(image)))
        return condition

    def _seen(self, image: Tensor) -> Tensor:
        return ((resize(image, self.cfg.resolution) + 1) / 2 - self.mean) / self.deviation


class ClassifierFeature(nn.Module):
    """One part of what a classifier reads, as a feature: uint8 (B, 3, H, W) -> float32 (B, D), frozen.

    Args:
        part: a field of `Condition` (probabilities), or `features`.
    """

    def __init__(self, classifier: Classifier, part: str) -> None:
        super().__init__()
        self.classifier, self.part = classifier, part
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, D) of uint8 (B, 3, H, W)."""
        return torch.cat([self.embed(from_uint8(part)) for part in torch.split(images, SUB_BATCH)])

    def embed(self, image: Tensor) -> Tensor:
        """(B, D) of (B, 3, H, W) in [-1, 1]."""
        if self.part == "features":
            return self.classifier.features(image)
        value: Tensor = getattr(self.classifier(image), self.part)
        return value.sigmoid() if self.part == "attributes" else value.softmax(1)


def load_classifier(folder: str | Path) -> Classifier:
    """A classifier from its folder: frozen, in eval mode.

    Raises:
        FileNotFoundError: the folder or a file of it is missing.
        ValueError: the weights are broken, or do not fit the config.
        TypeError: the config is not a classifier's.
    """
    stored = read_folder(folder)
    if stored.arch != ARCH:
        raise ValueError(f"{folder} holds {stored.arch}, not a classifier")
    classifier = Classifier(config_from_dict(ClassifierConfig, stored.config))
    try:
        classifier.load_state_dict(stored.weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{Path(folder) / WEIGHTS} does not fit its config: {reason}") from error
    return classifier.eval().requires_grad_(False)
