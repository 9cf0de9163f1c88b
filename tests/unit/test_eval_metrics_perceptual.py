"""Which net sees which pictures, the mask of a pose against scikit-image, and diversity by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage.draw import disk, polygon
from skimage.morphology import dilation, erosion
from torch import Tensor

from eval.metrics.base import EvalBatch
from eval.networks import Networks
from geotrans.ops.limbs import MASK_LIMBS, pose_mask
from geotrans.ops.poses import Style, pose_maps
from geotrans.types import Condition, Sample
from registry import METRICS

HEIGHT, WIDTH = 128, 64


def _value(name: str, generated: Tensor, distances: dict[str, Any], **fields: Any) -> float:
    metric = METRICS.get(name).factory()
    names = tuple(map(str, range(len(generated))))
    metric.update(EvalBatch(names, generated, networks=Networks(distances=distances), **fields))
    return float(metric.compute().value)


def _levels(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_each_net_is_asked_for_itself(net: str) -> None:
    a, b = _levels(3, 3, 16, 16), _levels(3, 3, 16, 16, seed=1)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        assert torch.equal(x, a)
        assert torch.equal(y, b)
        return torch.tensor([0.1, 0.2, 0.6])

    assert _value(f"lpips_{net}", a, {f"lpips_{net}": distance}, truth=b) == pytest.approx(0.3)


def _joints(seed: int) -> list[tuple[int, int] | None]:
    draw = np.random.default_rng(seed)
    places = zip(draw.integers(0, HEIGHT, 18).tolist(), draw.integers(0, WIDTH, 18).tolist(), strict=True)
    return [place if draw.random() > 0.15 else None for place in places]


def _maps(joints: list[tuple[int, int] | None]) -> Tensor:
    rows, columns = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)
    blank = torch.zeros(HEIGHT, WIDTH)
    maps = [
        blank if joint is None else torch.exp(-((rows - joint[0]) ** 2 + (columns - joint[1]) ** 2) / 72.0)
        for joint in joints
    ]
    return torch.stack(maps)[None]


def _drawn(joints: list[tuple[int, int] | None], radius: float = 4) -> np.ndarray:
    """Rectangles along the limbs and discs at the joints, then a closing, by scikit-image."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for start, stop in MASK_LIMBS:
        a, b = joints[start], joints[stop]
        if a is None or b is None or a == b:
            continue
        first, second = np.array(a, float), np.array(b, float)
        along = (first - second) / np.linalg.norm(first - second)
        aside = radius * np.array([-along[1], along[0]])
        corners = np.array([first + aside, first - aside, second - aside, second + aside])
        mask[polygon(corners[:, 0], corners[:, 1], shape=mask.shape)] = True
    for joint in joints:
        if joint is not None:
            mask[disk(joint, radius, shape=mask.shape)] = True
    square = np.ones((5, 5), dtype=bool)
    return erosion(dilation(mask, square), square)


@pytest.mark.parametrize("seed", range(4))
def test_the_pose_mask_is_limbs_and_joints(seed: int) -> None:
    joints = _joints(seed)
    mask = pose_mask(_maps(joints), (HEIGHT, WIDTH))
    assert mask.shape == (1, 1, HEIGHT, WIDTH)
    expected = _drawn(joints)
    assert 0.05 < expected.mean() < 0.95
    differing = (mask[0, 0].numpy() > 0.5) != expected
    assert differing.mean() < 0.01  # pixels that lie on an edge
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("style", ["points", "discs"])
def test_the_pose_mask_is_the_same_from_other_maps(style: Style) -> None:
    draw = torch.Generator().manual_seed(1)
    places = torch.stack([torch.randint(9, side - 9, (2, 18), generator=draw) for side in (WIDTH, HEIGHT)], dim=2)
    joints = (2 * places + 1) / torch.tensor([WIDTH, HEIGHT]) - 1
    joints[0, 3] = torch.nan
    wanted = pose_mask(pose_maps(joints, HEIGHT, WIDTH), (HEIGHT, WIDTH))
    assert torch.equal(pose_mask(pose_maps(joints, HEIGHT, WIDTH, style=style, size=8), (HEIGHT, WIDTH)), wanted)


def test_nobody_there_is_an_empty_mask() -> None:
    assert pose_mask(torch.zeros(2, 18, HEIGHT, WIDTH), (HEIGHT, WIDTH)).sum() == 0


def test_masked_pictures_are_grey_outside_the_person() -> None:
    a, b = _levels(1, 3, HEIGHT, WIDTH), _levels(1, 3, HEIGHT, WIDTH, seed=1)
    structure = _maps(_joints(0))
    mask = pose_mask(structure, (HEIGHT, WIDTH))
    seen: list[Tensor] = []

    def distance(x: Tensor, y: Tensor) -> Tensor:
        seen.extend((x, y))
        return torch.tensor([0.25])

    sample = Sample(a.float(), target=Condition(structure=structure))
    assert _value("mask_lpips", a, {"lpips_alex": distance}, truth=b, sample=sample) == 0.25
    for picture, levels in zip(seen, (a, b), strict=True):
        torch.testing.assert_close(picture, (levels.float() / 127.5 - 1) * mask)


def test_other_structures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"18 joints \(B, 18, 8, 8\), got \(1, 3, 8, 8\)"):
        pose_mask(torch.zeros(1, 3, 8, 8), (8, 8))


def test_diversity_is_the_mean_over_pairs_of_styles() -> None:
    variants = torch.zeros(2, 3, 3, 8, 8, dtype=torch.uint8)
    variants[0, 1], variants[0, 2] = 10, 30  # pairs differ by 10, 30, 20; the second input's do not

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (x.float() - y.float()).abs().flatten(1).mean(1)

    assert _value("lpips_diversity", variants[:, 0], {"lpips_alex": distance}, variants=variants) == pytest.approx(10)
