"""Answers of a user study in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

_TABLE = """CREATE TABLE IF NOT EXISTS answers (
    participant TEXT NOT NULL, item TEXT NOT NULL, row TEXT NOT NULL, milliseconds INTEGER NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (participant, item))"""
_INSERT = """INSERT INTO answers (participant, item, row, milliseconds) VALUES (?, ?, ?, ?)
    ON CONFLICT (participant, item) DO UPDATE SET row = excluded.row, milliseconds = excluded.milliseconds"""


@dataclass(frozen=True, slots=True)
class Answer:
    """Whose result a participant chose. milliseconds: from when the pictures were there."""

    participant: str
    item: str
    row: str
    milliseconds: int


class Answers:
    """A database of answers; a connection a call, so that threads do not share any."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, answer: Answer) -> None:
        """Store an answer; the same participant's second to an item takes the place of the first."""
        with self._open() as database, database:
            database.execute(_INSERT, (answer.participant, answer.item, answer.row, answer.milliseconds))

    def read(self) -> list[Answer]:
        """All answers, in the order of participants and items.

        Raises:
            ValueError: the file is no database of answers.
        """
        if not self.path.is_file():
            return []
        with self._open() as database:
            query = "SELECT participant, item, row, milliseconds FROM answers ORDER BY participant, item"
            return [Answer(*values) for values in database.execute(query)]

    def of(self, participant: str) -> set[str]:
        """Items that a participant has answered."""
        with self._open() as database:
            return {
                item for (item,) in database.execute("SELECT item FROM answers WHERE participant = ?", (participant,))
            }

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as database:
                database.execute(_TABLE)
                yield database
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path}: {error}; expected a database of answers") from error
