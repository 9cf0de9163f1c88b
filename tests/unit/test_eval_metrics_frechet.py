"""The Frechet distance against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from eval.metrics.frechet import FeatureSet, FrechetMetric, frechet_distance


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


def test_not_finite_names_the_sample() -> None:
    x = _normal(3, 4, 16)
    x[1, 2] = torch.nan
    with pytest.raises(ValueError, match="sample b"):
        FrechetMetric("toy").add("generated", x, ("a", "b", "c"))


def test_few_images_warn_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        metric = FrechetMetric("toy_that_warns")
        for side in ("generated", "real"):
            metric.add(side, _normal(9, 4, 17), tuple("abcdefghi"))  # type: ignore[arg-type]
        score = metric.compute()
    assert score is not None
    assert (score.n, score.low) == (9, None)
    assert len([record for record in caplog.records if "biased" in record.message]) == 1
