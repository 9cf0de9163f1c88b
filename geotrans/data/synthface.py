"""`synthface`: drawn faces whose motion, target picture, landmarks and labels are all known exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from geotrans.data import _face_draw as draw
from geotrans.data._counter import keys, uniforms
from geotrans.data._face_canvas import Canvas
from geotrans.data._face_identity import IDENTITY_DRAWS, SCENE_DRAWS, Face, make_face, take
from geotrans.data._face_modality import MODALITIES, finish, make_canvas, toned
from geotrans.data._face_motion import (
    ATTRIBUTES,
    AUS,
    Expression,
    Motion,
    Paint,
    contract,
    displaced_landmarks,
    make_paint,
)
from geotrans.data.base import Dataset
from geotrans.ops.warp import identity_grid, warp
from geotrans.types import Condition, ConditionSpec, Sample, cat
from registry import register_dataset

EMOTIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised", "contemptuous")
SPLITS = {"train": 20_000, "val": 2_000, "test": 2_000}
TASKS = ("attributes", "aus", "emotion", "modality")
SPEC = ConditionSpec(attributes=ATTRIBUTES, aus=AUS, emotion=EMOTIONS, modality=MODALITIES, landmarks=True)

_IMAGES_PER_IDENTITY = 4
_MIN_RESOLUTION = 16
_CHUNK = 16  # pictures drawn together; more no longer fit the cache
_FLOW_STEPS = 4
_PAINTED = 0.02  # a pixel is painted from this share on

# AU sets of the emotions after EMFACS and the Radboud Faces Database (Langner et al., Cognition and Emotion, 2010).
_EMOTION_AUS: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"AU06": 0.9, "AU12": 1.0, "AU25": 0.8},
    "sad": {"AU01": 1.0, "AU04": 0.55, "AU15": 1.0, "AU17": 0.6},
    "angry": {"AU04": 1.0, "AU05": 0.5, "AU07": 0.6, "AU17": 0.5, "AU23": 1.0},
    "fearful": {"AU01": 1.0, "AU02": 0.6, "AU04": 0.5, "AU05": 1.0, "AU20": 1.0, "AU25": 0.8},
    "disgusted": {"AU07": 0.4, "AU09": 1.0, "AU10": 1.0, "AU25": 0.3},
    "surprised": {"AU01": 0.9, "AU02": 1.0, "AU05": 0.8, "AU25": 0.9, "AU26": 1.0},
    "contemptuous": {"AU12": 0.1, "AU14": 1.0},
}


def _emotion_table() -> Tensor:
    table = torch.zeros(len(EMOTIONS), len(AUS))
    for row, name in enumerate(EMOTIONS):
        for au, value in _EMOTION_AUS[name].items():
            table[row, AUS.index(au)] = value
    return table


_EMOTION_TABLE = _emotion_table()


@dataclass(frozen=True, slots=True)
class _State:
    """What one picture of a face shows: its expression, emotion (B,) and modality (B,)."""

    expression: Expression
    emotion: Tensor
    modality: Tensor


class SynthFace(Dataset):
    """Drawn faces in pairs: a picture, and the same face and scene under another condition.

    Four images an identity; no identity is in two splits. What is at an index depends on (`split`, `seed`, `task`) and
    the index alone: not on `size`, nor, but for rounding, on the batch; `resolution` changes the sampling only.

    Convention:
        `Sample.flow` is backward: pixel p of `truth` shows what `image` shows at p + flow, (x, y), 2 = the image's
        width, pixel centres (align_corners=False). `Sample.visible` is 0 where either picture is painted (open mouth,
        lowered lids, folds) and where p + flow is outside of `image`. Landmarks are iBUG-68, (x, y) in [-1, 1].
    """

    spec = SPEC

    def __init__(self, split: str, resolution: int, seed: int, task: str, size: int | None) -> None:
        self.split = split
        self.resolution = resolution
        self.seed = seed
        self.task = task
        self.size = SPLITS[split] if size is None else size
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
        who, pair = self.identity(indices), self._split | index
        person = uniforms(keys(self.seed, 1, who), IDENTITY_DRAWS)
        scene = uniforms(keys(self.seed, 2, pair), SCENE_DRAWS)
        choice = uniforms(keys(self.seed, 3, pair), 64)
        habits = uniforms(keys(self.seed, 4, who), len(AUS) + 1)
        source, target = _STATES[self.task](choice, habits)
        names = tuple(f"synthface-{self.split}-{i:06d}" for i in index.tolist())
        return _sample(person, scene, source, target, self.resolution, names)

    def identity(self, indices: Sequence[int]) -> Tensor:
        """Who is at `indices`: (B,) int64, one number an identity, and no number in two splits."""
        return self._split | torch.tensor(list(indices), dtype=torch.int64) // _IMAGES_PER_IDENTITY


@register_dataset("Drawn faces with true motion: attributes, action units, emotions, modalities", "Apache-2.0")
def synthface(
    split: str = "train", resolution: int = 64, seed: int = 0, task: str = "attributes", size: int | None = None
) -> SynthFace:
    """Procedural faces, a pair a sample; `task` is what differs in a pair.

    Args:
        split: train, val or test.
        resolution: height and width, at least 16.
        seed: another seed is another population.
        task: attributes, aus, emotion or modality.
        size: number of samples; by default 20000 for train and 2000 else.

    Raises:
        ValueError: an unknown split or task, or a resolution or size that is too small.
    """
    if split not in SPLITS:
        raise ValueError(f"synthface: expected split to be one of {', '.join(SPLITS)}, got {split!r}")
    if task not in TASKS:
        raise ValueError(f"synthface: expected task to be one of {', '.join(TASKS)}, got {task!r}")
    if resolution < _MIN_RESOLUTION:
        raise ValueError(f"synthface: expected a resolution of {_MIN_RESOLUTION} or more, got {resolution}")
    if size is not None and not 0 < size < 1 << 28:
        raise ValueError(f"synthface: expected a size between 1 and {(1 << 28) - 1}, got {size}")
    return SynthFace(split, resolution, seed, task, size)


def _habits(habits: Tensor) -> Tensor:
    """A person's own slight activity at rest, (B, 17) in [0, 0.06]; lips and lids rest closed and open."""
    resting = torch.tensor([au not in ("AU25", "AU26", "AU45") for au in AUS])
    return 0.06 * habits[:, : len(AUS)] * resting


