"""`shapes`: squares and circles that turn into each other, with the true motion.

The toy of SPM, figure 3: a plain shape of random colour, size and place on a plain ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.data._counter import keys, uniforms
from geotrans.data._procedural import Procedural
from geotrans.types import Condition, ConditionSpec, Sample
from registry import register_dataset

SPEC = ConditionSpec(attributes=("circle",))

_DRAWS = 10
_EQUAL_AREA = 2 / torch.pi**0.5  # radius of the circle that is as large as a square of half side 1
_REACH = 2.2  # the motion ends at this many half sides from the centre


@dataclass(frozen=True, slots=True)
class _Scene:
    """Centre (B, 2, 1, 1), half side (B, 1, 1), colours (B, 3, 1, 1) and is_circle (B, 1, 1); units of the image."""

    centre: Tensor
    half: Tensor
    colour: Tensor
    ground: Tensor
    is_circle: Tensor


class Shapes(Procedural):
    """A square or a circle, and the other shape of the same centre, area and colours.

    Convention:
        `Sample.flow` is backward: pixel p of `truth` shows what `image` shows at p + flow, (x, y), 2 = the image's
        width, pixel centres (align_corners=False). It points along the ray through the centre, maps one outline to
        the other, and is zero from 2.2 half sides on. Every pixel is visible.
    """

    spec = SPEC

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
        """
        scene = _scene(uniforms(keys(self.seed, 16, self.numbers(indices)), _DRAWS))
        x, y = _offsets(scene, self.resolution)
        flow = _flow(scene, x, y)
        circle = scene.is_circle[:, :, 0]
        return Sample(
            image=_picture(scene, x, y, scene.is_circle, self.resolution),
            source=Condition(attributes=circle),
            target=Condition(attributes=1 - circle),
            truth=_picture(scene, x, y, 1 - scene.is_circle, self.resolution),
            flow=flow,
            visible=torch.ones_like(flow[:, :1]),
            id=self.names(indices),
        )


@register_dataset("Squares and circles that turn into each other, with the true motion", "Apache-2.0")
def shapes(split: str = "train", resolution: int = 64, seed: int = 0, size: int | None = None) -> Shapes:
    """Squares <-> circles, a pair a sample.

    Args:
        split: train, val or test.
        resolution: height and width, at least 16.
        seed: another seed is another set of shapes.
        size: number of samples; by default 20000 for train and 2000 else.

    Raises:
        ValueError: an unknown split, or a resolution or size that is too small.
    """
    return Shapes("shapes", split, resolution, seed, size)


def _scene(draws: Tensor) -> _Scene:
    half = 0.22 + 0.18 * draws[:, :1]
    room = 0.98 - _REACH * half  # all motion stays inside the image
    centre = room * (2 * draws[:, 1:3] - 1)
    colour, ground = 2 * draws[:, 3:6] - 1, 2 * draws[:, 6:9] - 1
    contrast = (colour - ground).abs().mean(dim=1, keepdim=True)
    ground = torch.where(contrast < 0.5, torch.where(colour > 0, colour - 1, colour + 1), ground)
    return _Scene(
        centre=centre[:, :, None, None],
        half=half[:, :, None],
        colour=colour[:, :, None, None],
        ground=ground[:, :, None, None],
        is_circle=(draws[:, 9:10] < 0.5).float()[:, :, None],
    )


def _offsets(scene: _Scene, resolution: int) -> tuple[Tensor, Tensor]:
    """Pixel centres relative to the shape's centre, in half sides: (B, 1, W) and (B, H, 1)."""
    centres = (2 * torch.arange(resolution) + 1) / resolution - 1
    return (centres - scene.centre[:, 0]) / scene.half, (centres[:, None] - scene.centre[:, 1]) / scene.half


def _picture(scene: _Scene, x: Tensor, y: Tensor, is_circle: Tensor, resolution: int) -> Tensor:
    square = torch.maximum(x.abs(), y.abs()) - 1
    circle = torch.sqrt(x * x + y * y) - _EQUAL_AREA
    distance = torch.where(is_circle > 0.5, circle, square) * scene.half
    inside = (0.5 - distance * (resolution / 2)).clamp(0, 1)
    return torch.lerp(scene.ground, scene.colour, inside[:, None])


def _flow(scene: _Scene, x: Tensor, y: Tensor) -> Tensor:
    """Along each ray, the piecewise linear map that takes the target's outline to the source's and keeps the rim."""
    radius = torch.sqrt(x * x + y * y).clamp_min(1e-6)
    square = radius / torch.maximum(x.abs(), y.abs()).clamp_min(1e-6)
    circle = torch.full_like(square, _EQUAL_AREA)
    source = torch.where(scene.is_circle > 0.5, circle, square)
    target = torch.where(scene.is_circle > 0.5, square, circle)
    inner = radius * source / target
    outer = _REACH - (_REACH - radius) * (_REACH - source) / (_REACH - target)
    moved = torch.where(radius < target, inner, torch.where(radius < _REACH, outer, radius))
    along = (moved - radius) / radius * scene.half
    return torch.stack([along * x, along * y], dim=1)
