"""Judges of labelled folders: trained, published, and asked by the harness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from eval.judges import judge_features, parse_judges
from geotrans.base import config_from_dict
from geotrans.cli import main
from geotrans.data.celeba import example_celeba
from geotrans.data.rafd import example_rafd
from geotrans.factory import create_dataset
from geotrans.features.classifier import ClassifierConfig, ClassifierFeature, load_classifier
from geotrans.ops.images import to_uint8
from geotrans.train.classifier import ClassifierPlan, train_classifier
from hub import files

TINY = ("--resolution", "32", "--batch-size", "4", "--threads", "1")


def test_an_expression_classifier_from_folder_to_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example_rafd(tmp_path / "rafd")
    output = tmp_path / "judge"
    main(["train-judge", "rafd", "--data", str(tmp_path / "rafd"), "--output", str(output), "--epochs", "1", *TINY])
    scores = json.loads(capsys.readouterr().out.splitlines()[0])
    data = create_dataset("rafd", root=str(tmp_path / "rafd"), split="test", resolution=32)
    assert scores["n"] == len(data)
    assert files.read_json(output / "results.json")["scores"] == scores
    (judge,) = judge_features(parse_judges([f"emotion={output}"]), data.spec).values()
    read = judge(to_uint8(data.batch(range(len(data))).image))
    assert read.shape == (len(data), 8)
    assert torch.allclose(read.sum(1), torch.ones(len(data)))
    shown = data.batch(range(len(data))).source
    assert shown is not None
    assert shown.emotion is not None
    accuracy = (read.argmax(1) == shown.emotion.argmax(1)).float().mean()
    assert float(accuracy) == pytest.approx(scores["emotion_accuracy"]["all"], abs=1e-4)
    assert "| all | " in (output / "README.md").read_text()
    features = ClassifierFeature(load_classifier(output), "features")(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert features.shape == (2, 512)


def test_attributes_are_learned_and_the_seed_decides(tmp_path: Path) -> None:
    example_celeba(tmp_path)
    plan = ClassifierPlan(
        "celeba", str(tmp_path), options={"attributes": ["Smiling", "Male"]}, resolution=32, batch_size=8, epochs=1
    )
    (first, facts), (second, _) = (train_classifier(plan) for _ in range(2))
    assert set(facts["scores"]["attributes_accuracy"]) == {"all", "Smiling", "Male"}
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_what_is_labelled_is_learned(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(24):
        for kind, level in (("dark", 40), ("light", 210)):
            path = tmp_path / ("train" if number < 16 else "test") / kind / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (level + number, level, level - number)).save(path)
    plan = ClassifierPlan(
        "folder", str(tmp_path), options={"classes": "emotion", "flip": False}, resolution=32, batch_size=8, epochs=4
    )
    _, facts = train_classifier(plan)
    assert facts["scores"] == {"emotion_accuracy": {"all": 1.0, "dark": 1.0, "light": 1.0}, "n": 16}


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["rafd", "--part", "attributes"], "rafd has no labels of attributes; it has: emotion"),
        (["rafd", "--option", "angles"], "--option angles: expected NAME=VALUE"),
        (["rafd", "--option", "angels=[90]"], "angels"),
        (["rafd", "--batch-size", "64"], "has 18 training pictures, fewer than a batch of 64"),
        (["rafd", "--resolution", "8"], "resolution: expected 32 to 1024, got 8"),
        (["rafd", "--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (["raffd"], "no dataset is named 'raffd'; did you mean 'rafd'"),
        (["rafd", "--pretrained", "--architecture", "resnet34"], "resnet34"),
    ],
)
def test_a_mistake_is_one_line(
    argv: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    example_rafd(tmp_path / "rafd")
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "train-judge",
                *argv[:1],
                *TINY,
                *argv[1:],
                "--data",
                str(tmp_path / "rafd"),
                "--output",
                str(tmp_path / "o"),
            ]
        )
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("geotrans train-judge")]
    assert len(lines) == 1
    assert text in lines[0]
    assert not (tmp_path / "o").exists()


def test_a_strangers_config_builds_no_giant() -> None:
    with pytest.raises(ValueError, match="architecture: expected one of resnet18"):
        config_from_dict(ClassifierConfig, {"architecture": "vit_giant_patch14_dinov2"})
