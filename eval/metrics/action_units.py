"""Do the results show the wanted action units?"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from eval.metrics.base import EvalBatch, Metric, SampleMetric, Score, mean, resamples
from eval.metrics.judged import reading
from registry import register_metric

PRESENT = 0.1  # nearer to 1 of FACS's 5 steps than to none
_LEAST_VARIANCE = 1e-12


@register_metric(1, "", False, needs=("sample.target.aus", "judge.aus"))
def au_mae() -> SampleMetric:
    """Mean absolute difference between the wanted action units and those the judge reads, in [0, 1] (FACS / 5)."""
    return mean(lambda batch: (reading(batch, "aus") - batch.get("sample.target.aus")).abs().mean(1))


@register_metric(1, "%", True, needs=("sample.target.aus", "judge.aus"))
def au_accuracy() -> SampleMetric:
    """Share of action units whose presence is as wanted; one is present from 0.1, half of FACS's first step."""
    return SampleMetric(_presence)


@register_metric(1, "", True, needs=("sample.target.aus", "judge.aus"))
def au_icc() -> Metric:
    """Agreement of wanted and read intensities, ICC(3,1), the mean over action units; Shrout and Fleiss 1979.

    1: the same up to a constant; 0: no relation. Units that never change, neither wanted nor read, have no say.
    """
    return _Agreement()


def _presence(batch: EvalBatch) -> tuple[Tensor, Tensor]:
    read, wanted = reading(batch, "aus"), batch.get("sample.target.aus")
    right = ((read >= PRESENT) == (wanted >= PRESENT)).double()
    return 100 * right.sum(1), right.new_ones(right.shape).sum(1)


class _Agreement(Metric):
    """Keeps wanted and read intensities of all samples: the agreement is one of the whole set."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, list[float], list[float]]] = []
        self._names: tuple[str, ...] = ()

    def update(self, batch: EvalBatch) -> None:
        read, wanted = reading(batch, "aus"), batch.get("sample.target.aus")
        self._names = batch.spec.aus or tuple(str(i) for i in range(wanted.shape[1]))
        self._rows += zip(batch.id, wanted.double().tolist(), read.double().tolist(), strict=True)

    def merge(self, other: _Agreement) -> None:
        self._names = self._names or other._names
        self._rows += other._rows

    def compute(self) -> Score | None:
        if len(self._rows) < 2:
            return None
        rows = sorted(self._rows)
        wanted, read = (np.array([row[i] for row in rows]) for i in (1, 2))
        agreement = intraclass_correlation(wanted, read)
        known = np.isfinite(agreement)
        if not known.any():
            return None
        drawn = np.concatenate([_drawn(wanted[:, known], read[:, known], places) for places in resamples(len(rows))])
        low, high = np.nanquantile(drawn, (0.025, 0.975))
        value = float(agreement[known].mean())
        parts = {name: float(part) for name, part in zip(self._names, agreement, strict=True) if np.isfinite(part)}
        return Score(value, len(rows), min(value, float(low)), max(value, float(high)), parts)


def intraclass_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """ICC(3,1) of two raters: (..., N, K) twice -> (..., K) in [-1, 1]; NaN where nothing varies.

    (between - within) / (between + within), mean squares over targets and of what is left when both the targets' and
    the raters' means are taken out.
    """
    count = a.shape[-2]
    total, half = (a + b) / 2, (a - b) / 2
    between = 2 * total.var(axis=-2) * count / (count - 1)
    within = 2 * half.var(axis=-2) * count / (count - 1)
    varies = between + within > _LEAST_VARIANCE
    ratio: np.ndarray = np.where(varies, (between - within) / np.where(varies, between + within, 1), np.nan)
    return ratio


def _drawn(wanted: np.ndarray, read: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The mean agreement of samples drawn again, one a row of `places`."""
    draws = [intraclass_correlation(wanted[rows], read[rows]) for rows in places]
    means: np.ndarray = np.array(
        [draw[np.isfinite(draw)].mean() if np.isfinite(draw).any() else np.nan for draw in draws]
    )
    return means
