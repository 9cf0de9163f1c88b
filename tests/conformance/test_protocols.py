"""What every registered protocol promises."""

from __future__ import annotations

import dataclasses

import pytest

import geotrans  # noqa: F401
from eval.metrics.base import EvalBatch
from eval.protocol import Protocol, create_protocol, is_standard, open_dataset
from geotrans.ops.images import to_uint8
from registry import DATASETS, FEATURES, METRICS, PROTOCOLS

BUILTIN = [name for name in PROTOCOLS if PROTOCOLS.get(name).factory().builtin]


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_every_name_in_it_resolves(name: str) -> None:
    protocol = create_protocol(name)
    assert protocol.name == name
    assert protocol.on_folders or protocol.dataset in DATASETS
    assert len(set(protocol.metrics)) == len(protocol.metrics)
    for metric in protocol.metrics:
        for need in METRICS.get(metric).info.needs:
            kind, _, role = need.partition(".")
            assert kind != "judge" or role in (*protocol.judges, *protocol.asks), f"{metric} has no judge"
    assert all(feature in FEATURES for feature in protocol.judges.values())
    assert protocol.description


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_digest_follows_what_moves_a_score_and_nothing_else(name: str) -> None:
    protocol = create_protocol(name)
    assert is_standard(protocol)
    same = dataclasses.replace(protocol, description="other", metrics=("psnr",), builtin=not protocol.builtin)
    assert same.digest() == protocol.digest()
    changes: list[Protocol] = [
        create_protocol(name, limit=2),
        create_protocol(name, seed=protocol.seed + 1),
        dataclasses.replace(protocol, version=protocol.version + 1),
        dataclasses.replace(protocol, judges={"attributes": "other"}),
    ]
    assert len({protocol.digest(), *(other.digest() for other in changes)}) == 5
    assert not any(map(is_standard, changes))


@pytest.mark.parametrize("name", BUILTIN)
def test_data_has_what_its_metrics_need(name: str) -> None:
    protocol = create_protocol(name)
    dataset = open_dataset(protocol)
    assert len(dataset) >= protocol.n
    assert dataset.resolution == protocol.resolution
    sample = dataset.batch([0, 1])
    assert sample.truth is not None
    picture = to_uint8(sample.image)
    batch = EvalBatch(sample.id, picture, picture, picture, picture, sample=sample, judges=protocol.judges)
    for metric in protocol.metrics:
        needs = [need for need in METRICS.get(metric).info.needs if not need.startswith("translation.")]
        assert not batch.lacks(needs), metric
