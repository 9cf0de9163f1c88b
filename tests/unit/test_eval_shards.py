"""A run in parts: states survive files, a killed run goes on, and several processes give what one gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from eval.contestants import contestant, contestant_of
from eval.evaluate import contribute, evaluate
from eval.metrics.base import Score
from eval.protocol import create_protocol
from eval.shards import Part, Store, Team, shards, store_of
from hub import files
from registry import METRICS
from tests.eval_kit import TOYS, save_mover, toy_tables

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with toy_tables():
        yield


def _values(board: Any) -> dict[str, dict[str, Score]]:
    return {row.name: row.scores for row in board.rows}


def test_shards_are_whole_batches_and_cover_everything() -> None:
    assert shards(700, 50) == [(0, 200), (200, 400), (400, 600), (600, 700)]
    assert shards(700, 64) == [(0, 256), (256, 512), (512, 700)]
    assert shards(10, 500) == [(0, 10)]


def test_what_is_stored_is_not_scored_again(tmp_path: Path) -> None:
    protocol = create_protocol("toy_32")
    store, mover = Store(tmp_path / "parts"), contestant(save_mover(tmp_path / "mover"))
    first = evaluate(protocol, [mover], store=store, progress=False)
    parts = list((tmp_path / "parts").rglob("*.safetensors"))
    assert len(parts) == 3  # the model, the identity, the real images
    os.environ["TOY_KILL_AT"] = "5"  # no sample but the first is drawn again
    try:
        again = evaluate(protocol, [mover], store=store, progress=False)
    finally:
        del os.environ["TOY_KILL_AT"]
    assert _values(again) == _values(first)
    assert again.rows[0].samples == first.rows[0].samples
    assert again.rows[0].ms_per_image == first.rows[0].ms_per_image
    assert again.pictures is not None
    assert first.pictures is not None
    assert torch.equal(again.pictures.translations[mover.name].image, first.pictures.translations[mover.name].image)


def test_shares_of_a_team_make_the_whole(tmp_path: Path) -> None:
    protocol, mover = create_protocol("toy_many_32"), contestant(save_mover(tmp_path / "mover"))
    alone = evaluate(protocol, [mover], progress=False)
    store = Store(tmp_path / "parts")
    for rank in (2, 0, 1):
        contribute(protocol, [mover], Team(rank, 3), store, progress=False)
    assert len(list((tmp_path / "parts").rglob("*.safetensors"))) == 3 * 3
    together = evaluate(protocol, [mover], store=store, progress=False)
    for name, scores in _values(alone).items():
        for metric, score in scores.items():
            assert _values(together)[name][metric].value == pytest.approx(score.value, rel=1e-9, abs=1e-9)
    with pytest.raises(ValueError, match="mine cannot be scored by several processes"):
        contribute(protocol, [contestant_of(lambda image, *_: image, "mine")], Team(0, 2), store)


def test_a_part_counts_for_its_row_and_its_run_alone(tmp_path: Path) -> None:
    protocol, mover = create_protocol("toy_32"), contestant(save_mover(tmp_path / "mover"))
    place = store_of(protocol, tmp_path, 6, "cpu")
    assert place == store_of(protocol, tmp_path, 6, "cpu")
    others = [
        store_of(create_protocol("toy_32", limit=12), tmp_path, 6, "cpu"),
        store_of(create_protocol("toy_32", seed=1), tmp_path, 6, "cpu"),
        store_of(replace(protocol, metrics=("l1",)), tmp_path, 6, "cpu"),
        store_of(replace(protocol, dataset_options={"root": "elsewhere"}), tmp_path, 6, "cpu"),
        store_of(protocol, tmp_path, 7, "cpu"),
        store_of(protocol, tmp_path, 6, "cuda:1"),
    ]
    assert len({place, *others}) == 7
    assert mover.key != replace(mover, facts=replace(mover.facts, weights_sha256="0" * 64)).key
    assert contestant_of(lambda image, *_: image).key is None


def test_a_broken_part_is_made_again(tmp_path: Path) -> None:
    protocol, store = create_protocol("toy_32"), Store(tmp_path / "parts")
    first = evaluate(protocol, [], store=store, progress=False)
    for path in (tmp_path / "parts").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert _values(evaluate(protocol, [], store=store, progress=False)) == _values(first)


def test_parts_that_do_not_go_together_are_refused() -> None:
    part, other = Part({"l1": METRICS.get("l1").factory()}, ids=["a"]), Part(ids=["b"])
    with pytest.raises(ValueError, match="some samples have a score in l1 and others do not"):
        part.merge(other)


def _start(output: Path, model: str, *launcher: str, **changes: str) -> subprocess.CompletedProcess[str]:
    options = ["--plugin", TOYS, "--protocol", "toy_many_32", "--models", model, "--output", output, "--threads", "1"]
    command = [sys.executable, *launcher, "-m", "eval.run", *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **changes}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=600, check=False)


def _launcher() -> list[str]:
    """Two processes. Accelerate's --cpu starts one only, whatever --num_processes says, unless there is MPI."""
    options = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", str(_free_port())]
    return ["-m", "accelerate.commands.launch", *options, "--mixed_precision", "no", "--dynamo_backend", "no"]


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.mark.slow
def test_a_killed_run_goes_on_in_two_processes(tmp_path: Path) -> None:
    model, output = save_mover(tmp_path / "mover"), tmp_path / "out"
    dead = _start(output, model, TOY_KILL_AT="230")
    assert dead.returncode == -9
    assert not (output / "results.json").exists()
    kept = [path.name for path in (output / ".partial").rglob("*.safetensors")]
    assert kept == ["0000000-0000200.safetensors"] * 3
    team = _start(output, model, *_launcher(), TOY_KILL_AT="150")  # what is there is not drawn again
    assert team.returncode == 0, team.stderr
    assert team.stdout.count("written to") == 1
    assert not (output / ".partial").exists()
    content = files.read_json(output / "results.json")
    assert content["environment"]["processes"] == 2
    found = {row["name"]: row["scores"] for row in content["boards"][0]["rows"]}
    whole = evaluate(create_protocol("toy_many_32"), [contestant(model)], progress=False)
    for row in whole.rows:
        assert found[row.name].keys() == row.scores.keys()
        for name, score in row.scores.items():
            assert found[row.name][name]["value"] == pytest.approx(score.value, rel=1e-9, abs=1e-9)
            assert found[row.name][name]["n"] == score.n
