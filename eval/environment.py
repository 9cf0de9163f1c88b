"""What a number may depend on beside the protocol: versions, machine, code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("geotrans-gan", "torch", "torchvision", "numpy", "pillow", "lpips", "pytorch-fid")
_ROOT = Path(__file__).resolve().parent.parent


def environment(device: str = "cpu", batch_size: int | None = None, processes: int = 1) -> dict[str, Any]:
    """Versions, machine and code of a run, as JSON values."""
    return {
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "processes": processes,
        "batch_size": batch_size,
        "commit": _git(_ROOT, "rev-parse", "HEAD") if (_ROOT / ".git").exists() else None,
    }


@cache
def package_versions() -> dict[str, str | None]:
    """Installed versions of what scores are computed with; None for what is not installed."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def commit_label(folder: str | Path = ".") -> str:
    """The short commit of the repository that `folder` is in, with a + if files differ from it; else empty."""
    commit = _git(Path(folder), "rev-parse", "--short=10", "HEAD")
    if not commit:
        return ""
    changed = _git(Path(folder), "status", "--porcelain", "--untracked-files=no")
    return commit + "+" * bool(changed)


@cache
def code_digest() -> str:
    """Twelve hex digits that change with any source file of the library, this harness included."""
    digest = hashlib.sha256()
    for package in ("registry", "hub", "geotrans", "eval"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(_ROOT)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def source_digest(thing: Any) -> str:
    """Twelve hex digits of the file that a class or a function is written in; empty if there is none."""
    try:
        path = inspect.getsourcefile(thing)
    except TypeError:
        return ""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12] if path and Path(path).is_file() else ""


def _git(folder: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
