"""How many results look real, and how much of what is real the results reach."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from eval.metrics.base import Score
from eval.metrics.sets import Z95, Influence, RowsMetric, Side, standard_error
from registry import register_metric

NEIGHBOURS = 3
_BLOCK = 2048


class CoverageMetric(RowsMetric):
    """Share of one side's pictures that lie in the manifold of the other's.

    Kynkaanniemi et al. 2019: a manifold is a union of balls, one around each picture, that reach to its third nearest
    neighbour on its own side. They use VGG-16; here it is the Inception of `fid`, as most later papers do.
    """

    least = NEIGHBOURS + 2  # the interval leaves one out

    def __init__(self, feature: str, of: Side) -> None:
        """of: the side whose pictures are counted; the other spans the manifold."""
        super().__init__(feature)
        self.of = of

    def compute(self) -> Score:
        names, rows = self._named(self.of)
        manifold_names, manifold = self._named("real" if self.of == "generated" else "generated")
        inside, change = _covered(rows, manifold)
        share = float(inside.mean())
        error = standard_error(
            Influence(names, inside, len(names)),
            Influence(manifold_names, -change * (len(manifold) - 1), len(manifold)),
        )
        low, high = max(0.0, share - Z95 * error), min(1.0, share + Z95 * error)
        return Score(100 * share, min(len(rows), len(manifold)), 100 * low, 100 * high)


def _covered(rows: Tensor, manifold: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows lie in the manifold, and what leaving a centre out does.

    Without a centre its ball is gone, and those balls grow whose reach it set.

    Returns:
        (N,) 1 for rows inside; (M,) by how much their mean changes when one centre is left out.
    """
    radii, wider, nearest = _balls(manifold)
    leaves = [set(centres) for centres in nearest.tolist()]
    inside = rows.new_zeros(len(rows))
    change: Counter[int] = Counter()
    for start in range(0, len(rows), _BLOCK):
        distance = torch.cdist(rows[start : start + _BLOCK], manifold)
        hits = distance <= radii
        count = hits.sum(1)
        inside[start : start + len(count)] = (count > 0).double()
        for row in (count <= 1).nonzero()[:, 0].tolist():
            within = ((distance[row] <= wider) & ~hits[row]).nonzero()[:, 0].tolist()
            gained = set().union(*(leaves[centre] for centre in within))
            if count[row] == 0:
                change.update(gained)
            else:
                (only,) = hits[row].nonzero()[:, 0].tolist()
                change[only] -= 0 if only in gained else 1
    total = rows.new_zeros(len(manifold))
    for centre, gain in change.items():
        total[centre] = gain
    return inside, total / len(rows)


def _balls(manifold: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Radius (M,) of each ball, its radius once a neighbour is left out (M,), and its neighbours (M, 3)."""
    radii, wider, nearest = [], [], []
    for start in range(0, len(manifold), _BLOCK):
        distance = torch.cdist(manifold[start : start + _BLOCK], manifold)
        own = torch.arange(len(distance))
        distance[own, own + start] = torch.inf
        found, places = distance.topk(NEIGHBOURS + 1, largest=False)
        radii.append(found[:, NEIGHBOURS - 1])
        wider.append(found[:, NEIGHBOURS])
        nearest.append(places[:, :NEIGHBOURS])
    return torch.cat(radii), torch.cat(wider), torch.cat(nearest)


@register_metric(1, "%", True, needs=("real", "network.inception_fid"))
def precision() -> CoverageMetric:
    """Share of results inside the manifold of the real pictures: how many look real; Kynkaanniemi et al. 2019."""
    return CoverageMetric("inception_fid", "generated")


@register_metric(1, "%", True, needs=("real", "network.inception_fid"))
def recall() -> CoverageMetric:
    """Share of real pictures inside the manifold of the results: how varied they are; Kynkaanniemi et al. 2019."""
    return CoverageMetric("inception_fid", "real")
