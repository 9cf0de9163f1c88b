"""A user study out of a board's samples: which result do people prefer, not knowing whose it is?

study.json        the question, and which picture is whose; never shown to a participant
pictures/         every source and result under a name that tells nothing
answers.sqlite    one answer a participant and item
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from eval.answers import Answer, Answers
from eval.results import BoardResult, Results
from eval.storage import read_results, results_file
from eval.study_server import serve
from eval.win_rates import MANY, win_rates
from geotrans.ops.images import write_image
from hub import files
from registry import suggest

SCHEMA = 1
STUDY, PICTURES, ANSWERS = "study.json", "pictures", "answers.sqlite"
TRUTH = "truth"
QUESTION = "Which of these edits is best? Mind the change, how real it looks, and that it is still the same person."
EXAMPLES = """examples:
  python -m eval.run --models A B --pictures 21 --output results         a run that keeps 21 samples
  geotrans-eval study make results --output study                        which of all models is best?
  geotrans-eval study make results --output study --pairs --truth        two at a time, the real picture among them
  geotrans-eval study serve study                                        a page on 127.0.0.1
  geotrans-eval study score study                                        win rates with 95 % intervals
"""

Mode = Literal["best", "pairs"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a participant decides.

    Attributes:
        source: name of the picture before the change.
        options: row -> name of its picture.
        wanted: the change that was asked for, in words.
    """

    id: str
    source: str
    options: dict[str, str]
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked about which pictures."""

    question: str
    protocol: str
    mode: Mode
    rows: tuple[str, ...]
    items: tuple[Item, ...]


def make_study(
    results: Results,
    folder: str | Path,
    *,
    protocol: str | None = None,
    rows: Sequence[str] | None = None,
    mode: Mode = "best",
    truth: bool = False,
    question: str = QUESTION,
    seed: int = 0,
) -> Study:
    """Write a study of one board's samples into a new folder.

    Args:
        results: read whole, with pictures.
        protocol: the board, if there are several.
        rows: whose results are shown; by default all models'.
        mode: "best": all rows at once; "pairs": every two rows.
        truth: the true picture takes part as if it were a row.
        seed: of the pictures' names and the items' order.

    Raises:
        LookupError: no such board or row.
        ValueError: the board has no pictures, or fewer than two rows to choose from.
        FileExistsError: something is in the folder already.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty; answers may be there: choose another --output")
    board = _board(results, protocol)
    if board.pictures is None:
        raise ValueError(f"{board.protocol.name}: no pictures lie beside the results; score again with --pictures 21")
    shown = _shown(board, rows, truth)
    draw = random.Random(f"{seed} {board.key}")
    names: dict[tuple[str, int], str] = {}
    for row, images in (("source", board.pictures.sample.image), *shown.items()):
        for place, image in enumerate(images):
            names[row, place] = hashlib.sha256(draw.randbytes(32)).hexdigest()[:24]
            write_image(folder / PICTURES / f"{names[row, place]}.png", image)
    groups = [tuple(shown)] if mode == "best" else list(itertools.combinations(shown, 2))
    items = []
    for place, sample in enumerate(board.pictures.sample.id):
        for number, group in enumerate(groups):
            options = {row: names[row, place] for row in group}
            wanted = board.pictures.wanted[place] if board.pictures.wanted else ""
            items.append(Item(_item_id(sample, number), names["source", place], options, wanted.replace("_", " ")))
    draw.shuffle(items)
    study = Study(question, f"{board.protocol.name} v{board.protocol.version}", mode, tuple(shown), tuple(items))
    files.write_json(folder / STUDY, {"schema": SCHEMA, **asdict(study)})
    return study


