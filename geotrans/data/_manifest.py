"""The list of files that a prepared folder came with: what training reads must be what was prepared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hub.files import read_json, sha256, write_json

NAME = "manifest.json"
_MADE_BY, _VERSION = "geotrans prepare", 1
_MAX_BYTES = 1 << 30  # some five million files
_SHOWN = 3


class Seal(NamedTuple):
    """Length and digest of a file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a prepared folder.

    Attributes:
        root: the folder.
        files: by their paths from `root` on.
        good: files that have been checked, and are not looked at again.
    """

    root: Path
    files: Mapping[str, Seal]
    good: set[Path] = field(default_factory=set, compare=False)

    def check_sizes(self) -> None:
        """Make sure that all files are there and as long as they were.

        Raises:
            ValueError: some are not; the message counts them and names the first.
        """
        wrong = [name for name, seal in self.files.items() if _size(self.root / name) != seal.size]
        if wrong:
            names = ", ".join(wrong[:_SHOWN]) + (", ..." if len(wrong) > _SHOWN else "")
            raise ValueError(
                f"{self.root}: {len(wrong)} of {len(self.files)} files are missing or not as in {NAME}: {names}; "
                f"prepare the folder again, or remove {NAME} to read it as it is"
            )

    def check(self, path: Path) -> None:
        """Make sure that a file has the digest that is listed, once; one that is not listed is not looked at.

        Raises:
            ValueError: it has another.
        """
        if path in self.good:
            return
        inside = path.is_relative_to(self.root)
        seal = self.files.get(path.relative_to(self.root).as_posix()) if inside else None
        if seal is not None and sha256(path) != seal.sha256:
            raise ValueError(
                f"{path}: its sha256 is not the one in {self.root / NAME}; "
                f"prepare the folder again, or remove {NAME} to read it as it is"
            )
        self.good.add(path)


def seal(path: Path) -> Seal:
    """Length and digest of a file as it is now."""
    return Seal(path.stat().st_size, sha256(path))


def write_manifest(root: Path, files: Mapping[str, Seal], facts: Mapping[str, Any]) -> None:
    """Write the manifest of a folder.

    Args:
        facts: what else shall be known of it.
    """
    listed = {name: {"bytes": sealed.size, "sha256": sealed.sha256} for name, sealed in sorted(files.items())}
    write_json(root / NAME, {"made_by": _MADE_BY, "version": _VERSION, **facts, "files": listed})


def read_manifest(root: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none, or one that some other program wrote.

    Raises:
        ValueError: it cannot be read.
    """
    path = root / NAME
    if not path.is_file():
        return None
    found = read_json(path, limit=_MAX_BYTES)
    if not isinstance(found, dict) or found.get("made_by") != _MADE_BY:
        return None
    if found.get("version") != _VERSION:
        raise ValueError(f"{path}: expected version {_VERSION}, got {found.get('version')!r}; prepare the folder again")
    try:
        files = {str(name): Seal(int(row["bytes"]), str(row["sha256"])) for name, row in found["files"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: no list of files with bytes and sha256 ({error}); prepare the folder again"
        ) from error
    return Manifest(root, files)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
