"""Structures of faces: strokes, distances and labels, against slow definitions of what they are."""

from itertools import pairwise

import pytest
import torch

from geotrans.data.synthface import synthface
from geotrans.ops.face_structure import CHANNELS, CURVES, PARTS, crowned, face_structure

JAW, MOUTH, TONGUE = list(range(17)), list(range(48, 60)), list(range(60, 68))


@pytest.fixture(scope="module")
def landmarks():
    return synthface("test", 16, task="aus").batch(range(4)).target.landmarks


def slow_distances(points, side):
    """|dx| + |dy| in pixels from every pixel to a dense sample of a polyline (N, 2) in pixels."""
    share = torch.linspace(0, 1, 400)[:, None]
    places = torch.cat([start + share * (stop - start) for start, stop in pairwise(points)])
    centres = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="xy"), dim=2).float()
    return (centres[:, :, None] - places).abs().sum(3).amin(2)


def slow_structure(landmarks, height, width):
    """The definition, one straight piece after the other and one side of a part after the other."""
    points = crowned((landmarks + 1) / 2 * landmarks.new_tensor([width, height]) - 0.5)
    columns = torch.arange(width, dtype=points.dtype).view(1, 1, width)
    rows = torch.arange(height, dtype=points.dtype).view(1, height, 1)
    maps = points.new_zeros(len(points), CHANNELS, height, width)
    for channel, curve in enumerate(CURVES, start=1):
        maps[:, channel] = torch.inf
        for start, stop in pairwise(curve):
            x, y = points[:, start].T[:, :, None, None]
            along_x, along_y = (points[:, stop] - points[:, start]).T[:, :, None, None]
            right, down = columns - x, rows - y
            for offset, along in ((right, along_x), (down, along_y)):
                share = (offset / torch.where(along.abs() < 1e-6, 1e-6, along)).clamp(0, 1)
                distance = (right - share * along_x).abs() + (down - share * along_y).abs()
                maps[:, channel] = torch.minimum(maps[:, channel], distance)
    maps[:, 0] = (1 - maps[:, 1:15].amin(1)).clamp_min(0)
    maps[:, 1:15] /= height + width
    for label, part in PARTS:
        ring = points[:, [point for curve in part for point in curve]]
        odd = torch.zeros(len(points), height, width, dtype=torch.bool)
        for start, stop in zip(ring.roll(1, 1).unbind(1), ring.unbind(1), strict=True):
            (x, y), (to_x, to_y) = start.T[:, :, None, None], stop.T[:, :, None, None]
            rise = to_y - y
            crossing = x + (rows - y) * (to_x - x) / torch.where(rise.abs() < 1e-6, 1e-6, rise)
            odd ^= ((y > rows) != (to_y > rows)) & (columns < crossing)
        maps[:, 15] = torch.where(odd, label / 6, maps[:, 15])
    return maps


def tangles(kind, height, width):
    """Landmarks (6, 68, 2) without order."""
    places = torch.rand(6, 68, 2, generator=torch.Generator().manual_seed(0))
    if kind == "outside":
        return 4 * places - 2
    if kind == "far above":
        return places - torch.tensor([0.0, 3.0])
    if kind == "one place":
        return (2 * places - 1)[:, :1].expand(-1, 68, -1)
    if kind == "whole pixels":
        size = torch.tensor([width, height])
        return 2 * ((places * size).floor() + 0.5) / size - 1
    return 2 * places - 1


@pytest.mark.parametrize("kind", ["inside", "outside", "far above", "one place", "whole pixels"])
@pytest.mark.parametrize("size", [(32, 32), (40, 64), (1, 7)])
def test_structures_are_those_of_the_slow_definition(kind, size):
    landmarks = tangles(kind, *size)
    torch.testing.assert_close(face_structure(landmarks, *size), slow_structure(landmarks, *size), atol=1e-6, rtol=0)


def test_structures_of_faces_are_those_of_the_slow_definition(landmarks):
    for side in (64, 256):
        found = face_structure(landmarks, side, side)
        torch.testing.assert_close(found, slow_structure(landmarks, side, side), atol=1e-6, rtol=0)
    found = face_structure(landmarks.double(), 32, 32)
    torch.testing.assert_close(found, slow_structure(landmarks.double(), 32, 32), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("channel", "curve"),
    [(2, range(17, 22)), (4, (28, 31)), (5, range(31, 36)), (8, (39, 40, 41, 36)), (14, (64, 65, 66, 67, 60))],
)
def test_distances_are_those_to_the_nearest_place_of_a_curve(landmarks, channel, curve):
    maps = face_structure(landmarks, 32, 32)
    for row, points in enumerate((landmarks + 1) * 16 - 0.5):
        expected = slow_distances(points[list(curve)], 32)
        torch.testing.assert_close(64 * maps[row, channel], expected, atol=0.02, rtol=0)


def test_channels_and_range(landmarks):
    maps = face_structure(landmarks, 48, 64)
    assert maps.shape == (4, CHANNELS, 48, 64)
    assert maps.min() == 0
    assert maps.max() <= 1
    nearest = maps[:, 1:15].amin(1) * (48 + 64)
    torch.testing.assert_close(maps[:, 0], (1 - nearest).clamp_min(0), atol=1e-5, rtol=0)


def test_labels_say_what_a_pixel_belongs_to(landmarks):
    maps = face_structure(landmarks, 64, 64)
    labels = maps[:, 15] * 6
    torch.testing.assert_close(labels, labels.round())

    def at(face, point):
        column, row = ((point + 1) * 32 - 0.5).round().long().tolist()
        return round(float(face[row, column]))

    for face, points in zip(labels, landmarks, strict=True):
        assert at(face, points[[36, 39]].mean(0)) in (1, 4)  # a closed eye is a line
        assert at(face, points[30] + torch.tensor([0.0, 0.02])) == 3
        assert at(face, points[[1, 31]].mean(0)) == 1
        assert at(face, points[0] - torch.tensor([0.1, 0.0])) == 0
        assert at(face, torch.tensor([-0.97, -0.97])) == 0


def test_the_outline_is_closed_above_the_brows(landmarks):
    labels = face_structure(landmarks, 64, 64)[:, 15]
    brow = ((landmarks[:, 17:27, 1].amin(1) + 1) * 32).long()
    for face, top in zip(labels, brow.tolist(), strict=True):
        assert (face[top - 3] > 0).any()
        assert not (face[0] > 0).any()


def test_a_small_motion_is_a_small_difference(landmarks):
    still, moved = (face_structure(landmarks + shift, 64, 64) for shift in (0.0, 0.25 * 2 / 64))
    assert 0 < (still - moved)[:, 0].abs().max() <= 0.5 + 1e-4  # a quarter of a pixel each way
    assert (still - moved)[:, 1:15].abs().max() * 128 <= 0.5 + 1e-3


def test_structures_scale_with_the_picture(landmarks):
    small, large = (face_structure(landmarks, side, side) for side in (32, 96))
    torch.testing.assert_close(large[:, 1:15, 1::3, 1::3], small[:, 1:15], atol=1e-4, rtol=0)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"expected shape \(B, 68, 2\), got \(1, 5, 2\)"):
        face_structure(torch.zeros(1, 5, 2), 16, 16)


def test_landmarks_that_are_no_places_are_refused(landmarks):
    with pytest.raises(ValueError, match="expected finite numbers"):
        face_structure(landmarks.masked_fill(landmarks == landmarks[0, 3, 1], torch.nan), 16, 16)
    with pytest.raises(RuntimeError, match="requires grad"):
        face_structure(landmarks.clone().requires_grad_(), 16, 16)
