"""KID, precision and recall against plain definitions; and what the intervals of all scores cover."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from eval.metrics import frechet, kid
from eval.metrics.base import Score, bootstrap_interval
from eval.metrics.frechet import FrechetMetric
from eval.metrics.kid import KernelMetric
from eval.metrics.precision_recall import CoverageMetric
from eval.metrics.sets import Influence, Rows, SetMetric, standard_error


@pytest.fixture(autouse=True)
def _no_caution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frechet, "_warned", {"toy"})


def _normal(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _scored(metric: SetMetric, generated: Tensor, real: Tensor, *, paired: bool = False) -> Score:
    metric.add("generated", generated, [f"a{i}" for i in range(len(generated))])
    metric.add("real", real, [f"{'a' if paired else 'b'}{i}" for i in range(len(real))])
    score = metric.compute()
    assert score is not None
    return score


def _precision(generated: Tensor, real: Tensor) -> Score:
    return _scored(CoverageMetric("toy", "generated"), generated, real)


def test_kid_is_the_mean_over_pairs() -> None:
    x, y = _normal(7, 5, 0), _normal(9, 5, 1) + 0.5

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 5 + 1) ** 3)

    xx = np.mean([k(x[i], x[j]) for i in range(7) for j in range(7) if i != j])
    yy = np.mean([k(y[i], y[j]) for i in range(9) for j in range(9) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert _scored(KernelMetric("toy"), x, y).value == pytest.approx(xx + yy - 2 * xy, rel=1e-12)


def test_kid_of_a_linear_shift_has_a_closed_form() -> None:
    """E (x y / D + 1)^3 for x = m + e, y = n + f is g(m n): here for unit Gaussians around 0 and around s."""
    dim, shift = 4, 0.8
    moments = _expectation(0.0, dim) + _expectation(dim * shift**2, dim, shift) - 2 * _expectation(0.0, dim, shift, 0.0)
    values = [
        _scored(KernelMetric("toy"), _normal(400, dim, i) + shift, _normal(400, dim, 900 + i)).value for i in range(40)
    ]
    assert np.mean(values) == pytest.approx(moments, abs=4 * np.std(values) / 40**0.5)


def _expectation(product: float, dim: int, first: float = 0.0, second: float | None = None) -> float:
    """E (t / D + 1)^3 with t = x y, x ~ N(first, 1), y ~ N(second, 1) in every dimension."""
    second = first if second is None else second
    a, b = first**2, second**2
    mean = dim * first * second
    assert mean == pytest.approx(product)
    variance = dim * (1 + a + b)
    third = mean**3 + 3 * mean * variance + 6 * dim * first * second
    return third / dim**3 + 3 * (variance + mean**2) / dim**2 + 3 * mean / dim + 1


def test_kid_of_one_distribution_is_0_on_average_at_any_n() -> None:
    for n in (10, 60):
        values = [_scored(KernelMetric("toy"), _normal(n, 8, i), _normal(n, 8, 500 + i)).value for i in range(80)]
        assert abs(np.mean(values)) < 3 * np.std(values) / 80**0.5
        assert min(values) < 0


def test_kid_of_pairs_is_not_pushed_below_0() -> None:
    """A result that equals its truth: without its own pair nothing is left of the difference."""
    x = _normal(50, 8, 2)
    assert _scored(KernelMetric("toy"), x, x, paired=True).value == pytest.approx(0, abs=1e-12)
    assert _scored(KernelMetric("toy"), x, x).value < -0.01


def test_many_images_are_compared_in_disjoint_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _normal(900, 6, 3) + 0.3, _normal(600, 6, 4)
    whole = _scored(KernelMetric("toy"), x, y)
    monkeypatch.setattr(kid, "SUBSET", 300)
    parts = _scored(KernelMetric("toy"), x, y)
    assert parts.value == pytest.approx(whole.value, rel=0.1)
    assert parts.value != whole.value
    assert parts.high - parts.value == pytest.approx(whole.high - whole.value, rel=0.2)  # type: ignore[operator]


def test_precision_and_recall_of_a_case_made_by_hand() -> None:
    """Real: a square grid of 16 with step 1, so that balls reach 1, and 1.41 at the corners."""
    real = torch.cartesian_prod(*2 * [torch.arange(4.0)]).double()
    inside = torch.tensor([[1.5, 1.5], [2.0, 3.9], [-1.0, -0.9]], dtype=torch.float64)
    outside = torch.tensor([[1.5, 4.1], [9.0, 9.0]], dtype=torch.float64)
    generated = torch.cat([inside, outside])
    assert _precision(generated, real).value == pytest.approx(60)
    assert _precision(real, real).value == 100
    assert _precision(real + 100, real).value == 0


def _plain(rows: np.ndarray, manifold: np.ndarray) -> float:
    """Straight from the definition."""
    radii = [sorted(np.linalg.norm(manifold - centre, axis=1))[3] for centre in manifold]
    return float(np.mean([any(np.linalg.norm(manifold - row, axis=1) <= radii) for row in rows]))


@pytest.mark.parametrize("block", [7, 2048])
def test_precision_and_its_leave_one_out_equal_the_definition(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from eval.metrics import precision_recall

    monkeypatch.setattr(precision_recall, "_BLOCK", block)
    rows, manifold = _normal(60, 5, 5) * 1.5, _normal(25, 5, 6)
    inside, change = precision_recall._covered(rows, manifold)
    plain = _plain(rows.numpy(), manifold.numpy())
    assert float(inside.mean()) == pytest.approx(plain)
    for left_out in range(25):
        kept = np.delete(manifold.numpy(), left_out, axis=0)
        assert plain + float(change[left_out]) == pytest.approx(_plain(rows.numpy(), kept), abs=1e-12)
    assert change.max() > 0 > change.min()


def test_recall_counts_the_real_ones() -> None:
    generated, real = _normal(40, 2, 7) * 0.3, _normal(40, 2, 8)
    recall = _scored(CoverageMetric("toy", "real"), generated, real)
    assert recall.value == pytest.approx(100 * _plain(real.numpy(), generated.numpy()))
    assert recall.value < _precision(generated, real).value


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 images a side, got 4"):
        _precision(_normal(9, 2, 9), _normal(4, 2, 10))
    with pytest.raises(ValueError, match="at least 2 images a side, got 1"):
        _scored(KernelMetric("toy"), _normal(9, 2, 9), _normal(1, 2, 10))


def test_kept_rows_depend_on_names_alone() -> None:
    rows, names = torch.arange(500.0)[:, None], [f"name {i}" for i in range(500)]
    one, other = Rows(40), Rows(40)
    one.add(rows, names)
    for i in np.random.default_rng(0).permutation(500).reshape(50, 10):
        part = Rows(40)
        part.add(rows[i], [names[j] for j in i])
        other.merge(part)
    assert one.named()[0] == other.named()[0]
    assert torch.equal(one.named()[1], other.named()[1])
    assert [f"name {int(row)}" for row in one.named()[1]] == one.named()[0]
    assert len(one.named()[0]) == 40


def test_pairs_move_together() -> None:
    values, names = _normal(100, 1, 11)[:, 0], [str(i) for i in range(100)]
    apart = standard_error(Influence(names, values, 100), Influence([f"b{i}" for i in names], -values, 100))
    assert standard_error(Influence(names, values, 100), Influence(names, -values, 100)) == 0
    assert apart == pytest.approx(float(2 * values.var() / 100) ** 0.5)
    few = standard_error(Influence(names, values, 400), Influence(["x", "y"], torch.zeros(2), 9))
    assert few == pytest.approx(float(values.var() / 400) ** 0.5)


Draw = Callable[[int], tuple[Tensor, Tensor]]
DRAWS, N, DIM = 200, 150, 24


def _apart(seed: int) -> tuple[Tensor, Tensor]:
    return _normal(N, DIM, 2 * seed) * 1.1 + 0.3, _normal(N, DIM, 2 * seed + 1)


def _alike(seed: int) -> tuple[Tensor, Tensor]:
    return _normal(N, DIM, 2 * seed), _normal(N, DIM, 2 * seed + 1)


def _pairs(seed: int) -> tuple[Tensor, Tensor]:
    truth = _normal(N, DIM, 2 * seed)
    return 0.8 * truth + 0.6 * _normal(N, DIM, 2 * seed + 1) + 0.2, truth


def _coverage(scores: list[Score], truth: float) -> float:
    return float(np.mean([score.low <= truth <= score.high for score in scores]))  # type: ignore[operator]


@pytest.mark.parametrize("draw", [_apart, _alike, _pairs])
@pytest.mark.parametrize("metric", [FrechetMetric, KernelMetric])
def test_intervals_cover_the_expectation_at_this_n(metric: Callable[[str], SetMetric], draw: Draw) -> None:
    """In at least 93 % of 200 draws; the expectation is the mean of other draws."""
    scores = [_scored(metric("toy"), *draw(i), paired=draw is _pairs) for i in range(2 * DRAWS)]
    truth = float(np.mean([score.value for score in scores[DRAWS:]]))
    assert _coverage(scores[:DRAWS], truth) >= 0.93


def test_intervals_of_precision_cover_the_expectation_at_this_n() -> None:
    """They are wider than need be: leaving a neighbour out moves a manifold of nearest neighbours in steps."""
    scores = [_precision(*(rows[:60] for rows in _apart(i))) for i in range(2 * DRAWS)]
    truth = float(np.mean([score.value for score in scores[DRAWS:]]))
    assert 20 < truth < 80
    assert _coverage(scores[:DRAWS], truth) >= 0.93


def test_the_interval_of_fid_is_no_wider_than_it_must_be() -> None:
    scores = [_scored(FrechetMetric("toy"), *_apart(i)) for i in range(DRAWS)]
    spread = float(np.std([score.value for score in scores]))
    half = float(np.mean([score.high - score.value for score in scores]))  # type: ignore[operator]
    assert 1.96 * spread == pytest.approx(half, rel=0.25)


@pytest.mark.parametrize("kind", ["normal", "skewed", "ratio"])
def test_intervals_of_means_cover_the_truth(kind: str) -> None:
    """In at least 93 % of 200 draws, also of a skewed score and of an accuracy whose samples weigh differently."""
    covered = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        weight = np.ones(400)
        if kind == "normal":
            total, truth = draw.normal(3, 2, 400), 3.0
        elif kind == "skewed":
            total, truth = draw.exponential(1, 400), 1.0
        else:
            weight = draw.integers(0, 5, 400).astype(float)
            total, truth = draw.binomial(weight.astype(int), 0.8).astype(float), 0.8
        low, high = bootstrap_interval(total, weight)
        covered += low <= truth <= high
    assert covered / 200 >= 0.93
