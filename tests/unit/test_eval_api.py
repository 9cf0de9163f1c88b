"""`eval.score`: names, generators, functions and folders, from Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from eval import score
from eval.protocol import create_protocol
from eval.results import Results
from geotrans import create_model
from geotrans.ops.images import write_image
from geotrans.types import Condition, Translation
from tests.eval_kit import save_mover, toy_tables


@pytest.fixture(autouse=True)
def toys() -> Iterator[ModuleType]:
    with toy_tables() as module:
        yield module


def _values(results: Results, row: str) -> dict[str, float]:
    (board,) = results.boards
    return {name: found.value for name, found in next(r for r in board.rows if r.name == row).scores.items()}


def test_anything_that_translates_is_scored_alike(tmp_path: Path, toys: ModuleType) -> None:
    model = create_model("mover_32")

    def function(image: Tensor, target: Condition, source: Condition) -> Tensor:
        assert target.attributes is not None
        assert source.attributes is not None
        assert torch.equal(target.attributes, 1 - source.attributes)
        return model(image, Condition()).image  # type: ignore[no-any-return]

    for i in range(24):
        write_image(tmp_path / "made" / f"toy-{i}.png", model(toys.Toy().batch([i]).image, Condition()).image)
    rows = {
        "name": save_mover(tmp_path / "mover"),
        "model": model,
        "function": function,
        "folder": tmp_path / "made",
        "parts": lambda image, *_: model(image, Condition()),
    }
    results = score(rows, "toy_32", progress=False)
    assert [row.kind for row in results.boards[0].rows][:5] == ["model", "model", "model", "folder", "model"]
    expected = _values(results, "name")
    assert "flow_epe" in expected
    for name in rows:
        found = _values(results, name)
        whole = {"flow_epe", "mask_area"}  # of what tells no more than a picture, only pictures are scored
        assert found.keys() == expected.keys() - (whole if name in ("function", "folder") else set())
        for metric, value in found.items():
            assert value == pytest.approx(expected[metric], rel=1e-6), (name, metric)
    assert results.boards[0].rows[0].facts.weights_sha256
    assert results.boards[0].rows[2].facts.weights_sha256 is None


def test_options_of_a_score(toys: ModuleType) -> None:
    protocol = create_protocol("toy_32")
    results = score(create_model("mover_32"), protocol, metrics=["l1"], limit=8, label="mine", pictures=3)
    (board,) = results.boards
    assert (board.n, results.label) == (8, "mine")
    assert [metric.name for metric in board.metrics] == ["l1"]
    assert board.rows[0].name == "Mover"
    assert board.pictures is not None
    assert len(board.pictures.sample.id) == 3
    mine = {"mine": lambda images: images.float().mean((1, 2, 3))[:, None] / 255}
    judged = score([], protocol, metrics=["id_cosine"], judges={"identity": "mine"}, features=mine)  # type: ignore[arg-type]
    assert _values(judged, "identity")["id_cosine"] == pytest.approx(1)


def _wrong_shape(image: Tensor, target: Condition, source: Condition) -> Tensor:
    return image[..., :16]


def _nothing(image: Tensor, target: Condition, source: Condition) -> None:
    return None


def _nan(image: Tensor, target: Condition, source: Condition) -> Translation:
    return Translation(image * float("nan"))


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (_wrong_shape, ValueError, r"_wrong_shape returns \(24, 3, 32, 16\) for pictures of shape \(24, 3, 32, 32\)"),
        (_nothing, ValueError, "_nothing returns NoneType for pictures of shape"),
        (_nan, ValueError, "_nan returns NaN or infinity for sample toy-0"),
        (3, TypeError, "expected a model's name, a generator, a function or a Path, got int"),
        ("moverr_32", LookupError, "did you mean 'mover_32'"),
        (Path("nowhere"), FileNotFoundError, "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_scored_is_named(model: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        score(model, "toy_32", metrics=["l1"], progress=False)  # type: ignore[arg-type]


def test_metrics_that_cannot_be_had_are_errors_when_asked_for() -> None:
    with pytest.raises(ValueError, match="lpips: "):
        score([], "toy_32", metrics=["lpips"], progress=False)
    with pytest.raises(LookupError, match="no protocol is named 'toy_33'"):
        score([], "toy_33")
    with pytest.raises(
        ValueError, match=r"toy_32 has no judge of mood; it has judges of: attributes, features, identity"
    ):
        score([], "toy_32", judges={"mood": "toy_features"})
