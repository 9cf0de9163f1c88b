"""Toys for tests of the harness: a plugin that registers a dataset, judges, generators and a protocol."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Sequence

import torch
from torch import Tensor

from eval.protocol import Protocol
from geotrans.base import Generator
from geotrans.data.base import Dataset
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec, Sample, Translation
from registry import register_dataset, register_feature, register_generator, register_protocol

SIZE = 32
METRIC_NAMES = ("attr_changed_accuracy", "attr_accuracy", "flow_epe", "l1", "psnr", "ssim", "frechet", "id_cosine")


class Toy(Dataset):
    """Smooth noise that moves to the right where the attribute changes; brightness is the attribute.

    With TOY_KILL_AT in the environment, reading that index ends the process as `kill -9` does.
    """

    spec = ConditionSpec(attributes=("Bright",))
    resolution = SIZE

    def __init__(self, count: int = 30) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int]) -> Sample:
        if int(os.environ.get("TOY_KILL_AT", "-1")) in indices:
            os.kill(os.getpid(), signal.SIGKILL)
        rows = [self._one(index) for index in indices]
        image, truth, flow, before = (torch.cat(part) for part in zip(*rows, strict=True))
        visible = torch.ones(len(rows), 1, SIZE, SIZE)
        ids = tuple(f"toy-{index}" for index in indices)
        return Sample(image, Condition(attributes=before), Condition(attributes=1 - before), truth, flow, visible, ids)

    def _one(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        draw = torch.Generator().manual_seed(index)
        before = torch.tensor([[float(index % 2)]])
        coarse = 0.4 * (2 * torch.rand(1, 3, 4, 4, generator=draw) - 1) + 0.5 * (2 * before - 1)[..., None, None]
        image = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(-1, 1)
        flow = torch.zeros(1, 2, SIZE, SIZE)
        flow[:, 0] = -2 * 3 / SIZE
        return image, -warp(image, flow, padding="border"), flow, before


class Broken(Generator):
    """Returns NaN for the second sample of every batch."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        image = image.clone()
        image[1] = torch.nan
        return Translation(image)


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    resolution: int = SIZE
    width: int = 1
    condition: ConditionSpec = ConditionSpec()


class Mover(Generator):
    """Moves three pixels and turns the colours over: right, but for rounding."""

    def __init__(self, cfg: ToyConfig) -> None:
        super().__init__(cfg)
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        flow = torch.zeros_like(image[:, :2])
        flow[:, 0] = -2 * 3 / SIZE
        warped = warp(image, flow, padding="border")
        return Translation(-self.gain * warped, flow, warped, -2 * warped, torch.ones_like(image[:, :1]))


@register_dataset("Toy", "none")
def toy(split: str = "test", resolution: int = SIZE, seed: int = 0, count: int = 30) -> Toy:
    return Toy(count)


@register_feature(1, "none")
def toy_attributes():  # type: ignore[no-untyped-def]
    return lambda images: torch.sigmoid(images.float().flatten(1).mean(1, keepdim=True) - 127.5)


@register_feature(3, "none")
def toy_features():  # type: ignore[no-untyped-def]
    return lambda images: images.float().mean((2, 3)) / 255


@register_generator(Broken)
def broken() -> ToyConfig:
    return ToyConfig()


@register_generator(Mover)
def mover_32() -> ToyConfig:
    return ToyConfig()


JUDGES = {"attributes": "toy_attributes", "features": "toy_features", "identity": "toy_features"}


@register_protocol
def toy_32() -> Protocol:
    return Protocol(
        "toy_32",
        "toy",
        "test",
        24,
        (*METRIC_NAMES, "lpips", "edit_concentration", "mask_area"),
        SIZE,
        judges=JUDGES,
        builtin=True,
        description="Smooth noise <b>that moves</b>.",
    )


@register_protocol
def toy_many_32() -> Protocol:
    """Enough samples for several shards."""
    metrics = ("attr_changed_accuracy", "flow_epe", "psnr", "frechet", "id_cosine", "edit_concentration")
    return Protocol("toy_many_32", "toy", "test", 450, metrics, SIZE, {"count": 450}, JUDGES, description="Many.")
