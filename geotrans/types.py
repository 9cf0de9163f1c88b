"""The records that models, datasets, losses and metrics exchange.

Units, everywhere: image float32 RGB in [-1, 1]; attribute in [0, 1]; AU = FACS intensity / 5 in [0, 1]; landmarks
(x, y) in [-1, 1] at the image's outer edges; flow backward, (x, y), in the same units, so that 2 is the image's width
or height.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

R = TypeVar("R", bound="_Record")


class _Record:
    """A frozen dataclass of optional tensors (and of records of them) whose first dimension is the batch."""

    __slots__ = ()

    def apply(self: R, function: Callable[[Tensor], Tensor]) -> R:
        """The same record with `function` applied to every tensor in it."""
        return replace(self, **{f.name: _apply(getattr(self, f.name), function) for f in fields(self)})  # type: ignore[type-var, arg-type]

    def to(self: R, device: torch.device | str) -> R:
        """The same record on another device."""
        return self.apply(lambda tensor: tensor.to(device, non_blocking=True))

    def rows(self: R, index: Any) -> R:
        """The rows `index` (a slice, an index tensor, or a list of ints) of every tensor."""
        return self.apply(lambda tensor: tensor[index])


def _apply(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, _Record):
        return value.apply(function)
    if isinstance(value, dict):
        return {key: _apply(item, function) for key, item in value.items()}
    if isinstance(value, tuple) and value and not isinstance(value[0], str):
        return tuple(_apply(item, function) for item in value)
    return value


@dataclass(frozen=True, slots=True)
class Condition(_Record):
    """What an image shows, or shall show. None in what a model does not use.

    Attributes:
        attributes: (B, A) in [0, 1].
        aus: (B, K) action unit intensities in [0, 1].
        emotion: (B, E) one-hot.
        modality: (B, M) one-hot.
        landmarks: (B, 68, 2) iBUG-68 points, (x, y) in [-1, 1].
        structure: (B, S, H, W) pose heat-maps, edge or label maps in [0, 1]; (B, R, S, H, W) of several references.
        view: (B, V) one-hot azimuth and elevation.
        style: (B, Z) style code.
    """

    attributes: Tensor | None = None
    aus: Tensor | None = None
    emotion: Tensor | None = None
    modality: Tensor | None = None
    landmarks: Tensor | None = None
    structure: Tensor | None = None
    view: Tensor | None = None
    style: Tensor | None = None


VECTOR_FIELDS = ("attributes", "aus", "emotion", "modality", "view", "style")


@dataclass(frozen=True, slots=True)
class ConditionSpec:
    """Which parts of a `Condition` a model reads, with the names of their columns in order.

    Attributes:
        landmarks: the model reads `Condition.landmarks`.
        structure: channels of `Condition.structure` it reads.
        needs_source: the model also needs the condition of the source image.
    """

    attributes: tuple[str, ...] = ()
    aus: tuple[str, ...] = ()
    emotion: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    style: tuple[str, ...] = ()
    landmarks: bool = False
    structure: int = 0
    needs_source: bool = False

    @property
    def size(self) -> int:
        """Number of columns of `vector`."""
        return sum(len(getattr(self, name)) for name in VECTOR_FIELDS)

    def check(self, condition: Condition, batch: int) -> None:
        """Make sure that `condition` holds what this spec reads.

        Raises:
            ValueError: a part is missing or has another shape; the message gives expected and actual shape.
        """
        for name in VECTOR_FIELDS:
            if columns := getattr(self, name):
                self._check_part(condition, name, (batch, len(columns)), ", ".join(columns))
        if self.landmarks:
            self._check_part(condition, "landmarks", (batch, 68, 2), "iBUG-68 (x, y)")
        if self.structure:
            value = condition.structure
            shape = () if value is None else tuple(value.shape)  # one map, or one for each of several references
            if len(shape) not in (4, 5) or (shape[0], shape[-3]) != (batch, self.structure):
                got = "None" if value is None else str(shape)
                raise ValueError(f"Condition.structure: expected shape ({batch}, {self.structure}, H, W), got {got}")

    def vector(self, condition: Condition, batch: int) -> Tensor:
        """The columns this spec reads, (B, size), checked and in the order of `VECTOR_FIELDS`."""
        self.check(condition, batch)
        parts = [getattr(condition, name) for name in VECTOR_FIELDS if getattr(self, name)]
        if not parts:
            raise ValueError("this model reads no vector condition; its ConditionSpec names no columns")
        return torch.cat(parts, dim=1)

    def split(self, vector: Tensor) -> Condition:
        """The inverse of `vector`: (B, size) back into a `Condition`."""
        names = [name for name in VECTOR_FIELDS if getattr(self, name)]
        parts = torch.split(vector, [len(getattr(self, name)) for name in names], dim=1)
        return Condition(**dict(zip(names, parts, strict=True)))

    def select(self, condition: Condition, have: ConditionSpec) -> Condition:
        """Pick this spec's columns, by name, out of a `condition` whose columns are `have`.

        Raises:
            ValueError: a column is not there; the message lists what is.
        """
        picked: dict[str, Tensor | None] = {}
        for name in VECTOR_FIELDS:
            wanted, known, value = getattr(self, name), getattr(have, name), getattr(condition, name)
            if not wanted:
                continue
            missing = [column for column in wanted if column not in known]
            if missing or value is None:
                raise ValueError(
                    f"the model reads {name} {', '.join(missing or wanted)}, which are not in the data; "
                    f"it has: {', '.join(known) or 'none'}"
                )
            picked[name] = value[:, [known.index(column) for column in wanted]]
        if self.landmarks:
            picked["landmarks"] = condition.landmarks
        if self.structure:
            picked["structure"] = condition.structure
        return Condition(**picked)

    @staticmethod
    def _check_part(condition: Condition, name: str, shape: tuple[int, ...], columns: str) -> None:
        value = getattr(condition, name)
        if value is None or tuple(value.shape) != shape:
            got = "None" if value is None else str(tuple(value.shape))
            raise ValueError(f"Condition.{name}: expected shape {shape} ({columns}), got {got}")


@dataclass(frozen=True, slots=True)
class Translation(_Record):
    """What a generator returns: `image = clamp(warped + mask * residual, -1, 1)` wherever those fields are set.

    Attributes:
        image: (B, 3, H, W) in [-1, 1].
        flow: (B, 2, H, W) backward, normalised; None if the model does not warp.
        warped: (B, 3, H, W) the source at grid + flow; the source itself if the model does not warp.
        residual: (B, 3, H, W) painted on top.
        mask: (B, 1, H, W) in [0, 1], 1 = painted.
        intermediates: what else a family shows (other scales, say), under keys that its module documents.
    """

    image: Tensor
    flow: Tensor | None = None
    warped: Tensor | None = None
    residual: Tensor | None = None
    mask: Tensor | None = None
    intermediates: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Critique(_Record):
    """What a discriminator returns: raw numbers, no sigmoid and no loss inside.

    Attributes:
        scores: a logit map (B, 1, h, w) a scale, above 0 = real; empty if it does not judge realness.
        features: the activations of each scale, for feature matching.
        condition: the condition read off the image: logits for attributes, emotion and modality; values for aus.
    """

    scores: tuple[Tensor, ...] = ()
    features: tuple[tuple[Tensor, ...], ...] = ()
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Sample(_Record):
    """A batch of a dataset. What a dataset does not know is None, and metrics that need it say so.

    Attributes:
        image: (B, 3, H, W) in [-1, 1], the source; of several references (B, R, 3, H, W).
        source: the condition of `image`.
        target: the wanted condition.
        truth: (B, 3, H, W) how the same subject looks under `target`.
        flow: (B, 2, H, W) the true backward flow from `truth`'s pixels into `reference`.
        visible: (B, 1, H, W) in {0, 1}: pixels of `truth` whose content exists in `reference`.
        id: a stable name a row.
        other: (B, 3, H, W) a real picture under `target`, of any subject: what unpaired training learns from.
    """

    image: Tensor
    source: Condition | None = None
    target: Condition | None = None
    truth: Tensor | None = None
    flow: Tensor | None = None
    visible: Tensor | None = None
    id: tuple[str, ...] = ()
    other: Tensor | None = None

    @property
    def reference(self) -> Tensor:
        """(B, 3, H, W): the source, or the first of several references, which a motion is told from."""
        return self.image if self.image.ndim == 4 else self.image[:, 0]

    def rows(self, index: Any) -> Sample:
        """The rows `index` (a slice, an index tensor, or a list of ints) of every tensor, and their ids."""
        kept = torch.arange(len(self.id))[index].tolist()
        record = self.apply(lambda tensor: tensor[index])
        return replace(record, id=tuple(self.id[i] for i in kept))


def cat(records: Sequence[R]) -> R:
    """Concatenate records of one type along the batch.

    Raises:
        ValueError: no records, or a field that some have and others lack.
    """
    if not records:
        raise ValueError("nothing to concatenate: got no records")
    first = records[0]
    values = {f.name: _cat(f.name, [getattr(r, f.name) for r in records]) for f in fields(first)}  # type: ignore[arg-type]
    return replace(first, **values)  # type: ignore[type-var]


def _cat(name: str, values: list[Any]) -> Any:
    if all(value is None for value in values):
        return None
    if any(value is None for value in values):
        raise ValueError(f"cannot concatenate {name}: some records have it and others do not")
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    if isinstance(values[0], _Record):
        return cat(values)
    if isinstance(values[0], dict):
        return {key: torch.cat([value[key] for value in values]) for key in values[0]}
    if values[0] and isinstance(values[0][0], str):
        return tuple(item for value in values for item in value)
    return tuple(_cat(name, list(parts)) for parts in zip(*values, strict=True))
