"""`synthface` against what it promises: determinism, splits, labels, and motion that is true to the pixel."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.data import _face_motion as motion
from geotrans.data._counter import keys, uniforms
from geotrans.data._face_draw import painted
from geotrans.data._face_folds import folds
from geotrans.data._face_identity import IDENTITY_DRAWS, SCENE_DRAWS, Face, make_face
from geotrans.data._face_modality import make_canvas
from geotrans.data.base import loader
from geotrans.data.synthface import EMOTIONS, SPEC, TASKS, synthface
from geotrans.types import Sample
from registry import DATASETS

AUS = motion.AUS


def _same(first: Sample, second: Sample) -> bool:
    """The same but for rounding: vectorised code rounds by where in memory a row lies."""
    return (
        torch.allclose(first.image, second.image, atol=2e-4)
        and torch.allclose(first.truth, second.truth, atol=2e-4)
        and torch.allclose(first.flow, second.flow, atol=1e-5)
        and (first.visible - second.visible).abs().mean().item() < 0.002
        and torch.allclose(first.target.landmarks, second.target.landmarks, atol=1e-5)
        and torch.equal(first.source.aus, second.source.aus)
        and first.id == second.id
    )


def _warp(image: Tensor, flow: Tensor) -> Tensor:
    theta = torch.eye(2, 3).expand(len(image), 2, 3)
    grid = F.affine_grid(theta, list(image.shape), align_corners=False) + flow.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _faces(count: int) -> Face:
    return make_face(uniforms(torch.arange(count), IDENTITY_DRAWS), uniforms(torch.arange(count) + 99, SCENE_DRAWS))


def _acting(aus: Tensor, attributes: Tensor | None = None) -> motion.Expression:
    bits = torch.zeros(len(aus), 4) if attributes is None else attributes
    return motion.Expression(aus, bits, torch.zeros(len(aus), 1))


@pytest.mark.parametrize("task", TASKS)
def test_shapes_ranges_and_types(task: str) -> None:
    sample = synthface("test", 32, task=task).batch(range(6))
    assert sample.image.shape == sample.truth.shape == (6, 3, 32, 32)
    assert sample.flow.shape == (6, 2, 32, 32)
    assert sample.visible.shape == (6, 1, 32, 32)
    assert {t.dtype for t in (sample.image, sample.truth, sample.flow, sample.visible)} == {torch.float32}
    assert sample.image.abs().max() <= 1
    assert sample.truth.abs().max() <= 1
    assert set(sample.visible.unique().tolist()) <= {0.0, 1.0}
    assert sample.visible.mean() > 0.8
    assert sample.flow.abs().max() <= 0.4
    for condition in (sample.source, sample.target):
        SPEC.check(condition, 6)
        assert (condition.aus >= 0).all()
        assert (condition.aus <= 1).all()
        assert condition.emotion.sum(1).eq(1).all()
        assert condition.modality.sum(1).eq(1).all()
        assert condition.landmarks.abs().max() < 1.1
    assert sample.id[3] == "synthface-test-000003"


@pytest.mark.parametrize("task", TASKS)
def test_a_sample_depends_on_its_index_alone(task: str) -> None:
    data = synthface("val", 32, task=task)
    together = data.batch([9, 2, 40, 7])
    assert _same(together.rows([2]), data.batch([40]))
    assert _same(together, synthface("val", 32, task=task, size=41).batch([9, 2, 40, 7]))
    assert _same(data[40], together.rows([2]))
    assert _same(next(iter(loader(data, 4))), data.batch(range(4)))


def test_large_batches_are_cut_without_a_trace() -> None:
    data = synthface("val", 16)
    assert _same(data.batch(range(40)).rows(slice(30, 40)), data.batch(range(30, 40)))


def test_seeds_and_splits_differ() -> None:
    first = synthface("test", 16).batch(range(4))
    assert not torch.equal(first.image, synthface("test", 16, seed=1).batch(range(4)).image)
    assert not torch.equal(first.image, synthface("test", 16, seed=-1).batch(range(4)).image)
    assert not torch.equal(first.image, synthface("train", 16).batch(range(4)).image)


def test_no_identity_is_in_two_splits() -> None:
    people = [set(synthface(split).identity(range(2000)).tolist()) for split in ("train", "val", "test")]
    assert [len(group) for group in people] == [500, 500, 500]
    assert len(set.union(*people)) == 1500
    looks = uniforms(keys(0, 1, torch.tensor(sorted(set.union(*people)))), 1)
    assert len(looks.unique()) > 1490


def test_four_images_share_an_identity_and_nothing_else() -> None:
    jaw = synthface("test", 16).batch(range(8)).source.landmarks[:, :17]
    width = (jaw[:, 16, 0] - jaw[:, 0, 0]) / (jaw[:, 8, 1] - jaw[:, 0, 1])
    assert width[:4].std() < 0.03
    assert len({image.sum().item() for image in synthface("test", 16).batch(range(4)).image}) == 4


def test_defaults() -> None:
    assert [len(synthface(split)) for split in ("train", "val", "test")] == [20_000, 2_000, 2_000]
    assert "synthface" in DATASETS.names()
    assert synthface().spec.emotion == EMOTIONS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "expected split to be one of train, val, test, got 'dev'"),
        ({"task": "pose"}, "expected task to be one of attributes, aus, emotion, modality, got 'pose'"),
        ({"resolution": 8}, "expected a resolution of 16 or more, got 8"),
        ({"size": 0}, "expected a size between 1 and"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthface(**options)


def test_an_index_outside_raises() -> None:
    with pytest.raises(IndexError, match=r"index 5 is outside the dataset's 0\.\.4"):
        synthface(size=5).batch([5])


@pytest.mark.parametrize("task", ["attributes", "aus", "emotion"])
def test_the_flow_carries_the_image_to_the_truth(task: str) -> None:
    sample = synthface("test", 128, task=task).batch(range(24))
    seen = sample.visible.expand_as(sample.image) > 0
    error = (_warp(sample.image, sample.flow) - sample.truth).abs()
    assert error[seen].mean() < 0.015
    moved = seen & (sample.flow.norm(dim=1, keepdim=True) > 3 * 2 / 128)
    unmoved_error = (sample.image - sample.truth).abs()[moved].mean()
    assert moved.float().mean() > 0.004
    assert error[moved].mean() < 0.45 * unmoved_error


def test_the_wrong_direction_is_worse_than_none() -> None:
    sample = synthface("test", 64).batch(range(16))
    moved = (sample.flow.norm(dim=1, keepdim=True) > 2 * 2 / 64) & (sample.visible > 0)
    moved = moved.expand_as(sample.image)
    wrong = (_warp(sample.image, -sample.flow) - sample.truth).abs()[moved].mean()
    assert wrong > (sample.image - sample.truth).abs()[moved].mean()


def test_modalities_share_their_geometry_but_for_the_cartoon() -> None:
    sample = synthface("test", 64, task="modality").batch(range(24))
    cartoon = (sample.source.modality + sample.target.modality)[:, 3] > 0
    assert (sample.source.modality * sample.target.modality).sum() == 0
    assert sample.flow[~cartoon].abs().max() < 1e-4
    assert (sample.flow[cartoon].abs().flatten(1).amax(1) > 0.04).all()
    assert torch.equal(sample.source.attributes, sample.target.attributes)


def test_landmarks_follow_the_flow() -> None:
    """A landmark of the truth, moved by the flow there, is the image's landmark (lids and inner lips are painted)."""
    sample = synthface("test", 128, task="emotion").batch(range(16))
    kept = [*range(36), *range(48, 60)]
    points = sample.target.landmarks[:, kept]
    flow = F.grid_sample(sample.flow, points[:, None], align_corners=False, padding_mode="border")[:, :, 0].mT
    inside = (points.abs() < 0.98).all(dim=2)
    assert (points + flow - sample.source.landmarks[:, kept])[inside].abs().max() < 0.006


