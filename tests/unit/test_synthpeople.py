"""`synthpeople` against what it promises: determinism, splits, joints, and motion that is true to the pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.data._counter import uniforms
from geotrans.data._people_body import PART, PERSON_DRAWS, make_person
from geotrans.data._people_pair import Person, draw_pair
from geotrans.data._people_parts import local
from geotrans.data._people_pose import PLACE_DRAWS, POSE_DRAWS, Pose, make_pose
from geotrans.data._people_scene import SCENE_DRAWS, make_scene
from geotrans.data.base import loader
from geotrans.data.synthpeople import SPEC, synthpeople
from geotrans.ops.limbs import joints_of
from geotrans.types import Sample
from registry import DATASETS


def _warp(image: Tensor, flow: Tensor) -> Tensor:
    theta = torch.eye(2, 3).expand(len(image), 2, 3)
    grid = F.affine_grid(theta, list(image.shape), align_corners=False) + flow.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


@pytest.fixture(scope="module")
def large() -> Sample:
    return synthpeople("test", 128).batch(range(24))


def _same(first: Sample, second: Sample) -> bool:
    """The same but for rounding: vectorised code rounds by where in memory a row lies."""
    return (
        torch.allclose(first.image, second.image, atol=2e-4)
        and torch.allclose(first.truth, second.truth, atol=2e-4)
        and (first.flow - second.flow).abs().mean().item() < 1e-5
        and (first.visible - second.visible).abs().mean().item() < 0.002
        and torch.allclose(first.source.structure, second.source.structure, atol=1e-5)
        and torch.allclose(first.target.structure, second.target.structure, atol=1e-5)
        and first.id == second.id
    )


def _posed(count: int, stream: int = 0) -> tuple[Person, Pose]:
    body, look = make_person(uniforms(torch.arange(count), PERSON_DRAWS))
    place = uniforms(torch.arange(count) + 1000, PLACE_DRAWS)
    return Person(body, look), make_pose(body, uniforms(torch.arange(count) + 2000 + 1000 * stream, POSE_DRAWS), place)


def test_shapes_ranges_and_types() -> None:
    sample = synthpeople("test", 32).batch(range(6))
    assert sample.image.shape == sample.truth.shape == (6, 3, 32, 32)
    assert sample.flow.shape == (6, 2, 32, 32)
    assert sample.visible.shape == (6, 1, 32, 32)
    assert {t.dtype for t in (sample.image, sample.truth, sample.flow, sample.visible)} == {torch.float32}
    assert sample.image.abs().max() <= 1
    assert sample.truth.abs().max() <= 1
    assert set(sample.visible.unique().tolist()) == {0.0, 1.0}
    assert 0.85 < sample.visible.mean() < 0.98
    for condition in (sample.source, sample.target):
        SPEC.check(condition, 6)
        assert condition.structure.shape == (6, 18, 32, 32)
        assert condition.structure.min() >= 0
        assert condition.structure.amax((2, 3)).median() > 0.8  # between pixels a peak is missed
        assert condition.structure.max() <= 1
    assert sample.id[3] == "synthpeople-test-000003"


def test_a_sample_depends_on_its_index_alone() -> None:
    data = synthpeople("val", 32)
    together = data.batch([9, 2, 40, 7])
    assert _same(together.rows([2]), data.batch([40]))
    assert _same(together, synthpeople("val", 32, size=41).batch([9, 2, 40, 7]))
    assert _same(data[40], together.rows([2]))
    assert _same(next(iter(loader(data, 4))), data.batch(range(4)))


def test_large_batches_are_cut_without_a_trace() -> None:
    data = synthpeople("val", 16)
    assert _same(data.batch(range(40)).rows(slice(30, 40)), data.batch(range(30, 40)))


def test_seeds_and_splits_differ() -> None:
    first = synthpeople("test", 16).batch(range(4))
    for other in (synthpeople("test", 16, seed=1), synthpeople("test", 16, seed=-1), synthpeople("train", 16)):
        assert (first.image - other.batch(range(4)).image).abs().flatten(1).mean(1).min() > 0.02


def test_no_identity_is_in_two_splits() -> None:
    people = [set(synthpeople(split).identity(range(2000)).tolist()) for split in ("train", "val", "test")]
    assert [len(group) for group in people] == [500, 500, 500]
    assert len(set.union(*people)) == 1500


def test_an_identity_keeps_its_clothes_and_changes_pose_and_scene() -> None:
    data = synthpeople("test", 64)
    sample = data.batch(range(8))
    source, target = data.joints(range(8))
    assert (source - target).norm(dim=2).amax(1).min() > 0.1
    chest = torch.stack([source[:, 1].lerp(source[:, [8, 11]].mean(1), 0.6)], dim=1)
    wanted = torch.stack([target[:, 1].lerp(target[:, [8, 11]].mean(1), 0.6)], dim=1)
    shirts = [F.grid_sample(F.avg_pool2d(picture, 5, 1, 2), points[:, None], align_corners=False)[:, :, 0, 0]
              for picture, points in ((sample.image, chest), (sample.truth, wanted))]  # fmt: skip
    own = (shirts[0] - shirts[1]).abs().mean(1)
    other = (shirts[0] - shirts[1].roll(4, 0)).abs().mean(1)
    assert own.mean() < 0.6 * other.mean()
    corners = sample.image[:, :, :3, :3].flatten(1).mean(1)
    assert len(corners.unique()) == 8
    assert torch.equal(sample.image[:, :, :2, :2], sample.truth[:, :, :2, :2])


def test_defaults() -> None:
    assert [len(synthpeople(split)) for split in ("train", "val", "test")] == [20_000, 2_000, 2_000]
    assert "synthpeople" in DATASETS.names()
    assert synthpeople().spec.structure == 18


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "expected split to be one of train, val, test, got 'dev'"),
        ({"resolution": 8}, "expected a resolution of 16 or more, got 8"),
        ({"size": 0}, "expected a size between 1 and"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthpeople(**options)


@pytest.mark.parametrize("method", ["batch", "joints"])
def test_an_index_outside_raises(method: str) -> None:
    with pytest.raises(IndexError, match=r"index 5 is outside the dataset's 0\.\.4"):
        getattr(synthpeople(size=5), method)([5])


def test_the_flow_carries_the_image_to_the_truth(large: Sample) -> None:
    sample = large
    seen = sample.visible.expand_as(sample.image) > 0
    error = (_warp(sample.image, sample.flow) - sample.truth).abs()
    assert error[seen].mean() < 0.015
    moved = seen & (sample.flow.norm(dim=1, keepdim=True) > 3 * 2 / 128)
    assert moved.float().mean() > 0.05
    assert error[moved].mean() < 0.2 * (sample.image - sample.truth).abs()[moved].mean()
    assert error[moved].median() < 0.02


def test_what_is_not_visible_is_not_there(large: Sample) -> None:
    sample = large
    hidden = sample.visible.expand_as(sample.image) == 0
    error = (_warp(sample.image, sample.flow) - sample.truth).abs()
    assert error[hidden].mean() > 10 * error[~hidden].mean()


def test_the_wrong_direction_is_worse_than_none() -> None:
    sample = synthpeople("test", 64).batch(range(16))
    moved = (sample.flow.norm(dim=1, keepdim=True) > 2 * 2 / 64) & (sample.visible > 0)
    moved = moved.expand_as(sample.image)
    right, wrong = ((_warp(sample.image, sign * sample.flow) - sample.truth).abs()[moved].mean() for sign in (1, -1))
    assert wrong > 3 * right


def test_equal_poses_do_not_move_and_hide_nothing() -> None:
    person, pose = _posed(8)
    scene = make_scene(uniforms(torch.arange(8), SCENE_DRAWS), 48)
    sample = draw_pair(person, scene, pose, pose, tuple("abcdefgh"))
    assert sample.flow.abs().max() < 1e-5
    assert torch.equal(sample.image, sample.truth)
    inside = F.pad(sample.visible, (-1, -1, -1, -1))
    assert inside.mean() > 0.995  # but for rounding at the parts' rims


def test_motion_and_pictures_agree_across_resolutions(large: Sample) -> None:
    """A pixel's centre at 64 is the common corner of four at 128; inside a part their flows average to its flow."""
    small = synthpeople("test", 64).batch(range(24))
    torch.testing.assert_close(F.avg_pool2d(large.image, 2), small.image, atol=0.9, rtol=0)
    assert (F.avg_pool2d(large.image, 2) - small.image).abs().mean() < 0.012
    spread = (F.max_pool2d(large.flow, 2) - -F.max_pool2d(-large.flow, 2)).amax(1, keepdim=True)
    smooth = (spread < 0.02).expand_as(small.flow)
    assert smooth.float().mean() > 0.9
    difference = (F.avg_pool2d(large.flow, 2) - small.flow).abs()[smooth]
    assert difference.mean() < 2e-4
    assert torch.quantile(difference, 0.99) < 0.01
    assert (F.avg_pool2d(large.visible, 2) - small.visible).abs().mean() < 0.04


