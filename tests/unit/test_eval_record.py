import dataclasses

import pytest
import torch

from eval.metrics.base import Score
from eval.protocol import create_protocol
from eval.record import record
from eval.results import BoardResult, ModelFacts, Pictures, Results, Row, metric_facts
from geotrans import create_model, save_folder
from geotrans.types import Sample, Translation
from hub.files import read_json


@pytest.fixture
def folder(tmp_path):
    model = create_model("spm_refine_64", width=4, blocks=1, refine_blocks=1)
    card = "# mine\n\nText.\n\n## Scores\n\nNone yet.\n"
    results = {"training": {"images": 7}}
    return save_folder(model, tmp_path / "mine", arch="spm_refine_64", tag="t", results=results, readme=card)


def results(folder, value, **changes):
    row = Row(f"local-dir:{folder}", "model", ModelFacts("spm_refine_64"), 1.0, {"l1": Score(value, 1000, 0.1, 0.3)})
    reference = Row("identity", "identity", ModelFacts(), None, {})
    protocol = create_protocol("synthface_attr4_64")
    board = BoardResult(protocol, (metric_facts("l1"),), (reference, row), protocol.n, **changes)
    return Results((board,), {"packages": {"torch": "2"}}, "2026-01-01")


def test_scores_travel_with_the_weights(folder):
    record(results(folder, 0.2))
    record(results(folder, 0.25))
    stored = read_json(folder / "results.json")
    assert stored["training"] == {"images": 7}
    (entry,) = stored["scores"].values()
    assert entry["scores"]["l1"]["value"] == 0.25
    card = (folder / "README.md").read_text()
    assert "# mine\n\nText.\n\n## Scores\n\n`synthface_attr4_64 v" in card
    assert card.count("| l1 (") == 1
    assert "0.25" in card
    assert "None yet" not in card


def test_partial_runs_are_not_recorded(folder):
    run = results(folder, 0.2)
    board = run.boards[0]
    part = dataclasses.replace(board, protocol=dataclasses.replace(board.protocol, n=5))
    before = (folder / "results.json").read_bytes()
    with pytest.raises(ValueError, match=r"--record: synthface_attr4_64 was not run as it stands"):
        record(dataclasses.replace(run, boards=(part,)))
    with pytest.raises(ValueError, match="no model"):
        record(dataclasses.replace(run, boards=()))
    assert (folder / "results.json").read_bytes() == before


def test_a_sample_strip_travels_too(folder):
    run = results(folder, 0.2)
    sample = Sample(torch.zeros(2, 3, 8, 8), truth=torch.ones(2, 3, 8, 8), id=("a", "b"))
    pictures = Pictures(sample, {f"local-dir:{folder}": Translation(torch.zeros(2, 3, 8, 8))})
    record(dataclasses.replace(run, boards=(dataclasses.replace(run.boards[0], pictures=pictures),)))
    record(run)
    assert (folder / "samples.png").stat().st_size > 100
    assert (folder / "README.md").read_text().count("![samples](samples.png)") == 1
