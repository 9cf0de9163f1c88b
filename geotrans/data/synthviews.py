"""`synthviews`: toy cars from 54 sides, whose true motion and visibility are known exactly.

View synthesis on rendered objects is the task of Zhou et al., "View Synthesis by Appearance Flow", ECCV 2016; the views
are those of GFLA's: 18 azimuths and 3 elevations.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from geotrans.data._counter import keys, uniforms
from geotrans.data._procedural import Procedural
from geotrans.data._view_camera import AZIMUTHS, ELEVATIONS, make_camera
from geotrans.data._view_car import CAR_DRAWS, SHAPES, Car, make_car
from geotrans.data._view_pair import draw_views
from geotrans.types import Condition, ConditionSpec, Sample, cat
from registry import register_dataset

DECORATIONS = ("sign", "two_tone", "stripes", "band", "roundel", "glazed")
SPEC = ConditionSpec(
    attributes=(*SHAPES, *DECORATIONS),
    view=(*(f"azimuth_{degrees:03d}" for degrees in AZIMUTHS), *(f"elevation_{degrees:02d}" for degrees in ELEVATIONS)),
)

_VIEWS = len(AZIMUTHS) * len(ELEVATIONS)
_IMAGES_PER_IDENTITY = 4
_CHUNK = 16  # cars drawn together; more no longer fit the cache


class SynthViews(Procedural):
    """Toy cars in pairs: a picture from one side, and the same car from any other of the 54.

    Four pairs a car; no car is in two splits. What is at an index depends on (`split`, `seed`) and the index alone: not
    on `size`, nor, but for rounding, on the batch; `resolution` changes the sampling only.

    Convention:
        `Sample.flow` is backward: pixel p of `truth` shows the point that `image` shows at p + flow, (x, y), 2 = the
        image's width, pixel centres (align_corners=False); 0 on the backdrop. It is known where the car hides the point
        too. `Sample.visible` is 1 where `image` shows the point, or the backdrop at the same place.
        `Condition.view` is a one-hot azimuth, then a one-hot elevation: azimuth 0 looks at the front, 90 at the left
        side. `Condition.attributes` tell the car's shape, one-hot, and what is on it, seen or not.
    """

    spec = SPEC

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
        """
        return cat([self._chunk(indices[start : start + _CHUNK]) for start in range(0, len(indices), _CHUNK)])

    def identity(self, indices: Sequence[int]) -> Tensor:
        """Which car is at `indices`: (B,) int64, one number a car, and no number in two splits."""
        return self.numbers(indices, _IMAGES_PER_IDENTITY)

    def _chunk(self, indices: Sequence[int]) -> Sample:
        car = make_car(uniforms(keys(self.seed, 32, self.identity(indices)), CAR_DRAWS))
        draws = uniforms(keys(self.seed, 33, self.numbers(indices)), 6)
        source = (draws[:, 0] * _VIEWS).long()
        target = (source + 1 + (draws[:, 1] * (_VIEWS - 1)).long()) % _VIEWS
        tint = 0.88 + 0.06 * draws[:, 2:3] + 0.04 * (draws[:, 3:6] - 0.5)
        cameras = [make_camera(view % len(AZIMUTHS), view // len(AZIMUTHS)) for view in (source, target)]
        image, truth, flow, visible = draw_views(car, cameras[0], cameras[1], tint, self.resolution)
        return Sample(
            image, _condition(car, source), _condition(car, target), truth, flow, visible, self.names(indices)
        )


@register_dataset("Toy cars from 54 sides, with true motion and visibility", "Apache-2.0")
def synthviews(split: str = "train", resolution: int = 64, seed: int = 0, size: int | None = None) -> SynthViews:
    """Textured toy cars at 18 azimuths and 3 elevations, two views a sample.

    Args:
        split: train, val or test.
        resolution: height and width, at least 16.
        seed: another seed is another set of cars.
        size: number of samples; by default 20000 for train and 2000 else.

    Raises:
        ValueError: an unknown split, or a resolution or size that is too small.
    """
    return SynthViews("synthviews", split, resolution, seed, size)


def _condition(car: Car, view: Tensor) -> Condition:
    azimuth, elevation = one_hot(view % len(AZIMUTHS), len(AZIMUTHS)), one_hot(view // len(AZIMUTHS), len(ELEVATIONS))
    worn = torch.stack([getattr(car, name) for name in DECORATIONS], dim=1)
    return Condition(
        attributes=torch.cat([one_hot(car.shape, len(SHAPES)).float(), worn], dim=1),
        view=torch.cat([azimuth, elevation], dim=1).float(),
    )
