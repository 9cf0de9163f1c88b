"""Images in and out: files, bytes, sizes. In memory an image is float RGB in [-1, 1]."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

# Those of pytorch-fid, so that both see the same files of a folder.
SUFFIXES = frozenset({".bmp", ".jpg", ".jpeg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class Box(NamedTuple):
    """A rectangle of pixels inside a larger image."""

    top: int
    left: int
    height: int
    width: int


def to_uint8(image: Tensor) -> Tensor:
    """Quantise [-1, 1] to 0..255, rounding once, halves up; values outside are clamped.

    Raises:
        ValueError: the image holds NaN.
    """
    if torch.isnan(image).any():
        raise ValueError("the image holds NaN, which no byte stands for; find where it was made")
    levels = image if image.dtype == torch.float64 else image.float()
    return ((levels + 1) * 127.5 + 0.5).floor().clamp(0, 255).to(torch.uint8)


def from_uint8(image: Tensor) -> Tensor:
    """The inverse of `to_uint8`: 0..255 to float32 in [-1, 1].

    Raises:
        TypeError: the image is not uint8.
    """
    if image.dtype != torch.uint8:
        raise TypeError(f"expected uint8, got {image.dtype}")
    return image.float() / 127.5 - 1


def read_image(path: str | Path, *, size: int | tuple[int, int] | None = None) -> Tensor:
    """Read a file as RGB, upright (EXIF), (1, 3, H, W) float32 in [-1, 1].

    Args:
        path: any format that Pillow reads with 8 bits a channel. Transparency is dropped.
        size: resize to (height, width), or to a square; the aspect ratio is not kept.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no image, is cut off, is larger than Pillow's limit, or has more than 8 bits a channel.
    """
    image = from_uint8(read_pixels(path)[None])
    return image if size is None else resize(image, size)


def read_pixels(path: str | Path, *, upright: bool = True) -> Tensor:
    """Read a file as uint8 RGB, (3, H, W); errors as for `read_image`.

    Args:
        upright: turn the picture as its EXIF data says. Metric packages do not, so scores that shall agree with theirs
            must not either.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with Image.open(path) as file:
            pixels = np.array(_to_rgb(ImageOps.exif_transpose(file) if upright else file))
    except UnidentifiedImageError:
        raise ValueError(f"{path}: not an image that Pillow can read") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as an image: {error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def list_images(folder: str | Path, *, recursive: bool = True) -> list[Path]:
    """Every image file below a folder (or directly in it), sorted by name.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    inside = folder.rglob("*") if recursive else folder.iterdir()
    found = sorted(path for path in inside if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise FileNotFoundError(f"{folder}: no images in it; expected files that end in {', '.join(sorted(SUFFIXES))}")
    return found


def write_image(path: str | Path, image: Tensor) -> None:
    """Write one image; the suffix chooses the format, and the file appears whole or not at all.

    Args:
        path: its folder is made if need be. Lossy formats are written at quality 95.
        image: (3, H, W) or (1, 3, H, W), floating in [-1, 1] or uint8.

    Raises:
        ValueError: another shape, NaN, or a suffix that stands for no format.
    """
    path = Path(path)
    batch = image[None] if image.ndim == 3 else image
    if batch.ndim != 4 or batch.shape[:2] != (1, 3):
        raise ValueError(f"image: expected shape (3, H, W) or (1, 3, H, W), got {tuple(image.shape)}")
    kind = image_format(path)
    levels = batch if batch.dtype == torch.uint8 else to_uint8(batch.detach())
    pixels = levels[0].permute(1, 2, 0).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        Image.fromarray(pixels).save(temporary, format=kind, quality=95)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def image_format(path: str | Path) -> str:
    """The Pillow format that a file name's suffix stands for.

    Raises:
        ValueError: it stands for none that can be written.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise ValueError(f"{path}: no image format has the suffix {path.suffix!r}; use .png or .jpg")
    return kind


def resize(image: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize (B, C, h, w) to (height, width), or to a square: bilinear, smoothed where it shrinks."""
    height, width = (size, size) if isinstance(size, int) else size
    if image.shape[-2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bilinear", align_corners=False, antialias=True)


def pad_to_multiple(image: Tensor, multiple: int) -> tuple[Tensor, Box]:
    """Pad (B, C, h, w) with its edge pixels until both sides are multiples; the image stays in the middle.

    Returns:
        The padded image and where in it the image lies, for `unpad`.
    """
    if multiple < 1:
        raise ValueError(f"multiple: expected at least 1, got {multiple}")
    height, width = image.shape[-2:]
    rows, columns = -height % multiple, -width % multiple
    box = Box(rows // 2, columns // 2, height, width)
    padding = (box.left, columns - box.left, box.top, rows - box.top)
    return F.pad(image, padding, mode="replicate"), box


def unpad(image: Tensor, box: Box) -> Tensor:
    """Cut `box` out of (B, C, H, W). A flow's units change with it: `ops.flow.crop` cuts flows.

    Raises:
        ValueError: the box reaches out of the image.
    """
    bottom, right = box.top + box.height, box.left + box.width
    if min(box.top, box.left) < 0 or bottom > image.shape[-2] or right > image.shape[-1]:
        raise ValueError(f"{box} reaches out of an image of {image.shape[-2]} x {image.shape[-1]} pixels")
    return image[..., box.top : bottom, box.left : right]


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"expected 8 bits a channel, got Pillow mode {image.mode}; convert the file first")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns when it drops a palette's transparency directly
    return image.convert("RGB")
