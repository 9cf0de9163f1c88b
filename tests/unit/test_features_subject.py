"""Judges of subjects: what they tell; and distances in the inner layers of any feature."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from eval.metrics.base import EvalBatch
from eval.networks import Networks
from geotrans.base import config_from_dict, config_to_dict
from geotrans.features.maps import MapDistance
from geotrans.features.subject import SubjectConfig, SubjectFeature, SubjectJudge
from geotrans.ops.images import from_uint8
from geotrans.ops.poses import pose_maps
from geotrans.types import Condition, ConditionSpec, Sample
from registry import METRICS

SMALL = SubjectConfig(resolution=16, width=4, embedding=8, identity=5, joints=3)


def _images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def _judge(cfg: SubjectConfig = SMALL) -> SubjectJudge:
    torch.manual_seed(0)
    return SubjectJudge(cfg).eval().requires_grad_(False)


def test_parts_of_a_subject_judge() -> None:
    judge, pictures = _judge(), _images(4, 3, 16, 16)
    who, read = judge.split(judge(from_uint8(pictures)))
    assert read.shape == (4, 6)
    torch.testing.assert_close(who.norm(dim=1), torch.ones(4))
    assert torch.equal(SubjectFeature(judge, "identity")(pictures), who)
    assert torch.equal(SubjectFeature(judge, "joints")(pictures), read)
    features = SubjectFeature(judge, "features")(pictures)
    assert features.shape == (4, 8)
    assert torch.equal(judge.heads(features), read)


def test_joints_come_after_the_columns_of_a_condition() -> None:
    cfg = SubjectConfig(**{**config_to_dict(SMALL), "condition": ConditionSpec(attributes=("a", "b"))})
    judge, pictures = _judge(cfg), _images(2, 3, 16, 16)
    _, read = judge.split(judge(from_uint8(pictures)))
    assert read.shape == (2, 8)
    assert torch.equal(SubjectFeature(judge, "joints")(pictures), read[:, 2:])


def test_its_config_survives_a_file() -> None:
    assert config_from_dict(SubjectJudge.config_class, config_to_dict(SMALL)) == SMALL


def test_gradients_pass_through_embed() -> None:
    feature = SubjectFeature(_judge(), "identity")
    image = from_uint8(_images(2, 3, 16, 16)).requires_grad_()
    (gradient,) = torch.autograd.grad(feature.embed(image)[0, 0], image)
    assert gradient[0].abs().max() > 0
    assert gradient[1].abs().max() == 0


class _Two(nn.Module):
    """Two layers: the picture itself, and the picture with its channels in another order and size."""

    def maps(self, image: Tensor) -> tuple[Tensor, ...]:
        return image, 5 * image[..., ::2, ::2].flip(1)


def test_map_distance_by_hand() -> None:
    a, b = torch.zeros(3, 3, 4, 4), torch.zeros(3, 3, 4, 4)
    a[:, 0] = 1.0
    b[0, 0] = 0.2  # parallel
    b[1, 1] = 0.7  # orthogonal
    b[2, 0, :2], b[2, 0, 2:] = 1.0, -1.0  # half of it opposite
    torch.testing.assert_close(MapDistance(_Two())(a, b), torch.tensor([0.0, 2.0, 2.0]))
    with pytest.raises(ValueError, match="batches of one shape"):
        MapDistance(_Two())(a, b[..., :2])
    with pytest.raises(ValueError, match="Identity has no method `maps`"):
        MapDistance(nn.Identity())


def _score(name: str, generated: Tensor, networks: Networks, judges: dict[str, str], **fields: object) -> float:
    metric = METRICS.get(name).factory()
    names = tuple(map(str, range(len(generated))))
    metric.update(EvalBatch(names, generated, networks=networks, judges=judges, **fields))  # type: ignore[arg-type]
    return float(metric.compute().value)


def test_perceptual_asks_the_judge_of_features() -> None:
    a, b = _images(3, 3, 16, 16), _images(3, 3, 16, 16, seed=1)
    expected = MapDistance(SubjectFeature(_judge(), "features"))(a, b)
    judges = {"features": "mine"}

    def score(result: Tensor) -> float:
        networks = Networks(features={"mine": SubjectFeature(_judge(), "features")})
        return _score("perceptual", result, networks, judges, truth=b)

    assert score(b) == 0
    assert score(a) == pytest.approx(expected.mean().item(), rel=1e-5)
    assert 0.05 < score(a) < 4


def test_masked_scores_look_at_the_person_alone() -> None:
    joints = torch.full((2, 18, 2), torch.nan)
    joints[:, 2:5, 0] = torch.tensor([-0.5, -0.4, -0.3])
    joints[:, 2:5, 1] = 0.0
    structure = pose_maps(joints, 32, 32, size=1.0)
    structure[1] = 0.0  # nobody
    a, b = _images(2, 3, 32, 32), _images(2, 3, 32, 32)
    a[:, :, :, 20:] = 255 - a[:, :, :, 20:]
    sample = Sample(a.float(), target=Condition(structure=structure))
    networks = Networks(features={"mine": SubjectFeature(_judge(), "features")})
    given = {"truth": b, "sample": sample}
    assert _score("mask_l1", a, networks, {}, **given) == 0
    assert _score("mask_perceptual", a, networks, {"features": "mine"}, **given) == 0
    a[0, :, 16, 9] = b[0, :, 16, 9] ^ 128  # one pixel of the arm, half the range
    area = METRICS.get("mask_l1").factory()
    area.update(EvalBatch(("0", "1"), a, networks=networks, truth=b, sample=sample))
    assert area.samples()["1"] is None
    assert 0 < area.compute().value < 128 / 127.5 / 40


def test_joint_error_by_hand() -> None:
    joints = torch.tensor([[[0.0, 0.0], [0.5, 0.5]], [[-0.5, 0.0], [torch.nan, 0.0]]])
    centred = (joints * 16).round() / 16 + 1 / 16  # centres of 16 pixels
    sample = Sample(torch.zeros(2, 3, 16, 16), target=Condition(structure=pose_maps(centred, 16, 16, size=1.0)))
    read = centred.nan_to_num(nan=0.9).flatten(1)
    read[0, 0] += 0.5  # four pixels
    networks = Networks(features={"mine": lambda images: read})
    value = _score("joint_error", _images(2, 3, 16, 16), networks, {"joints": "mine"}, sample=sample)
    assert value == pytest.approx(4 / 3, abs=1e-4)
    short = Networks(features={"mine": lambda images: read[:, :2]})
    with pytest.raises(ValueError, match="reads 2 numbers where the pose has 2 joints"):
        _score("joint_error", _images(2, 3, 16, 16), short, {"joints": "mine"}, sample=sample)
