"""Targets on labelled pictures, the protocols of the papers on miniature data, and protocols of users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from eval.contestants import contestant_of
from eval.evaluate import evaluate
from eval.metrics.frechet import FeatureSet, frechet_distance
from eval.networks import Networks
from eval.page import to_html
from eval.plugins import load_plugin, load_protocol, read_protocol
from eval.protocol import Protocol, create_protocol, is_standard, obstacle
from eval.results import BoardResult, Results
from eval.task import Task
from geotrans.data.celeba import example_celeba
from geotrans.data.emotionnet import example_emotionnet
from geotrans.data.pairs import example_paired_folder
from geotrans.data.persons import example_deepfashion, example_market1501
from geotrans.data.rafd import example_rafd
from geotrans.ops.images import read_pixels, to_uint8
from geotrans.ops.limbs import pose_mask
from registry import DATASETS, METRICS, PROTOCOLS
from tests.eval_kit import fails, run

WHOLE = {"flip": False}


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    with PROTOCOLS.temporary(), METRICS.temporary(), DATASETS.temporary():
        yield


def _feature(images: Tensor) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1) / 255


def _emotion(images: Tensor) -> Tensor:
    return images.float().mean((2, 3))[:, :1].expand(-1, 8) * torch.arange(8)


def _networks() -> Networks:
    features = {"inception_fid": _feature, "facenet_vggface2": _feature, "mine": _emotion}
    return Networks(features=features, distances={"lpips_alex": lambda a, b: (a.float() - b).flatten(1).mean(1)})


def _on(name: str, root: Path, **changes: object) -> Protocol:
    protocol = create_protocol(name, data=str(root))
    options = {**protocol.dataset_options, **WHOLE}
    return replace(protocol, dataset_options=options, **changes)  # type: ignore[arg-type]


def test_a_target_replaces_the_attribute_it_names(tmp_path: Path) -> None:
    example_celeba(tmp_path)
    task = Task(_on("spm_celeba_smiling", tmp_path, split="train", resolution=32))
    smiling = task.spec.attributes.index("Smiling")
    sample = task.batch(range(task.n))
    assert sample.source is not None
    assert sample.target is not None
    before, after = sample.source.attributes, sample.target.attributes
    assert before is not None
    assert after is not None
    assert (before[:, smiling] == 0).all()
    assert (after[:, smiling] == 1).all()
    others = [place for place in range(4) if place != smiling]
    assert torch.equal(before[:, others], after[:, others])
    assert task.reals is not None
    assert task.n + task.reals == len(task.dataset)
    assert all(name.endswith("-Smiling") for name in sample.id)
    assert task.real(range(task.reals)).shape == (task.reals, 3, 32, 32)


def test_every_picture_gets_every_emotion_but_its_own(tmp_path: Path) -> None:
    example_rafd(tmp_path)
    task = Task(_on("spm_rafd_acc", tmp_path, split="train", resolution=32))
    sample = task.batch(range(task.n))
    assert task.n == 7 * len(task.dataset) == len(set(sample.id))
    assert sample.target is not None
    assert sample.source is not None
    wanted, shown = sample.target.emotion, sample.source.emotion
    assert wanted is not None
    assert shown is not None
    assert torch.equal(wanted.sum(1), torch.ones(task.n))
    assert ((wanted * shown).sum(1) == 0).all()
    assert task.reals == len(task.dataset)  # every picture shows one of the targets


def test_action_units_are_whole_vectors(tmp_path: Path) -> None:
    example_emotionnet(tmp_path)
    task = Task(_on("defgan_celebahq_7expr", tmp_path, split="train", resolution=32))
    sample = task.batch(range(7))
    assert sample.target is not None
    assert sample.target.aus is not None
    named = {name: row for name, row in zip((i.rpartition("-")[2] for i in sample.id), sample.target.aus, strict=True)}
    assert not named["neutral"].any()
    happy = {unit for unit, value in zip(task.spec.aus, named["happy"].tolist(), strict=True) if value > 0}
    assert happy == {"AU06", "AU12", "AU25"}
    assert task.reals == len(task.dataset)
    assert task.n == 7 * len(task.dataset)


def _board(name: str, root: Path, networks: Networks | None = None, **changes: object) -> BoardResult:
    same = contestant_of(lambda image, target, source: image, "same")
    protocol = _on(name, root, **{"split": "train", "resolution": 32, **changes})
    return evaluate(protocol, [same], networks=networks or _networks(), progress=False)


def test_results_are_compared_with_all_real_pictures_however_many(tmp_path: Path) -> None:
    example_celeba(tmp_path)
    board = _board("spm_celeba_smiling", tmp_path)
    row = board.rows[0]
    assert set(row.scores) == {"fid_vggface2", "fid", "kid", "id_cosine"}
    assert "--judge attributes=" in board.left_out["attr_changed_accuracy"]
    task = Task(board.protocol)
    assert f"|real:{task.reals}|" in row.signatures["fid"]
    many = evaluate(board.protocol, [], networks=_networks(), progress=False, batch_size=2)
    for name in ("fid", "kid", "id_cosine"):  # which batch a real picture comes with does not matter
        identity = many.rows[0].scores[name]
        assert identity.value == pytest.approx(row.scores[name].value, rel=1e-6)


def test_real_pictures_are_read_under_their_own_labels(tmp_path: Path) -> None:
    example_rafd(tmp_path)
    board = _board("spm_rafd_acc", tmp_path, judges={"identity": "facenet_vggface2", "emotion": "mine"})
    rows = {row.name: row for row in board.rows}
    task = Task(board.protocol)
    surprised = 100 * float(task.dataset.table.labels.emotion[:, 7].mean())  # type: ignore[attr-defined]
    assert rows["real images"].scores["emotion_accuracy"].value == pytest.approx(surprised)  # the judge says so always
    assert rows["same"].scores["emotion_accuracy"].value != pytest.approx(surprised)
    assert is_standard(replace(board.protocol, split="test", resolution=128, dataset_options={}))


def test_papers_numbers_stand_apart(tmp_path: Path) -> None:
    example_rafd(tmp_path)
    board = _board("spm_rafd_acc", tmp_path)
    assert all(row.name != "SPM" for row in board.rows)
    page = to_html(Results((board,), {"packages": {}}, "2026-01-01"))
    before, reported = page.split("As reported: ")
    assert "97.85" in reported.partition("</table>")[0]
    assert "97.85" not in before


@pytest.mark.parametrize(
    ("name", "column", "row", "value"),
    [
        ("spm_celeba_smiling", "FID (VGGFace2)", "SPM", 2.907),
        ("spm_celeba_arched_eyebrows", "FID (VGGFace2)", "GANimorph", 5.570),
        ("spm_rafd_acc", "accuracy %", "real pictures", 98.75),
        ("defgan_celebahq_7expr", "FID", "GANimation", 4.75),
        ("gfla_fashion", "LPIPS", "Intr-Flow", 0.2131),
        ("gfla_market", "mask LPIPS", "GFLA", 0.1482),
        ("deepfashion_pose_256", "FID", "GFLA", 10.573),
        ("market1501_pose_128", "mask LPIPS", "GFLA", 0.1482),
        ("portraitgan_modality", "SSIM", "StarGAN", 0.483),
    ],
)
def test_reported_numbers_have_a_place(name: str, column: str, row: str, value: float) -> None:
    (reported,) = create_protocol(name).reported
    assert all(len(values) == len(reported.columns) for values in reported.rows.values())
    assert reported.rows[row][reported.columns.index(column)] == value
    assert obstacle(create_protocol(name)) is None


def test_pairs_of_portraits(tmp_path: Path) -> None:
    example_paired_folder(tmp_path)
    (tmp_path / "A").rename(tmp_path / "natural")
    (tmp_path / "B").rename(tmp_path / "stylised")
    landmarks = tmp_path / "landmarks"
    (landmarks / "A").rename(landmarks / "natural")
    (landmarks / "B").rename(landmarks / "stylised")
    board = _board("portraitgan_modality", tmp_path, split="test", n=8)
    assert {"mse", "ssim"} <= set(board.rows[0].scores)
    assert Task(board.protocol).spec.landmarks


def test_persons_are_scored_pair_by_pair_and_against_the_training_pictures(tmp_path: Path) -> None:
    example_market1501(tmp_path)
    networks = Networks(
        features={"inception_fid": _feature, "inception_torchvision": _feature},
        distances={"lpips_alex": lambda a, b: (a.float() - b).abs().flatten(1).mean(1)},
    )
    protocol = _on("market1501_pose_128", tmp_path, n=4)
    board = evaluate(protocol, [], networks=networks, progress=False)
    rows = {row.name: row for row in board.rows}
    assert not board.left_out
    assert set(protocol.metrics) == set(rows["identity"].scores)
    sample = Task(protocol).batch(range(4))
    assert sample.target is not None
    assert sample.target.structure is not None
    assert sample.truth is not None
    masked = (sample.image - sample.truth) * pose_mask(sample.target.structure, (128, 64))
    assert rows["identity"].scores["mask_lpips"].value == pytest.approx(masked.abs().mean().item(), rel=1e-4)
    portraits = [read_pixels(path) for path in sorted((tmp_path / "train").iterdir())]
    assert torch.equal(Task(protocol).real(range(16)), torch.stack(portraits))
    sets = FeatureSet(), FeatureSet()
    for features, pictures in zip(sets, (to_uint8(sample.image), torch.stack(portraits)), strict=True):
        features.add(_feature(pictures))
    assert rows["identity"].scores["fid_gfla"].value == pytest.approx(frechet_distance(*sets), rel=1e-4)
    assert "|real:16|" in rows["identity"].signatures["fid_gfla"]


@pytest.mark.parametrize(("name", "count"), [("deepfashion_pose_256", 8570), ("market1501_pose_128", 12000)])
def test_test_pairs_are_all_of_the_papers(name: str, count: int, tmp_path: Path) -> None:
    example_deepfashion(tmp_path)
    example_market1501(tmp_path / "market")
    root = tmp_path if name.startswith("deepfashion") else tmp_path / "market"
    with pytest.raises(ValueError, match=rf"scores {count} samples, but .* has 4 in its split 'test'; use --limit 4"):
        Task(create_protocol(name, data=str(root)))
    with pytest.raises(ValueError, match="real_split is for pairs of persons, which shapes does not serve"):
        Task(replace(create_protocol("shapes_64"), real_split="train"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"targets": {"x": {"Smilling": 1.0}}}, "celeba has no column 'Smilling'; did you mean 'Smiling'"),
        ({"n": 500}, "scores 500 samples, but celeba has"),
        ({"targets": {}, "n": 5000}, "in its split 'train'; use --limit"),
    ],
)
def test_targets_that_do_not_fit_are_named(changes: dict[str, object], text: str, tmp_path: Path) -> None:
    example_celeba(tmp_path)
    with pytest.raises(ValueError, match=text):
        Task(_on("spm_celeba_smiling", tmp_path, split="train", resolution=32, **changes))


def test_targets_need_labelled_pictures() -> None:
    protocol = replace(create_protocol("shapes_64"), targets={"round": {"Round": 1.0}})
    with pytest.raises(ValueError, match="targets need labelled pictures, which shapes does not serve"):
        Task(protocol)


def test_the_command_scores_a_papers_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example_emotionnet(tmp_path / "faces")
    line = fails(capsys, "--protocol", "defgan_celebahq_7expr", "--metrics", "l1", "--output", tmp_path / "out")
    assert "pass --data DIR (expected DIR/images and DIR/aus/NAME.csv" in line
    names = sorted(path.stem for path in (tmp_path / "faces" / "images").iterdir())
    (tmp_path / "faces" / "test_ids.csv").write_text("\n".join(names[:3]) + "\n")
    argv = ["--data", tmp_path / "faces", "--models", "identity", "--output", tmp_path / "out", "--limit", 10]
    run("--protocol", "defgan_celebahq_7expr", *argv)
    out = capsys.readouterr().out
    assert "n = 10" in out
    assert "As reported, not ranked with the above: DefGAN, Table 1" in out


TOML = """
name = "mine_64"
dataset = "shapes"
split = "test"
n = 12
metrics = ["l1", "psnr", "flow_epe"]
resolution = 64
description = "Mine."

