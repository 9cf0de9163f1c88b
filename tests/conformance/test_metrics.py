"""What every registered metric promises."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import eval.metrics  # noqa: F401
from eval.metrics.base import EvalBatch, Metric
from eval.metrics.sets import SetMetric
from eval.networks import Networks
from geotrans.types import Condition, ConditionSpec, Sample, Translation
from registry import METRICS

N, SIZE = 24, 16
SIZES = {"ssim_gfla51": 52, "ms_ssim": 161}  # of metrics that need larger pictures
DIMS = {"attributes": 4, "aus": 3, "emotion": 5, "identity": 8, "features": 6, "landmarks": 136, "joints": 36}


def _networks() -> Networks:
    def feature(seed: int, dim: int) -> object:
        projection = torch.randn(3 * SIZE * SIZE, dim, generator=torch.Generator().manual_seed(seed)) / SIZE

        def embed(images: Tensor) -> Tensor:
            small = F.adaptive_avg_pool2d(images.float() / 127.5 - 1, SIZE)
            return torch.sigmoid(small.flatten(1) @ projection)

        return embed

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return (a.float() - b.float()).abs().flatten(1).mean(1)

    features = {f"toy_{name}": feature(seed, dim) for seed, (name, dim) in enumerate(DIMS.items())}
    external = ("inception_fid", "inception_torchvision", "facenet_vggface2")
    features |= {name: feature(9 + seed, 30 + seed) for seed, name in enumerate(external)}
    distances = {name: distance for name in ("lpips_alex", "lpips_vgg", "lpips_squeeze", "maps_toy_features")}
    return Networks(features=features, distances=distances)  # type: ignore[arg-type]


def _batch(name: str) -> EvalBatch:
    """Everything that any metric may ask for."""
    size = SIZES.get(name, SIZE)
    draw = torch.Generator().manual_seed(0)

    def levels(*more: int) -> Tensor:
        return torch.randint(0, 256, (N, *more, 3, size, size), generator=draw, dtype=torch.uint8)

    def condition() -> Condition:
        emotion = F.one_hot(torch.randint(0, 5, (N,), generator=draw), 5).float()
        attributes = (torch.rand(N, 4, generator=draw) > 0.5).float()
        landmarks = 2 * torch.rand(N, 68, 2, generator=draw) - 1
        structure = torch.rand(N, 18, size, size, generator=draw)
        aus = torch.rand(N, 3, generator=draw)
        return Condition(attributes, aus, emotion, landmarks=landmarks, structure=structure)

    source, truth, generated = levels(), levels(), levels()
    image = torch.rand(N, 3, size, size, generator=draw) * 2 - 1
    sample = Sample(
        image,
        condition(),
        condition(),
        image,
        0.2 * torch.randn(N, 2, size, size, generator=draw),
        (torch.rand(N, 1, size, size, generator=draw) > 0.3).float(),
        tuple(f"s{i:02d}" for i in range(N)),
    )
    translation = Translation(
        image, torch.randn(N, 2, size, size, generator=draw), mask=torch.rand(N, 1, size, size, generator=draw)
    )
    judges = {role: f"toy_{role}" for role in DIMS}
    spec = ConditionSpec(aus=("AU01", "AU02", "AU04"), emotion=tuple("abcde"))
    return EvalBatch(
        *(sample.id, generated, source, truth, truth, translation, sample, _networks(), judges),
        spec=spec,
        cycle=levels(),
        variants=levels(3),
    )


def _rows(batch: EvalBatch, index: list[int]) -> EvalBatch:
    assert batch.sample is not None
    assert batch.translation is not None
    pictures = {name: batch.get(name)[index] for name in ("generated", "source", "truth", "cycle", "variants")}
    return dataclasses.replace(
        batch,
        id=tuple(batch.id[i] for i in index),
        **pictures,
        real=pictures["truth"],
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
    assert left.parts == pytest.approx(right.parts, rel=1e-5, abs=1e-7)
    for field in ("value", "n", "low", "high"):
        x, y = getattr(left, field), getattr(right, field)
        assert (x is None and y is None) or math.isclose(x, y, rel_tol=1e-5, abs_tol=1e-7)


@pytest.mark.parametrize("name", METRICS.names())
def test_batch_size_and_order_do_not_matter(name: str) -> None:
    batch = _batch(name)
    whole = _scored(name, batch)
    parts = _scored(name, *(_rows(batch, list(range(i, min(i + 7, N)))) for i in (14, 0, 21, 7)))
    _assert_equal(whole, parts)
    assert whole.samples().keys() == parts.samples().keys()


@pytest.mark.parametrize("name", METRICS.names())
def test_merge_of_halves_equals_the_whole(name: str) -> None:
    batch = _batch(name)
    left, right = (_scored(name, _rows(batch, list(half))) for half in (range(10), range(10, N)))
    left.merge(right)
    _assert_equal(_scored(name, batch), left)
    empty = _metric(name)
    empty.merge(left)
    _assert_equal(left, empty)


@pytest.mark.parametrize("name", METRICS.names())
def test_score_is_finite_inside_its_interval_and_the_mean_of_its_samples(name: str) -> None:
    metric = _scored(name, _batch(name))
    score = metric.compute()
    assert score is not None
    assert math.isfinite(score.value)
    assert 0 < score.n <= N
    assert score.low is not None
    assert score.high is not None
    assert score.low <= score.value <= score.high
    assert score.low < score.high or score.value in (0, 100)
    values = [value for value in metric.samples().values() if value is not None]
    if values:
        assert len(values) == score.n
        assert min(values) <= score.value <= max(values)
    if score.parts and values:
        assert min(values) <= min(score.parts.values()) <= max(score.parts.values()) <= max(values)


@pytest.mark.parametrize("name", METRICS.names())
def test_needs_are_complete_and_a_missing_one_is_named(name: str) -> None:
    """A batch with exactly what `needs` says is enough; a batch without any of it is refused."""
    info, batch = METRICS.get(name).info, _batch(name)
    assert not batch.lacks(info.needs)
    bare = EvalBatch(batch.id, batch.generated, networks=batch.networks)
    assert bare.lacks(info.needs) or all(need.startswith("network.") for need in info.needs)
    with pytest.raises((ValueError, LookupError)):
        _metric(name).update(bare)


@pytest.mark.parametrize("name", METRICS.names())
def test_nothing_seen_is_no_score(name: str) -> None:
    metric = _metric(name)
    if isinstance(metric, SetMetric):
        with pytest.raises(ValueError, match=r"at least \d images a side, got 0"):
            metric.compute()
    else:
        assert metric.compute() is None


@pytest.mark.parametrize("name", [name for name in METRICS.names() if isinstance(_metric(name), SetMetric)])
def test_a_feature_that_is_not_finite_names_its_sample(name: str) -> None:
    metric = _metric(name)
    assert isinstance(metric, SetMetric)
    features = torch.ones(3, 4)
    features[1, 2] = torch.nan
    with pytest.raises(ValueError, match="sample b"):
        metric.add("generated", features, ("a", "b", "c"))


@pytest.mark.parametrize("name", METRICS.names())
def test_facts(name: str) -> None:
    entry = METRICS.get(name)
    assert entry.info.version >= 1
    assert entry.info.unit in ("", "%", "dB", "px")
    first = (entry.factory.__doc__ or "").partition("\n")[0]
    assert first.endswith(".")
    assert len(first) > 20
