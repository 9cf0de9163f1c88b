"""From the command line to a board: a toy dataset, fake judges, the identity generator and small untrained networks."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

import eval.run as command
from eval.contestants import Contestant, contestant
from eval.environment import environment, now
from eval.evaluate import evaluate
from eval.metrics.base import EvalBatch
from eval.networks import Networks
from eval.protocol import create_protocol
from eval.results import BoardResult, Results
from eval.storage import read_results, to_json, write_results
from geotrans import create_model, save_folder
from geotrans.ops.images import to_uint8
from geotrans.types import ConditionSpec
from registry import METRICS
from tests.eval_kit import fails, run, save_mover, toy_tables


@pytest.fixture(autouse=True)
def toys() -> Iterator[ModuleType]:
    """Toys; their protocol is the only built-in one while a test runs."""
    with toy_tables() as module:
        yield module


@pytest.fixture
def mover(tmp_path: Path) -> str:
    return save_mover(tmp_path / "mover")


@pytest.fixture
def no_lpips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))


def _evaluate(models: list[Contestant], **options: object) -> BoardResult:
    return evaluate(create_protocol("toy_32"), models, progress=False, **options)  # type: ignore[arg-type]


def _scores(board: BoardResult, row: str) -> dict[str, float]:
    (found,) = [candidate for candidate in board.rows if candidate.name == row]
    return {name: score.value for name, score in found.scores.items()}


@pytest.mark.usefixtures("no_lpips")
def test_rows_score_what_they_must(mover: str) -> None:
    board = _evaluate([contestant(mover)])
    assert [row.name for row in board.rows] == [mover, "identity", "real images"]
    made, same, real = (_scores(board, name) for name in (mover, "identity", "real images"))
    assert made["attr_changed_accuracy"] == real["attr_changed_accuracy"] == 100
    assert same["attr_changed_accuracy"] == 0
    assert made["flow_epe"] == pytest.approx(0, abs=1e-5)
    assert same["flow_epe"] == pytest.approx(3)  # it has zero flow, and everything moves by 3 pixels
    assert made["l1"] < 0.01 < same["l1"]
    assert made["psnr"] > 50
    assert made["frechet"] < 1e-4 < same["frechet"]
    assert same["id_cosine"] == pytest.approx(1)
    assert made["mask_area"] == 100
    assert not {"mask_area", "edit_concentration"} & same.keys()  # it paints nothing and changes nothing
    assert set(real) == {"attr_changed_accuracy", "attr_accuracy", "id_cosine"}  # the truth is not compared with itself
    assert list(board.left_out) == ["lpips"]
    assert "alexnet" in board.left_out["lpips"]


@pytest.mark.usefixtures("no_lpips")
def test_batch_size_moves_no_score(mover: str) -> None:
    whole, parts = (_evaluate([contestant(mover)], batch_size=size) for size in (24, 7))
    for left, right in zip(whole.rows, parts.rows, strict=True):
        assert {name: score.n for name, score in left.scores.items()} == {n: s.n for n, s in right.scores.items()}
        for name, score in left.scores.items():
            assert score.value == pytest.approx(right.scores[name].value, abs=1e-6)
        assert left.samples.keys() == right.samples.keys()
    assert whole.pictures is not None
    assert parts.pictures is not None
    assert whole.pictures.sample.id == parts.pictures.sample.id == tuple(f"toy-{4 * i}" for i in range(6))


def test_a_model_that_returns_nan_is_named_with_the_sample() -> None:
    entrant = Contestant("broken", "model", create_model("broken"))
    with pytest.raises(ValueError, match="broken returns NaN or infinity for sample toy-1"):
        _evaluate([entrant])


@pytest.mark.usefixtures("no_lpips")
def test_a_model_that_does_not_fit_is_refused() -> None:
    for overrides, text in (
        ({"resolution": 64}, "it works at 64 pixels and the protocol is at 32"),
        ({"condition": ConditionSpec(attributes=("Dark",))}, "it reads attributes Dark; the data has: Bright"),
        ({"condition": ConditionSpec(landmarks=True)}, "it reads landmarks"),
    ):
        entrant = Contestant("mine", "model", create_model("mover_32", **overrides))
        with pytest.raises(ValueError, match=f"mine cannot be scored on toy_32: {text}"):
            _evaluate([entrant])


def test_an_unmet_metric_is_an_error_only_when_asked_for() -> None:
    protocol = dataclasses.replace(create_protocol("toy_32"), metrics=("l1", "id_cosine"), judges={})
    assert evaluate(protocol, [], progress=False).left_out == {
        "id_cosine": "it needs judge.identity, which is not known here"
    }
    with pytest.raises(ValueError, match=r"id_cosine: it needs judge\.identity"):
        evaluate(protocol, [], strict=True, progress=False)


@pytest.mark.usefixtures("no_lpips")
def test_without_models_it_scores_the_references(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "bundled_generators", lambda: [])
    run("--output", tmp_path / "out")
    out = capsys.readouterr().out
    assert "identity" in out
    assert "real images" in out
    assert "Left out: lpips" in out
    assert "Not the standard" not in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    (pictures,) = (name for name in names if name.startswith("pictures-toy_32-"))
    boards = {"board.md", "board.csv", "board.jsonl", "board.html"}
    assert names == {"results.json", "samples.json", pictures, *boards, "strips"}


@pytest.mark.usefixtures("no_lpips")
def test_the_whole_output_of_arun(mover: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    run("--models", mover, "identity", "--limit", 12, "--output", output, "--batch-size", 5)
    out = capsys.readouterr().out
    assert "Not the standard toy_32" in out
    content = json.loads((output / "results.json").read_text())
    (board,) = content["boards"]
    assert board["protocol"]["hash"] == create_protocol("toy_32", limit=12).digest()
    assert board["protocol"]["standard"] is False
    assert [row["name"] for row in board["rows"]] == [mover, "identity", "real images"]
    first = board["rows"][0]
    assert first["arch"] == "mover_32"
    assert len(first["weights_sha256"]) == 64
    assert first["training"] == {"seconds": 1.5}
    assert first["scores"]["l1"]["n"] == 12
    assert first["scores"]["l1"]["version"] == METRICS.get("l1").info.version
    assert content["environment"]["packages"]["torch"]
    (samples,) = json.loads((output / "samples.json").read_text())["boards"]
    assert samples["hash"] == board["protocol"]["hash"]
    assert len(samples["ids"]) == 12
    assert all(len(values) == 12 for row in samples["rows"].values() for values in row.values())
    lines = list(csv.DictReader((output / "board.csv").read_text().splitlines()))
    assert {line["row"] for line in lines} == {mover, "identity", "real images"}
    assert float(lines[0]["value"]) == first["scores"][lines[0]["metric"]]["value"]
    assert len(list((output / "strips").glob("*.png"))) == 2


def test_results_survive_writing_and_reading(tmp_path: Path) -> None:
    board = evaluate(dataclasses.replace(create_protocol("toy_32"), metrics=("l1", "psnr")), [], progress=False)
    results = Results((board,), environment(), now())
    write_results(results, tmp_path)
    again = read_results(tmp_path)
    assert to_json(again) == to_json(results)
    assert again.boards[0].rows[0].scores == board.rows[0].scores


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema": 99}, "expected results of schema 1, got 99"),
        ({"boards": [{}]}, "not a whole results file"),
        ({"environment": None}, "not a whole results file"),
    ],
)
def test_reading_refuses_what_is_no_results_file(tmp_path: Path, change: dict[str, object], text: str) -> None:
    board = evaluate(dataclasses.replace(create_protocol("toy_32"), metrics=("l1",)), [], progress=False)
    content = to_json(Results((board,), environment(), now())) | change
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=text):
        read_results(tmp_path)


def test_reading_notices_a_protocol_changed_by_hand(tmp_path: Path) -> None:
    board = evaluate(dataclasses.replace(create_protocol("toy_32"), metrics=("l1",)), [], progress=False)
    content = to_json(Results((board,), environment(), now()))
    content["boards"][0]["protocol"]["n"] = 1000
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="does not have the hash"):
        read_results(tmp_path)


class _Page(HTMLParser):
    """Collects what an HTML page refers to, and checks that its tags close."""

    VOID = frozenset({"meta", "img", "wbr", "link", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.usefixtures("no_lpips")
def test_the_page_is_whole_and_asks_no_network(mover: str, tmp_path: Path) -> None:
    run("--models", mover, "--output", tmp_path / "out")
    text = (tmp_path / "out" / "board.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.references
    assert all(reference.startswith(("data:image/png;base64,", "#")) for reference in page.references)
    assert "url(" not in text
    assert "@import" not in text
    assert "Smooth noise &lt;b&gt;that moves&lt;/b&gt;." in text
    assert "img" in page.tags
    assert '<li data-tip="toy-0: Bright"><span>Bright</span></li>' in text


def test_help_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--help")
    assert stop.value.code == 0
    assert "python -m eval.run --generated" in capsys.readouterr().out
    run("--list")
    out = capsys.readouterr().out
    assert "toy_32" in out
    assert all(name in out for name in METRICS)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--models", "moverr_32"], "no model is named 'moverr_32'; did you mean 'mover_32'"),
        (["--models", "mover_32"], "mover_32 has no weights"),
        (["--models", "local-dir:nowhere"], "nowhere"),
        (["--protocol", "toy_64"], "no protocol is named 'toy_64'; did you mean 'toy_32'"),
        (["--metrics", "psnrr"], "no metric is named 'psnrr'; did you mean 'psnr'"),
        (["--metricss", "psnr"], "unrecognized arguments: --metricss"),
        (["--limit", "1"], "limit: expected at least 2 samples, got 1"),
        (["--batch-size", "0"], "--batch-size: expected at least 1, got 0"),
        (["--data", "x"], "--data is the folder of one protocol's dataset"),
        (["--data", "x", "--protocol", "toy_32"], "reads no folder"),
        (["--generated", "x"], "--generated and --reference belong together"),
        (["--generated", "x", "--reference", "y", "--models", "identity"], "leave out --models"),
        (["--device", "nonsense"], "--device nonsense: not usable on this machine"),
        (["--metrics", "lpips"], "lpips:"),
        (["--output", __file__], "is a file; name a folder"),
    ],
)
@pytest.mark.usefixtures("no_lpips")
def test_a_wrong_call_is_one_line_and_leaves_nothing(
    argv: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = [] if "--output" in argv else ["--output", tmp_path / "out"]
    assert text in fails(capsys, *argv, *output)
    assert not (tmp_path / "out").exists()


def test_a_model_that_fits_nowhere_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained_on = {"name": "celeba", "options": {}}
    path = save_folder(create_model("mover_32"), tmp_path / "other", arch="mover_32", tag="x", dataset=trained_on)
    line = fails(capsys, "--models", f"local-dir:{path}", "--output", tmp_path / "out")
    assert "fits no built-in protocol (it was trained on celeba)" in line


@pytest.mark.usefixtures("no_lpips")
def test_a_bundled_model_that_fits_nowhere_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_on = {"name": "celeba", "options": {}}
    path = save_folder(create_model("mover_32"), tmp_path / "other", arch="mover_32", tag="x", dataset=trained_on)
    monkeypatch.setattr(command, "bundled_generators", lambda: [f"local-dir:{path}"])
    run("--output", tmp_path / "out", "--metrics", "l1", "l1", "--limit", 4)
    out = capsys.readouterr().out
    assert f"Left out: local-dir:{path}: it was trained on celeba" in out
    assert out.count("l1") == 1


def test_networks_are_loaded_once(toys: ModuleType) -> None:
    networks = Networks()
    assert networks.feature("toy_features") is networks.feature("toy_features")
    picture = to_uint8(toys.Toy().batch([0]).image)
    batch = EvalBatch(("a",), picture, networks=networks)
    assert batch.feature("toy_features", "generated").shape == (1, 3)
    assert "no feature is named" in str(networks.missing("nothing"))
