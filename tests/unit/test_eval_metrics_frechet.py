"""The Frechet distance against closed forms and scipy."""

from __future__ import annotations

import re
from unittest import mock

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from eval.metrics import frechet
from eval.metrics.base import Score
from eval.metrics.frechet import FeatureSet, FrechetMetric, frechet_distance
from eval.metrics.sets import Z95


def _set(*parts: Tensor) -> FeatureSet:
    features = FeatureSet()
    for part in parts:
        features.add(part)
    return features


def _normal(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _whitened(n: int, dim: int, seed: int) -> Tensor:
    """Samples whose mean is exactly 0 and whose unbiased covariance is exactly the identity."""
    x = _normal(n, dim, seed)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1)).T)


def _oracle(a: Tensor, b: Tensor) -> float:
    x, y = a.numpy(), b.numpy()
    cov_x, cov_y = (np.atleast_2d(np.cov(z, rowvar=False)) for z in (x, y))
    root = scipy.linalg.sqrtm(cov_x @ cov_y)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y - 2 * root.real))


def test_two_gaussians_three_apart_in_each_of_two_dimensions_give_18() -> None:
    x = _whitened(500, 2, 0)
    assert frechet_distance(_set(x), _set(x + 3)) == pytest.approx(18, abs=1e-10)


def test_scaled_covariance_gives_the_closed_form() -> None:
    x, y = _whitened(400, 5, 1), _whitened(300, 5, 2) * 2
    assert frechet_distance(_set(x), _set(y)) == pytest.approx(5 * (1 - 2) ** 2, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "dim"), [(200, 300, 8), (900, 1300, 24)])
def test_equals_scipy_where_covariances_have_full_rank(n: int, m: int, dim: int) -> None:
    mix = _normal(dim, dim, 3)
    a, b = _normal(n, dim, 4) @ mix + 0.3, _normal(m, dim, 5)
    assert frechet_distance(_set(a), _set(b)) == pytest.approx(_oracle(a, b), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 400), (400, 20), (400, 400)])
def test_the_four_forms_agree_with_the_symmetric_root(n: int, m: int) -> None:
    """Few rows on both sides, on either, on none: each against eigenvalues of the symmetric product."""
    dim = 64
    a, b = _normal(n, dim, 6), _normal(m, dim, 7) * 1.5 + 0.1
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    half = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(half @ cov_b @ half).clamp(min=0).sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    assert frechet_distance(_set(a), _set(b)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(("n", "dim"), [(10, 64), (300, 16), (2, 3)])
def test_a_set_is_at_distance_0_from_itself(n: int, dim: int) -> None:
    x = _normal(n, dim, 8)
    assert 0 <= frechet_distance(_set(x), _set(x)) < 1e-8


def test_dead_features_are_no_obstacle() -> None:
    """A column that is always 0 makes the covariance singular: the Cholesky form gives way to eigenvalues."""
    a, b = _normal(200, 8, 9), _normal(250, 8, 10)
    dead = torch.zeros(250, 3, dtype=torch.float64)
    with_dead = frechet_distance(_set(torch.cat([a, dead[:200]], 1)), _set(torch.cat([b, dead], 1)))
    assert with_dead == pytest.approx(frechet_distance(_set(a), _set(b)), rel=1e-6)


def test_streaming_in_any_pieces_gives_one_result() -> None:
    a, b = _normal(1700, 12, 11) + 1000, _normal(700, 12, 12) + 1000  # a large mean: sums of squares would cancel
    whole = frechet_distance(_set(a), _set(b))
    assert frechet_distance(_set(*a.split(7)), _set(*b.split(600))) == pytest.approx(whole, rel=1e-9)
    merged = _set(a[1000:])
    merged.merge(_set(*a[:1000].split(300)))
    assert merged.n == 1700
    assert frechet_distance(merged, _set(b)) == pytest.approx(whole, rel=1e-9)


def test_one_image_is_refused() -> None:
    x = _normal(10, 4, 13)
    with pytest.raises(ValueError, match="at least 2 images a side, got 1"):
        frechet_distance(_set(x), _set(x[:1]))


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="4 and 5"):
        frechet_distance(_set(_normal(9, 4, 14)), _set(_normal(9, 5, 15)))
    with pytest.raises(ValueError, match=r"expected features \(N, 4\)"):
        _set(_normal(9, 4, 14), _normal(9, 5, 15))


def _scored(generated: Tensor, real: Tensor, *, paired: bool = False, feature: str = "quiet") -> Score:
    metric = FrechetMetric(feature)
    metric.add("generated", generated, [f"a{i}" for i in range(len(generated))])
    metric.add("real", real, [f"{'a' if paired else 'b'}{i}" for i in range(len(real))])
    return metric.compute()


@pytest.fixture(autouse=True)
def _no_caution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frechet, "_warned", {"quiet"})


@pytest.mark.parametrize(("n", "m", "dim"), [(30, 40, 64), (30, 200, 64), (200, 30, 64), (200, 300, 16)])
def test_value_with_its_error_is_the_distance(n: int, m: int, dim: int) -> None:
    a, b = _normal(n, dim, 20) * 1.3 + 0.2, _normal(m, dim, 21)
    score = _scored(a, b)
    assert score.value == pytest.approx(frechet_distance(_set(a), _set(b)), rel=1e-7)
    assert score.value == pytest.approx(_scored(b, a).value, rel=1e-7)
    assert (score.high - score.value) == pytest.approx(_scored(b, a).high - score.value, rel=1e-3)  # type: ignore[operator]


