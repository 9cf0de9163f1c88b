"""A leaderboard on the Hub: everyone's results.json in one dataset repository, and one board of them all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from eval.merge import merge
from eval.results import Results
from eval.storage import read_results, to_json
from hub import files
from hub.download import dataset_files, weights_digest
from hub.folder import WEIGHTS, bundled_folders
from hub.push import push_to_dataset
from registry import parse_model_name, registered_weights

FILE = r"results/[0-9a-f]{16}\.json"


def publish(results: str | Path, repo: str, private: bool = False, create_pr: bool = False) -> str:
    """Add a results.json to a leaderboard; returns the commit's address. The same results make no second commit.

    Raises:
        FileNotFoundError, ValueError: there are no results, or they are broken; nothing is sent.
        LookupError, PermissionError, ConnectionError: see `hub.remote.attempt`.
    """
    content = (
        json.dumps(to_json(read_results(results)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    ).encode()
    path = f"results/{hashlib.sha256(content).hexdigest()[:16]}.json"
    return push_to_dataset(repo, path, content, private=private, create_pr=create_pr)


def collect(repo: str, cache_dir: str | Path | None = None) -> Results:
    """All results of a leaderboard as one. A file that is no results file is named among what is left out.

    Raises:
        LookupError: there is no such leaderboard, or nothing in it can be read.
        ConnectionError: the Hub does not answer.
    """
    runs, broken = [], {}
    for path in dataset_files(repo, FILE, cache_dir=cache_dir):
        try:
            runs.append(read_results(path))
        except ValueError as error:
            broken[path.name] = str(error).partition(": ")[2] or str(error)
    if not runs:
        raise LookupError(f"dataset {repo}: no results that can be read ({len(broken)} that cannot)")
    return merge(runs, stated_digest, broken)


def stated_digest(name: str) -> str | None:
    """sha256 of the weights that a model's name gives to everyone, as this package or the Hub states it."""
    try:
        parsed = parse_model_name(name)
        if parsed.repo is not None:
            return weights_digest(parsed.repo, parsed.revision)
    except (ValueError, LookupError, OSError):
        return None
    if name in bundled_folders():
        return files.sha256(bundled_folders()[name] / WEIGHTS)
    return registered_weights()[name].sha256 if name in registered_weights() else None