def test_joints_are_where_the_maps_peak() -> None:
    data = synthpeople("test", 64)
    sample = data.batch(range(20))
    for exact, condition in zip(data.joints(range(20)), (sample.source, sample.target), strict=True):
        inside = (exact.abs() < 0.96).all(2)
        assert inside.float().mean() > 0.95
        assert (joints_of(condition.structure) - exact)[inside].abs().max() <= 1 / 64 + 1e-5


def test_maps_have_the_width_of_six_pixels_at_256() -> None:
    structure = synthpeople("test", 128).batch(range(4)).source.structure
    assert structure[:, 8].sum((1, 2)).sub(2 * torch.pi * 3**2).abs().max() < 0.5


def test_joints_follow_the_flow(large: Sample) -> None:
    """What the truth shows at an elbow, a knee or a hip comes from near that joint of the image."""
    both = synthpeople("test", 128).joints(range(24))
    source, target = (joints[:, [1, 3, 4, 6, 7, 9, 10, 12, 13]] for joints in both)
    at = F.grid_sample(large.flow, target[:, None], align_corners=False, mode="nearest")[:, :, 0].mT
    off = (target + at - source).norm(dim=2)
    assert off.median() < 0.02
    assert (off < 0.06).float().mean() > 0.8  # others lie behind another part


