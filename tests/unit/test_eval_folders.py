"""Folders of pictures against folders: decoding, pairing, sets of unequal number, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import eval.run as command
from eval import folders
from eval.feature_store import FeatureStore
from eval.folders import FolderWork, batches
from eval.metrics.frechet import FeatureSet, frechet_distance
from eval.metrics.ssim import structural_similarity
from eval.networks import Networks
from eval.reading import read_picture
from eval.shards import Team
from eval.signature import differences
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
    board = FolderWork(made, real, networks=_networks(), **options).board(progress=False)  # type: ignore[arg-type]
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
    board = FolderWork(made, real, networks=_networks()).board(progress=False)
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
    command.main(
        [
            "--generated",
            str(made),
            "--reference",
            str(real),
            "--metrics",
            "psnr",
            "ssim",
            "--output",
            str(tmp_path / "o"),
        ]
    )
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


def test_too_few_pictures_are_refused_before_any_is_read(tmp_path: Path) -> None:
    made, real = _fill(tmp_path / "made", 1, 0), _fill(tmp_path / "real", 9, 1)
    networks = _networks_that_count(seen := [])
    with pytest.raises(ValueError, match="fid: it needs at least 2 pictures in each folder, got 1"):
        FolderWork(made, real, metrics=["fid"], networks=networks).board(progress=False)
    _fill(made, 4, 0)
    board = FolderWork(made, real, metrics=None, networks=networks).board(progress=False)
    assert {"fid", "kid"} <= set(board.rows[0].scores)
    with pytest.raises(ValueError, match="recall: it needs at least 5 pictures in each folder, got 4"):
        FolderWork(made, real, metrics=["recall"], networks=networks).board(progress=False)
    assert sum(seen) == 13


def test_a_metric_that_needs_more_than_folders_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = _fill(tmp_path / "made", 2, 0)
    line = _fails(capsys, "--generated", made, "--reference", made, "--metrics", "id_cosine", "flow_epe")
    assert "id_cosine: it needs source and judge.identity, which two folders do not tell; name the folder of" in line
    assert (
        "flow_epe: it needs translation.flow and sample.flow and sample.visible, which two folders do not tell" in line
    )


def test_sources_and_a_judge_tell_whether_it_is_the_same_person(tmp_path: Path) -> None:
    made, real, source = (_fill(tmp_path / name, 4, seed) for seed, name in enumerate(("made", "real", "in")))
    _fill(source, 5, 2)
    metrics = ["id_cosine", "edit_concentration", "psnr"]
    options = {"metrics": metrics, "judges": {"identity": "inception_fid"}, "networks": _networks()}
    row = FolderWork(made, real, source=source, **options).board(progress=False).rows[0]  # type: ignore[arg-type]
    a, b = (
        torch.stack([_feature(read_pixels(folder / f"{i:03d}.png", upright=False)[None])[0] for i in range(4)])
        for folder in (made, source)
    )
    assert row.scores["id_cosine"].value == pytest.approx(float(torch.cosine_similarity(a, b).mean()))
    assert row.scores["edit_concentration"].n == 4
    assert "|net:inception_fid@" in row.signatures["id_cosine"]
    other = FolderWork(made, real, source=made, **options).board(progress=False).rows[0]  # type: ignore[arg-type]
    assert other.scores["id_cosine"].value == pytest.approx(1)
    (source / "002.png").unlink()
    with pytest.raises(ValueError, match="the folder of sources has no file for 1 of 4: 002"):
        FolderWork(made, real, source=source, **options).board(progress=False)  # type: ignore[arg-type]


def _networks_that_count(seen: list[int], store: Path | None = None) -> Networks:
    """Their Inception is no ready-made one, so that what it says may be kept."""
    networks = _networks()

    def network(images: Tensor) -> Tensor:
        seen.append(len(images))
        return _feature(images)

    networks._given = frozenset()
    networks._features["inception_fid"] = network
    networks.store = FeatureStore(store) if store else None
    return networks


def test_each_picture_is_read_and_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = _fill(tmp_path / "made", 7, 0), _fill(tmp_path / "real", 7, 1)
    seen: list[int] = []
    read: list[Path] = []
    monkeypatch.setattr(folders, "read_picture", lambda path, folder: read.append(path) or read_picture(path, folder))
    metrics = ["fid", "precision", "recall", "psnr", "ssim"]
    FolderWork(made, real, metrics=metrics, networks=_networks_that_count(seen), batch_size=3).board(progress=False)
    assert sorted(read) == sorted([*made.iterdir(), *real.iterdir()])
    assert sum(seen) == 14


def test_a_reference_is_embedded_in_the_first_run_only(tmp_path: Path) -> None:
    made, real = _fill(tmp_path / "made", 7, 0), _fill(tmp_path / "real", 9, 1)
    seen: list[int] = []
    scores = []
    for _ in range(3):
        networks = _networks_that_count(seen, tmp_path / "kept")
        board = FolderWork(made, real, metrics=["fid"], networks=networks).board(progress=False)
        scores.append(board.rows[0].scores)
    assert seen == [7, 9, 7, 7]
    assert scores[0] == scores[1] == scores[2]
    Image.new("RGB", (18, 16)).save(real / "000.png")
    networks = _networks_that_count(seen, tmp_path / "kept")
    other = FolderWork(made, real, metrics=["fid"], networks=networks).board(progress=False)
    assert seen[4:] == [7, 9]  # it is known by what the files show, not by their names
    assert other.rows[0].scores["fid"].value != scores[0]["fid"].value
    for path in (tmp_path / "kept").rglob("*.safetensors"):
        path.write_bytes(b"broken")
    assert FolderWork(made, real, metrics=["fid"], networks=networks).board(progress=False).rows == other.rows


def test_a_folder_that_cannot_be_written_to_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = _fill(tmp_path / "made", 3, 0)
    (tmp_path / "file").write_text("")
    networks = _networks_that_count([], tmp_path / "file")
    board = FolderWork(made, made, metrics=["kid"], networks=networks).board(progress=False)
    assert "kid" in board.rows[0].scores
    assert caplog.text.count("features are not kept for the next run") == 1


def test_kid_stands_beside_every_fid(tmp_path: Path) -> None:
    made = _fill(tmp_path / "made", 3, 0)
    board = FolderWork(made, made, metrics=["fid", "l1", "fid"], networks=_networks()).board(progress=False)
    assert [metric.name for metric in board.metrics] == ["fid", "kid", "l1"]


@pytest.mark.parametrize("metrics", [["kid"], ["kid", "psnr"]])
def test_shares_of_a_team_make_the_whole(tmp_path: Path, metrics: list[str]) -> None:
    made, real = _fill(tmp_path / "made", 24, 0), _fill(tmp_path / "real", 24, 1)
    whole = FolderWork(made, real, metrics=metrics, networks=_networks(), batch_size=4).board(progress=False)

    def work(seen: list[int]) -> FolderWork:
        networks = _networks_that_count(seen, tmp_path / "kept")
        made_of = FolderWork(made, real, metrics=metrics, networks=networks, batch_size=4, output=tmp_path / "out")
        made_of.shards = [(start, start + 8) for start in range(0, 24, 8)]
        return made_of

    shares: list[list[int]] = [[], []]
    for rank in (1, 0):
        one = work(shares[rank])
        one.score(Team(rank, 2).share(one.shards), progress=False)
    rest: list[int] = []
    together = work(rest).board(progress=False)
    assert [sum(seen) for seen in shares] == [32, 16]
    assert rest == []
    assert together.rows == whole.rows


def test_other_references_of_the_same_names_do_not_compare(tmp_path: Path) -> None:
    made, real, other = (_fill(tmp_path / name, 3, seed) for seed, name in enumerate(("made", "real", "other")))
    first, second = (
        FolderWork(made, folder, metrics=["psnr"]).board(progress=False).rows[0].signatures["psnr"]
        for folder in (real, other)
    )
    assert [text.split()[0] for text in differences(first, second)] == ["pictures"]
