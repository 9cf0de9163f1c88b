"""Training of judges, on a stand-in dataset whose one attribute is which half of a picture is bright."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from geotrans.data.base import Dataset
from geotrans.features.judge import IdentityJudge, Judge, JudgeConfig, load_judge
from geotrans.features.subject import SubjectJudge
from geotrans.ops.poses import pose_maps
from geotrans.train import judge as trainer
from geotrans.train._judge_identity import equal_error, identity_loss, identity_scores
from geotrans.train._judge_pictures import Pictures, Plan, augment, batches, render
from geotrans.train._judge_reading import _weights, reading_loss
from geotrans.train._judge_subject import joint_loss, joint_scores
from geotrans.train.judge import KINDS, main
from geotrans.types import Condition, ConditionSpec, Sample
from hub.folder import read_folder
from registry import DATASETS, register_dataset

PLAN = Plan("halves", "reading", "halves", ("attributes",), (1,), images=320, test_images=64, passes=2, batch_size=16)
FACES = ConditionSpec(
    attributes=("Smiling",), aus=("AU01", "AU12"), emotion=("calm", "glad"), modality=("photo", "ink")
)


class Halves(Dataset):
    spec = ConditionSpec(attributes=("Bright_Top",), aus=("AU01",))

    def __init__(self, split: str, resolution: int, seed: int) -> None:
        self.resolution, self.offset = resolution, 1000 * seed + (5000 if split == "test" else 0)

    def __len__(self) -> int:
        return 500

    def batch(self, indices: Sequence[int]) -> Sample:
        rows = [self._row(index) for index in indices]
        bits = torch.tensor([[float(index % 2)] for index in indices])
        return Sample(
            torch.stack(rows),
            Condition(attributes=bits, aus=0 * bits),
            Condition(attributes=1 - bits, aus=0 * bits),
            torch.stack([row.flip(-2) for row in rows]),
        )

    def _row(self, index: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.offset + index)
        picture = torch.rand(3, self.resolution, self.resolution, generator=generator) * 0.4 - 0.8
        half = slice(0, 32) if index % 2 else slice(32, 64)
        picture[:, half] += torch.rand(3, 1, 1, generator=generator) * 0.6 + 0.5
        return picture


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def factory(split: str, resolution: int = 64, seed: int = 0) -> Halves:
        return Halves(split, resolution, seed)

    factory.__name__ = "halves"
    monkeypatch.setitem(trainer.PLANS, "shapes", replace(PLAN, judge="shapes"))
    with DATASETS.temporary():
        register_dataset("stand-in", "none")(factory)
        yield


def test_pictures_carry_their_own_labels(halves: None) -> None:
    pictures = render(PLAN, "train", 8)
    top = pictures.images[:, :, :32].float().mean((1, 2, 3)) > pictures.images[:, :, 32:].float().mean((1, 2, 3))
    assert torch.equal(pictures.labels[:, 0], top.float())
    assert pictures.persons.tolist() == [0, 0, 0, 0, 0, 0, 0, 0]
    assert pictures.images.dtype == torch.uint8


def test_a_wish_for_too_many_says_how_many_there_are(halves: None) -> None:
    with pytest.raises(ValueError, match=r"halves train has 500 pairs .* from 0 to 501; ask for fewer pictures"):
        render(PLAN, "train", 1002)


def test_the_same_options_give_the_same_weights(halves: None) -> None:
    pictures = render(PLAN, "train", 32)
    first, again, other = (trainer.train(plan, pictures) for plan in (PLAN, PLAN, replace(PLAN, seed=1)))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.embed.weight, other.embed.weight)


def test_learns(halves: None) -> None:
    judge = trainer.train(PLAN, render(PLAN, "train", PLAN.images))
    scores = KINDS["reading"].score(PLAN, judge, render(PLAN, "test", PLAN.test_images))
    assert scores["attributes_accuracy"]["Bright_Top"] >= 0.95
    assert scores["attributes_n"] == 64


def test_command_writes_a_folder_that_loads(
    halves: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    main(["shapes", "--images", "64", "--passes", "1", "--test-images", "16", "--output", str(tmp_path / "judge")])
    stored = read_folder(tmp_path / "judge")
    judge = load_judge(Judge, tmp_path / "judge")
    reading = KINDS["reading"].read(judge, stored.check["in/image"])
    torch.testing.assert_close(reading, stored.check["out/reading"])
    assert stored.results["scores"]["attributes_n"] == 16
    assert "--images 64 --passes 1 --test-images 16" in stored.results["command"]
    assert stored.results["command"] in stored.card
    assert all(value.dtype == torch.float16 for value in stored.weights.values())
    assert "sha256" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shapes", "--images", "0"], "--images: expected at least 1, got 0"),
        (["shapes", "--threads", "-1"], "--threads: expected at least 1, got -1"),
        (["shapes", "--images", "9000"], "from 0 to 4500; ask for fewer pictures"),
        (["shapes", "--images", "8"], "expected at least one batch of 16 pictures, got 8"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    halves: None, arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--output", str(tmp_path / "judge")])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "judge").exists()


def test_an_output_that_is_something_else_is_refused_before_training(
    halves: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        main(["shapes", "--output", str(tmp_path)])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("is not a published folder; choose another --output\n")
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "python -m geotrans.train.judge synthface" in capsys.readouterr().out


def test_disturbance_keeps_range_labels_and_seed() -> None:
    pictures = torch.full((64, 3, 32, 32), -0.5)
    pictures[:, :, :16] = 0.5
    generator = torch.Generator().manual_seed(0)
    out = augment(pictures, generator)
    assert out.shape == pictures.shape
    assert out.min() >= -1
    assert out.max() <= 1
    assert (out[:, :, :14].mean((1, 2, 3)) > out[:, :, 18:].mean((1, 2, 3)) + 0.5).all()
    assert out.flatten(1).std(0).min() > 0.01
    assert torch.equal(out, augment(pictures, torch.Generator().manual_seed(0)))


def test_disturbance_moves_by_at_most_one_pixel() -> None:
    pictures = torch.full((256, 3, 33, 33), -1.0)
    pictures[:, :, 16, 16] = 1.0
    out = augment(pictures, torch.Generator().manual_seed(0))
    peak = out.mean(1).flatten(1).argmax(1)
    shifts = torch.stack([peak // 33 - 16, peak % 33 - 16]).abs()
    assert shifts.max() == 1


def test_reading_loss_ignores_labels_that_do_not_count() -> None:
    torch.manual_seed(0)
    judge = Judge(JudgeConfig(resolution=16, width=4, embedding=8, condition=FACES))
    pictures, labels = torch.rand(4, 3, 16, 16), torch.rand(4, FACES.size)
    weights = torch.zeros(4, FACES.size)
    read = judge(pictures)
    assert reading_loss(FACES, read, labels, weights) == 0
    weights[0, 0] = 1  # the attribute of the first picture
    expected = torch.nn.functional.binary_cross_entropy(read.attributes[0, 0].sigmoid(), labels[0, 0])
    torch.testing.assert_close(reading_loss(FACES, read, labels, weights), expected)


def test_emotions_count_only_where_acted() -> None:
    plan = replace(PLAN, tasks=trainer.FACE_TASKS)
    tasks = torch.tensor([0, 1, 2, 3])
    pictures = Pictures(torch.zeros(4, 3, 1, 1), torch.zeros(4, FACES.size), tasks, tasks, FACES)
    counts = FACES.split(_weights(plan, FACES, pictures))
    assert counts.emotion.tolist() == [[0, 0], [0, 0], [1, 1], [0, 0]]
    assert counts.aus.min() == counts.attributes.min() == counts.modality.min() == 1


def test_identity_loss_by_hand() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    persons = torch.tensor([0, 0, 1, 1, 1, 0])
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        partners = [j for j in others if persons[j] == persons[i]]
        below = sum(float((3 * vectors[i] @ vectors[j]).exp()) for j in others)
        total -= sum(float((3 * vectors[i] @ vectors[j]).exp().div(below).log()) for j in partners) / len(partners) / 6
    assert identity_loss(vectors, persons, scale=3.0).item() == pytest.approx(total, rel=1e-5)


def test_identity_batches_hold_everyone_at_least_twice() -> None:
    plan = replace(PLAN, kind="identity", batch_size=16, passes=1)
    persons = torch.arange(20).repeat_interleave(8)
    found = list(batches(plan, persons, torch.Generator().manual_seed(0)))
    assert len(found) == 10
    assert torch.cat(found).sort().values.tolist() == list(range(160))
    for rows in found:
        _, counts = torch.unique(persons[rows], return_counts=True)
        assert counts.min() >= 4


def test_equal_error() -> None:
    separate = equal_error(torch.tensor([0.8, 0.9, 0.95]), torch.tensor([0.1, 0.2, 0.3]))
    assert separate == (pytest.approx(0.8), 0.0)
    generator = torch.Generator().manual_seed(0)
    same, different = torch.randn(40_000, generator=generator) + 2, torch.randn(40_000, generator=generator)
    threshold, error = equal_error(same, different)  # two unit Gaussians 2 apart: Phi(-1) at 1
    assert threshold == pytest.approx(1, abs=0.02)
    assert error == pytest.approx(0.1587, abs=0.004)


def test_identity_scores_of_a_perfect_judge() -> None:
    persons = torch.arange(4).repeat_interleave(4)
    scores = identity_scores(torch.eye(4)[persons], persons)
    assert scores["equal_error_rate"] == scores["partners_equal_error_rate"] == 0
    assert (scores["cosine_same"], scores["cosine_partners"], scores["cosine_different"]) == (1, 1, 0)
    assert (scores["same_n"], scores["partners_n"], scores["different_n"], scores["persons_n"]) == (24, 8, 96, 4)


def test_identity_judge_learns_colours(halves: None) -> None:
    """Five people who differ in colour alone, in any scene: the loss must tell them apart."""
    plan = replace(PLAN, kind="identity", passes=12, batch_size=20)
    persons = torch.arange(5).repeat_interleave(8)
    colours = torch.rand(5, 3, 1, 1, generator=torch.Generator().manual_seed(1)) * 255
    images = (colours[persons] + 30 * torch.rand(40, 3, 64, 64)).clamp(0, 255).to(torch.uint8)
    pictures = Pictures(images, torch.zeros(40, 2), torch.zeros(40), persons, Halves.spec)
    judge = trainer.train(plan, pictures)
    assert isinstance(judge, IdentityJudge)
    assert identity_scores(KINDS["reading"].read(judge, images), persons)["equal_error_rate"] < 0.2


def test_joint_loss_and_scores_by_hand() -> None:
    joints = torch.tensor([[0.0, 0.0, torch.nan, torch.nan], [0.5, -0.5, 0.25, 0.0]])
    read = torch.tensor([[0.0625, 0.0, 9.0, 9.0], [0.5, -0.5, 0.25, 0.125]])
    assert joint_loss(read, joints).item() == pytest.approx((0.0625**2 + 0.125**2) / 6)
    scores = joint_scores(read, joints)  # half a picture is 32 pixels
    assert scores == {"joints_mean_error_px": 2.0, "joints_within_2px": 0.3333, "joints_n": 3}


class Poses(Dataset):
    """One bright dot a picture, whose place is its one joint; the colour of the ground is who it is."""

    spec = ConditionSpec(structure=1)

    def __init__(self, split: str, resolution: int, seed: int) -> None:
        self.resolution = resolution

    def __len__(self) -> int:
        return 2000

    def batch(self, indices: Sequence[int]) -> Sample:
        draw = torch.Generator().manual_seed(indices[0])
        count = len(indices)
        who = torch.tensor([index // 4 for index in indices])
        ground = torch.rand(500, 3, 1, 1, generator=torch.Generator().manual_seed(5))[who] * 1.4 - 1
        pictures, conditions = [], []
        for _ in range(2):
            joints = torch.rand(count, 1, 2, generator=draw) * 1.6 - 0.8
            maps = pose_maps(joints, 64, 64, size=4)
            pictures.append(ground.lerp(torch.ones(3, 1, 1), maps))
            conditions.append(Condition(structure=maps))
        return Sample(pictures[0], *conditions, pictures[1])


def test_a_judge_of_subjects_learns_pose_and_identity() -> None:
    def poses(split: str = "train", resolution: int = 64, seed: int = 0) -> Poses:
        return Poses(split, resolution, seed)

    plan = Plan("poses", "subject", "poses", ("structure",), (1,), images=320, test_images=64, passes=3, batch_size=32)
    with DATASETS.temporary():
        register_dataset("stand-in", "none")(poses)
        pictures, test = render(plan, "train", plan.images), render(plan, "test", plan.test_images)
    assert pictures.labels.shape == (320, 2)
    judge = trainer.train(plan, pictures)
    assert isinstance(judge, SubjectJudge)
    scores = KINDS["subject"].score(plan, judge, test)
    still = joint_scores(torch.zeros_like(test.labels), test.labels)["joints_mean_error_px"]
    assert scores["joints_mean_error_px"] < 0.7 * still
    assert scores["joints_n"] == 64
    assert scores["identity"]["cosine_partners"] > scores["identity"]["cosine_different"] + 0.1
    assert "where 1 joints are" in KINDS["subject"].reads(plan, judge)
