"""Clips in and out: animated pictures, videos, and folders of frames."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageSequence, UnidentifiedImageError
from torch import Tensor

from geotrans.ops.images import SUFFIXES, read_pixels, to_uint8, write_image

ANIMATED = frozenset({".gif", ".webp"})  # Pillow alone reads and writes these
VIDEOS = frozenset({".avi", ".mkv", ".mov", ".mp4", ".webm"})
_FASTEST_GIF = 50.0  # its delays are whole hundredths of a second, and players take one for a mistake
_LONGEST = 1000  # frames that one picture of a file stands for


class Clip(NamedTuple):
    """Frames, uint8 (3, H, W) each, and how many a second; None where nothing says."""

    frames: list[Tensor]
    fps: float | None


def read_clip(path: str | Path) -> Clip:
    """The frames of a folder of pictures, an animated picture or a video, in order; see `natural` for folders.

    Raises:
        FileNotFoundError: there is no such file or folder, or no picture in it.
        ImportError: a video, and imageio or ffmpeg is not installed.
        ValueError: it cannot be read; the message has its path.
    """
    path = Path(path)
    if path.is_dir():
        return Clip([read_pixels(file) for file in picture_files(path)], None)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder")
    return _read_video(path) if path.suffix.lower() in VIDEOS else _read_animated(path)


def picture_files(folder: Path) -> list[Path]:
    """The pictures directly in a folder, in natural order.

    Raises:
        FileNotFoundError: there are none.
    """
    found = sorted((path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES), key=natural)
    if not found:
        raise FileNotFoundError(f"{folder}: no pictures in it; expected frames such as 0001.png")
    return found


def natural(path: Path) -> tuple[list[str | int], str]:
    """A sorting key by which frame 9 comes before frame 10, however many zeros they are written with."""
    parts = re.split(r"(\d+)", path.stem)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], path.name


def check_output(path: str | Path, fps: float, *, overwrite: bool = False) -> None:
    """Refuse what `write_clip` could not write, before any time is spent on the frames.

    Raises:
        FileExistsError: it is there already, and is not to be overwritten.
        FileNotFoundError: there is no folder to write it to.
        ImportError: a video, and imageio or ffmpeg is not installed.
        PermissionError: that folder is not to be written to.
        ValueError: the suffix or the number of frames a second stands for nothing that can be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind and kind not in ANIMATED | VIDEOS:
        known = ", ".join(sorted(ANIMATED | VIDEOS))
        raise ValueError(f"{path}: expected {known}, or no suffix for a folder of frames; got {kind}")
    if not 0 < fps <= (_FASTEST_GIF if kind == ".gif" else 1000):
        raise ValueError(f"{path}: expected up to {_FASTEST_GIF:g} frames a second in a GIF (1000 else), got {fps:g}")
    if kind and path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    if not kind and path.is_file():
        raise FileExistsError(f"{path} is a file; a clip without a suffix is a folder of frames")
    if (path.is_file() or (path.is_dir() and any(path.iterdir()))) and not overwrite:
        raise FileExistsError(f"{path} exists; add --overwrite, or choose another name")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.absolute().parent}; make it first")
    if not os.access(path.absolute().parent, os.W_OK):
        raise PermissionError(f"{path}: you may not write to {path.absolute().parent}; choose another place")
    if kind in VIDEOS:
        _imageio(path)


def write_clip(path: str | Path, frames: Iterable[Tensor], fps: float, *, overwrite: bool = False) -> int:
    """Write a clip; the suffix chooses the format, and it appears whole or not at all. Returns the number of frames.

    Args:
        path: .gif or .webp; .mp4 and other videos, which want imageio and ffmpeg; or, without a suffix, a folder, which
            gets 00000.png, 00001.png, ...
        frames: (3, H, W) or (1, 3, H, W) each, floating in [-1, 1], all of one size. A GIF keeps equal neighbours as
            one frame that stays longer.
        fps: frames a second.
        overwrite: replace what is there; of a folder, all that is in it.

    Raises:
        ValueError: no frames; otherwise as `check_output`.
    """
    path = Path(path)
    check_output(path, fps, overwrite=overwrite)
    # The suffix stays at the end: writers go by it.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    write: Callable[[Path, Iterator[Tensor], float], int] = _write_folder
    if path.suffix:
        write = _write_video if path.suffix.lower() in VIDEOS else _write_animated
    try:
        count = write(temporary, (frame[0] if frame.ndim == 4 else frame for frame in frames), fps)
        if not count:
            raise ValueError(f"{path}: there are no frames to write")
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
    return count


def _read_animated(path: Path) -> Clip:
    """Each frame as often as the shortest delay fits into its own: writers keep equal neighbours as one."""
    pictures: list[Any] = []
    delays: list[float] = []
    try:
        with Image.open(path) as file:
            for frame in ImageSequence.Iterator(file):
                pictures.append(np.array(frame.convert("RGB")))
                delays.append(float(file.info.get("duration") or 0))
    except UnidentifiedImageError:
        raise ValueError(f"{path}: neither a picture that Pillow can read nor a video") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as an animated picture: {error}") from error
    shortest = min(delays)
    if not shortest:
        return Clip([_tensor(picture) for picture in pictures], None)
    times = [min(round(delay / shortest), _LONGEST) for delay in delays]
    frames = [_tensor(picture) for picture, count in zip(pictures, times, strict=True) for _ in range(count)]
    return Clip(frames, 1000 / shortest)


def _write_animated(path: Path, frames: Iterator[Tensor], fps: float) -> int:
    pictures = [Image.fromarray(_pixels(frame)) for frame in frames]
    if pictures:
        delay = 10 * round(100 / fps) if path.suffix.lower() == ".gif" else round(1000 / fps)
        first, *rest = pictures
        first.save(path, save_all=True, append_images=rest, duration=delay, loop=0, quality=95)
    return len(pictures)


def _write_folder(path: Path, frames: Iterator[Tensor], fps: float) -> int:
    path.mkdir()
    count = 0
    for frame in frames:
        write_image(path / f"{count:05d}.png", frame)
        count += 1
    return count


def _imageio(path: Path) -> Any:
    """imageio with ffmpeg.

    Raises:
        ImportError: one of them is missing; the message says what to install.
    """
    try:
        import imageio.v2
        import imageio_ffmpeg  # noqa: F401
    except ImportError as error:
        told = f"{path}: videos need imageio and ffmpeg ({error}); pip install 'geotrans-gan[video]', or use a .gif"
        raise ImportError(told) from None
    return imageio.v2


def _read_video(path: Path) -> Clip:
    imageio = _imageio(path)
    try:
        with imageio.get_reader(path, format="FFMPEG") as reader:
            fps = float(reader.get_meta_data().get("fps") or 0)
            return Clip([_tensor(np.asarray(frame)) for frame in reader], fps or None)
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"{path}: cannot be read as a video: {str(error).splitlines()[0]}") from error


def _write_video(path: Path, frames: Iterator[Tensor], fps: float) -> int:
    imageio, count = _imageio(path), 0
    with imageio.get_writer(path, format="FFMPEG", fps=fps, quality=9, macro_block_size=2) as writer:
        for frame in frames:
            writer.append_data(_pixels(frame))
            count += 1
    return count


def _tensor(pixels: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels[..., :3])).permute(2, 0, 1)


def _pixels(frame: Tensor) -> Any:
    return to_uint8(frame.detach()[None])[0].permute(1, 2, 0).cpu().numpy()
