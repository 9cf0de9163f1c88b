"""`synthface`: drawn faces whose motion, target picture, landmarks and labels are all known exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from geotrans.data._counter import keys, uniforms
from geotrans.data._face_identity import IDENTITY_DRAWS, SCENE_DRAWS, take
from geotrans.data._face_modality import MODALITIES
from geotrans.data._face_motion import ATTRIBUTES, AUS, Expression
from geotrans.data._face_pair import EMOTIONS, State, draw_pair
from geotrans.data._procedural import Procedural
from geotrans.types import ConditionSpec, Sample, cat
from registry import register_dataset

TASKS = ("attributes", "aus", "emotion", "modality")
SPEC = ConditionSpec(attributes=ATTRIBUTES, aus=AUS, emotion=EMOTIONS, modality=MODALITIES, landmarks=True)

_DOMAINS: dict[str, tuple[tuple[str, ...], ...]] = {
    "attributes": tuple((f"no_{name}", name) for name in ATTRIBUTES),
    "modality": tuple((first, second) for first in MODALITIES for second in MODALITIES if first != second),
}
_IMAGES_PER_IDENTITY = 4
_CHUNK = 16  # pictures drawn together; more no longer fit the cache

# AU sets of the emotions after EMFACS and the Radboud Faces Database (Langner et al., Cognition and Emotion, 2010).
EMOTION_AUS: dict[str, dict[str, float]] = {
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
        for au, value in EMOTION_AUS[name].items():
            table[row, AUS.index(au)] = value
    return table


EMOTION_TABLE = _emotion_table()


class SynthFace(Procedural):
    """Drawn faces in pairs: a picture, and the same face and scene under another condition.

    Four images an identity; no identity is in two splits. What is at an index depends on (`split`, `seed`, `task`) and
    the index alone: not on `size`, nor, but for rounding, on the batch; `resolution` changes the sampling only.

    Convention:
        `Sample.flow` is backward: pixel p of `truth` shows what `image` shows at p + flow, (x, y), 2 = the image's
        width, pixel centres (align_corners=False). `Sample.visible` is 0 where either picture is painted (open mouth,
        lowered lids, folds) and where p + flow is outside of `image`. Landmarks are iBUG-68, (x, y) in [-1, 1].
    """

    spec = SPEC

    def __init__(
        self, split: str, resolution: int, seed: int, task: str, size: int | None, domains: tuple[str, ...] = ()
    ) -> None:
        super().__init__("synthface", split, resolution, seed, size)
        self.task = task
        self.domains = domains

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
        """
        who, pair = self.identity(indices), self.numbers(indices)
        person = uniforms(keys(self.seed, 1, who), IDENTITY_DRAWS)
        scene = uniforms(keys(self.seed, 2, pair), SCENE_DRAWS)
        choice = uniforms(keys(self.seed, 3, pair), 64)
        habits = uniforms(keys(self.seed, 4, who), len(AUS) + 1)
        if self.domains:
            _fix(choice, self.task, *self.domains)
        source, target = _STATES[self.task](choice, habits)
        return _sample(person, scene, source, target, self.resolution, self.names(indices))

    def identity(self, indices: Sequence[int]) -> Tensor:
        """Who is at `indices`: (B,) int64, one number an identity, and no number in two splits."""
        return self.numbers(indices, _IMAGES_PER_IDENTITY)


@register_dataset("Drawn faces with true motion: attributes, action units, emotions, modalities", "Apache-2.0")
def synthface(
    split: str = "train",
    resolution: int = 64,
    seed: int = 0,
    task: str = "attributes",
    size: int | None = None,
    domains: Sequence[str] = (),
) -> SynthFace:
    """Procedural faces, a pair a sample; `task` is what differs in a pair.

    Args:
        split: train, val or test.
        resolution: height and width, at least 16.
        seed: another seed is another population.
        task: attributes, aus, emotion or modality.
        size: number of samples; by default 20000 for train and 2000 else.
        domains: what every source and what every target is: two modalities, or with task attributes "no_NAME" and
            "NAME". By default any two.

    Raises:
        ValueError: an unknown split, task or modality, or a resolution or size that is too small.
    """
    if task not in TASKS:
        raise ValueError(f"synthface: expected task to be one of {', '.join(TASKS)}, got {task!r}")
    known = _DOMAINS.get(task, ())
    if domains and tuple(domains) not in known:
        pairs = ", ".join("/".join(pair) for pair in known) or "none"
        raise ValueError(f"synthface: expected domains with task {task} to be one of {pairs}; got {'/'.join(domains)}")
    return SynthFace(split, resolution, seed, task, size, tuple(domains))


def resting(habits: Tensor) -> Tensor:
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


