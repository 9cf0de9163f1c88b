"""Judges: what they return, how they are loaded, and what the bundled ones promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from geotrans.base import config_to_dict
from geotrans.features.judge import (
    PINS,
    IdentityFeature,
    IdentityJudge,
    Judge,
    JudgeConfig,
    JudgeFeature,
    Trunk,
    load_judge,
)
from geotrans.features.subject import SubjectJudge
from geotrans.ops.images import from_uint8, resize
from geotrans.types import ConditionSpec
from hub import files
from hub.folder import CARD, WEIGHTS, PublishedFolder, bundled_folder, read_config, read_folder, write_folder
from registry import FEATURES

SPEC = ConditionSpec(attributes=("a", "b"), aus=("AU01", "AU02", "AU04"), emotion=("x", "y"), modality=("p", "q", "r"))
SMALL = JudgeConfig(resolution=16, width=4, embedding=8, condition=SPEC)


def images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def wild_judge() -> Judge:
    """A judge whose readings leave the ranges that a feature must return."""
    torch.manual_seed(0)
    judge = Judge(SMALL)
    torch.nn.init.normal_(judge.heads.weight, std=3.0)
    return judge.eval().requires_grad_(False)


def test_parts_are_probabilities_and_intensities() -> None:
    judge, pictures = wild_judge(), images(6, 3, 16, 16)
    raw = judge(from_uint8(pictures))
    torch.testing.assert_close(JudgeFeature(judge, "attributes")(pictures), 1 / (1 + (-raw.attributes).exp()))
    torch.testing.assert_close(JudgeFeature(judge, "emotion")(pictures).sum(1), torch.ones(6))
    torch.testing.assert_close(JudgeFeature(judge, "modality")(pictures).log().diff(), raw.modality.diff())
    intensities = JudgeFeature(judge, "aus")(pictures)
    assert raw.aus.min() < 0 < 1 < raw.aus.max()
    assert torch.equal(intensities, raw.aus.clamp(0, 1))


def test_readings_come_from_the_features() -> None:
    judge, pictures = wild_judge(), images(2, 3, 16, 16)
    features = JudgeFeature(judge, "features")(pictures)
    assert features.shape == (2, 8)
    read = SPEC.split(judge.heads(features))
    assert torch.equal(read.aus.clamp(0, 1), JudgeFeature(judge, "aus")(pictures))


def test_identity_vectors_have_unit_length() -> None:
    torch.manual_seed(0)
    vectors = IdentityFeature(IdentityJudge(SMALL).eval())(images(3, 3, 16, 16))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_gradients_pass_through_embed_and_not_through_bytes() -> None:
    judge, pictures = wild_judge(), images(2, 3, 16, 16)
    for feature in (JudgeFeature(judge, "attributes"), IdentityFeature(IdentityJudge(SMALL).eval())):
        image = from_uint8(pictures).requires_grad_()
        values = feature.embed(image)
        assert torch.equal(values, feature(pictures))
        assert not feature(pictures).requires_grad
        (gradient,) = torch.autograd.grad(values[0].sum(), image)
        assert gradient[0].abs().max() > 0
        assert gradient[1].abs().max() == 0


def test_another_size_is_resized_with_smoothing() -> None:
    judge, large = wild_judge(), images(2, 3, 40, 56)
    assert torch.equal(judge.features(from_uint8(large)), judge.features(resize(from_uint8(large), 16)))


def test_place_matters() -> None:
    """Geometry is read off where things are: a moved picture has other features."""
    judge = wild_judge()
    picture = torch.full((1, 3, 16, 16), -1.0)
    picture[..., :8, :8] = 1
    assert (judge.features(picture) - judge.features(picture.roll(8, -1))).abs().max() > 1e-2


def publish(judge: Trunk, path: Path) -> Path:
    weights = {name: value.half() for name, value in judge.state_dict().items()}
    return write_folder(PublishedFolder("judge", "toy", config_to_dict(judge.cfg), weights, {}), path)


def test_loads_what_was_published(tmp_path: Path) -> None:
    judge = wild_judge()
    judge.load_state_dict({name: value.half() for name, value in judge.state_dict().items()})
    folder = publish(judge, tmp_path / "judge")
    loaded = load_judge(Judge, folder, files.sha256(folder / WEIGHTS))
    assert loaded.cfg == SMALL
    assert not loaded.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in loaded.parameters())
    pictures = from_uint8(images(2, 3, 16, 16))
    assert torch.equal(loaded.features(pictures), judge.features(pictures))


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = publish(wild_judge(), tmp_path / "judge")
    pin = files.sha256(folder / WEIGHTS)
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(ValueError, match=rf"has sha256 \w+, expected {pin[:12]}: it was changed"):
        load_judge(Judge, folder, pin)


def test_missing_folder_and_wrong_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_judge(Judge, tmp_path / "nowhere", "0" * 64)
    with pytest.raises(ValueError, match="does not fit its config"):
        load_judge(IdentityJudge, publish(wild_judge(), tmp_path / "judge"))


@pytest.mark.parametrize("name", sorted(PINS))
def test_bundled_folder_is_small_pinned_and_reads_as_recorded(name: str) -> None:
    folder = bundled_folder(name)
    assert (folder / WEIGHTS).stat().st_size <= 1_000_000
    archs: dict[str, type[Trunk]] = {"judge": Judge, "judge_identity": IdentityJudge, "judge_subject": SubjectJudge}
    judge = load_judge(archs[read_config(folder)["arch"]], folder, PINS[name])
    check = read_folder(folder).check
    out = judge(from_uint8(check["in/image"]))
    reading = out if isinstance(out, Tensor) else judge.cfg.condition.vector(out, len(check["in/image"]))
    torch.testing.assert_close(reading, check["out/reading"], rtol=1e-3, atol=1e-3)
    assert "python -m geotrans.train.judge" in (folder / CARD).read_text()


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        ("synthface_", "judge_synthface_64"),
        ("shapes_", "judge_shapes_64"),
        ("synthpeople_", "judge_synthpeople_64"),
        ("synthviews_", "judge_synthviews_64"),
    ],
)
def test_registered_features_carry_the_pin(prefix: str, folder: str) -> None:
    names = [name for name in FEATURES if name.startswith(prefix) and name != "synthface_identity"]
    assert {FEATURES.get(name).info.sha256 for name in names} == {PINS[folder]}
    assert FEATURES.get("synthface_identity").info.sha256 == PINS["judge_identity_64"]


def test_bundled_scores_are_high_enough_to_judge_with() -> None:
    face = read_folder(bundled_folder("judge_synthface_64")).results["scores"]
    assert min(face["attributes_accuracy"].values()) >= 0.97
    assert face["emotion_accuracy"] >= 0.9
    assert face["modality_accuracy"] >= 0.97
    assert face["aus_mean_absolute_error"]["mean"] <= 0.13  # a constant guess scores 0.2
    shapes = read_folder(bundled_folder("judge_shapes_64")).results["scores"]
    assert min(shapes["attributes_accuracy"].values()) >= 0.995
    identity = read_folder(bundled_folder("judge_identity_64")).results["scores"]["photo"]
    assert identity["equal_error_rate"] <= 0.01
    assert identity["cosine_partners"] >= 0.8 > 0.3 >= identity["cosine_different"]
    people = read_folder(bundled_folder("judge_synthpeople_64")).results["scores"]
    assert people["identity"]["equal_error_rate"] <= 0.01
    assert people["identity"]["cosine_partners"] >= 0.8 > 0.3 >= people["identity"]["cosine_different"]
    assert people["joints_mean_error_px"] <= 2.0
    views = read_folder(bundled_folder("judge_synthviews_64")).results["scores"]
    assert views["identity"]["equal_error_rate"] <= 0.015
    assert views["identity"]["cosine_partners"] >= 0.8 > 0.3 >= views["identity"]["cosine_different"]
    assert views["view_accuracy"]["mean"] >= 0.98
