"""What every registered metric promises."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

import eval.metrics  # noqa: F401
from eval.metrics.base import EvalBatch, Metric
from eval.metrics.frechet import FrechetMetric
from eval.networks import Networks
from geotrans.types import Condition, Sample, Translation
from registry import METRICS

N, SIZE = 24, 16
JUDGES = {
    "attributes": "toy_attributes",
    "aus": "toy_aus",
    "emotion": "toy_emotion",
    "identity": "toy_identity",
    "features": "toy_features",
}


def _projection(seed: int, dim: int) -> Tensor:
    return torch.randn(3 * SIZE * SIZE, dim, generator=torch.Generator().manual_seed(seed)) / SIZE


def _networks() -> Networks:
    def feature(seed: int, dim: int) -> object:
        return lambda images: torch.sigmoid((images.float() / 127.5 - 1).flatten(1) @ _projection(seed, dim))

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return (a.float() - b.float()).abs().flatten(1).mean(1)

    dims = {"attributes": 4, "aus": 3, "emotion": 5, "identity": 8, "features": 6}
    features = {f"toy_{name}": feature(seed, dim) for seed, (name, dim) in enumerate(dims.items())}
    features["inception_fid"] = feature(9, 40)
    return Networks(features=features, distances={"lpips_alex": distance})  # type: ignore[arg-type]


def _batch() -> EvalBatch:
    draw = torch.Generator().manual_seed(0)

    def levels() -> Tensor:
        return torch.randint(0, 256, (N, 3, SIZE, SIZE), generator=draw, dtype=torch.uint8)

    def condition() -> Condition:
        emotion = torch.nn.functional.one_hot(torch.randint(0, 5, (N,), generator=draw), 5).float()
        attributes = (torch.rand(N, 4, generator=draw) > 0.5).float()
        return Condition(attributes=attributes, aus=torch.rand(N, 3, generator=draw), emotion=emotion)

    source, truth, generated = levels(), levels(), levels()
    image = torch.rand(N, 3, SIZE, SIZE, generator=draw) * 2 - 1
    sample = Sample(
        image,
        condition(),
        condition(),
        image,
        0.2 * torch.randn(N, 2, SIZE, SIZE, generator=draw),
        (torch.rand(N, 1, SIZE, SIZE, generator=draw) > 0.3).float(),
        tuple(f"s{i:02d}" for i in range(N)),
    )
    translation = Translation(
        image, torch.randn(N, 2, SIZE, SIZE, generator=draw), mask=torch.rand(N, 1, SIZE, SIZE, generator=draw)
    )
    return EvalBatch(sample.id, generated, source, truth, truth, translation, sample, _networks(), JUDGES)


def _rows(batch: EvalBatch, index: list[int]) -> EvalBatch:
    assert batch.sample is not None
    assert batch.translation is not None
    assert batch.source is not None
    assert batch.truth is not None
    truth = batch.truth[index]
    return dataclasses.replace(
        batch,
        id=tuple(batch.id[i] for i in index),
        generated=batch.generated[index],
        source=batch.source[index],
        truth=truth,
        real=truth,
        translation=batch.translation.rows(index),
        sample=batch.sample.rows(index),
        known={},
        _own={},
    )


def _metric(name: str) -> Metric:
    metric = METRICS.get(name).factory()
    assert isinstance(metric, Metric)
    return metric


def _scored(name: str, *batches: EvalBatch) -> Metric:
    metric = _metric(name)
    for batch in batches:
        metric.update(batch)
    return metric


def _assert_equal(a: Metric, b: Metric) -> None:
    left, right = a.compute(), b.compute()
    assert left is not None
    assert right is not None
    for x, y in zip(dataclasses.astuple(left), dataclasses.astuple(right), strict=True):
        assert (x is None and y is None) or math.isclose(x, y, rel_tol=1e-5, abs_tol=1e-7)


@pytest.mark.parametrize("name", METRICS.names())
def test_batch_size_and_order_do_not_matter(name: str) -> None:
    batch = _batch()
    whole = _scored(name, batch)
    parts = _scored(name, *(_rows(batch, list(range(i, min(i + 7, N)))) for i in (14, 0, 21, 7)))
    _assert_equal(whole, parts)
    assert whole.samples().keys() == parts.samples().keys()


@pytest.mark.parametrize("name", METRICS.names())
def test_merge_of_halves_equals_the_whole(name: str) -> None:
    batch = _batch()
    left, right = (_scored(name, _rows(batch, list(half))) for half in (range(10), range(10, N)))
    left.merge(right)
    _assert_equal(_scored(name, batch), left)


@pytest.mark.parametrize("name", METRICS.names())
def test_score_is_finite_inside_its_interval_and_the_mean_of_its_samples(name: str) -> None:
    metric = _scored(name, _batch())
    score = metric.compute()
    assert score is not None
    assert math.isfinite(score.value)
    assert 0 < score.n <= N
    if score.low is not None and score.high is not None:
        assert score.low <= score.value <= score.high
        values = [value for value in metric.samples().values() if value is not None]
        assert len(values) == score.n
        assert min(values) <= score.value <= max(values)


@pytest.mark.parametrize("name", METRICS.names())
def test_needs_are_complete_and_a_missing_one_is_named(name: str) -> None:
    """A batch with exactly what `needs` says is enough; a batch without any of it is refused."""
    info, batch = METRICS.get(name).info, _batch()
    assert not batch.lacks(info.needs)
    bare = EvalBatch(batch.id, batch.generated, networks=batch.networks)
    assert bare.lacks(info.needs) or all(need.startswith("network.") for need in info.needs)
    with pytest.raises((ValueError, LookupError)):
        _metric(name).update(bare)


@pytest.mark.parametrize("name", METRICS.names())
def test_nothing_seen_is_no_score(name: str) -> None:
    metric = _metric(name)
    if isinstance(metric, FrechetMetric):
        with pytest.raises(ValueError, match="at least 2"):
            metric.compute()
    else:
        assert metric.compute() is None


@pytest.mark.parametrize("name", METRICS.names())
def test_facts(name: str) -> None:
    entry = METRICS.get(name)
    assert entry.info.version >= 1
    assert entry.info.unit in ("", "%", "dB", "px")
    first = (entry.factory.__doc__ or "").partition("\n")[0]
    assert first.endswith(".")
    assert len(first) > 20
