"""A leaderboard as a dataset repository: what is sent, what is merged, what is marked."""

from __future__ import annotations

import dataclasses

import pytest

from eval.merge import merge
from eval.metrics.base import Score
from eval.protocol import create_protocol
from eval.publish import collect, publish
from eval.results import BoardResult, ModelFacts, Results, Row, metric_facts
from eval.run import main
from eval.storage import write_results
from tests.hub_server import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def run(name, value, created="2026-01-01", sha="a" * 64, **changes):
    facts = ModelFacts("spm_refine_64", 10, sha)
    rows = (
        Row("identity", "identity", ModelFacts(), None, {"l1": Score(0.5, 1000)}),
        Row(name, changes.pop("kind", "model"), facts, 1.0, {"l1": Score(value, 1000, 0.1, 0.3)}),
    )
    protocol = create_protocol("synthface_attr4_64")
    metric = dataclasses.replace(metric_facts("l1"), **changes)
    return Results((BoardResult(protocol, (metric,), rows, protocol.n),), {"packages": {}}, created)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session, disable_progress_bars

    server = Hub()
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "secret")
    disable_progress_bars()
    yield server
    server.shutdown()
    server.server_close()
    close_session()


def names(results):
    (board,) = results.boards
    return [row.name for row in board.rows]


def test_duplicates_and_unverifiable_rows_are_marked():
    runs = [
        run("hf-hub:a/one", 0.2, "2026-01-01"),
        run("hf-hub:a/one", 0.3, "2026-01-02"),
        run("hf-hub:b/two", 0.1, sha="b" * 64),
        run("local-dir:mine", 0.1, sha="c" * 64),
        run("out", 0.1, sha=None, kind="folder"),
    ]
    digests = {"hf-hub:a/one": "a" * 64, "hf-hub:b/two": "f" * 64}
    merged = merge(runs, digests.get)
    assert names(merged) == [
        "hf-hub:a/one",
        "hf-hub:a/one [duplicate 2]",
        "hf-hub:b/two [unverified: other weights are public now]",
        "local-dir:mine [unverified: weights not public]",
        "out [unverified: pictures of unknown origin]",
        "identity",
    ]
    assert merged.boards[0].rows[0].scores["l1"].value == 0.3


def test_scores_of_another_version_of_a_metric_are_dropped():
    merged = merge([run("hf-hub:a/one", 0.2, version=99)], lambda _: "a" * 64)
    assert all("l1" not in row.scores for row in merged.boards[0].rows)
    assert "l1 of hf-hub:a/one" in merged.boards[0].left_out


def test_publish_and_collect(hub, tmp_path, capsys):
    write_results(run("hf-hub:a/one", 0.2), tmp_path / "first")
    write_results(run("local-dir:mine", 0.1, sha="c" * 64), tmp_path / "second")
    main(["publish", str(tmp_path / "first"), "org/leaderboard"])
    main(["publish", str(tmp_path / "first"), "org/leaderboard"])
    publish(tmp_path / "second", "org/leaderboard")
    repo = hub.repos["org/leaderboard"]
    assert repo.kind == "datasets"
    files = repo.commits[repo.heads["main"]]
    assert len([name for name in files if name.startswith("results/")]) == 2
    assert len(repo.commits) == 3
    repo.commit("main", {**files, f"results/{'0' * 16}.json": b"{", "results/other.json": b"{"})
    merged = collect("org/leaderboard")
    assert len(merged.boards[0].rows) == 3
    assert "not JSON" in merged.boards[0].left_out[f"{'0' * 16}.json"]
    main(["board", "--from", "org/leaderboard", "--output", str(tmp_path / "board")])
    page = (tmp_path / "board" / "board.html").read_text()
    assert "unverified: weights not public" in page
    assert "unverified" in capsys.readouterr().out


def test_what_is_no_results_file_is_not_sent(hub, tmp_path, capsys):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(SystemExit) as stop:
        main(["publish", str(tmp_path), "org/leaderboard"])
    assert stop.value.code == 2
    assert "expected results of schema 1" in capsys.readouterr().err
    assert hub.requests == []
