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
from geotrans.data._procedural import Procedural
from geotrans.data.synthface import acted, au_state, felt, nearest_emotion, resting
from geotrans.ops.face_structure import CHANNELS, face_structure
from geotrans.types import Condition, ConditionSpec, Sample, cat
from registry import register_dataset

BEAT = 8  # frames from one expression to the next
MOVING = 0.75  # share of a beat in which a face moves; then it holds its expression

_BLINK, _BLINKS = 1.6, 0.4  # half of a blink's length in frames, and how many beats have one
_DRAWS = 2 * len(AUS) + 5  # of an expression
_CHUNK = 16  # samples drawn together; more no longer fit the cache


class SynthFaceClips(Procedural):
    """Frames of clips: each clip has one face and one scene, and goes from expression to expression.

    A clip gives a sample for each frame but its first: samples 0 to frames - 2 are those of the first clip, in order.
    Every clip shows somebody else, and nobody is in two splits. What is at an index depends on (`split`, `seed`,
    `frames`, `starts`, `run`) and the index alone; what is in a clip's frame does not depend on `frames`.

    With two references `Sample.image` is (B, 2, 3, H, W), the frame before and the clip's first frame, and the source's
    structure (B, 2, 16, H, W); with one it is (B, 3, H, W), the first frame. `flow` and `visible`, as in `SynthFace`,
    lead from the wanted frame into the first of the references. Structures are those of `face_structure`.

    With a `run` of several frames a sample wants them all, one after the other: `Sample.truth` is (B, run, 3, H, W) and
    the wanted structure (B, run, 16, H, W). The rest of it is about the first of them, and a clip gives a sample for
    each frame that a run starts with: frames - run of them.
    """

    def __init__(
        self,
        split: str,
        resolution: int,
        seed: int,
        frames: int,
        references: int,
        starts: float,
        run: int,
        size: int | None,
    ) -> None:
        super().__init__("synthface_clips", split, resolution, seed, size)
        self.frames = frames
        self.references = references
        self.starts = starts
        self.run = run
        several = references > 1
        self.spec = ConditionSpec(aus=() if several else AUS, landmarks=not several, structure=CHANNELS)

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
        """
        return cat([self._drawn(indices[start : start + _CHUNK]) for start in range(0, len(indices), _CHUNK)])

    def clip(self, number: int) -> Sample:
        """All samples of a clip, in order.

        Raises:
            IndexError: the dataset does not have it as a whole.
        """
        count = self.frames - self.run
        return self.batch(range(number * count, (number + 1) * count))

    def _drawn(self, indices: Sequence[int]) -> Sample:
        count = self.frames - self.run
        who = self.numbers(indices, count)
        frame = 1 + torch.tensor(list(indices), dtype=torch.int64) % count
        person = uniforms(keys(self.seed, 1, who), IDENTITY_DRAWS)
        scene = uniforms(keys(self.seed, 5, who), SCENE_DRAWS)
        look, habits = uniforms(keys(self.seed, 6, who), 4), uniforms(keys(self.seed, 4, who), len(AUS) + 1)
        starting = uniforms(keys(self.seed, 10, self.numbers(indices)), 1)[:, 0] < self.starts
        before = torch.where(starting, 0, frame - 1)
        shown = (before, 0 * frame)[-self.references :]
        later = [frame + further for further in range(1, self.run)]
        states = [self._state(who, time, look, habits) for time in (*shown, *later, frame)]
        shots = draw_shots(person, scene, states, self.resolution)
        structures = [_structure(condition, self.resolution) for condition in shots.conditions]
        first, last = shots.conditions[0], shots.conditions[-1]
        wanted = Condition(aus=last.aus, landmarks=last.landmarks, structure=self._wanted(structures))
        if self.references > 1:
            image, source = torch.stack(shots.pictures[:2], 1), Condition(structure=torch.stack(structures[:2], 1))
        else:
            image = shots.pictures[0]
            source = Condition(aus=first.aus, landmarks=first.landmarks, structure=structures[0])
        names = tuple(f"{self.name}-{self.split}-{index // count:05d}-{1 + index % count:03d}" for index in indices)
        return Sample(image, source, wanted, self._wanted(shots.pictures), shots.flow, shots.visible, names)

    def _wanted(self, maps: Sequence[Tensor]) -> Tensor:
        """What belongs to the wanted frame, which is drawn last, or to those of a run, along a new dimension."""
        return maps[-1] if self.run == 1 else torch.stack([maps[-1], *maps[self.references : -1]], 1)

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
    run: int = 1,
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
        run: frames that a sample wants, one after the other, fewer than `frames`.
        size: number of samples; by default 20000 for train and 2000 else.

    Raises:
        ValueError: an unknown split, or a number that is out of range.
    """
    if not 2 <= frames < 1 << 16:
        raise ValueError(f"synthface_clips: expected 2 to {(1 << 16) - 1} frames, got {frames}")
    if references not in (1, 2):
        raise ValueError(f"synthface_clips: expected 1 or 2 references, got {references}")
    if not 0 <= starts <= 1:
        raise ValueError(f"synthface_clips: expected starts to be a share in [0, 1], got {starts}")
    if not 0 < run < frames:
        raise ValueError(f"synthface_clips: expected a run of 1 to {frames - 1} frames, got {run}")
    return SynthFaceClips(split, resolution, seed, frames, references, starts, run, size)


def _structure(condition: Condition, resolution: int) -> Tensor:
    assert condition.landmarks is not None
    return face_structure(condition.landmarks, resolution, resolution)


def _moment(who: Tensor, beat: Tensor) -> Tensor:
    """A key (B,) for a beat of a clip."""
    return keys(0, 0, (keys(0, 9, who) + beat * 0x9E3779B9) & 0xFFFFFFFF)


def _ease(share: Tensor) -> Tensor:
    """From 0 to 1 without a jump in speed."""
    return share * share * (3 - 2 * share)
