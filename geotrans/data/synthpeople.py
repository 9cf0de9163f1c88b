"""`synthpeople`: drawn persons in pairs of poses whose motion, visibility and joints are all known exactly."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from geotrans.data._counter import keys, uniforms
from geotrans.data._face_identity import take
from geotrans.data._people_body import PERSON_DRAWS, make_person
from geotrans.data._people_pair import Person, draw_pair
from geotrans.data._people_pose import PLACE_DRAWS, POSE_DRAWS, Pose, make_pose
from geotrans.data._people_scene import SCENE_DRAWS, make_scene
from geotrans.data._procedural import Procedural
from geotrans.types import ConditionSpec, Sample, cat
from registry import register_dataset

JOINTS = 18
SPEC = ConditionSpec(structure=JOINTS)

_IMAGES_PER_IDENTITY = 4
_CHUNK = 16  # pictures drawn together; more no longer fit the cache
_WHO, _SCENE, _PLACE, _SOURCE, _TARGET = range(32, 37)  # streams of random numbers


class SynthPeople(Procedural):
    """A drawn person in a scene, and the same person in the same clothes and scene in another pose.

    Four samples an identity, each in another scene; no identity is in two splits. What is at an index depends on
    (`split`, `seed`) and the index alone: not on `size`, nor, but for rounding, on the batch; `resolution` changes the
    sampling only.

    Convention:
        `Sample.source` and `Sample.target` hold a Gaussian map for each of OpenPose's 18 joints, of 6 pixels at 256.
        `Sample.flow` is backward: pixel p of `truth` shows what `image` shows at p + flow, (x, y), 2 = the image's
        width, pixel centres (align_corners=False); it is 0 where `truth` shows the scene. `Sample.visible` is 0 where
        that content is hidden in `image`: behind another part, turned away, or outside the picture.
    """

    spec = SPEC

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
        """
        person, source, target = self._drawn(indices)
        scene = uniforms(keys(self.seed, _SCENE, self.numbers(indices)), SCENE_DRAWS)
        names = self.names(indices)
        parts = []
        for start in range(0, len(names), _CHUNK):
            rows = slice(start, start + _CHUNK)
            backdrop = make_scene(scene[rows], self.resolution)
            poses = take(source, rows), take(target, rows)
            parts.append(draw_pair(take(person, rows), backdrop, *poses, names[rows]))
        return cat(parts)

    def joints(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Where the 18 joints of source and target are, exactly: (B, 18, 2) each, (x, y) in [-1, 1].

        Raises:
            IndexError: an index is negative or not below the dataset's length.
        """
        _, source, target = self._drawn(indices)
        return source.joints, target.joints

    def identity(self, indices: Sequence[int]) -> Tensor:
        """Who is at `indices`: (B,) int64, one number an identity, and no number in two splits."""
        return self.numbers(indices, _IMAGES_PER_IDENTITY)

    def _drawn(self, indices: Sequence[int]) -> tuple[Person, Pose, Pose]:
        pair = self.numbers(indices)
        body, look = make_person(uniforms(keys(self.seed, _WHO, self.identity(indices)), PERSON_DRAWS))
        place = uniforms(keys(self.seed, _PLACE, pair), PLACE_DRAWS)
        source, target = (
            make_pose(body, uniforms(keys(self.seed, stream, pair), POSE_DRAWS), place) for stream in (_SOURCE, _TARGET)
        )
        return Person(body, look), source, target


@register_dataset("Drawn persons in pairs of poses, with true motion, visibility and joints", "Apache-2.0")
def synthpeople(split: str = "train", resolution: int = 64, seed: int = 0, size: int | None = None) -> SynthPeople:
    """Procedural persons, two poses a sample.

    Args:
        split: train, val or test.
        resolution: height and width, at least 16.
        seed: another seed is another population.
        size: number of samples; by default 20000 for train and 2000 else.

    Raises:
        ValueError: an unknown split, or a resolution or size that is too small.
    """
    return SynthPeople("synthpeople", split, resolution, seed, size)