@pytest.mark.parametrize(("n", "m", "dim"), [(9, 12, 30), (9, 60, 30), (60, 9, 30), (40, 50, 4)])
@pytest.mark.parametrize("paired", [False, True])
def test_the_error_is_made_of_derivatives_by_the_weights_of_samples(n: int, m: int, dim: int, paired: bool) -> None:
    """Against numerical derivatives of the distance between weighted Gaussians, in all four forms."""
    if paired:
        m = n
    a, b = _normal(n, dim, 22) * 1.3 + 0.2, _normal(m, dim, 23)

    def weighted(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        mean = weights @ x / weights.sum()
        return mean, (x - mean).T * weights / weights.sum() @ (x - mean) * len(x) / (len(x) - 1)

    def distance(weights: Tensor) -> float:
        (mean_a, cov_a), (mean_b, cov_b) = weighted(a, weights[:n]), weighted(b, weights[n:])
        values, vectors = torch.linalg.eigh(cov_a)
        half = vectors * values.clamp(min=0).sqrt() @ vectors.T
        cross = torch.linalg.eigvalsh(half @ cov_b @ half).clamp(min=0).sqrt().sum()
        return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross)

    step, ones = 1e-4, torch.ones(n + m, dtype=torch.float64)
    slopes = torch.tensor(
        [
            (distance(ones + step * row) - distance(ones - step * row)) / (2 * step)
            for row in torch.eye(n + m, dtype=torch.float64)
        ]
    ).double()
    of_a, of_b = slopes[:n] * n, slopes[n:] * m
    variance = (of_a + of_b).var() / n if paired else of_a.var() / n + of_b.var() / m
    score = _scored(a, b, paired=paired)
    assert score.high is not None
    assert (score.high - score.value) / Z95 == pytest.approx(float(variance) ** 0.5, rel=1e-3)


def test_naive_bootstrap_is_biased_upwards_and_the_interval_is_not() -> None:
    """Samples drawn again hold doublets, which widen the distance: the bootstrap's interval misses the score itself."""
    a, b = _normal(150, 24, 24) + 0.2, _normal(150, 24, 25)
    score, draw = _scored(a, b), torch.Generator().manual_seed(0)
    again = [
        frechet_distance(*(_set(x[torch.randint(len(x), (len(x),), generator=draw)]) for x in (a, b)))
        for _ in range(60)
    ]
    assert np.quantile(again, 0.025) > score.value
    assert score.low is not None
    assert score.low < score.value < score.high  # type: ignore[operator]
    others = [_scored(_normal(150, 24, 100 + i) + 0.2, _normal(150, 24, 300 + i)).value for i in range(60)]
    assert score.low < np.mean(others) < score.high  # type: ignore[operator]
    assert np.quantile(again, 0.025) > np.mean(others)


def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    """At 64 columns 2048 named rows are kept at least, and never more than twice as many."""
    features, sizes = FeatureSet(), []
    for i in range(30):
        features.add(_normal(500, 64, i).float())
        waiting = sum(part.numel() for part in features._waiting)
        sizes.append(waiting + sum(part.numel() for part in features._some._parts))
    assert features.n == 15_000
    assert max(sizes) < 64 * (2 * 2048 + 500 + 2048 + 500)
    names, rows = features.sample()
    assert (len(names), len(set(names)), rows.shape) == (2048, 2048, (2048, 64))


def test_the_interval_of_many_rows_rests_on_a_sample_of_them() -> None:
    a, b = _normal(6000, 8, 26) * 1.2, _normal(6000, 8, 27)
    narrow = _scored(a, b)
    with mock.patch.object(frechet, "ADVISED", 10_000):
        wide = _scored(a, b)
    assert narrow.value == pytest.approx(wide.value, rel=1e-9)
    assert narrow.high - narrow.value == pytest.approx(wide.high - wide.value, rel=0.06)  # type: ignore[operator]


def test_few_images_warn_once_with_the_bias_in_words(caplog: pytest.LogCaptureFixture) -> None:
    """Known: the distance of equal Gaussians is all bias, and halves show about twice of it."""
    a, b = _normal(1000, 64, 28), _normal(1000, 64, 29)
    for _ in range(2):
        score = _scored(a, b, feature="toy_that_warns")
    assert len(caplog.records) == 1
    text = caplog.records[0].getMessage()
    match = re.search(r"\(toy_that_warns\) from 1000 images is biased upwards, by about (\S+) of (\S+): half", text)
    assert match
    assert float(match[1]) == pytest.approx(score.value, rel=0.25)
    assert float(match[2]) == pytest.approx(score.value, rel=1e-2)
    assert text.endswith("compare it only at the same n")


def test_fewer_images_than_features_warn_of_more(caplog: pytest.LogCaptureFixture) -> None:
    """Below D the bias falls slower than 1 / n, so that halves show only a part of it: here all of the distance."""
    score = _scored(_normal(50, 128, 30), _normal(50, 128, 31), feature="toy_of_few")
    match = re.search(r"by at least (\S+) of", caplog.records[0].getMessage())
    assert match
    assert 0.2 * score.value < float(match[1]) < score.value
