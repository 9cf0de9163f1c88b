"""`shapes`: pictures of the right area, and a flow that turns one into the other."""

import math

import pytest
import torch
from torch.nn import functional as F

from geotrans.data.shapes import shapes
from registry import DATASETS


def test_shapes_ranges_and_labels() -> None:
    sample = shapes("test", 48).batch(range(32))
    assert sample.image.shape == sample.truth.shape == (32, 3, 48, 48)
    assert sample.flow.shape == (32, 2, 48, 48)
    assert sample.visible.eq(1).all()
    assert sample.image.abs().max() <= 1
    assert torch.equal(sample.source.attributes, 1 - sample.target.attributes)
    assert 4 < sample.source.attributes.sum() < 28
    assert sample.id[5] == "shapes-test-000005"
    assert "shapes" in DATASETS.names()


def test_a_sample_depends_on_its_index_alone() -> None:
    together, alone = shapes("val", 32).batch([9, 2, 40]).rows([1]), shapes("val", 32, size=3).batch([2])
    assert torch.equal(together.image, alone.image)
    assert torch.equal(together.flow, alone.flow)
    assert not torch.equal(alone.image, shapes("val", 32, seed=1).batch([2]).image)
    assert not torch.equal(alone.image, shapes("train", 32).batch([2]).image)


def test_both_shapes_have_the_same_area() -> None:
    sample = shapes("test", 256).batch(range(8))
    ground = sample.image[:, :, :1, :1]
    areas = [((picture - ground).abs().sum(1) > 1e-3).float().mean((1, 2)) for picture in (sample.image, sample.truth)]
    assert ((areas[0] / areas[1]).log().abs() < math.log(1.06)).all()


def test_the_flow_carries_the_image_to_the_truth() -> None:
    sample = shapes("test", 128).batch(range(32))
    theta = torch.eye(2, 3).expand(32, 2, 3)
    grid = F.affine_grid(theta, list(sample.image.shape), align_corners=False) + sample.flow.permute(0, 2, 3, 1)
    error = (F.grid_sample(sample.image, grid, align_corners=False, padding_mode="border") - sample.truth).abs().mean()
    assert error < 0.15 * (sample.image - sample.truth).abs().mean()


def test_motion_is_local_and_small() -> None:
    sample = shapes("test", 64).batch(range(200))
    assert sample.flow.abs().max() <= 0.2
    edges = (sample.flow[:, :, [0, -1]], sample.flow[..., [0, -1]])
    assert max(edge.abs().max().item() for edge in edges) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"split": "x"}, "expected split"), ({"resolution": 4}, "resolution of 16"), ({"size": -1}, "expected a size")],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shapes(**options)


def test_an_index_outside_raises() -> None:
    with pytest.raises(IndexError, match="index 9 is outside"):
        shapes(size=9).batch([9])
