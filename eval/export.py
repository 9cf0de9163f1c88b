"""A protocol's samples as files, for programs that are not written with this library.

DIR/source/ID.png     what to translate
DIR/truth/ID.png      what it should become, where that is known
DIR/samples.csv       id, the change in words, and every column before and after

Pictures called ID.png in a folder of their own are scored with `python -m eval.run --generated FOLDER --protocol NAME`.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from eval.plugins import load_protocol
from eval.protocol import Protocol, create_protocol
from eval.task import Task
from eval.wanted import told, wanted
from geotrans.ops.images import write_image
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Sample
from hub import files

BATCH = 50
TABLE = "samples.csv"


def export(protocol: Protocol, folder: str | Path, *, progress: bool = True) -> int:
    """Write the samples of a protocol into a new folder; returns their number. The table appears last.

    Raises:
        FileExistsError: something is in the folder already.
        ValueError: the protocol has no samples of its own, or they have no single source picture.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty; choose another folder")
    task = Task(protocol)
    spec, about = task.spec, told(protocol, task.spec)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    columns = [column for field in VECTOR_FIELDS for column in getattr(spec, field)]
    writer.writerow(["id", "wanted", *(f"{when}:{column}" for when in ("source", "target") for column in columns)])
    for start in tqdm(range(0, task.n, BATCH), desc=protocol.name, unit="batch", file=sys.stderr, disable=not progress):
        sample = task.batch(range(start, min(start + BATCH, task.n)))
        if sample.image.ndim != 4:
            raise ValueError(f"{protocol.name} has several source pictures a sample, which files cannot tell apart")
        for row, name in enumerate(sample.id):
            write_image(folder / "source" / f"{name}.png", sample.image[row])
            if sample.truth is not None:
                write_image(folder / "truth" / f"{name}.png", sample.truth[row])
        writer.writerows(_rows(sample, spec, wanted(sample, about)))
    files.write_text(folder / TABLE, table.getvalue())
    return task.n


def _rows(sample: Sample, spec: ConditionSpec, words: tuple[str, ...]) -> Iterator[list[str]]:
    for row, name in enumerate(sample.id):
        cells = [_cells(condition, spec, row) for condition in (sample.source, sample.target)]
        yield [name, words[row], *cells[0], *cells[1]]


def _cells(condition: Condition | None, spec: ConditionSpec, row: int) -> list[str]:
    cells = []
    for field in VECTOR_FIELDS:
        value = None if condition is None else getattr(condition, field)
        columns = getattr(spec, field)
        cells += [""] * len(columns) if value is None else [f"{number:g}" for number in value[row].tolist()]
    return cells


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `geotrans-eval export`."""
    parser.add_argument("protocol", help="registered name, or a .toml file")
    parser.add_argument("output", type=Path, help="a new folder")
    parser.add_argument("--data", metavar="DIR", help="the folder of the protocol's dataset, if it reads files")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N samples")


def run(arguments: argparse.Namespace) -> list[str]:
    """What `geotrans-eval export` prints."""
    name = load_protocol(arguments.protocol)
    protocol = create_protocol(name, limit=arguments.limit, data=arguments.data)
    count = export(protocol, arguments.output)
    changed = f" --limit {arguments.limit}" if arguments.limit else ""
    return [
        f"{count} samples in {arguments.output}; write each result under its sample's name, then: "
        f"python -m eval.run --generated RESULTS --protocol {arguments.protocol}{changed}"
    ]
