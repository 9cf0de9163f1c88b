"""What tests of the harness share: toys in the tables, a published model, the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

import eval.run as command
from eval.plugins import load_plugin
from geotrans import create_model, save_folder
from registry import DATASETS, FEATURES, GENERATORS, METRICS, PROTOCOLS

TOYS = Path(__file__).parent / "eval_toys.py"


@contextmanager
def toy_tables() -> Iterator[ModuleType]:
    """The toys, and no protocols but theirs; the tables are as before afterwards."""
    with (
        DATASETS.temporary(),
        FEATURES.temporary(),
        GENERATORS.temporary(),
        METRICS.temporary(),
        PROTOCOLS.temporary(),
    ):
        for name in PROTOCOLS.names():
            del PROTOCOLS._entries[name]
        yield load_plugin(TOYS)


def save_mover(folder: Path) -> str:
    """A published toy; its name."""
    path = save_folder(
        create_model("mover_32"),
        folder,
        arch="mover_32",
        tag="toy",
        results={"training": {"seconds": 1.5, "recipe": {}}},
        dataset={"name": "toy", "options": {}},
    )
    return f"local-dir:{path}"


def run(*argv: object) -> None:
    """The command."""
    command.main([str(argument) for argument in argv])


def fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one line that a wrong call prints; it exits with 2."""
    with pytest.raises(SystemExit) as stop:
        run(*argv)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("geotrans-eval")]
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]
