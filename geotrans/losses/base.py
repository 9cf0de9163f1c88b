"""What a loss sees, and how one is written.

A loss is a registered factory `(**options) -> LossFn`; a `LossFn` maps `LossInputs` to one value a sample, (B,).
Weights, means and schedules live in the recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from torch import Tensor

from geotrans.base import Discriminator
from geotrans.types import Condition, Critique, Translation

V = TypeVar("V")
Pass = Literal["output", "cycle"]  # there, and back again
Picture = Literal["image", "warped"]  # of a translation: the result, or what motion alone has made


@dataclass(frozen=True, slots=True)
class LossInputs:
    """Everything a training step may hand to a loss; the trainer computes only what some term needs.

    Attributes:
        image: (B, 3, H, W) the source; of several references (B, R, 3, H, W).
        source: the condition of `image`.
        target: the wanted condition.
        output: generator(image, target).
        cycle: generator(output.image, source).
        same: the identity translation: generator(other, target) where there is `other`, else generator(image, source).
        truth: (B, 3, H, W) the paired target, where a dataset has one.
        other: (B, 3, H, W) real pictures in the target's domain, in general of other subjects.
        rebuilt: (B, 3, H, W) the source from its own content and style codes.
        real: the discriminator on real pictures: `image`, or `other` where each domain has a discriminator of its own.
        fake: the discriminator on `output.image` (detached in the discriminator's step).
        moved: the discriminator on `output.warped`: what motion alone has achieved.
        motion: the motion discriminator on (`image`, `output.flow`, `target`).
        critic: the discriminator itself, for gradient penalties.
    """

    image: Tensor
    source: Condition | None = None
    target: Condition | None = None
    output: Translation | None = None
    cycle: Translation | None = None
    same: Translation | None = None
    truth: Tensor | None = None
    other: Tensor | None = None
    rebuilt: Tensor | None = None
    real: Critique | None = None
    fake: Critique | None = None
    moved: Critique | None = None
    motion: Critique | None = None
    critic: Discriminator | None = None


LossFn = Callable[[LossInputs], Tensor]


def need(value: V | None, name: str) -> V:
    """Narrow an optional input.

    Raises:
        ValueError: the input is missing.
    """
    if value is None:
        raise ValueError(f"this loss needs {name}, which the training step did not compute")
    return value


def translation(inputs: LossInputs, of: Pass) -> Translation:
    """One of the two passes.

    Raises:
        ValueError: it is missing.
    """
    return need(inputs.output if of == "output" else inputs.cycle, of)


def per_sample(value: Tensor) -> Tensor:
    """Mean over everything but the batch: (B, ...) -> (B,)."""
    return value.flatten(1).mean(1)