def _smile(habits: Tensor, strength: Tensor) -> Tensor:
    """AUs (B, 17) of a person's smile; some show their teeth, others do not."""
    table = torch.zeros(3, len(AUS))
    for row, au in enumerate(("AU12", "AU06", "AU25")):
        table[row, AUS.index(au)] = 1.0
    teeth = 0.75 * (habits[:, -1] < 0.6).float()
    return torch.stack([0.85 + 0.15 * strength, 0.45 + 0.3 * strength, teeth], dim=1) @ table


def _binary_state(bits: Tensor, strength: Tensor, habits: Tensor, modality: Tensor) -> _State:
    smiling = bits[:, :1]
    aus = (_habits(habits) + smiling * _smile(habits, strength)).clamp(0, 1)
    emotion = smiling[:, 0].long() * EMOTIONS.index("happy")
    cartoon = (modality == MODALITIES.index("cartoon")).float()[:, None]
    return _State(Expression(aus, bits, cartoon), emotion, modality)


def _photo(like: Tensor) -> Tensor:
    return torch.zeros(len(like), dtype=torch.int64)


def _attribute_states(choice: Tensor, habits: Tensor) -> tuple[_State, _State]:
    bits = choice[:, :4] < 0.5
    flips = (1 + (choice[:, 4:5] * 15).long()) >> torch.arange(4) & 1  # any of the 15 ways to differ
    source = _binary_state(bits.float(), choice[:, 5], habits, _photo(choice))
    return source, _binary_state((bits ^ flips.bool()).float(), choice[:, 6], habits, _photo(choice))


def _modality_states(choice: Tensor, habits: Tensor) -> tuple[_State, _State]:
    bits = (choice[:, :4] < 0.5).float()
    modality = (choice[:, 7] * 4).long()
    other = (modality + 1 + (choice[:, 8] * 3).long()) % 4
    source = _binary_state(bits, choice[:, 5], habits, modality)
    return source, _binary_state(bits, choice[:, 5], habits, other)