def test_landmarks_lie_where_the_drawing_is() -> None:
    """Pupils are the darkest of the eyes, lips redder than the cheeks."""
    face = _faces(12)
    sample = synthface("test", 128).batch(range(12))
    assert len(face.width) == len(sample.image)
    points = sample.source.landmarks
    middles = torch.stack([points[:, 36:42].mean(1), points[:, 42:48].mean(1)], dim=1)
    bright = sample.image.mean(1, keepdim=True)
    eyes = F.grid_sample(bright, middles[:, None], align_corners=False)[:, 0, 0]
    cheeks = torch.stack([points[:, [1, 31]].mean(1), points[:, [15, 35]].mean(1)], dim=1)
    skin = F.grid_sample(bright, cheeks[:, None], align_corners=False)[:, 0, 0]
    assert (eyes < skin - 0.2).all()
    red = (sample.image[:, :1] - sample.image[:, 1:2]).contiguous()
    lips = points[:, [57, 66]].mean(1)[:, None, None]
    assert (F.grid_sample(red, lips, align_corners=False).flatten() > 0.15).all()


def test_far_pixels_do_not_move_at_all() -> None:
    sample = synthface("test", 64).batch(range(32))
    difference = (sample.image - sample.truth).abs().amax(1)
    assert difference[:, :, :8].max() == 0
    assert difference[:, :, -8:].max() == 0
    assert difference[:, :10].max() == 0
    assert sample.flow[:, :, :10].abs().max() == 0


def test_attribute_edits_move_features_and_fit_a_flow_limit_of_a_tenth() -> None:
    sample = synthface("test", 64).batch(range(64))
    pixels = 32 * sample.flow.norm(dim=1).flatten(1).amax(1)
    assert (pixels > 1.5).all()
    assert pixels.max() < 6.4


def test_nothing_folds() -> None:
    """p - D(p) keeps its orientation for any intensities, even all at once."""
    aus = torch.cat(
        [uniforms(torch.arange(200), 17), torch.eye(17), torch.ones(1, 17), uniforms(torch.arange(30), 17).round()]
    )
    face = _faces(len(aus))
    bits = uniforms(torch.arange(len(aus)), 4).round()
    moved = motion.contract(face, _acting(aus, bits))
    axis = torch.linspace(-0.9, 0.9, 90)[None]
    place = torch.stack(torch.broadcast_tensors(axis[:, None], axis[:, :, None]), dim=1) - moved.on_grid(axis, axis)
    across, down = place[..., :-1, 1:] - place[..., :-1, :-1], place[..., 1:, :-1] - place[..., :-1, :-1]
    step = axis[0, 1] - axis[0, 0]
    assert ((across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]) / step**2).min() > 0.01


