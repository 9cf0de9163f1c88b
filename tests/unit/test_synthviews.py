"""`synthviews` against what it promises: determinism, splits, views, and motion that is true to the pixel."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.data._counter import keys, uniforms
from geotrans.data._view_camera import AZIMUTHS, ELEVATIONS, Camera, make_camera
from geotrans.data._view_car import BODY, CAR_DRAWS, Car, make_car, make_planes
from geotrans.data._view_cast import FIRST_WHEEL, cast
from geotrans.data._view_pair import draw_views
from geotrans.data.synthviews import SPEC, synthviews
from geotrans.models.gfla_view import VIEWS
from geotrans.ops.warp import identity_grid


def _cars(count: int) -> Car:
    return make_car(uniforms(keys(0, 32, torch.arange(count)), CAR_DRAWS))


def _camera(azimuth: int, elevation: int, count: int) -> Camera:
    views = torch.tensor([AZIMUTHS.index(azimuth % 360)]), torch.tensor([ELEVATIONS.index(elevation)])
    return make_camera(*(view.expand(count) for view in views))


def _views(first: tuple[int, int], second: tuple[int, int], count: int = 12, side: int = 64) -> tuple[Tensor, ...]:
    return draw_views(_cars(count), _camera(*first, count), _camera(*second, count), torch.full((count, 3), 0.92), side)


def _warp(image: Tensor, flow: Tensor) -> Tensor:
    grid = F.affine_grid(torch.eye(2, 3).expand(len(image), 2, 3), list(image.shape), align_corners=False)
    grid = grid + flow.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _is_car(image: Tensor) -> Tensor:
    """(B, 1, H, W): what is not the backdrop, which is the same along a row."""
    return (image - image[..., :1]).abs().amax(1, keepdim=True) > 0.02


def test_shapes_ranges_and_types() -> None:
    sample = synthviews("test", 32).batch(range(20))
    assert sample.image.shape == sample.truth.shape == (20, 3, 32, 32)
    assert sample.flow.shape == (20, 2, 32, 32)
    assert sample.visible.shape == (20, 1, 32, 32)
    assert {t.dtype for t in (sample.image, sample.truth, sample.flow, sample.visible)} == {torch.float32}
    assert sample.image.abs().max() <= 1
    assert set(sample.visible.unique().tolist()) == {0.0, 1.0}
    for condition in (sample.source, sample.target):
        SPEC.check(condition, 20)
        assert condition.view[:, :18].sum(1).eq(1).all()
        assert condition.view[:, 18:].sum(1).eq(1).all()
        assert condition.attributes[:, :6].sum(1).eq(1).all()
    assert torch.equal(sample.source.attributes, sample.target.attributes)
    assert (sample.source.view != sample.target.view).any(1).all()
    assert sample.id[3] == "synthviews-test-000003"


def test_its_views_are_those_of_the_models() -> None:
    assert SPEC.view == VIEWS.view


def test_every_view_occurs() -> None:
    sample = synthviews("train", 16).batch(range(0, 20_000, 60))
    for condition in (sample.source, sample.target):
        assert (condition.view.sum(0) > 0).all()


def test_a_sample_depends_on_its_index_alone() -> None:
    data = synthviews("val", 32)
    together, alone = data.batch([9, 2, 40, *range(20)]), data.batch([40])
    assert torch.allclose(together.rows([2]).image, alone.image, atol=1e-4)
    assert torch.allclose(together.rows([2]).flow, alone.flow, atol=1e-4)
    assert torch.allclose(synthviews("val", 32, size=41).batch([40]).truth, alone.truth, atol=1e-4)
    assert torch.equal(data.batch([40]).image, alone.image)


def test_seeds_and_splits_differ() -> None:
    first = synthviews("test", 16).batch(range(4)).image
    for other in (synthviews("test", 16, seed=1), synthviews("test", 16, seed=-1), synthviews("train", 16)):
        assert not torch.equal(first, other.batch(range(4)).image)


def test_no_car_is_in_two_splits() -> None:
    cars = [set(synthviews(split).identity(range(2000)).tolist()) for split in ("train", "val", "test")]
    assert [len(group) for group in cars] == [500, 500, 500]
    assert len(set.union(*cars)) == 1500
    looks = uniforms(keys(0, 32, torch.tensor(sorted(set.union(*cars)))), 3)
    assert len(looks.unique(dim=0)) == 1500


def test_four_samples_share_a_car() -> None:
    attributes = synthviews("test", 16).batch(range(40)).source.attributes.view(10, 4, -1)
    assert torch.equal(attributes, attributes[:, :1].expand(-1, 4, -1))
    assert len(attributes[:, 0].unique(dim=0)) > 5


def test_the_flow_carries_the_image_to_the_truth() -> None:
    sample = synthviews("test", 128).batch(range(16))
    error = (_warp(sample.image, sample.flow) - sample.truth).abs().mean(1, keepdim=True)
    seen = sample.visible > 0
    on_the_car = seen & _is_car(sample.truth)
    assert on_the_car.float().mean() > 0.05
    assert error[seen].mean() < 0.02
    assert error[on_the_car].mean() < 0.1
    assert error[on_the_car].median() < 0.025  # what is left is at edges, which either picture smooths by itself
    unmoved = (sample.image - sample.truth).abs().mean(1, keepdim=True)
    assert error[on_the_car].mean() < 0.2 * unmoved[on_the_car].mean()


def test_hidden_pixels_are_not_in_the_image() -> None:
    """The flow is known there too, and leads to something else."""
    sample = synthviews("test", 64).batch(range(32))
    error = (_warp(sample.image, sample.flow) - sample.truth).abs().mean(1, keepdim=True)
    hidden = (sample.visible == 0) & _is_car(sample.truth)
    assert error[hidden].mean() > 5 * error[sample.visible > 0].mean()


def test_the_wrong_direction_is_worse_than_none() -> None:
    image, truth, flow, visible = _views((40, 10), (60, 10))
    seen = (visible * _is_car(truth)).expand_as(image) > 0
    wrong, none, right = ((_warp(image, sign * flow) - truth).abs()[seen].mean() for sign in (-1, 0, 1))
    assert wrong > none > 3 * right


def test_the_same_view_does_not_move() -> None:
    image, truth, flow, visible = _views((80, 20), (80, 20))
    assert torch.equal(image, truth)
    assert flow.abs().max() < 1e-5
    assert visible.mean() > 0.999


def test_the_backdrop_stays_and_is_plain() -> None:
    image, truth, flow, visible = _views((0, 0), (120, 20))
    behind = ~F.max_pool2d((_is_car(image) | _is_car(truth)).float(), 3, 1, 1).bool()
    assert flow[behind.expand_as(flow)].abs().max() == 0
    assert visible[behind].min() == 1
    assert (image - truth).abs()[behind.expand_as(image)].max() < 1e-5
    assert image[behind.expand_as(image)].min() > 0.6


def test_the_other_side_is_hidden() -> None:
    """Of a car turned round, roof and hood stay in sight, and from the height of its middle next to nothing does."""
    for elevation, share in ((0, 0.05), (20, 0.45)):
        _, truth, _, visible = _views((80, elevation), (260, elevation))
        car = _is_car(truth)
        assert visible[car].mean() < share
    _, truth, _, visible = _views((80, 10), (100, 10))
    assert visible[_is_car(truth)].mean() > 0.75


@pytest.mark.parametrize("elevation", ELEVATIONS)
def test_cars_stay_inside_the_picture(elevation: int) -> None:
    for azimuth in AZIMUTHS[::3]:
        car = _is_car(_views((azimuth, elevation), (azimuth, elevation), count=16, side=32)[0])
        assert not car[:, :, [0, -1]].any()
        assert not car[..., [0, -1]].any()
        assert 0.08 < car.float().mean() < 0.5


def test_resolutions_show_the_same() -> None:
    coarse, fine = (synthviews("test", side).batch(range(6)) for side in (48, 192))
    for name in ("image", "truth"):
        reduced = F.avg_pool2d(getattr(fine, name), 4)
        assert (reduced - getattr(coarse, name)).abs().mean() < 0.012
    difference = (F.interpolate(coarse.flow, scale_factor=4) - fine.flow).norm(dim=1)
    assert difference.median() == 0
    assert difference.quantile(0.9) < 0.03


def test_azimuths_turn_as_they_say() -> None:
    """From the left side the front is at the left; 20 degrees on, what is near has moved to the left."""
    count = 6
    cars = _cars(count)
    front, left = torch.tensor([[1.0, 0.0, 0.4]]).expand(count, 3), torch.tensor([[0.0, 0.5, 0.4]]).expand(count, 3)
    assert (_camera(80, 0, count).project(front)[0] < -0.5).all()
    assert (_camera(280, 0, count).project(front)[0] > 0.5).all()
    assert (_camera(0, 0, count).project(left)[0] > 0.3).all()
    heights = [_camera(0, elevation, count).project(front)[1] for elevation in ELEVATIONS]
    assert (heights[0] < heights[1]).all()
    assert (heights[1] < heights[2]).all()
    _, _, flow, visible = draw_views(cars, _camera(80, 0, count), _camera(100, 0, count), torch.ones(count, 3), 64)
    middle = flow[:, 0, 32:36, 30:34]
    assert visible[:, :, 32:36, 30:34].min() == 1
    assert (middle.flatten(1).mean(1) > 0.05).all()


def test_rays_find_surfaces() -> None:
    """What a ray hits lies on the plane it names, inside all other planes of the solid; wheels are round."""
    cars, camera = _cars(5), _camera(40, 20, 5)
    planes, grid = make_planes(cars), identity_grid(48, 48)[0]
    u, v = grid[None, None, :1, :, 0], grid[None, None, :, :1, 1]
    hits = cast(cars, planes, camera, u, v)
    index = hits.inverse.nonzero(as_tuple=True)
    row, face = index[0], hits.face[index].long()
    points = camera.rows(row).points(
        u.expand_as(hits.inverse)[index], v.expand_as(hits.inverse)[index], 1 / hits.inverse[index]
    )
    body = face < BODY.stop
    distance = (planes.normals[row] * points[:, None]).sum(2) - planes.offsets[row]
    assert distance[body, face[body]].abs().max() < 1e-4
    assert distance[body][:, : BODY.stop].max() < 1e-4
    wheel = face >= FIRST_WHEEL
    mine = cars.rows(row[wheel])
    axle = torch.where(face[wheel] < FIRST_WHEEL + 4, mine.front_axle, mine.rear_axle)
    away = (points[wheel, 0] - axle).hypot(points[wheel, 2] - mine.wheel) / mine.wheel
    tread = (face[wheel] - FIRST_WHEEL) % 2 == 1
    assert (away[tread] - 1).abs().max() < 1e-4
    assert away.max() < 1 + 1e-4
    assert body.any()
    assert tread.any()
    assert (~tread).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "synthviews: expected split to be one of train, val, test, got 'dev'"),
        ({"resolution": 8}, "expected a resolution of 16 or more, got 8"),
        ({"size": 0}, "expected a size between 1 and"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthviews(**options)


def test_an_index_outside_raises() -> None:
    with pytest.raises(IndexError, match=r"index 5 is outside the dataset's 0\.\.4"):
        synthviews(size=5).batch([5])
