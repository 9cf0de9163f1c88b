"""Judges: tiny frozen networks that read the built-in benchmark's pictures, bundled with their held-out scores.

`python -m geotrans.train.judge` makes them again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geotrans.base import Model, config_from_dict
from geotrans.ops.images import from_uint8, resize
from geotrans.types import Condition, ConditionSpec
from hub import files
from hub.folder import WEIGHTS, bundled_folder, read_folder
from registry import register_feature

J = TypeVar("J", bound="Trunk")
L = TypeVar("L", nn.Conv2d, nn.Linear)

LICENCE = "Apache-2.0"
STAGES = {"half": 2, "quarter": 4, "eighth": 6}  # of a trunk: where the residual block of each resolution stands
PINS = {
    "judge_synthface_64": "29f979fe16dc0b38693ce021f43167de30d7ce31d2ff4b76acefc55a3e9eb4ff",
    "judge_identity_64": "75e51c2a1bf58dbc840c6ad9a67957c918bba4d7e4b346efbb076b799791cbef",
    "judge_shapes_64": "c518fdad57d7ab73c16d41e042cf1ae6d642fac88b3fcf5ea0224bccea2a28a0",
    "judge_synthpeople_64": "9a3ae1b7832fc694f4b4c76f5817432dd984f02097640aec5d7d60ee3e12a0ed",
    "judge_synthviews_64": "3a705661571ecca33c75042e458dfe6a2d4335e08faab3f0bf4e205f573f0f33",
}


@dataclass(frozen=True)
class JudgeConfig:
    """What a judge is built from.

    Attributes:
        resolution: side of the pictures it sees; others are resized to it.
        width: channels at half resolution.
        embedding: size of the penultimate layer, or of an identity vector.
        condition: what a `Judge` reads.
    """

    resolution: int = 64
    width: int = 24
    embedding: int = 128
    condition: ConditionSpec = ConditionSpec()


class Trunk(Model):
    """Pictures to a vector: residual stages at 1/2, 1/4 and 1/8 of the resolution, then a layer that sees the places.

    No normalisation layers: contrast and colour are part of what is judged.

    Attributes:
        config_class: what it is built from.
    """

    config_class: ClassVar[type[JudgeConfig]] = JudgeConfig

    def __init__(self, cfg: JudgeConfig) -> None:
        super().__init__(cfg)
        width, cells = cfg.width, (cfg.resolution // 8) ** 2
        self.stages = nn.Sequential(
            nn.PixelUnshuffle(2),  # (B, 12, H/2, W/2)
            _scaled(nn.Conv2d(12, width, 3, padding=1)),
            _Residual(width),
            _scaled(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)),
            _Residual(2 * width),
            _scaled(nn.Conv2d(2 * width, 64, 3, stride=2, padding=1)),
            _Residual(64),
            nn.ReLU(),
            _scaled(nn.Conv2d(64, 16, 1)),
            nn.ReLU(),
        )
        self.embed = _scaled(nn.Linear(16 * cells, cfg.embedding))

    def embedding(self, image: Tensor) -> Tensor:
        """(B, embedding) of (B, 3, H, W) in [-1, 1]; another size is resized first."""
        x = resize(image, self.cfg.resolution).contiguous(memory_format=torch.channels_last)
        embedding: Tensor = self.embed(self.stages(x).flatten(1))
        return embedding

    def features(self, image: Tensor) -> Tensor:
        """The penultimate layer (B, embedding) of (B, 3, H, W) in [-1, 1]."""
        return F.relu(self.embedding(image))

    def maps(self, image: Tensor, layers: Sequence[str] | None = None) -> tuple[Tensor, ...]:
        """What the residual stages see, (B, C, h, w) each, of (B, 3, H, W) in [-1, 1]; another size is resized first.

        Args:
            layers: some of "half", "quarter" and "eighth" (of `resolution`), in the order asked for; None: all.

        Raises:
            ValueError: there is no such layer, or none is asked for.
        """
        wanted = tuple(STAGES if layers is None else layers)
        if not wanted or not set(wanted) <= STAGES.keys():
            raise ValueError(f"layers: expected some of {', '.join(STAGES)}, got {', '.join(wanted) or 'none'}")
        x = resize(image, self.cfg.resolution).contiguous(memory_format=torch.channels_last)
        found: list[Tensor] = []
        for stage in self.stages[: max(STAGES[name] for name in wanted) + 1]:
            x = stage(x)
            found.append(x)
        return tuple(found[STAGES[name]] for name in wanted)


class Judge(Trunk):
    """Reads conditions off a picture."""

    def __init__(self, cfg: JudgeConfig) -> None:
        super().__init__(cfg)
        self.heads = nn.Linear(cfg.embedding, cfg.condition.size)
        nn.init.normal_(self.heads.weight, std=0.01)

    def forward(self, image: Tensor) -> Condition:
        """What `cfg.condition` names: logits for attributes, emotion and modality; values for aus."""
        condition: Condition = self.cfg.condition.split(self.heads(self.features(image)))
        return condition


class IdentityJudge(Trunk):
    """Tells whether two pictures show the same person: the cosine of their embeddings."""

    def forward(self, image: Tensor) -> Tensor:
        """Unit vectors (B, embedding) of (B, 3, H, W) in [-1, 1]."""
        return F.normalize(self.embedding(image))


class TrunkFeature(nn.Module, Generic[J]):
    """What a judge tells as a feature: uint8 (B, 3, H, W) -> float32 (B, D), frozen.

    For losses, `embed` does the same to float images and lets gradients through; so does `maps`, see `Trunk.maps`.
    """

    def __init__(self, judge: J) -> None:
        super().__init__()
        self.judge = judge
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, D) of uint8 (B, 3, H, W)."""
        return self.embed(from_uint8(images))

    @abstractmethod
    def embed(self, image: Tensor) -> Tensor:
        """(B, D) of (B, 3, H, W) in [-1, 1]."""

    def maps(self, image: Tensor, layers: Sequence[str] | None = None) -> tuple[Tensor, ...]:
        """Inner layers, see `Trunk.maps`."""
        return self.judge.maps(image, layers)