def test_displaced_solves_its_equation() -> None:
    face = _faces(30)
    moved = motion.contract(face, _acting((uniforms(torch.arange(30), 17) < 0.3).float()))
    rest = 1.4 * uniforms(torch.arange(30), 2 * 50).view(30, 50, 2) - 0.7
    point = moved.displaced(rest)
    torch.testing.assert_close(point - moved.at(point), rest, atol=1e-5, rtol=0)


def test_the_grid_product_equals_the_pointwise_sum() -> None:
    moved = motion.contract(_faces(3), _acting(uniforms(torch.arange(3), 17)))
    axis = torch.linspace(-0.8, 0.8, 9).expand(3, 9)
    points = torch.stack(torch.broadcast_tensors(axis[:, None], axis[:, :, None]), dim=3).reshape(3, 81, 2)
    torch.testing.assert_close(moved.on_grid(axis, axis).flatten(2).mT, moved.at(points), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("au", "point", "axis", "sign"),
    [
        ("AU01", 21, 1, -1), ("AU02", 18, 1, -1), ("AU04", 21, 1, 1), ("AU04", 22, 0, -1), ("AU05", 37, 1, -1),
        ("AU06", 41, 1, -1), ("AU07", 37, 1, 1), ("AU09", 33, 1, -1), ("AU10", 51, 1, -1), ("AU12", 48, 1, -1),
        ("AU12", 54, 0, 1), ("AU14", 54, 0, 1), ("AU15", 48, 1, 1), ("AU17", 8, 1, -1), ("AU20", 54, 0, 1),
        ("AU23", 54, 0, -1), ("AU25", 57, 1, 1), ("AU26", 8, 1, 1), ("AU45", 37, 1, 1),
    ],
)  # fmt: skip
def test_action_units_move_what_facs_says(au: str, point: int, axis: int, sign: int) -> None:
    face, aus = _faces(8), torch.zeros(8, 17)
    at_rest = _landmarks(face, aus)
    aus[:, AUS.index(au)] = 1.0
    half, full = _landmarks(face, aus / 2), _landmarks(face, aus)
    moved = sign * (full - at_rest)[:, point, axis]
    assert (moved > 0.006).all()
    assert (sign * (half - at_rest)[:, point, axis] < moved).all()


def _landmarks(face: Face, aus: Tensor) -> Tensor:
    expression = _acting(aus)
    moved = motion.contract(face, expression)
    return motion.displaced_landmarks(face, moved, motion.make_paint(face, expression, moved))


def test_a_face_at_rest_is_symmetric_and_unpainted() -> None:
    face = _faces(4)
    expression = _acting(torch.zeros(4, 17))
    moved = motion.contract(face, expression)
    paint = motion.make_paint(face, expression, moved)
    centred = motion.displaced_landmarks(face, moved, paint) - face.shift
    torch.testing.assert_close(centred[:, 36, 0], -centred[:, 45, 0])
    torch.testing.assert_close(centred[:, 62], centred[:, 66])
    canvas = make_canvas("photo", torch.zeros(4, 32, 32), torch.zeros(4, 32, 32), torch.full((4, 1, 1), 0.05))
    assert list(painted(canvas, face, paint)) == []
    assert list(folds(canvas, face, paint)) == []


def test_tasks_change_what_they_name() -> None:
    attributes = synthface("train", 16).batch(range(96))
    assert (attributes.source.attributes != attributes.target.attributes).any(dim=1).all()
    assert (attributes.source.attributes.mean(0) - 0.5).abs().max() < 0.2
    smiling = attributes.source.attributes[:, 0] > 0
    assert (attributes.source.aus[smiling, AUS.index("AU12")] > 0.8).all()
    assert (attributes.source.aus[~smiling].max() < 0.1).all()
    emotion = synthface("train", 16, task="emotion").batch(range(96))
    assert (emotion.source.emotion.argmax(1) != emotion.target.emotion.argmax(1)).all()
    assert emotion.source.emotion.sum(0).min() > 3
    aus = synthface("train", 16, task="aus").batch(range(96))
    assert 0.15 < (aus.source.aus > 0.1).float().mean() < 0.35
    assert ((aus.source.aus - aus.target.aus).abs().amax(1) > 0.05).all()


def test_uniforms_are_uniform_and_independent() -> None:
    draws = uniforms(torch.arange(20_000), 3)
    assert ((draws >= 0) & (draws < 1)).all()
    assert (draws.mean(0) - 0.5).abs().max() < 0.01
    assert (torch.corrcoef(draws.T) - torch.eye(3)).abs().max() < 0.03
    assert (torch.corrcoef(torch.stack([draws[1:, 0], draws[:-1, 0]]))[0, 1]).abs() < 0.03
