"""Edits on real pictures: any size in, the same size out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.base import Generator
from geotrans.ops.flow import resize as resize_flow
from geotrans.ops.images import resize
from geotrans.ops.warp import warp
from geotrans.types import Condition, Translation


def translate(model: Generator, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
    """Translate pictures of any size with a model of a fixed one.

    The model sees the picture at its own resolution. Its flow, residual and mask are then carried to the full size and
    applied to the full picture, so what does not change keeps every pixel of the original.

    Args:
        image: (B, 3, H, W) in [-1, 1], any H and W.
        target: the wanted condition, for the whole batch.

    Returns:
        A `Translation` of (B, 3, H, W).
    """
    height, width = image.shape[2:]
    side = model.cfg.resolution
    if (height, width) == (side, side):
        with torch.inference_mode():
            result: Translation = model(image, target, source)
            return result
    with torch.inference_mode():
        small = model(resize(image, (side, side)), target, source)
        return _enlarge(small, image)


def combine(
    model: Generator, image: Tensor, targets: Sequence[Condition], weights: Sequence[float] | None = None
) -> Translation:
    """Sum the motion fields of several conditions and render once: SPM's motion basis (Sec. 4.1, Fig. 7).

    Args:
        model: an SPM.
        image: (B, 3, H, W) at a size that the model takes.
        targets: conditions, each for the whole batch.
        weights: a factor for each motion field; 1 if not given.

    Raises:
        TypeError: the model has no motion basis.
        ValueError: no target, or another number of weights than of targets.
    """
    render = getattr(model, "combine", None)
    if render is None or not getattr(model.cfg, "motion", True):
        raise TypeError(
            f"{type(model).__name__} has no motion fields to combine; take an SPM with motion, like spm_refine_64"
        )
    weights = [1.0] * len(targets) if weights is None else list(weights)
    if not targets or len(weights) != len(targets):
        raise ValueError(f"expected a weight for each target, got {len(weights)} weights for {len(targets)} targets")
    with torch.inference_mode():
        result: Translation = render(image, list(targets), weights)
        return result


def condition_from(model: Generator, settings: dict[str, float], image: Tensor) -> Condition:
    """A target condition from `column=value` settings; columns that are not named are 0.

    Raises:
        ValueError: a name that is no column of the model, or a value outside [0, 1]; the message lists the columns.
    """
    spec = model.cfg.condition
    columns = [*spec.attributes, *spec.aus, *spec.emotion, *spec.modality, *spec.view]
    vector = image.new_zeros(len(image), spec.size)
    for name, value in settings.items():
        if name not in columns:
            raise ValueError(f"the model has no column {name!r}; it has: {', '.join(columns) or 'none'}")
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a value from 0 to 1, got {value}")
        vector[:, columns.index(name)] = value
    return spec.split(vector) if spec.size else Condition()


def _enlarge(small: Translation, image: Tensor) -> Translation:
    height, width = image.shape[2:]
    flow = None if small.flow is None else resize_flow(small.flow, (height, width))
    warped = image if flow is None else warp(image, flow, padding="border")
    if small.mask is None or small.residual is None:
        return Translation(warped, flow, warped)
    mask = _bilinear(small.mask, height, width)
    painted = _bilinear(small.mask * small.residual, height, width)
    residual = painted / mask.clamp_min(1e-6)
    result = Translation(warped, flow, warped, residual, mask)
    return replace(result, image=(warped + painted).clamp(-1, 1))


def _bilinear(picture: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(picture, (height, width), mode="bilinear", align_corners=False)
