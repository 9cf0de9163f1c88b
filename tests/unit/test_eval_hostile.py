"""Files and models that nobody should have to trust: one clear line each, and no wrong score."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from eval.folders import FolderWork
from eval.reading import read_picture
from geotrans import create_model, save_folder
from geotrans.ops.images import write_image
from hub import files
from tests.eval_kit import fails, run, toy_tables

SIZE = 32


def _pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def _fill(folder: Path, seed: int) -> Path:
    folder.mkdir()
    for i in range(3):
        Image.fromarray(_pixels(seed + i)).save(folder / f"{i}.png")
    return folder


def _png(width: int, height: int, bits: int, kind: int, rows: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[60:90] = b"\0" * 30
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _text(path: Path) -> None:
    path.write_text("<html>404</html>")


def _grey16(path: Path) -> None:
    Image.fromarray(np.full((SIZE, SIZE), 40_000, np.uint16)).save(path)


def _colour16(path: Path) -> None:
    """Pillow would read its upper bytes and not say so."""
    row = b"\0" + bytes(6 * SIZE)
    path.write_bytes(_png(SIZE, SIZE, 16, 2, row * SIZE))


def _dot(path: Path) -> None:
    Image.fromarray(_pixels()[:1, :1]).save(path)


def _bomb(path: Path) -> None:
    path.write_bytes(_png(10_000, 10_000, 8, 2, bytes(100)))


def _larger_bomb(path: Path) -> None:
    path.write_bytes(_png(60_000, 60_000, 8, 2, bytes(100)))


def _link_out(path: Path) -> None:
    target = path.parent.parent / "elsewhere.png"
    Image.fromarray(_pixels()).save(target)
    path.unlink()
    path.symlink_to(target)


def _link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "gone.png")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _renamed(path: Path) -> None:
    path.rename(path.with_name("other.png"))


def _other_size(path: Path) -> None:
    Image.fromarray(_pixels()[:20]).save(path)


def _emptied(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_corrupt, "{made}/1.png: cannot be read as an image"),
        (_cut, "{made}/1.png: cannot be read as an image"),
        (_text, "{made}/1.png: not an image that Pillow can read"),
        (_grey16, "{made}/1.png has 16 bits a channel; expected 8"),
        (_colour16, "{made}/1.png has 16 bits a channel; expected 8"),
        (_dot, "{made}/1.png has 1 x 1 pixels; expected at least 8 x 8"),
        (_bomb, "{made}/1.png claims 10000 x 10000 pixels; expected at most 50,000,000 in all"),
        (_larger_bomb, "{made}/1.png claims more pixels than any picture has"),
        (_link_out, "{made}/1.png is a link that leads out of {made}"),
        (_link_to_nothing, "1 of 3 files in {real} have no file of that name in {made}: 1"),
        (_folder, "1 of 3 files in {real} have no file of that name in {made}: 1"),
        (_renamed, "1 of 3 files in {made} have no file of that name in {real}: other"),
        (_other_size, "{made}/1.png has 32 x 20 pixels and {real}/1.png 32 x 32"),
        (_emptied, "{made}: no images in it"),
    ],
)
def test_a_spoilt_picture_is_one_line_and_no_score(
    spoil: Callable[[Path], None], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, real = _fill(tmp_path / "made", 0), _fill(tmp_path / "real", 9)
    spoil(made / "1.png")
    line = fails(capsys, "--generated", made, "--reference", real, "--metrics", "psnr", "--output", tmp_path / "out")
    assert text.format(made=made, real=real) in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["P", "CMYK", "L", "LA", "RGBA", "1"])
def test_other_modes_are_read_as_the_colours_they_stand_for(mode: str, tmp_path: Path) -> None:
    """As pytorch-fid reads them: Pillow's RGB. The score is that of the RGB file."""
    made, real = _fill(tmp_path / "made", 0), _fill(tmp_path / "real", 9)
    odd = Image.fromarray(_pixels()).convert(mode)
    suffix = ".tiff" if mode == "CMYK" else ".png"
    (made / "1.png").unlink()
    odd.save(made / f"1{suffix}")
    first = FolderWork(made, real, metrics=["psnr"]).board(progress=False).rows[0].scores["psnr"]
    (made / f"1{suffix}").unlink()
    odd.convert("RGB").save(made / "1.png")
    assert FolderWork(made, real, metrics=["psnr"]).board(progress=False).rows[0].scores["psnr"] == first


def test_a_link_within_the_folder_is_a_file(tmp_path: Path) -> None:
    made = _fill(tmp_path / "made", 0)
    (made / "same.png").symlink_to(made / "0.png")
    assert read_picture(made / "same.png", made).equal(read_picture(made / "0.png", made))


@pytest.fixture
def toys() -> Iterator[ModuleType]:
    with toy_tables() as module:
        yield module


def _published(folder: Path, arch: str, **options: object) -> str:
    return f"local-dir:{save_folder(create_model(arch), folder, arch=arch, tag='toy', **options)}"  # type: ignore[arg-type]


def test_a_model_of_nan_has_no_score(tmp_path: Path, toys: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(_published(tmp_path / "mover", "mover_32").removeprefix("local-dir:"))
    weights, metadata = files.read_safetensors(path / "model.safetensors")
    files.write_safetensors(path / "model.safetensors", {k: v * float("nan") for k, v in weights.items()}, metadata)
    (path / "check.safetensors").unlink()
    argv = ("--protocol", "toy_32", "--models", f"local-dir:{path}", "--output", tmp_path / "out")
    line = fails(capsys, *argv)
    assert "NaN" in line
    assert not (tmp_path / "out" / "results.json").exists()


def _write_results(folder: Path, toys: ModuleType) -> None:
    for i in range(24):
        write_image(folder / f"toy-{i}.png", toys.Toy().batch([i]).image)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda folder: (folder / "toy-3.png").unlink(), "has no picture for 1 of 24 samples: toy-3"),
        (lambda folder: _dot(folder / "toy-3.png"), "toy-3.png has 1 x 1 pixels; expected at least 8 x 8"),
        (lambda folder: _other_size(folder / "toy-3.png"), "toy-3.png has 32 x 20 pixels and its sample 32 x 32"),
        (lambda folder: _link_out(folder / "toy-3.png"), "is a link that leads out of"),
        (lambda folder: _text(folder / "toy-3.png"), "not an image that Pillow can read"),
        (lambda folder: write_image(folder / "toy-3.bmp", _image()), "holds 'toy-3' under several suffixes"),
    ],
)
def test_pictures_of_a_protocols_samples(
    spoil: Callable[[Path], None], text: str, tmp_path: Path, toys: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another program made of the samples: unchanged sources here, which score as the identity does."""
    made = tmp_path / "made"
    _write_results(made, toys)
    argv = ("--generated", made, "--protocol", "toy_32", "--metrics", "l1", "psnr")
    run(*argv, "--output", tmp_path / "out")
    rows = {row["name"]: row for row in files.read_json(tmp_path / "out" / "results.json")["boards"][0]["rows"]}
    assert rows[str(made)]["kind"] == "folder"
    for metric in ("l1", "psnr"):
        assert rows[str(made)]["scores"][metric]["value"] == rows["identity"]["scores"][metric]["value"]
    capsys.readouterr()
    spoil(made)
    assert text in fails(capsys, *argv, "--output", tmp_path / "other")
    assert not (tmp_path / "other" / "results.json").exists()


def _image():  # type: ignore[no-untyped-def]
    import torch

    return torch.zeros(3, SIZE, SIZE)