def _au_states(choice: Tensor, habits: Tensor) -> tuple[_State, _State]:
    source, target = choice[:, 12:29], choice[:, 29:46]
    forced = one_hot((choice[:, 9] * len(AUS)).long(), len(AUS))
    return _acted(source, choice, 0 * forced, habits), _acted(target, choice, forced, habits)


def _acted(draws: Tensor, choice: Tensor, forced: Tensor, habits: Tensor) -> _State:
    """Each AU is active with probability 1/4, at 0.2 to 1; those in `forced` always are."""
    active = (draws < 0.25) | forced.bool()
    aus = torch.where(active, 0.2 + 0.8 * (draws * 4) % 1, _habits(habits)).clamp(0, 1)
    return _au_state(aus, _nearest_emotion(aus), choice)


def _emotion_states(choice: Tensor, habits: Tensor) -> tuple[_State, _State]:
    first = (choice[:, 9] * len(EMOTIONS)).long()
    second = (first + 1 + (choice[:, 10] * (len(EMOTIONS) - 1)).long()) % len(EMOTIONS)
    states = []
    for emotion, draws in ((first, choice[:, 12:29]), (second, choice[:, 29:46])):
        aus = torch.maximum(_EMOTION_TABLE[emotion] * (0.75 + 0.25 * draws), _habits(habits))
        states.append(_au_state(aus, emotion, choice))
    return states[0], states[1]


def _au_state(aus: Tensor, emotion: Tensor, choice: Tensor) -> _State:
    """A photo; a face's nose and brows are as drawn for the pair, and it is smiling if its lip corners are well up."""
    bits = (choice[:, :4] < 0.5).float()
    bits[:, 0] = aus[:, AUS.index("AU12")] >= 0.5
    return _State(Expression(aus, bits, torch.zeros(len(aus), 1)), emotion, _photo(aus))


def _nearest_emotion(aus: Tensor) -> Tensor:
    return torch.cdist(aus, _EMOTION_TABLE).argmin(dim=1)


_STATES: dict[str, Callable[[Tensor, Tensor], tuple[_State, _State]]] = {
    "attributes": _attribute_states,
    "aus": _au_states,
    "emotion": _emotion_states,
    "modality": _modality_states,
}


@dataclass(frozen=True, slots=True)
class _Grid:
    """Pixel centres in the face frame: columns x (B, W), rows y (B, H), and a pixel's size (B, 1, 1)."""

    x: Tensor
    y: Tensor
    pixel: Tensor

    def points(self) -> Tensor:
        """(B, 2, H, W)."""
        batch, height, width = len(self.x), self.y.shape[1], self.x.shape[1]
        x, y = self.x[:, None].expand(batch, height, width), self.y[:, :, None].expand(batch, height, width)
        return torch.stack([x, y], dim=1)

    def rest(self, motion: Motion) -> Tensor:
        """Where each pixel's content is in the face at rest, (B, 2, H, W)."""
        return self.points() - motion.on_grid(self.x, self.y)


def _grid(face: Face, resolution: int) -> _Grid:
    centres = (2 * torch.arange(resolution) + 1) / resolution - 1
    x, y = ((centres - face.shift[:, :, i]) / face.scale[:, 0] for i in (0, 1))
    return _Grid(x, y, 2 / resolution / face.scale)


def _sample(
    person: Tensor, scene: Tensor, source: _State, target: _State, resolution: int, names: tuple[str, ...]
) -> Sample:
    parts = []
    for start in range(0, len(names), _CHUNK):
        rows = slice(start, start + _CHUNK)
        pair = (take(source, rows), take(target, rows))
        parts.append(_draw_pair(person[rows], scene[rows], *pair, resolution, names[rows]))
    return cat(parts)


