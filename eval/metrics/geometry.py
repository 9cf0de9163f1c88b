"""Is the motion right, and is the edit where it belongs?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from eval.metrics.base import EvalBatch, SampleMetric, mean
from geotrans.ops.flow import endpoint_error, folds, to_pixels
from registry import register_metric

MOVED_PX = 0.5
CHANGED_LEVELS = 4


@register_metric(1, "px", False, needs=("translation.flow", "sample.flow", "sample.visible"))
def flow_epe() -> SampleMetric:
    """Mean end-point error against the true flow, over pixels that are visible in the source and move over 0.5 px.

    A model without a flow has no score; the unchanged picture has zero flow, and so the mean length of the true motion.

    Convention:
        Both flows are backward and stand at the result's pixels; normalised (x, y) times (W, H) / 2 gives pixels.
    """
    return SampleMetric(_endpoint_error)


@register_metric(1, "%", False, needs=("source", "truth"))
def edit_concentration() -> SampleMetric:
    """Share of all that a model changes, sum |result - source|, that lies where the truth does not change.

    A pixel truly changes where some colour of truth and source differs by more than 4 of 255 levels, or a neighbour's
    does. Sums run over all samples, so one barely touched counts little; a model that changes nothing has no score.
    """
    return SampleMetric(_misplaced_change)


@register_metric(1, "%", False, needs=("translation.mask",))
def mask_area() -> SampleMetric:
    """Mean of the mask: how much of the picture a model paints instead of moving."""
    return mean(lambda batch: 100 * batch.get("translation.mask").double().flatten(1).mean(1))


@register_metric(1, "%", False, needs=("translation.flow",))
def flow_folds() -> SampleMetric:
    """Share of the picture where the motion folds: its Jacobian determinant is not positive, and order is lost.

    Counted over cells of four neighbouring pixels; see `geotrans.ops.flow.folds`.
    """
    return mean(lambda batch: 100 * folds(batch.get("translation.flow").double()).double().flatten(1).mean(1))


@register_metric(1, "", False, needs=("translation.flow",))
def flow_smoothness() -> SampleMetric:
    """Mean length of the motion's gradient, in pixels a pixel: 0 where the picture is only shifted.

    The Frobenius norm of the forward differences of the displacement, at every pixel that has both.
    """
    return mean(_roughness)


def _roughness(batch: EvalBatch) -> Tensor:
    flow = to_pixels(batch.get("translation.flow").double())
    across = flow[:, :, :-1, 1:] - flow[:, :, :-1, :-1]
    down = flow[:, :, 1:, :-1] - flow[:, :, :-1, :-1]
    return (across.square() + down.square()).sum(1).sqrt().flatten(1).mean(1)


def _endpoint_error(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    flow, true = batch.get("translation.flow").double(), batch.get("sample.flow").double()
    if flow.shape != true.shape:
        raise ValueError(f"flow_epe: expected a flow of shape {tuple(true.shape)}, got {tuple(flow.shape)}")
    moved = to_pixels(true).norm(dim=1) > MOVED_PX
    counted = (batch.get("sample.visible")[:, 0] > 0.5) & moved  # (B, H, W)
    error = torch.where(counted, endpoint_error(flow, true), 0)
    return error.flatten(1).sum(1), counted.flatten(1).sum(1)


def _misplaced_change(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    source = batch.get("source").double()
    edited = (batch.generated.double() - source).abs().sum(1)  # (B, H, W)
    changed = ((batch.get("truth").double() - source).abs() > CHANGED_LEVELS).any(1)
    outside = F.max_pool2d(changed.double()[:, None], 3, stride=1, padding=1)[:, 0] == 0
    return 100 * (edited * outside).flatten(1).sum(1), edited.flatten(1).sum(1)