[judges]
features = "shapes_features"
"""


def test_a_protocol_in_one_toml_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    assert load_protocol(str(path)) == load_protocol(str(path)) == "mine_64"
    protocol = create_protocol("mine_64")
    assert (protocol.n, protocol.metrics, protocol.judges) == (
        12,
        ("l1", "psnr", "flow_epe"),
        {"features": "shapes_features"},
    )
    assert not is_standard(create_protocol("mine_64", limit=6))
    run("--protocol", path, "--models", "identity", "--output", tmp_path / "out")
    out = capsys.readouterr().out
    assert "mine_64 v1" in out
    assert "Not the standard" not in out


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("split =", "spilt ="), "a protocol has no key 'spilt'; did you mean 'split'"),
        (("n = 12", "builtin = true"), "a protocol has no key 'builtin'"),
        (("n = 12", 'n = "12"'), "n: expected a whole number, got '12'"),
        (("n = 12\n", ""), "missing n"),
        (('["l1", "psnr", "flow_epe"]', '"l1"'), "metrics: expected a list of names, got 'l1'"),
        (('"psnr"', '"psnrr"'), "no metric is named 'psnrr'; did you mean 'psnr'"),
        (('"shapes"', '"shape"'), "no dataset is named 'shape'; did you mean 'shapes'"),
        (('"shapes_features"', "3"), "judges: expected a table"),
        (('"mine_64"', '"../mine"'), "expected a name of letters, digits and _"),
        (('"mine_64"', '"shapes_64"'), "another protocol is named 'shapes_64'; rename yours"),
        (("split =", "= ="), "not TOML"),
    ],
)
def test_what_a_toml_file_gets_wrong_is_one_line(
    change: tuple[str, str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML.replace(*change))
    assert text in fails(capsys, "--protocol", path, "--models", "identity", "--output", tmp_path / "out")


def test_targets_can_stand_in_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML + "\n[targets.grin]\nSmiling = 1\n")
    assert read_protocol(path).targets == {"grin": {"Smiling": 1}}


PLUGIN = '''
from dataclasses import replace

from eval.protocol import create_protocol
from registry import register_protocol


@register_protocol
def plugged_64():
    """Shapes again."""
    return replace(create_protocol("shapes_64"), name="plugged_64", n=8)
'''


def test_a_protocol_in_one_python_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plug.py").write_text(PLUGIN)
    argv = ["--plugin", tmp_path / "plug.py", "--protocol", "plugged_64", "--models", "identity", "--metrics", "l1"]
    run(*argv, "--output", tmp_path / "out")
    assert "plugged_64 v1" in capsys.readouterr().out
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    with pytest.raises(ImportError, match=r"broken\.py does not run: ModuleNotFoundError"):
        load_plugin(tmp_path / "broken.py")
    assert "no such file; expected a Python file" in fails(capsys, "--plugin", tmp_path / "gone.py")


def test_a_protocol_without_its_dataset_is_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    protocol = replace(create_protocol("shapes_64"), name="lonely", dataset="sculptures")

    def lonely() -> Protocol:
        return protocol

    PROTOCOLS.register(lonely, None)
    run("--list")
    assert "lonely" not in capsys.readouterr().out
    assert "lonely cannot be run: no dataset is named 'sculptures'" in fails(capsys, "--protocol", "lonely")


def test_folder_protocols_need_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "--protocol", "folder_pairs", "--models", "identity", "--output", tmp_path)
    assert "folder_pairs scores folders of pictures: pass --generated DIR and --reference DIR" in line
    line = fails(capsys, "--protocol", "shapes_64", "--generated", tmp_path, "--reference", tmp_path)
    assert "shapes_64 draws its own samples and compares with no folder; leave out --reference" in line
