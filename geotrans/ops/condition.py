"""Conditions as pictures."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from geotrans.types import Condition, ConditionSpec


def spatial(vector: Tensor, image: Tensor) -> Tensor:
    """Repeat a condition at every pixel: (B, N) -> (B, N, H, W), in the size, type and place of `image`.

    The convolution that reads the result must pad with zeros: under reflection padding a constant plane adds a constant
    to each channel, which instance normalisation takes away again, and the condition would be lost.
    """
    return vector.to(image)[:, :, None, None].expand(-1, -1, *image.shape[2:])


def structure_map(spec: ConditionSpec, condition: Condition | None, image: Tensor) -> Tensor:
    """`Condition.structure`, (B, S, H, W), of the channels that `spec` reads and of the image's size.

    Raises:
        ValueError: it is missing or has another shape.
    """
    condition = condition or Condition()
    spec.check(condition, len(image))
    structure = condition.structure
    if structure is None:
        raise ValueError("this model reads no structure; its ConditionSpec names no channels")
    if structure.shape[2:] != image.shape[2:]:
        sizes = [tuple(part.shape[2:]) for part in (image, structure)]
        raise ValueError(f"Condition.structure: expected the image's size {sizes[0]}, got {sizes[1]}; resize it")
    return structure


def structure_pair(
    spec: ConditionSpec, target: Condition, source: Condition | None, image: Tensor
) -> tuple[Tensor, Tensor]:
    """`structure_map` of the wanted condition and of the source's, for models that need both.

    Raises:
        ValueError: one is missing or has another shape.
    """
    if source is None:
        raise ValueError("source: this model also reads the source's structure; pass source=Condition(structure=...)")
    return structure_map(spec, target, image), structure_map(spec, source, image)


def view_of_source(spec: ConditionSpec, source: Condition | None, image: Tensor) -> Tensor:
    """The vector (B, size) of the view that the source shows, for models that read it beside the wanted one.

    Raises:
        ValueError: it is missing or has another shape.
    """
    if source is None:
        raise ValueError("source: this model also reads the source's view; pass source=Condition(view=...)")
    return spec.vector(source, len(image)).to(image)


def pick(spec: ConditionSpec, condition: Condition | None, have: ConditionSpec, style: Tensor | None) -> Condition:
    """The columns that `spec` reads out of a `condition` whose columns are `have`, and a style code if it has none.

    Args:
        style: (B, columns) for `Condition.style`, drawn from N(0, 1): data has labels, but no style codes.

    Raises:
        ValueError: another column than a style's is missing; the message lists what there is.
    """
    drawn = bool(spec.style) and not have.style
    picked = (replace(spec, style=()) if drawn else spec).select(condition or Condition(), have)
    return replace(picked, style=style) if drawn else picked


def draw_style(spec: ConditionSpec, batch: int, generator: torch.Generator | None = None) -> Tensor | None:
    """Style codes from N(0, 1), (B, columns); None if the model reads none."""
    return torch.randn(batch, len(spec.style), generator=generator) if spec.style else None
