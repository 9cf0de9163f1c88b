"""What only a model's own run can tell: the way back, results in several styles, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from eval.contestants import contestant_of
from eval.cost import count_macs
from eval.evaluate import evaluate
from eval.networks import Networks
from eval.protocol import Protocol
from eval.results import BoardResult, Row
from eval.rows import STYLES
from geotrans.base import Generator, Model
from geotrans.data.synthface import synthface
from geotrans.ops.images import from_uint8, to_uint8
from geotrans.types import Condition, ConditionSpec, Translation

ATTRIBUTES = ConditionSpec(attributes=("Smiling",))
TASK = Protocol("task", "synthface", "test", 6, ("l1", "cycle_error", "lpips_diversity"), 64, {"task": "attributes"})


@dataclass(frozen=True)
class Config:
    resolution: int = 64
    width: int = 4
    condition: ConditionSpec = ATTRIBUTES


class Brighter(Generator):
    """Adds 0.1 for a smile and takes 0.1 away for none."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        assert target.attributes is not None
        return Translation((image + 0.2 * (target.attributes[:, :1, None, None] - 0.5)).clamp(-1, 1))


class Tinted(Generator):
    """Paints everything in the colour of its style."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        assert target.style is not None
        return Translation(torch.zeros_like(image) + target.style.clamp(-1, 1)[:, :, None, None])


class Blind(Generator):
    """Reads no condition, and so knows one way only."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        return Translation(-image)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() - b.double()).abs().flatten(1).mean(1)


def _board(model: Generator, protocol: Protocol = TASK, **options: int) -> BoardResult:
    networks = Networks(distances={"lpips_alex": _distance})
    return evaluate(protocol, [contestant_of(model, "ours")], networks=networks, progress=False, **options)  # type: ignore[arg-type]


def _row(board: BoardResult, name: str = "ours") -> Row:
    return next(row for row in board.rows if row.name == name)


def test_the_way_back_wants_what_the_source_shows() -> None:
    board = _board(Brighter(Config()), batch_size=4)
    sample = synthface(split="test", task="attributes").batch(range(6))
    before, after = (condition.attributes[:, :1, None, None] for condition in (sample.source, sample.target))  # type: ignore[union-attr, index]
    there = from_uint8(to_uint8((sample.image + 0.2 * (after - 0.5)).clamp(-1, 1)))
    back = to_uint8((there + 0.2 * (before - 0.5)).clamp(-1, 1))
    expected = (back.double() - to_uint8(sample.image).double()).abs().mean() / 127.5
    assert _row(board).scores["cycle_error"].value == pytest.approx(float(expected), rel=1e-6)
    assert 0 < expected < 0.2
    assert _row(board, "identity").scores["cycle_error"].value == 0
    assert "cycle_error" not in _row(board, "real images").scores
    assert "cycle_error" not in board.left_out


def test_a_model_that_reads_nothing_has_no_way_back() -> None:
    assert "cycle_error" not in _row(_board(Blind(Config(condition=ConditionSpec())))).scores


def test_results_in_ten_styles_are_compared_with_each_other() -> None:
    model = Tinted(Config(condition=ConditionSpec(style=("r", "g", "b"))))
    score = _row(_board(model)).scores["lpips_diversity"]
    assert score.n == 6
    # Between two draws from N(0, 1), cut at -1 and 1, lies 2 times the integral of F (1 - F) from -1 to 1: 0.8245.
    assert score.value == pytest.approx(0.8245 * 127.5, rel=0.1)
    again = _row(_board(model, batch_size=2)).scores["lpips_diversity"]
    assert again == score
    assert STYLES * (STYLES - 1) // 2 == 45


def test_a_model_without_styles_has_no_diversity() -> None:
    board = _board(Brighter(Config()))
    assert "lpips_diversity" not in _row(board).scores
    assert "lpips_diversity" not in board.left_out


def test_nothing_further_runs_unless_a_metric_asks() -> None:
    calls: list[int] = []

    class Counted(Brighter):
        def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
            calls.append(len(image))
            return super().forward(image, target, source)

    _board(Counted(Config()), replace(TASK, metrics=("l1",)))
    assert calls == [6, 1]  # the samples, and one to count what it costs
    calls.clear()
    _board(Counted(Config()))
    assert sorted(calls) == [1, 6, 6]


class Layers(Generator):
    """A convolution with a stride, a linear layer, and things that are not counted."""

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.down = nn.Conv2d(3, cfg.width, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(2, cfg.width)
        self.mix = nn.Linear(1, 5)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        assert target.attributes is not None
        shift = self.norm(self.down(image)).mean((1, 2, 3)) + self.mix(target.attributes).sum(1)
        return Translation((image + shift[:, None, None, None]).clamp(-1, 1))


def test_cost_is_that_of_one_picture_counted_by_hand() -> None:
    model: Model = Layers(Config())
    macs = 32 * 32 * 4 * 3 * 9 + 5
    assert count_macs(model, torch.zeros(3, 3, 64, 64), Condition(attributes=torch.zeros(3, 1))) == macs  # type: ignore[arg-type]
    assert _row(_board(model)).facts.macs == macs  # type: ignore[arg-type]
    assert _row(_board(model), "identity").facts.macs is None  # type: ignore[arg-type]
