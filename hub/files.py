"""Files that are either whole or absent: safetensors and JSON, written under a temporary name and renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:  # a file can be refused without PyTorch, in a tenth of its memory
    from torch import Tensor

MAX_JSON_BYTES = 10_000_000
MAX_HEADER_BYTES = 2_000_000  # names and shapes in a safetensors file: room for some 20,000 tensors


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it if the block ends well and removed if it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_safetensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors (moved to the CPU, made contiguous) with string metadata; equal ones make equal files."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(Path(path)) as part:
        save_file(plain, part, metadata=dict(metadata) if metadata else None)
        if metadata:
            _order_metadata(part)


def _order_metadata(path: Path) -> None:
    """Sort the metadata in a file's header, where safetensors leaves it in an order that changes from call to call."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= size:  # else the header was written in another style, and stays as it is
            file.seek(8)
            file.write(text.ljust(size))


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file and its metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off or is not safetensors.
    """
    with _opened(Path(path), "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})


@contextlib.contextmanager
def _opened(path: Path, framework: Literal["np", "pt"]) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a safetensors file")
    try:
        with open(path, "rb") as start:
            header = int.from_bytes(start.read(8), "little")
        if header > MAX_HEADER_BYTES:
            raise SafetensorError(f"a header of {header} bytes; expected at most {MAX_HEADER_BYTES}")
        with safe_open(path, framework=framework) as file:
            yield file
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not a whole safetensors file ({error}); it has {path.stat().st_size} bytes: get it again"
        ) from error


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON; NaN and infinity are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def tensor_shapes(path: str | Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """The shapes that a safetensors file's header states and its metadata; no tensor is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off or is not safetensors.
    """
    with _opened(Path(path), "np") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
        return shapes, dict(file.metadata() or {})


def read_json(path: str | Path, limit: int = MAX_JSON_BYTES) -> Any:
    """The value in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or is larger than `limit` bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a JSON file")
    if path.stat().st_size > limit:
        raise ValueError(f"{path}: {path.stat().st_size} bytes of JSON; expected at most {limit}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also numbers of more digits than Python converts
        raise ValueError(f"{path}: not JSON ({error})") from error


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text."""
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def read_text(path: str | Path) -> str:
    """The text in a file.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error})") from error


def sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