def _draw_pair(
    person: Tensor, scene: Tensor, source: _State, target: _State, resolution: int, names: tuple[str, ...]
) -> Sample:
    face = make_face(person, scene)
    grid = _grid(face, resolution)
    poses = [_pose(face, state.expression) for state in (source, target)]
    places = [grid.rest(pose.motion) for pose in poses]
    pictures = [
        _picture(face, pose.paint, state.modality, place, grid.pixel)
        for state, pose, place in zip((source, target), poses, places, strict=True)
    ]
    flow = _true_flow(face, poses[0].motion, grid, places[1])
    visible = _visible(face, poses, places[1], grid.pixel, flow)
    conditions = [_condition(face, state, pose) for state, pose in zip((source, target), poses, strict=True)]
    return Sample(pictures[0], conditions[0], conditions[1], pictures[1], flow, visible, names)


@dataclass(frozen=True, slots=True)
class _Pose:
    motion: Motion
    paint: Paint


def _pose(face: Face, expression: Expression) -> _Pose:
    motion = contract(face, expression)
    return _Pose(motion, make_paint(face, expression, motion))


def _picture(face: Face, paint: Paint, modality: Tensor, place: Tensor, pixel: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1]; `place` (B, 2, H, W) says where each pixel is in the face at rest."""
    picture = place.new_empty(len(place), 3, *place.shape[2:])
    for kind in sorted(set(modality.tolist())):
        rows = (modality == kind).nonzero()[:, 0]
        canvas = make_canvas(MODALITIES[kind], place[rows, 0], place[rows, 1], pixel[rows])
        draw.draw(canvas, toned(MODALITIES[kind], take(face, rows)), take(paint, rows))
        picture[rows] = finish(MODALITIES[kind], canvas)
    return picture


def _table_sides(resolution: int) -> tuple[int, int]:
    """Sides of the tables of D and of its slope."""
    return resolution * (2 * (128 // resolution) + 1), max(64, resolution)


def _true_flow(face: Face, source: Motion, grid: _Grid, place: Tensor) -> Tensor:
    """The flow q - p with q - D(q) = place(p), D of the source, by Newton's method on a fine table of D.

    The table has an odd multiple of the picture's side, so that the pixels' centres are among its points.
    """
    fine, coarse = (_grid(face, side) for side in _table_sides(grid.x.shape[1]))
    moved = source.on_grid(fine.x, fine.y) * face.scale[..., None]
    slope = torch.gradient(source.on_grid(coarse.x, coarse.y), dim=(2, 3), spacing=2 / coarse.x.shape[1])
    slopes = torch.cat([slope[1], slope[0]], dim=1) * face.scale[..., None]
    start = (place - grid.points()) * face.scale[..., None]
    flow = start + warp(moved, start, padding="border")
    for _ in range(_FLOW_STEPS):
        x, y = (flow - start - warp(moved, flow, padding="border")).unbind(1)
        x_x, y_x, x_y, y_y = warp(slopes, flow, padding="border").unbind(1)
        step = torch.stack([(1 - y_y) * x + x_y * y, (1 - x_x) * y + y_x * x], dim=1)
        flow = flow - step / ((1 - x_x) * (1 - y_y) - x_y * y_x).clamp_min(0.05)[:, None]
    return flow


def _visible(face: Face, poses: list[_Pose], place: Tensor, pixel: Tensor, flow: Tensor) -> Tensor:
    """(B, 1, H, W): 1 where neither picture is painted; both paint in the face at rest, so one look-up does."""
    canvas = Canvas(place[:, 0], place[:, 1], pixel)
    seen = torch.ones_like(flow[:, :1])
    for pose in poses:
        for area, amount in draw.painted(canvas, face, pose.paint):
            seen[:, 0, area.rows, area.columns].mul_(amount < _PAINTED)
    height, width = flow.shape[2:]
    end = identity_grid(height, width)[0].permute(2, 0, 1) + flow
    return seen * (end.abs() <= 1).all(dim=1, keepdim=True)


def _condition(face: Face, state: _State, pose: _Pose) -> Condition:
    return Condition(
        attributes=state.expression.attributes,
        aus=state.expression.aus,
        emotion=one_hot(state.emotion, len(EMOTIONS)).float(),
        modality=one_hot(state.modality, len(MODALITIES)).float(),
        landmarks=displaced_landmarks(face, pose.motion, pose.paint),
    )
