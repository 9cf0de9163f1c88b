"""The kernel distance between two sets of pictures, which few images do not bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from eval.metrics.base import Score
from eval.metrics.sets import Z95, Influence, RowsMetric, standard_error
from registry import register_metric

SUBSET = 5000


@dataclass(frozen=True, slots=True)
class _Estimate:
    value: float
    error: float


class KernelMetric(RowsMetric):
    """The squared maximum mean discrepancy between results and real pictures, with the kernel (x y / D + 1)^3.

    Up to 5000 images a side all pairs are compared. More are split at random into sets of at most 5000 that share no
    image, and the mean over these is the score. Other packages average over 100 random sets of 1000 that overlap: the
    same expectation, with noise of their own.

    Samples of one name on both sides, a result and its own truth, are not compared: they are alike because they are a
    pair, and counting them would push the score below 0. Pictures from two folders have different names.
    """

    def compute(self) -> Score:
        (names_a, a), (names_b, b) = self._named("generated"), self._named("real")
        count = -(-max(len(a), len(b)) // SUBSET)
        if min(len(a), len(b)) < 2 * count:
            count = 1
        estimates = [_mmd(names_a[i::count], a[i::count], names_b[i::count], b[i::count]) for i in range(count)]
        value = sum(part.value for part in estimates) / count
        error = sum(part.error**2 for part in estimates) ** 0.5 / count
        return Score(value, min(len(a), len(b)), value - Z95 * error, value + Z95 * error)


def _mmd(names_a: list[str], a: Tensor, names_b: list[str], b: Tensor) -> _Estimate:
    """Gretton et al. 2012, eq. 3: E k(x, x') + E k(y, y') - 2 E k(x, y) without bias, x' another sample than x."""
    within_a, within_b, between = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    own_a, own_b = _mean_of_others(within_a), _mean_of_others(within_b)
    if names_a == names_b:
        across_a, across_b = _mean_of_others(between), _mean_of_others(between.T)
    else:
        across_a, across_b = between.mean(1), between.mean(0)
    error = standard_error(
        Influence(names_a, 2 * (own_a - across_a), len(a)), Influence(names_b, 2 * (own_b - across_b), len(b))
    )
    return _Estimate(float(own_a.mean() + own_b.mean() - 2 * across_a.mean()), error)


def _mean_of_others(kernel: Tensor) -> Tensor:
    """(N,): the mean of each row of (N, N) without its diagonal."""
    return (kernel.sum(1) - kernel.diagonal()) / (len(kernel) - 1)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    kernel: Tensor = torch.addmm(a.new_ones(()), a, b.T, alpha=1 / a.shape[1]).pow(3)
    return kernel


@register_metric(1, "", False, needs=("real", "network.inception_fid"))
def kid() -> KernelMetric:
    """KID: unbiased squared MMD in the features of `fid` with a cubic kernel; Binkowski et al. 2018.

    Its expectation is the same at every n, and 0 for sets of one distribution, so that values below 0 occur. Read it
    beside `fid`, which is biased where images are few.
    """
    return KernelMetric("inception_fid")
