"""What a metric has gathered survives a file: for every registered metric, and for one with a bit of everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from eval.metrics.base import EvalBatch, Metric, Score
from eval.state import restore, snapshot
from hub import files
from registry import METRICS
from tests.conformance.test_metrics import N, _batch, _metric, _rows, _scored


@pytest.mark.parametrize("name", METRICS.names())
def test_a_stored_half_and_the_other_half_make_the_whole(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    batch = _batch(name)
    left, right = (_scored(name, _rows(batch, list(half))) for half in (range(10), range(10, N)))
    values, tensors = snapshot(left)
    files.write_safetensors(tmp_path / "part.safetensors", tensors, {"values": json.dumps(values)})
    tensors, metadata = files.read_safetensors(tmp_path / "part.safetensors")
    again = _metric(name)
    restore(again, json.loads(metadata["values"]), tensors)
    for half in (again, left):
        half.merge(right)
    assert again.compute() == left.compute()
    assert again.samples() == left.samples()


class Odd(Metric):
    """Keeps something of every kind that can be stored."""

    def __init__(self) -> None:
        self.rows = torch.zeros(0, 2, dtype=torch.float64)
        self.names: list[tuple[str, int]] = []
        self.by_place: dict[int, Any] = {}
        self.measure = lambda batch: batch

    def update(self, batch: EvalBatch) -> None:
        self.rows = torch.cat([self.rows, torch.rand(1, 2, dtype=torch.float64)])
        self.names.append((batch.id[0], len(self.names)))
        self.by_place[len(self.names)] = (torch.tensor([1.5]), None, True)

    def merge(self, other: Odd) -> None:
        raise NotImplementedError

    def compute(self) -> Score | None:
        return Score(float(self.rows.sum()), len(self.rows))


def test_a_state_is_all_that_a_metric_gathered() -> None:
    batch = EvalBatch(("a",), torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    metric, again = Odd(), Odd()
    for _ in range(3):
        metric.update(batch)
    values, tensors = snapshot(metric)
    restore(again, json.loads(json.dumps(values)), tensors)
    assert again.compute() == metric.compute()
    assert again.names == metric.names
    assert again.by_place[2][1:] == (None, True)
    assert torch.equal(again.by_place[2][0], torch.tensor([1.5]))
    again.update(batch)  # it goes on from there, and on its own
    assert len(metric.rows) == 3
    metric.measure = {1, 2}  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"Odd\.measure: a set cannot be stored"):
        snapshot(metric)
    with pytest.raises(ValueError, match="the stored state does not fit Odd"):
        restore(Odd(), {"nothing": 1}, {})
