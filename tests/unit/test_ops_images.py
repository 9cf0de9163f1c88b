"""Bytes, files and sizes of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from geotrans.ops.images import from_uint8, pad_to_multiple, read_image, resize, to_uint8, unpad, write_image


def picture(height: int = 5, width: int = 7, seed: int = 0) -> Tensor:
    levels = torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(seed))
    return levels.to(torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_levels_survive_the_round_trip(dtype: torch.dtype) -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(levels).to(dtype)), levels)
    assert from_uint8(levels)[[0, -1]].tolist() == [-1, 1]


def test_quantisation_rounds_halves_up_and_clamps() -> None:
    halves = (torch.tensor([0.5, 1.5, 2.5, 126.5], dtype=torch.float64)) / 127.5 - 1
    assert to_uint8(halves + 1e-12).tolist() == [1, 2, 3, 127]
    assert to_uint8(halves - 1e-9).tolist() == [0, 1, 2, 126]
    assert to_uint8(torch.tensor([-3.0, 3.0, float("inf")])).tolist() == [0, 255, 255]


def test_nan_and_wrong_types_raise() -> None:
    with pytest.raises(ValueError, match="holds NaN"):
        to_uint8(torch.tensor([0.0, float("nan")]))
    with pytest.raises(TypeError, match=r"expected uint8, got torch\.float32"):
        from_uint8(torch.zeros(3))


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_lossless_files_survive_the_round_trip(tmp_path: Path, suffix: str) -> None:
    image = from_uint8(picture())
    path = tmp_path / f"a{suffix}"
    write_image(path, image)
    assert torch.equal(read_image(path), image)
    write_image(str(path), image[0].flip(2))
    assert torch.equal(read_image(path), image.flip(3))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_jpeg_is_close(tmp_path: Path) -> None:
    image = resize(from_uint8(picture(4, 4)), 32)
    write_image(tmp_path / "a.JPG", image)
    assert (read_image(tmp_path / "a.JPG") - image).abs().mean() < 0.05


def test_read_turns_upright(tmp_path: Path) -> None:
    pixels = picture()[0].permute(1, 2, 0).numpy()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    expected = torch.from_numpy(np.rot90(pixels, -1).copy()).permute(2, 0, 1)[None]
    assert torch.equal(to_uint8(read_image(tmp_path / "a.png")), expected)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_8_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(path)
    torch.testing.assert_close(read_image(path), torch.ones(1, 3, 4, 6))


def test_a_transparent_palette_is_read(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert to_uint8(read_image(tmp_path / "a.png"))[0, :, 0, 0].tolist() == [255, 0, 0]


def test_read_resizes(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", torch.full((3, 8, 12), 0.2))
    assert read_image(tmp_path / "a.png", size=4).shape == (1, 3, 4, 4)
    assert read_image(tmp_path / "a.png", size=(6, 5)).shape == (1, 3, 6, 5)


def test_bad_files_are_one_line_with_their_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.png: no such file"):
        read_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"text\.png: not an image that Pillow can read"):
        read_image(tmp_path / "text.png")
    write_image(tmp_path / "whole.png", from_uint8(picture(64, 64)))
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.png: cannot be read as an image: .*truncated") as caught:
        read_image(tmp_path / "cut.png")
    assert "\n" not in str(caught.value)
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png: .*expected 8 bits a channel, got Pillow mode I;16"):
        read_image(tmp_path / "deep.png")


def test_too_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", from_uint8(picture(16, 16)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"a\.png: cannot be read as an image: .*exceeds limit"):
        read_image(tmp_path / "a.png")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, from_uint8(picture()))
    before = path.read_bytes()

    def fail(self: Image.Image, fp: Path, **options: object) -> None:
        fp.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_image(path, from_uint8(picture(seed=1)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_images_and_suffixes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected shape \(3, H, W\) or \(1, 3, H, W\), got \(2, 3, 4, 4\)"):
        write_image(tmp_path / "a.png", torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"no image format has the suffix '\.xyz'"):
        write_image(tmp_path / "a.xyz", torch.zeros(3, 4, 4))


def test_resize_agrees_with_pillow() -> None:
    levels = picture(32, 48)
    out = resize(levels.double(), (8, 12))
    channels = [Image.fromarray(c.numpy()).resize((12, 8), Image.Resampling.BILINEAR) for c in levels[0].float()]
    expected = torch.stack([torch.from_numpy(np.array(c)) for c in channels]).double()
    torch.testing.assert_close(out[0], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (1, 17), (9, 16)])
def test_padding_to_a_multiple_can_be_undone(size: tuple[int, int]) -> None:
    image = from_uint8(picture(*size))
    padded, box = pad_to_multiple(image, 8)
    assert padded.shape[2] % 8 == padded.shape[3] % 8 == 0
    assert padded.shape[2] - size[0] < 8
    assert torch.equal(unpad(padded, box), image)
    assert torch.equal(padded[0, :, 0, 0], image[0, :, 0, 0])
    assert torch.equal(padded[0, :, -1, -1], image[0, :, -1, -1])


def test_wrong_boxes_are_named() -> None:
    _, box = pad_to_multiple(torch.zeros(1, 3, 5, 5), 8)
    with pytest.raises(ValueError, match=r"Box\(top=1, left=1, height=5, width=5\) reaches out of an image of 4 x 4"):
        unpad(torch.zeros(1, 3, 4, 4), box)
    with pytest.raises(ValueError, match="multiple: expected at least 1, got 0"):
        pad_to_multiple(torch.zeros(1, 3, 5, 5), 0)
