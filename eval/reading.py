"""Pictures from folders that anyone may have filled: every file is looked at before it is decoded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from geotrans.ops.images import read_pixels

MAX_PIXELS = 50_000_000
MIN_SIDE = 8
_NAMED = 3


def read_picture(path: Path, folder: Path) -> Tensor:
    """A picture in `folder` as uint8 RGB (3, H, W), as metric packages read it: not turned by EXIF.

    Raises:
        ValueError: the file cannot be read, is a link that leads out of the folder, claims more than 50 million pixels,
            has more than 8 bits a channel, or is smaller than 8 pixels; the message has its path.
    """
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} is a link that leads out of {folder}; put the file itself there")
    _check_header(path)
    return read_pixels(path, upright=False)


def shown(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _check_header(path: Path) -> None:
    """Refuse what the file says of itself, before memory is spent on it; what is no picture is left to the reader."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                width, height = file.size
                deep = _is_deep(file)
    except Image.DecompressionBombError:
        raise ValueError(f"{path} claims more pixels than any picture has; it is broken or hostile") from None
    except (OSError, SyntaxError, ValueError, EOFError):
        return
    if width * height > MAX_PIXELS:
        raise ValueError(f"{path} claims {width} x {height} pixels; expected at most {MAX_PIXELS:,} in all")
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"{path} has {width} x {height} pixels; expected at least {MIN_SIDE} x {MIN_SIDE}")
    if deep:
        raise ValueError(f"{path} has 16 bits a channel; expected 8, convert it first")


def _is_deep(file: Image.Image) -> bool:
    """Whether a file has more than 8 bits a channel, where Pillow would drop the lower ones without a word."""
    if file.format == "PNG":
        with open(str(file.filename), "rb") as raw:  # type: ignore[attr-defined]
            return bytes(raw.read(25)[24:25]) == b"\x10"
    bits = getattr(file, "tag_v2", {}).get(258, (8,))
    return bool(max(bits if isinstance(bits, tuple) else (bits,)) > 8)
