"""`joint`: CelebA's attributes and RaFD's emotions in one set, as StarGAN trains on both.

Paper: Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation",
CVPR 2018, Sec. 3.2. Differences from the paper: a batch holds pictures of both sets, every other one of each, where the
official code takes a batch of one and a batch of the other in turn; and the mask of the label is the condition's
modality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from geotrans.data._files import Pictures, order_of
from geotrans.data._reader import Reader
from geotrans.data.base import Dataset
from geotrans.data.celeba import celeba, example_celeba
from geotrans.data.rafd import EMOTIONS, example_rafd, rafd
from geotrans.types import Condition, ConditionSpec, Sample, cat
from registry import register_dataset

ATTRIBUTES5 = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
SETS = ("celeba", "rafd")
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")


class Joint(Dataset):
    """Pictures of CelebA and of RaFD.

    In training CelebA's are at even indices and RaFD's at odd ones, the smaller set again and again; otherwise RaFD's
    follow after CelebA's. What a set does not know is 0, and `modality` says which set a picture is of. The target is
    the condition of another picture of the same set: in every pass over a set, each of its conditions is a target once.
    """

    def __init__(self, parts: tuple[Pictures, Pictures], seed: int, *, in_turn: bool) -> None:
        self.parts, self.seed, self.in_turn = parts, seed, in_turn
        self.spec = ConditionSpec(attributes=parts[0].spec.attributes, emotion=EMOTIONS, modality=SETS)
        self.resolution = parts[0].resolution

    def __len__(self) -> int:
        sizes = [len(part) for part in self.parts]
        return 2 * max(sizes) if self.in_turn else sum(sizes)

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
            ValueError: a file is broken; the message has its path.
        """
        turns = [self._turn(index) for index in indices]
        places = [[place for place, (which, _) in enumerate(turns) if which == part] for part in (0, 1)]
        samples = [self._of(part, [turns[place][1] for place in mine]) for part, mine in enumerate(places) if mine]
        behind = [*places[0], *places[1]]
        return cat(samples).rows([behind.index(place) for place in range(len(turns))])

    def _turn(self, index: int) -> tuple[int, int]:
        """Which set an index is of, and which of its turns it is."""
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside the dataset's 0..{len(self) - 1}")
        first = len(self.parts[0])
        if self.in_turn:
            return index % 2, index // 2
        return (0, index) if index < first else (1, index - first)

    def _of(self, which: int, turns: Sequence[int]) -> Sample:
        part = self.parts[which]
        sample = part.batch([turn % len(part) for turn in turns])
        rows = len(part.table.names)
        wanted = [int(order_of(self.seed, turn // rows, rows)[turn % rows]) for turn in turns]
        assert sample.source is not None
        return replace(
            sample,
            source=self._whole(which, sample.source),
            target=self._whole(which, part.table.labels.rows(wanted)),
            id=tuple(f"{SETS[which]}/{name}" for name in sample.id),
        )

    def _whole(self, which: int, known: Condition) -> Condition:
        """A condition with all three parts."""
        attributes, emotion = known.attributes, known.emotion
        count = len(attributes if attributes is not None else emotion if emotion is not None else ())
        return Condition(
            attributes=torch.zeros(count, len(self.spec.attributes)) if attributes is None else attributes,
            emotion=torch.zeros(count, len(EMOTIONS)) if emotion is None else emotion,
            modality=torch.eye(2)[which].expand(count, 2).clone(),
        )


@register_dataset("CelebA's attributes and RaFD's emotions together, as StarGAN's joint training", "as CelebA and RaFD")
def joint(
    root: str = "",
    split: str = "train",
    resolution: int = 128,
    seed: int = 0,
    attributes: Sequence[str] = ATTRIBUTES5,
    rule: str = "stargan",
    flip: bool = True,
    skip_broken: bool = False,
) -> Joint:
    """CelebA and RaFD in turn, with labels of both.

    Args:
        root: holds the folders celeba and rafd, as the datasets of those names read them.
        seed: decides which target a picture gets.

    The other arguments, and errors, as for `celeba` and `rafd`.
    """
    reader = Reader("joint", root, "DIR/celeba and DIR/rafd", split)
    first, second = (str(reader.place((name,), f"folder {name}")) for name in SETS)
    faces = celeba(first, split, resolution, seed, attributes, rule, flip, skip_broken=skip_broken)
    emotions = rafd(second, split, resolution, seed, flip=flip, skip_broken=skip_broken)
    return Joint((faces, emotions), seed, in_turn=reader.train)


def star_targets(source: Condition, spec: ConditionSpec) -> dict[str, Condition]:
    """The targets that StarGAN shows for pictures: one for each column of attributes and emotion, by its name.

    An attribute is turned over, except that one colour of hair takes the place of the others; an emotion is the only
    one. With the columns of `joint`, the other set's part is 0 and modality says which set the target is of.

    Args:
        source: the condition of the pictures, with the columns of `spec`.

    Raises:
        ValueError: `source` does not have the columns of `spec`.
    """
    parts = [value for value in (source.attributes, source.emotion) if value is not None]
    spec.check(source, len(parts[0]) if parts else 0)
    together = spec.modality == SETS
    targets: dict[str, Condition] = {}
    if source.attributes is not None:
        rest = _other_part(source, "emotion", 0) if together else source
        for column in spec.attributes:
            targets[column] = replace(rest, attributes=_turned(source.attributes, spec.attributes, column))
    if source.emotion is not None:
        rest = _other_part(source, "attributes", 1) if together else source
        for place, column in enumerate(spec.emotion):
            one_hot = torch.zeros_like(source.emotion)
            one_hot[:, place] = 1
            targets[column] = replace(rest, emotion=one_hot)
    return targets


def _turned(labels: Tensor, columns: Sequence[str], column: str) -> Tensor:
    labels, place = labels.clone(), columns.index(column)
    if column not in HAIR:
        labels[:, place] = 1 - labels[:, place]
        return labels
    labels[:, [number for number, name in enumerate(columns) if name in HAIR]] = 0
    labels[:, place] = 1
    return labels


def _other_part(source: Condition, unknown: str, which: int) -> Condition:
    value: Tensor = getattr(source, unknown)
    modality = torch.eye(2)[which].to(value).expand(len(value), 2).clone()
    return replace(source, **{unknown: torch.zeros_like(value)}, modality=modality)


def example_joint(root: Path) -> None:
    """Write a folder as `joint` reads it, in miniature."""
    example_celeba(root / "celeba")
    example_rafd(root / "rafd")
