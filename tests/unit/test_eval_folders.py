"""Folders of pictures against folders: decoding, pairing, sets of unequal number, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import eval.run as command
from eval.folders import batches, evaluate_folders
from eval.metrics.frechet import FeatureSet, frechet_distance
from eval.metrics.ssim import structural_similarity
from eval.networks import Networks
from geotrans.ops.images import list_images, read_pixels


def _feature(images: Tensor) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b.float()).abs().flatten(1).mean(1)


def _networks() -> Networks:
    return Networks(features={"inception_fid": _feature}, distances={"lpips_alex": _distance})


def _fill(folder: Path, count: int, seed: int, *, suffix: str = ".png", sizes: tuple[int, ...] = (16,)) -> Path:
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(seed)
    for i in range(count):
        size = sizes[i % len(sizes)]
        pixels = draw.integers(0, 256, (size, size + 2, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}{suffix}")
    return folder


def _scores(made: Path, real: Path, **options: object) -> dict[str, float]:
    board = evaluate_folders(made, real, networks=_networks(), progress=False, **options)  # type: ignore[arg-type]
    return {name: score.value for name, score in board.rows[0].scores.items()}


def test_scores_of_pairs_and_sets(tmp_path: Path) -> None:
    made, real = _fill(tmp_path / "made", 7, 0), _fill(tmp_path / "real", 7, 1, suffix=".bmp")
    scores = _scores(made, real)
    assert set(scores) == {"fid", "kid", "lpips", "psnr", "ssim", "l1"}
    a, b = (
        torch.stack([read_pixels(path, upright=False) for path in list_images(folder, recursive=False)])
        for folder in (made, real)
    )
    assert scores["ssim"] == pytest.approx(float(structural_similarity(a, b).mean()))
    assert scores["l1"] == pytest.approx(float((a.double() - b.double()).abs().mean()) / 127.5)
    assert scores["lpips"] == pytest.approx(float(_distance(a, b).mean()))
    sets = [FeatureSet(), FeatureSet()]
    for features, pictures in zip(sets, (a, b), strict=True):
        features.add(_feature(pictures))
    assert scores["fid"] == pytest.approx(frechet_distance(*sets))


def test_a_folder_against_itself_is_perfect(tmp_path: Path) -> None:
    made = _fill(tmp_path / "made", 4, 0)
    scores = _scores(made, made)
    assert scores["fid"] < 1e-6
    assert (scores["lpips"], scores["l1"], scores["psnr"]) == (0, 0, 100)


def test_batch_size_and_mixed_sizes_move_no_score(tmp_path: Path) -> None:
    made = _fill(tmp_path / "made", 9, 0, sizes=(16, 16, 24))
    real = _fill(tmp_path / "real", 9, 1, sizes=(16, 16, 24))
    one, many = (_scores(made, real, batch_size=size) for size in (1, 4))
    assert one == pytest.approx(many, rel=1e-6)


def test_a_batch_ends_where_the_size_changes(tmp_path: Path) -> None:
    folder = _fill(tmp_path / "mixed", 6, 0, sizes=(16, 16, 24))
    assert [len(names) for names, _ in batches(list_images(folder, recursive=False), 2)] == [2, 1, 2, 1]


def test_sets_may_differ_in_number_and_names(tmp_path: Path) -> None:
    made, real = _fill(tmp_path / "made", 5, 0), _fill(tmp_path / "real", 8, 1)
    board = evaluate_folders(made, real, networks=_networks(), progress=False)
    assert set(board.rows[0].scores) == {"fid", "kid"}
    assert board.left_out["psnr"] == (f"3 of 8 files in {real} have no file of that name in {made}: 005, 006, 007")


def test_decoding_is_that_of_pytorch_fid(tmp_path: Path) -> None:
    """RGB by Pillow, whatever the file's mode, and no turning by EXIF."""
    draw = np.random.default_rng(3)
    grey, alpha = draw.integers(0, 256, (9, 7), dtype=np.uint8), draw.integers(0, 256, (9, 7, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    Image.fromarray(alpha[..., :3]).save(tmp_path / "turned.jpg", exif=exif)
    for path in list_images(tmp_path, recursive=False):
        expected = np.asarray(Image.open(path).convert("RGB"))  # what pytorch_fid.fid_score.ImagePathDataset reads
        assert np.array_equal(read_pixels(path, upright=False).permute(1, 2, 0).numpy(), expected)


def _fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    with pytest.raises(SystemExit) as stop:
        command.main([str(argument) for argument in argv])
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("geotrans-eval")]
    assert len(lines) == 1
    return lines[0]


def test_the_command_writes_a_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, real = _fill(tmp_path / "made", 4, 0), _fill(tmp_path / "real", 4, 1)
    folders = ["--generated", str(made), "--reference", str(real)]
    command.main([*folders, "--metrics", "psnr", "ssim", "--output", str(tmp_path / "o")])
    out = capsys.readouterr().out
    assert str(made) in out
    assert "n = 4" in out
    assert "Not the standard" not in out
    assert (tmp_path / "o" / "board.html").is_file()


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("missing", "no such folder"),
        ("empty", "no images in it; expected files that end in .bmp, "),
        ("unmatched", "2 of 4 files in {made} have no file of that name in {real}: 002, 003"),
        ("sizes", "has 18 x 16 pixels and {real}/000.png 26 x 24; pairs need one size"),
        ("broken", "{made}/001.png: not an image that Pillow can read"),
        ("cut off", "{made}/001.png: cannot be read as an image"),
        ("twice", "{made} holds '000' under several suffixes"),
    ],
)
def test_a_wrong_folder_is_one_line(case: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, real = _fill(tmp_path / "made", 4, 0), tmp_path / "real"
    if case != "missing":
        _fill(real, {"empty": 0, "unmatched": 2}.get(case, 4), 1, sizes=(24,) if case == "sizes" else (16,))
    if case == "broken":
        (made / "001.png").write_text("not a picture")
    if case == "cut off":
        whole = (made / "001.png").read_bytes()
        (made / "001.png").write_bytes(whole[: len(whole) // 2])
    if case == "twice":
        Image.new("RGB", (18, 16)).save(made / "000.bmp")
    line = _fails(capsys, "--generated", made, "--reference", real, "--metrics", "psnr", "--output", tmp_path / "out")
    assert text.format(made=made, real=real) in line
    assert not (tmp_path / "out").exists()


def test_a_metric_that_needs_more_than_folders_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = _fill(tmp_path / "made", 2, 0)
    line = _fails(capsys, "--generated", made, "--reference", made, "--metrics", "id_cosine", "flow_epe")
    assert "id_cosine: it needs source and judge.identity, which two folders do not tell" in line
