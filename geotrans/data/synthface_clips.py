"""`synthface_clips`: drawn faces that move, frame by frame, with all that is known of each frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from geotrans.data._counter import keys, uniforms
from geotrans.data._face_identity import IDENTITY_DRAWS, SCENE_DRAWS
from geotrans.data._face_motion import AUS
from geotrans.data._face_pair import EMOTIONS, State, draw_shots
from geotrans.data._procedural import SPLITS
from geotrans.data.base import Dataset
from geotrans.data.synthface import acted, au_state, felt, nearest_emotion, resting
from geotrans.ops.face_structure import CHANNELS, face_structure
from geotrans.types import Condition, ConditionSpec, Sample, cat
from registry import register_dataset

BEAT = 8  # frames from one expression to the next
SMALLEST = 16  # pixels
MOVING = 0.75  # share of a beat in which a face moves; then it holds its expression

_BLINK, _BLINKS = 1.6, 0.4  # half of a blink's length in frames, and how many beats have one
_LARGEST = 1 << 28
_DRAWS = 2 * len(AUS) + 5  # of an expression
_CHUNK = 16  # samples drawn together; more no longer fit the cache


class SynthFaceClips(Dataset):
    """Frames of clips: each clip has one face and one scene, and goes from expression to expression.

    A clip gives a sample for each frame but its first: samples 0 to frames - 2 are those of the first clip, in order.
    Every clip shows somebody else, and nobody is in two splits. What is at an index depends on (`split`, `seed`,
    `frames`, `starts`) and the index alone; what is in a clip's frame does not depend on `frames`.

    With two references `Sample.image` is (B, 2, 3, H, W), the frame before and the clip's first frame, and the source's
    structure (B, 2, 16, H, W); with one it is (B, 3, H, W), the first frame. `flow` and `visible`, as in `SynthFace`,
    lead from the wanted frame into the first of the references. Structures are those of `face_structure`.
    """

    def __init__(
        self, split: str, resolution: int, seed: int, frames: int, references: int, starts: float, size: int
    ) -> None:
        self.split = split
        self.resolution = resolution
        self.seed = seed
        self.frames = frames
        self.references = references
        self.starts = starts
        self.size = size
        several = references > 1
        self.spec = ConditionSpec(aus=() if several else AUS, landmarks=not several, structure=CHANNELS)
        self._split = list(SPLITS).index(split) << 28

    def __len__(self) -> int:
        return self.size

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
        """
        outside = [index for index in indices if not 0 <= index < self.size]
        if outside:
            raise IndexError(f"index {outside[0]} is outside the dataset's 0..{self.size - 1}")
        index = torch.tensor(list(indices), dtype=torch.int64)
        return cat([self._drawn(part) for part in torch.split(index, _CHUNK)])

    def clip(self, number: int) -> Sample:
        """All samples of a clip, in order.

        Raises:
            IndexError: the dataset does not have it as a whole.
        """
        first = number * (self.frames - 1)
        return self.batch(range(first, first + self.frames - 1))

    def _drawn(self, index: Tensor) -> Sample:
        clips, frame = index // (self.frames - 1), 1 + index % (self.frames - 1)
        who = self._split | clips
        person = uniforms(keys(self.seed, 1, who), IDENTITY_DRAWS)
        scene = uniforms(keys(self.seed, 5, who), SCENE_DRAWS)
        look, habits = uniforms(keys(self.seed, 6, who), 4), uniforms(keys(self.seed, 4, who), len(AUS) + 1)
        starting = uniforms(keys(self.seed, 10, self._split | index), 1)[:, 0] < self.starts
        before = torch.where(starting, 0, frame - 1)
        times = (before, 0 * frame, frame)[-self.references - 1 :]
        states = [self._state(who, time, look, habits) for time in times]
        shots = draw_shots(person, scene, states, self.resolution)
        structures = [_structure(condition, self.resolution) for condition in shots.conditions]
        wanted = Condition(
            aus=shots.conditions[-1].aus, landmarks=shots.conditions[-1].landmarks, structure=structures[-1]
        )
        if self.references > 1:
            image, source = torch.stack(shots.pictures[:-1], 1), Condition(structure=torch.stack(structures[:-1], 1))
        else:
            first = shots.conditions[0]
            image = shots.pictures[0]
            source = Condition(aus=first.aus, landmarks=first.landmarks, structure=structures[0])
        places = zip(clips.tolist(), frame.tolist(), strict=True)
        names = tuple(f"synthface_clips-{self.split}-{clip:05d}-{time:03d}" for clip, time in places)
        return Sample(image, source, wanted, shots.pictures[-1], shots.flow, shots.visible, names)

    def _state(self, who: Tensor, time: Tensor, look: Tensor, habits: Tensor) -> State:
        """What the faces `who` do at the frames `time`."""
        beat = time // BEAT
        share = (time % BEAT) / (BEAT * MOVING)
        eased = _ease(share.clamp(max=1))[:, None]
        aus = torch.lerp(self._expression(who, beat, habits), self._expression(who, beat + 1, habits), eased)
        when, whether = uniforms(keys(self.seed, 8, _moment(who, beat)), 2).T
        middle = _BLINK + when * (BEAT - 2 * _BLINK)
        closing = (1 - (time % BEAT - middle).abs() / _BLINK).clamp_min(0) * (whether < _BLINKS)
        lids = AUS.index("AU45")
        aus[:, lids] = torch.maximum(aus[:, lids], closing)
        return au_state(aus, nearest_emotion(aus), look)

    def _expression(self, who: Tensor, beat: Tensor, habits: Tensor) -> Tensor:
        """AUs (B, 17) that a clip passes through: an emotion, some AUs, or at half of the starts a face at rest."""
        draws = uniforms(keys(self.seed, 7, _moment(who, beat)), _DRAWS)
        kind, which, forced, start, _ = draws[:, -5:].T
        emotion = felt((which * len(EMOTIONS)).long(), draws[:, : len(AUS)], habits)
        one = one_hot((forced * len(AUS)).long(), len(AUS))
        units = acted(draws[:, len(AUS) : 2 * len(AUS)], one, habits)
        units[:, AUS.index("AU45")] = 0.0  # a face that moves blinks, and does not keep its eyes shut
        found = torch.where(kind[:, None] < 0.5, emotion, units)
        rests = (beat == 0) & (start < 0.5)
        return torch.where(rests[:, None], resting(habits), found)