def read_study(folder: str | Path) -> Study:
    """The study in a folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is broken, or one of its pictures is missing.
    """
    path = Path(folder) / STUDY
    content = files.read_json(path)
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA}, got {content['schema']!r}")
        items = tuple(
            Item(str(i["id"]), str(i["source"]), dict(i["options"]), str(i["wanted"])) for i in content["items"]
        )
        study = Study(
            str(content["question"]), str(content["protocol"]), content["mode"], tuple(content["rows"]), items
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a study: {error}") from error
    for item in study.items:
        for name in (item.source, *item.options.values()):
            if not re.fullmatch(r"[0-9a-f]{24}", name) or not (path.parent / PICTURES / f"{name}.png").is_file():
                raise ValueError(f"{path}: item {item.id} shows a picture that is not there")
    return study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `geotrans-eval study`."""
    parser.epilog = EXAMPLES
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    make = steps.add_parser("make", help="a study out of a board's samples")
    make.add_argument("results", type=Path, help="results.json with its pictures beside it, or their folder")
    make.add_argument("--output", required=True, metavar="DIR", help="a new folder for the study")
    make.add_argument("--protocol", metavar="NAME", help="which board, if there are several")
    make.add_argument("--models", nargs="+", metavar="NAME", help="whose results are shown (default: all models')")
    make.add_argument("--pairs", action="store_true", help="two results at a time instead of all")
    make.add_argument("--truth", action="store_true", help="the true picture takes part")
    make.add_argument("--question", default=QUESTION, metavar="TEXT", help="what participants are asked")
    make.add_argument("--seed", type=int, default=0, help="of the items' order (default: 0)")
    start = steps.add_parser("serve", help="the page, until Ctrl-C")
    start.add_argument("study", type=Path, help="a study's folder")
    start.add_argument("--port", type=int, default=8765, metavar="N", help="0: any that is free (default: 8765)")
    start.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets everyone in who can reach this machine")
    rate = steps.add_parser("score", help="win rates with 95 %% intervals")
    rate.add_argument("study", type=Path, help="a study's folder")
    rate.add_argument("--json", action="store_true", help="as one JSON object")


def run(arguments: argparse.Namespace) -> list[str]:
    """What `geotrans-eval study` prints."""
    if arguments.step == "make":
        study = make_study(
            read_results(results_file(arguments.results), whole=True),
            arguments.output,
            protocol=arguments.protocol,
            rows=arguments.models,
            mode="pairs" if arguments.pairs else "best",
            truth=arguments.truth,
            question=arguments.question,
            seed=arguments.seed,
        )
        return [f"{len(study.items)} items of {len(study.rows)} rows: geotrans-eval study serve {arguments.output}"]
    study = read_study(arguments.study)
    answers = Answers(Path(arguments.study) / ANSWERS)
    if arguments.step == "serve":
        with serve(study, Path(arguments.study) / PICTURES, answers, arguments.host, arguments.port) as server:
            server.run()
        return []
    known = options_of(study)  # the database may hold answers to an older study
    given = [answer for answer in answers.read() if answer.row in known.get(answer.item, ())]
    return _report(study, given, as_json=arguments.json)


def _report(study: Study, answers: Sequence[Answer], *, as_json: bool) -> list[str]:
    rates = win_rates(options_of(study), answers)
    people = len({answer.participant for answer in answers})
    if as_json:
        facts = {"question": study.question, "protocol": study.protocol, "mode": study.mode}
        content = {**facts, "participants": people, "answers": len(answers), "rows": [asdict(rate) for rate in rates]}
        return [json.dumps(content, ensure_ascii=False)]
    width = max(len(rate.row) for rate in rates)
    kind = "bootstrap over participants" if people >= MANY else "Wilson's; answers of one person count as independent"
    lines = [f"{study.protocol}, {people} participants, {len(answers)} answers: {study.question}", ""]
    for rate in rates:
        ends = f"{100 * rate.low:5.1f} to {100 * rate.high:5.1f} %"
        lines.append(f"{rate.row:{width}}  {100 * rate.rate:5.1f} %  {ends}  ({rate.wins} of {rate.n})")
    return [*lines, "", f"95 % intervals: {kind}; by chance a row is chosen in {_chance(study):.1f} %"]


def _chance(study: Study) -> float:
    return 100 / len(study.items[0].options)


def options_of(study: Study) -> dict[str, tuple[str, ...]]:
    """Item -> the rows that can be chosen."""
    return {item.id: tuple(item.options) for item in study.items}


def _board(results: Results, protocol: str | None) -> BoardResult:
    boards = [board for board in results.boards if protocol in (None, board.protocol.name)]
    names = [board.protocol.name for board in results.boards]
    if not boards:
        raise LookupError(f"the results have no board of {protocol!r}; {suggest(str(protocol), names)}")
    if len(boards) > 1:
        raise ValueError(f"the results have several boards; name one with --protocol: {', '.join(names)}")
    return boards[0]


def _shown(board: BoardResult, rows: Sequence[str] | None, truth: bool) -> dict[str, Any]:
    """Row -> its pictures (B, 3, H, W)."""
    pictures = board.pictures
    assert pictures is not None
    models = [row.name for row in board.rows if not row.is_reference and row.name in pictures.translations]
    chosen = list(dict.fromkeys(rows or models))
    for name in chosen:
        if name not in pictures.translations:
            raise LookupError(f"{board.protocol.name} has no pictures of {name!r}; {suggest(name, models)}")
    shown: dict[str, Any] = {name: pictures.translations[name].image for name in chosen}
    if truth:
        if pictures.sample.truth is None:
            raise ValueError(f"{board.protocol.name} knows no truth; leave out --truth")
        shown[TRUTH] = pictures.sample.truth
    if not 2 <= len(shown) <= 9:
        raise ValueError(
            f"a study compares 2 to 9 rows, got {len(shown)}: {', '.join(shown)}; see --models and --truth"
        )
    return shown


def _item_id(sample: str, number: int) -> str:
    return hashlib.sha256(f"{sample} {number}".encode()).hexdigest()[:16]