def _binary_state(bits: Tensor, strength: Tensor, habits: Tensor, modality: Tensor) -> State:
    smiling = bits[:, :1]
    aus = (resting(habits) + smiling * _smile(habits, strength)).clamp(0, 1)
    emotion = smiling[:, 0].long() * EMOTIONS.index("happy")
    cartoon = (modality == MODALITIES.index("cartoon")).float()[:, None]
    return State(Expression(aus, bits, cartoon), emotion, modality)


def _photo(like: Tensor) -> Tensor:
    return torch.zeros(len(like), dtype=torch.int64)


def _attribute_states(choice: Tensor, habits: Tensor) -> tuple[State, State]:
    bits = choice[:, :4] < 0.5
    flips = (1 + (choice[:, 4:5] * 15).long()) >> torch.arange(4) & 1  # any of the 15 ways to differ
    source = _binary_state(bits.float(), choice[:, 5], habits, _photo(choice))
    return source, _binary_state((bits ^ flips.bool()).float(), choice[:, 6], habits, _photo(choice))


def _fix(choice: Tensor, task: str, source: str, target: str) -> None:
    """Set the draws for which every pair is of these two domains."""
    if task == "modality":
        first, second = MODALITIES.index(source), MODALITIES.index(target)
        choice[:, 7] = (first + 0.5) / 4
        choice[:, 8] = ((second - first - 1) % 4 + 0.5) / 3
    else:
        column = ATTRIBUTES.index(target)
        choice[:, column] = 0.75  # off
        choice[:, 4] = (2**column - 0.5) / 15  # flips this column alone


def _modality_states(choice: Tensor, habits: Tensor) -> tuple[State, State]:
    bits = (choice[:, :4] < 0.5).float()
    modality = (choice[:, 7] * 4).long()
    other = (modality + 1 + (choice[:, 8] * 3).long()) % 4
    source = _binary_state(bits, choice[:, 5], habits, modality)
    return source, _binary_state(bits, choice[:, 5], habits, other)


def _au_states(choice: Tensor, habits: Tensor) -> tuple[State, State]:
    source, target = choice[:, 12:29], choice[:, 29:46]
    forced = one_hot((choice[:, 9] * len(AUS)).long(), len(AUS))
    units = acted(source, 0 * forced, habits), acted(target, forced, habits)
    first, second = (au_state(aus, nearest_emotion(aus), choice) for aus in units)
    return first, second


def _emotion_states(choice: Tensor, habits: Tensor) -> tuple[State, State]:
    first = (choice[:, 9] * len(EMOTIONS)).long()
    second = (first + 1 + (choice[:, 10] * (len(EMOTIONS) - 1)).long()) % len(EMOTIONS)
    states = []
    for emotion, draws in ((first, choice[:, 12:29]), (second, choice[:, 29:46])):
        states.append(au_state(felt(emotion, draws, habits), emotion, choice))
    return states[0], states[1]


def felt(emotion: Tensor, draws: Tensor, habits: Tensor) -> Tensor:
    """AUs (B, 17) of an emotion (B,), at three quarters of their strength or more."""
    return torch.maximum(EMOTION_TABLE[emotion] * (0.75 + 0.25 * draws), resting(habits))


def acted(draws: Tensor, forced: Tensor, habits: Tensor) -> Tensor:
    """AUs (B, 17), each active with probability 1/4, at 0.2 to 1; those in `forced` always are."""
    active = (draws < 0.25) | forced.bool()
    return torch.where(active, 0.2 + 0.8 * (draws * 4) % 1, resting(habits)).clamp(0, 1)


def au_state(aus: Tensor, emotion: Tensor, choice: Tensor) -> State:
    """A photo; a face's nose and brows are as drawn for the pair, and it is smiling if its lip corners are well up."""
    bits = (choice[:, :4] < 0.5).float()
    bits[:, 0] = aus[:, AUS.index("AU12")] >= 0.5
    return State(Expression(aus, bits, torch.zeros(len(aus), 1)), emotion, _photo(aus))


def nearest_emotion(aus: Tensor) -> Tensor:
    return torch.cdist(aus, EMOTION_TABLE).argmin(dim=1)


_STATES: dict[str, Callable[[Tensor, Tensor], tuple[State, State]]] = {
    "attributes": _attribute_states,
    "aus": _au_states,
    "emotion": _emotion_states,
    "modality": _modality_states,
}


def _sample(
    person: Tensor, scene: Tensor, source: State, target: State, resolution: int, names: tuple[str, ...]
) -> Sample:
    parts = []
    for start in range(0, len(names), _CHUNK):
        rows = slice(start, start + _CHUNK)
        pair = (take(source, rows), take(target, rows))
        parts.append(draw_pair(person[rows], scene[rows], *pair, resolution, names[rows]))
    return cat(parts)
