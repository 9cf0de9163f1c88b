"""What a number rests on: what moves a signature, and what makes two numbers incomparable."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.contestants import contestant_of
from eval.evaluate import evaluate
from eval.networks import Networks, network_digest
from eval.protocol import create_protocol
from eval.results import BoardResult
from eval.scores import clashes, reservations
from eval.signature import differences, parse
from geotrans import create_model
from tests.eval_kit import toy_tables


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    with toy_tables():
        yield


def _signatures(limit: int = 24, **changes: object) -> dict[str, str]:
    protocol = dataclasses.replace(create_protocol("toy_32", limit=limit), metrics=("psnr", "frechet", "id_cosine"))
    board = evaluate(dataclasses.replace(protocol, **changes), [], progress=False)  # type: ignore[arg-type]
    return board.rows[0].signatures


def test_a_signature_says_what_a_number_rests_on() -> None:
    found = _signatures()
    psnr, frechet = parse(found["psnr"]), parse(found["frechet"])
    assert (psnr["metric"], psnr["version"], psnr["n"]) == ("psnr", "1", "24")
    assert psnr["protocol"] == f"toy_32.v1@{create_protocol('toy_32').digest()}"
    assert "net" not in psnr
    assert frechet["net"] == "toy_features@unpinned"
    assert (frechet["n"], frechet["real"]) == ("24", "24")
    assert frechet["ids"] == psnr["ids"]
    assert psnr["torch"]


def test_the_digest_of_a_registered_network_is_in_it() -> None:
    judges = {"features": "shapes_features", "identity": "toy_features"}
    assert parse(_signatures(judges=judges)["frechet"])["net"] == "shapes_features@c518fdad57d7"


def test_what_does_not_compare_is_named() -> None:
    whole, part = _signatures(), _signatures(limit=12)
    assert differences(whole["psnr"], whole["psnr"]) == []
    assert any(text.startswith("ids ") for text in differences(whole["psnr"], part["psnr"]))
    assert any(text.startswith("real 24 and 12") for text in differences(whole["frechet"], part["frechet"]))
    newer = whole["psnr"].replace("|torch:", "|torch:9")
    assert differences(whole["psnr"], newer) == []  # rounding only
    fewer = whole["psnr"].replace("|n:24|", "|n:23|")
    assert differences(whole["psnr"], fewer) == []  # a sample without a say
    assert differences(whole["frechet"], whole["frechet"].replace("|n:24|", "|n:23|")) == ["n 24 and 23"]


def test_a_board_warns_of_rows_that_do_not_compare() -> None:
    board = evaluate(create_protocol("toy_32"), [contestant_of(create_model("mover_32"), "mine")], progress=False)
    assert clashes(board) == []
    changed = {**board.rows[0].signatures, "l1": board.rows[0].signatures["l1"].replace("|version:1", "|version:2")}
    other = dataclasses.replace(board.rows[0], signatures=changed)
    mixed: BoardResult = dataclasses.replace(board, rows=(other, *board.rows[1:]))
    assert "l1 of mine and identity rest on different things: version 2 and 1" in reservations(mixed)


def test_networks_from_folders_are_signed_with_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOTRANS_INCEPTION", str(tmp_path / "inception.pth"))
    assert network_digest("inception_fid") == "absent"
    (tmp_path / "inception.pth").write_bytes(b"weights")
    first = network_digest("inception_fid")
    assert len(first) == 12
    assert Networks().missing("inception_fid")  # not weights at all, but signed as what it is