def test_limbs_are_rigid_and_joined() -> None:
    """The upper arm's end is the forearm's origin, in every pose, and lengths of the body do not change."""
    person, pose = _posed(40)
    for first, second in (("arm_right", "forearm_right"), ("thigh_left", "shin_left"), ("shin_right", "foot_right")):
        place = pose.origin[:, PART[second]]
        u, v = local(pose, PART[first], place[:, :1, None], place[:, 1:, None])
        torch.testing.assert_close(u, person.body.length[:, PART[first]], atol=1e-4, rtol=0)
        assert v.abs().max() < 1e-4
    across = pose.across[:, PART["shin_left"]].norm(dim=1)
    torch.testing.assert_close(across, pose.scale[:, 0, 0])
    assert (pose.along * pose.across).sum(2).abs().max() < 1e-5


def test_persons_stand_inside_the_picture() -> None:
    joints = torch.cat(synthpeople("train").joints(range(500)))
    assert (joints.abs() < 1).all(2).float().mean() > 0.985
    assert joints[:, [10, 13], 1].amax(1).std() < 0.05  # the lower foot is on the ground
    assert (joints[:, 0, 1] < joints[:, 1, 1]).all()  # the nose is above the neck
    assert (joints[:, 2, 0] < joints[:, 5, 0]).all()  # the right shoulder is on the left
