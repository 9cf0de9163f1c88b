"""A user study: what is made, what the server takes and refuses, and how answers become win rates."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from eval.answers import Answer, Answers
from eval.protocol import Protocol
from eval.results import BoardResult, ModelFacts, Pictures, Results, Row
from eval.storage import write_results
from eval.study import Study, make_study, options_of, read_study
from eval.study_server import StudyServer, serve
from eval.win_rates import wilson, win_rates
from geotrans.types import Sample, Translation
from tests.eval_kit import fails, run

ROWS = ("one", "two", "three")


def _results(count: int = 4) -> Results:
    def pictures(level: float) -> torch.Tensor:
        return torch.linspace(level - 0.1, level, count)[:, None, None, None].expand(count, 3, 16, 16)

    rows = tuple(Row(name, "model", ModelFacts(), 1.0, {}) for name in ROWS)
    identity = Row("identity", "identity", ModelFacts(), None, {})
    sample = Sample(pictures(0.0), truth=pictures(0.9), id=tuple(f"s{i}" for i in range(count)))
    made = {name: Translation(pictures(0.2 * i + 0.2)) for i, name in enumerate((*ROWS, "identity"))}
    protocol = Protocol("toy", "toy", "test", count, (), 16)
    board = BoardResult(protocol, (), (*rows, identity), count, pictures=Pictures(sample, made))
    return Results((board,), {"packages": {}}, "2026-01-01")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(_results(), tmp_path / "study")


@pytest.fixture
def server(study: Study, tmp_path: Path) -> Iterator[StudyServer]:
    with serve(study, tmp_path / "study" / "pictures", Answers(tmp_path / "study" / "answers.sqlite")) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _ask(server: StudyServer, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    known = {"Content-Type": "application/json"} if content is not None else {}
    connection.request(method, path, content, {**known, **{k.replace("_", "-"): v for k, v in headers.items()}})
    response = connection.getresponse()
    found = (response.status, response.getheader("Content-Type") or "", response.read())
    connection.close()
    return found


def test_names_of_pictures_tell_nothing_and_the_key_is_kept(study: Study, tmp_path: Path) -> None:
    names = {path.stem for path in (tmp_path / "study" / "pictures").iterdir()}
    assert len(names) == 4 * 4  # a source and three results each
    assert all(re.fullmatch("[0-9a-f]{24}", name) for name in names)
    assert read_study(tmp_path / "study") == study
    assert {row for item in study.items for row in item.options} == set(ROWS)
    levels = {
        row: Image.open(tmp_path / "study" / "pictures" / f"{name}.png").getpixel((3, 3))[0]  # type: ignore[index]
        for row, name in study.items[0].options.items()
    }
    assert levels["one"] < levels["two"] < levels["three"]


def test_pairs_ask_every_two_rows_and_the_truth_may_take_part(tmp_path: Path) -> None:
    study = make_study(_results(), tmp_path / "study", mode="pairs", rows=["one", "two"], truth=True)
    assert study.rows == ("one", "two", "truth")
    assert len(study.items) == 4 * 3
    assert all(len(item.options) == 2 for item in study.items)


def test_the_page_asks_no_one_else_for_anything(server: StudyServer) -> None:
    status, kind, body = _ask(server, "GET", "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    page = body.decode()
    assert "Which of these edits is best?" in page
    assert "{{" not in page
    assert not re.search(r"https?://", page)
    assert not any(re.search(rf"\b{row}\b", page) for row in ROWS)


def test_a_session_from_first_to_last_item(server: StudyServer, study: Study) -> None:
    me, you = "a" * 32, "b" * 32
    mine, yours = (json.loads(_ask(server, "GET", f"/items?participant={who}")[2]) for who in (me, you))
    assert mine["total"] == len(mine["items"]) == 4
    assert sorted(item["id"] for item in mine["items"]) == sorted(item["id"] for item in yours["items"])
    assert [item["options"] for item in mine["items"]] != [item["options"] for item in yours["items"]]
    assert not any(row in json.dumps(mine) for row in ROWS)
    keys = {item.id: item for item in study.items}
    for number, item in enumerate(mine["items"]):
        status, kind, picture = _ask(server, "GET", f"/pictures/{item['source']}.png")
        assert (status, kind, picture[:4]) == (200, "image/png", b"\x89PNG")
        chosen = keys[item["id"]].options["two"]
        answer = {"participant": me, "item": item["id"], "picture": chosen, "milliseconds": 1200}
        assert _ask(server, "POST", "/answers", answer)[0] == 204
        left = json.loads(_ask(server, "GET", f"/items?participant={me}")[2])
        assert len(left["items"]) == 3 - number
        assert left["total"] == 4
    last = {**answer, "picture": keys[item["id"]].options["one"]}
    assert _ask(server, "POST", "/answers", last)[0] == 204  # a second thought takes the place of the first
    answers = server.answers.read()
    assert len(answers) == 4
    rates = {rate.row: rate for rate in win_rates(options_of(study), answers)}
    assert (rates["two"].wins, rates["one"].wins, rates["three"].wins) == (3, 1, 0)


def _good(study: Study) -> dict[str, Any]:
    item = study.items[0]
    return {"participant": "a" * 32, "item": item.id, "picture": item.options["one"], "milliseconds": 5}


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"participant": "../../etc/passwd"}, 400, "participant: expected 32 hex digits"),
        ({"participant": "a" * 33}, 400, "participant: expected 32 hex digits"),
        ({"participant": 5}, 400, "participant: expected str"),
        ({"item": "nothing"}, 404, "no such item"),
        ({"item": None}, 400, "item: expected str"),
        ({"picture": "0" * 24}, 400, "picture: not one of this item's"),
        ({"milliseconds": -1}, 400, "milliseconds: expected 0 to a day"),
        ({"milliseconds": 10**12}, 400, "milliseconds: expected 0 to a day"),
        ({"milliseconds": True}, 400, "milliseconds: expected int"),
        ({"milliseconds": 1.5}, 400, "milliseconds: expected int"),
        ({"row": "one"}, 400, "expected an object with participant, item, picture, milliseconds"),
    ],
)
def test_a_wrong_answer_is_refused_in_one_line(
    change: dict[str, Any], status: int, text: str, server: StudyServer, study: Study
) -> None:
    found = _ask(server, "POST", "/answers", {**_good(study), **change})
    assert found[0] == status
    assert found[2].decode() == text + "\n"
    assert server.answers.read() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/../study.json", None, {}, 404),
        ("GET", "/study.json", None, {}, 404),
        ("GET", "/pictures/../study.json", None, {}, 404),
        ("GET", "/pictures/..%2f..%2fstudy.json.png", None, {}, 404),
        ("GET", "/pictures/" + "0" * 24 + ".png", None, {}, 404),
        ("GET", "/pictures/.png", None, {}, 404),
        ("GET", "/items", None, {}, 400),
        ("GET", "/items?participant=<script>", None, {}, 400),
        ("GET", "/" + "x" * 70_000, None, {}, 414),
        ("GET", "/", None, {"Host": "evil.example"}, 421),
        ("DELETE", "/", None, {}, 501),
        ("POST", "/", b"{}", {}, 404),
        ("POST", "/answers", b"{", {}, 400),
        ("POST", "/answers", b"[" * 1000, {}, 400),
        ("POST", "/answers", b"[]", {}, 400),
        ("POST", "/answers", b"x" * 1025, {}, 413),
        ("POST", "/answers", b"{}", {"Content_Type": "text/plain"}, 415),
        ("POST", "/answers", b"{}", {"Content_Length": "-5"}, 411),
        ("POST", "/answers", b"{}", {"Content_Length": "9" * 40}, 413),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(
    method: str, path: str, body: bytes | None, headers: dict[str, str], status: int, server: StudyServer
) -> None:
    found = _ask(server, method, path, body, **headers)
    assert found[0] == status
    assert found[1].startswith("text/plain")
    assert found[2].count(b"\n") == 1
    assert b"Traceback" not in found[2]
    assert server.answers.read() == []
    assert _ask(server, "GET", "/")[0] == 200  # and goes on serving


def test_a_connection_that_says_nothing_holds_nobody_up(server: StudyServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)) as silent:
        silent.sendall(b"POST /answers HTTP/1.1\r\nHost: localhost\r\n")
        assert _ask(server, "GET", "/")[0] == 200


def test_a_browser_that_goes_away_is_no_trouble(server: StudyServer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.server_port)) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no goodbye
            rude.sendall(b"POST /answers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            rude.sendall(b"Content-Length: 100\r\n\r\n")
    assert _ask(server, "GET", "/")[0] == 200
    assert capfd.readouterr().err == ""


def _answers(study: Study, people: int, favourite: str, share: float) -> list[Answer]:
    """Everyone answers everything; the first `share` of items for the favourite, the others for someone else."""
    found = []
    for person in range(people):
        for number, item in enumerate(study.items):
            others = [row for row in item.options if row != favourite]
            likes = number < share * len(study.items)
            row = favourite if likes and favourite in item.options else others[(number + person) % len(others)]
            found.append(Answer(f"{person:032x}", item.id, row, 1000))
    return found


def test_wilsons_interval() -> None:
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)  # Newcombe 1998 prints such
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)


def test_win_rates_are_shares_with_intervals(study: Study) -> None:
    few = win_rates(options_of(study), _answers(study, 2, "two", 0.75))
    assert few[0].row == "two"
    assert (few[0].rate, few[0].n) == (0.75, 8)
    assert (few[0].low, few[0].high) == pytest.approx(wilson(6, 8))
    answers = _answers(study, 4, "two", 0.75) + [
        replace(answer, participant=f"{9:032x}") for answer in _answers(study, 1, "three", 1.0)
    ]
    many = win_rates(options_of(study), answers)
    two = next(rate for rate in many if rate.row == "two")
    assert two.rate == pytest.approx(12 / 20)
    assert two.low < two.rate < two.high
    assert (two.low, two.high) != pytest.approx(wilson(12, 20))  # people differ: drawn again as people
    assert sum(rate.rate for rate in many) == pytest.approx(1)


def test_the_command_from_results_to_win_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(_results(), tmp_path / "run")
    run("study", "make", tmp_path / "run", "--output", tmp_path / "study", "--models", "one", "three")
    assert "4 items of 2 rows" in capsys.readouterr().out
    study = read_study(tmp_path / "study")
    assert "there are no answers yet" in fails(capsys, "study", "score", tmp_path / "study")
    answers = Answers(tmp_path / "study" / "answers.sqlite")
    for answer in _answers(study, 6, "three", 0.75):
        answers.add(answer)
    answers.add(Answer("f" * 32, "of another study", "one", 1))
    run("study", "score", tmp_path / "study")
    out = capsys.readouterr().out
    assert "6 participants, 24 answers" in out
    assert re.search(r"three +75\.0 %", out)
    assert "bootstrap over participants; by chance a row is chosen in 50.0 %" in out
    run("study", "score", tmp_path / "study", "--json")
    assert json.loads(capsys.readouterr().out)["rows"][0]["row"] == "three"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["make", "{run}", "--output", "{run}"], "is not empty; answers may be there: choose another --output"),
        (["make", "{run}", "--output", "{new}", "--models", "one"], "a study compares 2 to 9 rows, got 1: one"),
        (["make", "{run}", "--output", "{new}", "--models", "one", "tow"], "no pictures of 'tow'; did you mean 'two'"),
        (["make", "{run}", "--output", "{new}", "--protocol", "tory"], "no board of 'tory'; did you mean 'toy'"),
        (["make", "{bare}", "--output", "{new}"], "no pictures lie beside the results; score again with --pictures"),
        (["serve", "{new}"], "no such file; expected a JSON file"),
        (["serve", "{run}"], "no such file; expected a JSON file"),
        (["score", "{broken}"], "not a study: expected schema 1, got 3"),
        (["score", "{robbed}"], "shows a picture that is not there"),
    ],
)
def test_a_wrong_call_is_one_line(
    argv: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name: tmp_path / name for name in ("run", "bare", "new", "broken", "robbed")}
    write_results(_results(), places["run"])
    write_results(replace(_results(), boards=(replace(_results().boards[0], pictures=None),)), places["bare"])
    places["broken"].mkdir()
    (places["broken"] / "study.json").write_text('{"schema": 3}')
    make_study(_results(), places["robbed"])
    next((places["robbed"] / "pictures").iterdir()).unlink()
    assert text in fails(capsys, "study", *(part.format(**places) for part in argv))
    assert not places["new"].exists()


def test_answers_that_are_no_database_are_refused(study: Study, tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_text("not a database" * 100)
    with pytest.raises(ValueError, match="expected a database of answers"):
        serve(study, tmp_path / "study" / "pictures", Answers(tmp_path / "bad.sqlite"))
    with pytest.raises(ValueError, match="--port: expected 0 to 65535, got 70000"):
        serve(study, tmp_path / "study" / "pictures", Answers(tmp_path / "a.sqlite"), port=70000)


def test_a_taken_port_is_named(server: StudyServer, study: Study, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"--port {server.server_port}: cannot listen there"):
        serve(study, tmp_path / "study" / "pictures", Answers(tmp_path / "a.sqlite"), port=server.server_port)