@register_dataset("Drawn faces that move: clips with the structure, flow and landmarks of every frame", "Apache-2.0")
def synthface_clips(
    split: str = "train",
    resolution: int = 64,
    seed: int = 0,
    frames: int = 25,
    references: int = 2,
    starts: float = 0.0,
    size: int | None = None,
) -> SynthFaceClips:
    """Frames of procedural clips, each with what an animation model has when it comes to it.

    Args:
        split: train, val or test.
        resolution: height and width, at least 16.
        seed: another seed is another population.
        frames: of a clip, at least 2; every 8 frames there is another expression.
        references: 2: the frame before, and the clip's first frame; 1: the first frame alone.
        starts: share of the samples in which the first frame stands for the frame before too, whatever frame is wanted,
            as when an animation starts.
        size: number of samples; by default 20000 for train and 2000 else.

    Raises:
        ValueError: an unknown split, or a number that is out of range.
    """
    if split not in SPLITS:
        raise ValueError(f"synthface_clips: expected split to be one of {', '.join(SPLITS)}, got {split!r}")
    if resolution < SMALLEST:
        raise ValueError(f"synthface_clips: expected a resolution of {SMALLEST} or more, got {resolution}")
    if not 2 <= frames < 1 << 16:
        raise ValueError(f"synthface_clips: expected 2 to {(1 << 16) - 1} frames, got {frames}")
    if references not in (1, 2):
        raise ValueError(f"synthface_clips: expected 1 or 2 references, got {references}")
    if not 0 <= starts <= 1:
        raise ValueError(f"synthface_clips: expected starts to be a share in [0, 1], got {starts}")
    if size is not None and not 0 < size < _LARGEST:
        raise ValueError(f"synthface_clips: expected a size between 1 and {_LARGEST - 1}, got {size}")
    size = SPLITS[split] if size is None else size
    return SynthFaceClips(split, resolution, seed, frames, references, starts, size)


def _structure(condition: Condition, resolution: int) -> Tensor:
    assert condition.landmarks is not None
    return face_structure(condition.landmarks, resolution, resolution)


def _moment(who: Tensor, beat: Tensor) -> Tensor:
    """A key (B,) for a beat of a clip."""
    return keys(0, 0, (keys(0, 9, who) + beat * 0x9E3779B9) & 0xFFFFFFFF)


def _ease(share: Tensor) -> Tensor:
    """From 0 to 1 without a jump in speed."""
    return share * share * (3 - 2 * share)