class JudgeFeature(TrunkFeature[Judge]):
    """One part of what a judge reads.

    Args:
        part: a field of `Condition` (probabilities; AU values in [0, 1]), or `features`.
    """

    def __init__(self, judge: Judge, part: str) -> None:
        super().__init__(judge)
        self.part = part

    def embed(self, image: Tensor) -> Tensor:
        """(B, D) of (B, 3, H, W) in [-1, 1]."""
        if self.part == "features":
            return self.judge.features(image)
        value: Tensor = getattr(self.judge(image), self.part)
        if self.part == "aus":
            return value.clamp(0, 1)
        return value.sigmoid() if self.part == "attributes" else value.softmax(1)


class IdentityFeature(TrunkFeature[IdentityJudge]):
    """An identity judge's unit vectors (B, D)."""

    def embed(self, image: Tensor) -> Tensor:
        """(B, D) of (B, 3, H, W) in [-1, 1]."""
        vectors: Tensor = self.judge(image)
        return vectors


def load_judge(cls: type[J], folder: str | Path, sha256: str | None = None) -> J:
    """A judge from its folder: frozen, in eval mode, float32.

    Raises:
        FileNotFoundError: the folder or a file of it is missing.
        ValueError: the weights are broken, have another digest than `sha256`, or do not fit the config.
    """
    folder = Path(folder)
    if sha256 is not None and (digest := files.sha256(folder / WEIGHTS)) != sha256:
        raise ValueError(
            f"{folder / WEIGHTS} has sha256 {digest[:12]}, expected {sha256[:12]}: it was changed; reinstall geotrans"
        )
    stored = read_folder(folder)
    judge = cls(config_from_dict(cls.config_class, stored.config))
    try:
        judge.load_state_dict(stored.weights)
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS} does not fit its config: {error}") from error
    return judge.float().eval().requires_grad_(False)


@register_feature(dim=4, licence=LICENCE, sha256=PINS["judge_synthface_64"])
def synthface_attributes() -> JudgeFeature:
    """Probability of each attribute of `synthface`."""
    return JudgeFeature(bundled_judge(Judge, "judge_synthface_64"), "attributes")


@register_feature(dim=17, licence=LICENCE, sha256=PINS["judge_synthface_64"])
def synthface_aus() -> JudgeFeature:
    """Action unit intensities of a `synthface` picture, in [0, 1]."""
    return JudgeFeature(bundled_judge(Judge, "judge_synthface_64"), "aus")


@register_feature(dim=8, licence=LICENCE, sha256=PINS["judge_synthface_64"])
def synthface_emotion() -> JudgeFeature:
    """Probability of each emotion of `synthface`; a row sums to 1."""
    return JudgeFeature(bundled_judge(Judge, "judge_synthface_64"), "emotion")


@register_feature(dim=4, licence=LICENCE, sha256=PINS["judge_synthface_64"])
def synthface_modality() -> JudgeFeature:
    """Probability of each modality of `synthface`; a row sums to 1."""
    return JudgeFeature(bundled_judge(Judge, "judge_synthface_64"), "modality")


@register_feature(dim=128, licence=LICENCE, sha256=PINS["judge_synthface_64"])
def synthface_features() -> JudgeFeature:
    """The `synthface` judge's penultimate layer, for Frechet distances without any download."""
    return JudgeFeature(bundled_judge(Judge, "judge_synthface_64"), "features")


@register_feature(dim=64, licence=LICENCE, sha256=PINS["judge_identity_64"])
def synthface_identity() -> IdentityFeature:
    """Unit vectors whose cosine says whether two `synthface` pictures show one person."""
    return IdentityFeature(bundled_judge(IdentityJudge, "judge_identity_64"))


@register_feature(dim=1, licence=LICENCE, sha256=PINS["judge_shapes_64"])
def shapes_attributes() -> JudgeFeature:
    """Probability of the attribute of `shapes`."""
    return JudgeFeature(bundled_judge(Judge, "judge_shapes_64"), "attributes")


@register_feature(dim=128, licence=LICENCE, sha256=PINS["judge_shapes_64"])
def shapes_features() -> JudgeFeature:
    """The `shapes` judge's penultimate layer, for Frechet distances without any download."""
    return JudgeFeature(bundled_judge(Judge, "judge_shapes_64"), "features")


def bundled_judge(cls: type[J], name: str) -> J:
    """The judge of that name that comes with the library, checked against its pin."""
    return load_judge(cls, bundled_folder(name), PINS[name])


def _scaled(layer: L) -> L:
    """Start a layer so that it keeps a signal's size: PyTorch's default shrinks it, and no norm restores it here."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class _Residual(nn.Module):
    """x + f(x), where f starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _scaled(nn.Conv2d(width, width, 3, padding=1))
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.second(F.relu(self.first(F.relu(x))))
        return x + residual
