"""The published folder: one format for bundled weights, for `local-dir:` and for the Hub.

config.json          {"arch", "tag", "config", "geotrans", "dataset"}
model.safetensors    the weights; the config again in its metadata
check.safetensors    an input, a condition and the output that the weights gave: a test that travels with them
results.json         training cost and scores
README.md            the card
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub import files

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS, CHECK, RESULTS, CARD = (
    "config.json",
    "model.safetensors",
    "check.safetensors",
    "results.json",
    "README.md",
)
FILES = (CONFIG, WEIGHTS, CHECK, RESULTS, CARD)
BUNDLED = Path(__file__).parent / "bundled"

# A folder may come from anyone: nothing but the weights is read beyond these sizes, in bytes.
LIMITS = {CONFIG: 200_000, CHECK: 32_000_000, RESULTS: 2_000_000, CARD: 1_000_000}


@dataclass(frozen=True)
class PublishedFolder:
    """What a published folder holds.

    Attributes:
        arch: registered name of the network.
        tag: what its weights were trained on, in a word.
        config: the network's config as JSON values.
        dataset: registered name and options of the data it was trained on.
        check: `in/image`, `in/target/...`, `out/...`: tensors of one recorded call.
        results: training cost and scores, as JSON values.
        card: Markdown.
    """

    arch: str
    tag: str
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    check: Mapping[str, Tensor]
    results: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""
    dataset: Mapping[str, Any] = field(default_factory=dict)


def write_folder(folder: PublishedFolder, path: str | Path) -> Path:
    """Write a published folder in one rename: it is there whole, or not at all.

    Raises:
        FileExistsError: something that is not a published folder stands at `path`.
    """
    path = Path(path)
    if path.exists() and not (path / CONFIG).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not a published folder; choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {"arch": folder.arch, "tag": folder.tag, "config": folder.config, "dataset": folder.dataset}
    part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        part.chmod(0o755)
        files.write_json(part / CONFIG, config)
        files.write_safetensors(
            part / WEIGHTS, folder.weights, {"arch": folder.arch, "config": json.dumps(folder.config)}
        )
        files.write_safetensors(part / CHECK, folder.check)
        files.write_json(part / RESULTS, folder.results)
        files.write_text(part / CARD, folder.card)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
            os.replace(path, old / path.name)
            os.replace(part, path)
            shutil.rmtree(old)
        else:
            os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def read_folder(path: str | Path) -> PublishedFolder:
    """Read a published folder.

    Raises:
        FileNotFoundError: the folder or one of its files is missing.
        ValueError: a file is broken, or the weights were made with another config than config.json states.
    """
    path = Path(path)
    config, _ = inspect_folder(path)
    weights, _ = files.read_safetensors(path / WEIGHTS)
    check = files.read_safetensors(path / CHECK)[0] if (path / CHECK).is_file() else {}
    results = files.read_json(path / RESULTS) if (path / RESULTS).is_file() else {}
    card = files.read_text(path / CARD) if (path / CARD).is_file() else ""
    return PublishedFolder(
        config["arch"], config["tag"], config["config"], weights, check, results, card, config["dataset"]
    )


def inspect_folder(path: str | Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """The config.json of a published folder and the shapes of its weights; no tensor is read.

    Raises:
        As `read_folder`.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; expected a published folder with {', '.join(FILES)}")
    missing = [name for name in (CONFIG, WEIGHTS) if not (path / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{path}: not a published folder, {' and '.join(missing)} missing")
    _check_sizes(path)
    config = read_config(path)
    shapes, metadata = files.tensor_shapes(path / WEIGHTS)
    _check_metadata(path, config, metadata)
    return config, shapes


def read_config(path: str | Path) -> dict[str, Any]:
    """The config.json of a published folder, checked for its keys.

    Raises:
        ValueError: it is not an object with `arch` and `config`.
    """
    config = files.read_json(Path(path) / CONFIG, LIMITS[CONFIG])
    if (
        not isinstance(config, dict)
        or not isinstance(config.get("arch"), str)
        or not isinstance(config.get("config"), dict)
    ):
        raise ValueError(f'{Path(path) / CONFIG}: expected an object with "arch" (text) and "config" (object)')
    return {"tag": "", "dataset": {}, **config}


def _check_sizes(path: Path) -> None:
    """Refuse a folder one of whose small files is large.

    Raises:
        ValueError: a file exceeds its limit; the message names both sizes.
    """
    for name, limit in LIMITS.items():
        if (path / name).is_file() and (size := (path / name).stat().st_size) > limit:
            raise ValueError(f"{path / name}: {size} bytes; expected at most {limit}")


def _check_metadata(path: Path, config: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Refuse weights whose metadata names another config than config.json.

    Raises:
        ValueError: they differ, or the metadata is not JSON.
    """
    text = metadata.get("config", "null")
    try:
        inside = json.loads(text) if len(text) <= LIMITS[CONFIG] else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path / WEIGHTS}: the config in its metadata is not JSON ({error})") from error
    if inside is not None and (not isinstance(inside, dict) or inside != config["config"]):
        difference = _difference(inside if isinstance(inside, dict) else {}, config["config"])
        raise ValueError(f"{path / WEIGHTS} was made with another config than {path / CONFIG}: {difference}")


def bundled_folders() -> dict[str, Path]:
    """`arch.tag` (or the judge's name) -> folder, for everything that ships with the package."""
    if not BUNDLED.is_dir():
        return {}
    return {folder.name: folder for folder in sorted(BUNDLED.iterdir()) if (folder / CONFIG).is_file()}


def bundled_folder(name: str) -> Path:
    """The bundled folder called `name`.

    Raises:
        LookupError: nothing of that name ships with the package; the message lists what does.
    """
    folders = bundled_folders()
    if name not in folders:
        raise LookupError(f"no bundled weights are named {name!r}; there are: {', '.join(folders) or 'none'}")
    return folders[name]


def _difference(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    return ", ".join(f"{name}: weights {left.get(name)!r}, config {right.get(name)!r}" for name in names)
