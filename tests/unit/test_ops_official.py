"""Structures as GFLA's official weights read them: faces in closed form, pixel by pixel, and bodies of two kinds."""

import sys

import pytest
import torch
from skimage.feature import canny

from geotrans.data.synthface import synthface
from geotrans.ops.body_structure import CHANNELS
from geotrans.ops.face_structure import face_structure
from geotrans.ops.official_body import COCO_JOINTS, HUMAN36M_JOINTS, official_body_structure, palette
from geotrans.ops.official_face import official_face_structure
from geotrans.ops.poses import pose_maps

BROW, AWAY = 2, (2, 61)  # a channel, its points being 17 to 21, and where all points are that a test does not place
NOSE, EYE = 3, 7  # from 28 to 31; 36 to 39


def units(points, height, width):
    """Points (..., 2) in pixels as landmarks or joints."""
    return 2 * (points + 0.5) / torch.tensor([width, height]) - 1


def drawn(places, channel=BROW, size=(64, 64)):
    """The structure of a face whose points are at AWAY, but for those that are placed."""
    points = torch.tensor(AWAY).float().repeat(68, 1)
    for number, place in places.items():
        points[number] = torch.tensor(place)
    maps = official_face_structure(units(points, *size)[None], *size)[0]
    pixels = {(x, y) for y, x in maps[0].nonzero().tolist()} - {AWAY}
    return pixels, maps[channel] * 255


def brow(*places):
    return dict(enumerate(places, start=17))


@pytest.fixture(scope="module")
def faces():
    sample = synthface("test", 64, task="aus").batch(range(3))
    return sample.target.landmarks, sample.truth


# Curves


def test_three_points_in_a_line_are_a_line():
    pixels, _ = drawn(brow((10, 20), (20, 25), (30, 30), (40, 30), (50, 30)))
    assert pixels == {(x, 20 + (x - 10) // 2) for x in range(10, 31)} | {(x, 30) for x in range(30, 51)}


def test_three_points_are_a_parabola_truncated_to_pixels():
    pixels, _ = drawn(brow((10, 30), (20, 20), (30, 30), (30, 30), (30, 30)))
    assert pixels == {(x, 20 + (x - 20) ** 2 // 10) for x in range(10, 31)}
    backwards, _ = drawn(brow((30, 30), (20, 20), (10, 30), (10, 30), (10, 30)))
    assert backwards == pixels
    upright, _ = drawn(brow((30, 10), (20, 20), (30, 30), (30, 30), (30, 30)))
    assert upright == {(y, x) for x, y in pixels}


def test_a_middle_that_is_not_halfway_bends_the_parabola_as_it_must():
    pixels, _ = drawn(brow((10, 10), (14, 22), (30, 30), (30, 30), (30, 30)))
    # The one polynomial of degree 2 through the three, from Lagrange's formula.
    by_lagrange = {
        x: 10 * (x - 14) * (x - 30) / 80 - 22 * (x - 10) * (x - 30) / 64 + 30 * (x - 10) * (x - 14) / 320
        for x in range(10, 31)
    }
    assert pixels == {(x, int(y + 1e-6)) for x, y in by_lagrange.items()}


def test_two_points_are_a_line():
    pixels, _ = drawn({28: (20, 8), 31: (14, 20), 35: (14, 20)} | dict.fromkeys(range(32, 35), (14, 20)), NOSE)
    assert pixels == {(20 - (y - 8 + 1) // 2, y) for y in range(8, 21)}


def test_what_is_left_of_four_points_is_a_line():
    eye = {36: (10, 30), 37: (14, 26), 38: (18, 30), 39: (24, 36), 40: (24, 36), 41: (24, 36)}
    pixels, _ = drawn(eye, EYE)
    arch = {(x, int(26 + (x - 14) ** 2 / 4)) for x in range(10, 19)}
    line = {(x, 12 + x) for x in range(18, 25)}
    assert arch | line <= pixels


@pytest.mark.parametrize(("depth", "shown"), [(4, True), (-4, True), (5, False), (-5, False)])
def test_a_parabola_is_left_out_whose_coefficient_is_beyond_one(depth, shown):
    """Two pixels to each side a parabola of coefficient a is 4 a away."""
    pixels, levels = drawn(brow((20, 30), (22, 30 - depth), (24, 30), (24, 30), (24, 30)))
    assert ((22, 30 - depth) in pixels) is shown
    assert ((20, 30) in pixels) is shown
    assert (24, 30) in pixels  # from here a line of no length leads to the last point
    assert levels[30, 20] == (0 if shown else 1)


def test_a_parabola_that_is_none_is_left_out():
    pixels, _ = drawn(brow((20, 30), (20, 25), (24, 30), (24, 30), (24, 30)))  # two places above one another
    assert pixels == {(24, 30)}


def test_pixels_outside_of_the_picture_are_left_out():
    pixels, _ = drawn(brow((-10, 5), (0, 5), (10, 5), (40, 5), (80, 5)))
    assert pixels == {(x, 5) for x in range(64)}


def test_landmarks_are_truncated():
    whole, _ = drawn(brow((10, 20), (20, 25), (30, 30), (40, 30), (50, 30)))
    parts, _ = drawn(brow((10.9, 20.6), (20.5, 25.9), (30.99, 30.2), (40, 30.7), (50.9, 30)))
    assert parts == whole


def test_landmarks_that_are_whole_numbers_stay_what_they_are():
    for place in range(256):
        pixels, _ = drawn(brow(*[(place, place % 5)] * 5), size=(5, 256))
        assert pixels == {(place, place % 5)}


# Distances


def test_distances_are_levels_of_three_pixels():
    _, levels = drawn(brow((0, 30), (16, 30), (32, 30), (48, 30), (63, 30)))
    expected = torch.tensor([abs(row - 30) // 3 for row in range(64)]).float()
    torch.testing.assert_close(levels, expected[:, None].expand(64, 64))
    assert levels[27:34, 5].tolist() == [1, 0, 0, 0, 0, 0, 1]


def test_distances_are_of_city_blocks():
    _, levels = drawn(brow(*[(20, 30)] * 5))
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    expected = ((rows - 30).abs() + (columns - 20).abs()) // 3
    torch.testing.assert_close(levels, expected.float())


def test_distances_end_at_255_levels():
    size = (4, 1000)
    places = dict.fromkeys(range(68), (900, 1)) | brow(*[(0, 1)] * 5)
    _, levels = drawn(places, size=size)
    torch.testing.assert_close(levels[1], (torch.arange(1000) // 3).clamp(max=255).float())
    assert levels.max() == 255


def test_a_curve_of_which_nothing_is_seen_is_as_far_as_can_be():
    _, levels = drawn(brow(*[(-40, -40)] * 5))
    assert levels.unique().tolist() == [255]


# Labels


def test_labels_are_those_of_the_smooth_structure_in_whole_numbers(faces):
    landmarks, _ = faces
    points = ((landmarks + 1) * 32 - 0.5).trunc()
    whole = units(points, 64, 64)
    labels = official_face_structure(landmarks, 64, 64)[:, 15]
    assert labels.unique().tolist() == [0, 1, 2, 3, 4, 5, 6]
    share = (labels == (6 * face_structure(whole, 64, 64)[:, 15]).round()).float().mean()
    assert share > 0.99  # the crown is truncated too


def test_labels_in_a_drawn_face():
    points = torch.tensor(AWAY).float().repeat(68, 1)
    points[48:60] = torch.tensor([[10, 30], *[[20, 20]] * 5, [50, 30], *[[40, 50]] * 5])
    points[60:68] = torch.tensor([[24, 30], *[[30, 26]] * 3, [36, 30], *[[30, 34]] * 3])
    labels = official_face_structure(units(points, 64, 64)[None], 64, 64)[0, 15]
    assert labels[30, 30] == 6
    assert labels[30, 20] == 5
    assert labels[5, 5] == 0


# Edges of the backdrop


def striped(side=64):
    """A picture with one edge across, black above row 30."""
    picture = torch.full((1, 3, side, side), -1.0)
    picture[:, :, 30:] = 1.0
    return picture


def test_edges_are_those_of_canny_outside_of_the_face(faces):
    landmarks, pictures = faces
    plain, whole = (official_face_structure(landmarks, 64, 64, *more) for more in ((), (pictures,)))
    assert torch.equal(plain[:, 1:], whole[:, 1:])
    levels = (pictures + 1) * 127.5
    for row in range(3):
        red, green, blue = levels[row].round()
        grey = (0.299 * red + 0.587 * green + 0.114 * blue).round().byte()
        found = torch.from_numpy(canny(grey.numpy(), sigma=1.0)) & (plain[row, 15] == 0)
        torch.testing.assert_close((whole[row, 0] - plain[row, 0]).abs() > 0, found)
        assert found.any()
        assert not found.all()


def test_edges_that_meet_a_curve_are_one_level_less():
    points = torch.tensor(AWAY).float().repeat(68, 1)
    points[17:22] = torch.tensor([[20, y] for y in (10, 20, 30, 40, 50)])
    landmarks = units(points, 64, 64)[None]
    edges = official_face_structure(landmarks, 64, 64, striped())[0, 0]
    torch.testing.assert_close(edges.unique(), torch.tensor([0.0, 254 / 255, 1.0]))
    (place,) = ((edges > 0) & (edges < 1)).nonzero().tolist()
    assert place[1] == 20
    assert place[0] in (29, 30)
    assert torch.equal(edges[place[0], 21:60], torch.ones(39))  # the rest of the picture's edge


def test_a_flat_picture_has_no_edges(faces):
    landmarks, pictures = faces
    plain = official_face_structure(landmarks, 64, 64)
    assert torch.equal(plain, official_face_structure(landmarks, 64, 64, torch.zeros_like(pictures)))


def test_edges_need_scikit_image(monkeypatch, faces):
    landmarks, pictures = faces
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    assert official_face_structure(landmarks, 64, 64).shape == (3, 16, 64, 64)
    with pytest.raises(ImportError, match=r"edges need scikit-image \(.*\); pip install 'geotrans-gan\[faces\]'"):
        official_face_structure(landmarks, 64, 64, pictures)


def test_other_shapes_of_faces_are_refused(faces):
    with pytest.raises(ValueError, match=r"landmarks: expected shape \(B, 68, 2\), got \(1, 5, 2\)"):
        official_face_structure(torch.zeros(1, 5, 2), 16, 16)
    with pytest.raises(ValueError, match=r"picture: expected shape \(3, 3, 32, 32\), got \(3, 3, 64, 64\)"):
        official_face_structure(faces[0], 32, 32, faces[1])


# Bodies


def test_the_palette_is_that_of_pascal_voc():
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 7: (128, 128, 128)}
    known |= {8: (64, 0, 0), 11: (192, 128, 0), 15: (192, 128, 128), 16: (0, 64, 0)}
    colours = palette(17).tolist()
    assert all(tuple(colours[number]) == colour for number, colour in known.items())
    assert len(set(map(tuple, colours))) == 17


@pytest.mark.parametrize(
    ("skeleton", "joint", "neighbours"),
    [
        ("coco", "nose", ("left eye", "right eye")),
        ("coco", "left elbow", ("left wrist", "left shoulder")),
        ("coco", "left hip", ("right hip", "left knee", "left shoulder")),
        ("human36m", "thorax", ("spine", "neck", "left shoulder", "right shoulder")),
        ("human36m", "hip", ("right hip", "left hip", "spine")),
        ("human36m", "head", ("neck",)),
    ],
)
def test_lines_lead_from_a_joint_to_its_neighbours(skeleton, joint, neighbours):
    """Two joints at a time, 40 pixels apart."""
    names = {"coco": COCO_JOINTS, "human36m": HUMAN36M_JOINTS}[skeleton]
    assert len(set(names)) == 17
    for other in (name for name in names if name != joint):
        joints = torch.full((17, 2), torch.nan)
        joints[names.index(joint)], joints[names.index(other)] = torch.tensor([[10.0, 30.0], [50.0, 30.0]])
        figure = official_body_structure(units(joints, 64, 64)[None], 64, 64, skeleton)[0, 17:]
        assert (figure[:, 30, 30].min() > 250) == (other in neighbours)


def test_a_figure_is_white_lines_under_discs_in_colours():
    joints = torch.full((17, 2), torch.nan)
    joints[[0, 1]] = torch.tensor([[10.0, 20.0], [30.0, 20.0]])
    maps = official_body_structure(units(joints, 64, 64)[None], 64, 64, "human36m")[0]
    assert maps.shape == (CHANNELS, 64, 64)
    figure = maps[17:]
    torch.testing.assert_close(figure[:, 20, 13:28], torch.full((3, 15), 255.0), atol=0.1, rtol=0)
    assert figure[:, 20, 10].tolist() == [0, 0, 0]  # the first joint's disc is black
    assert figure[:, 19, 31].tolist() == [128, 0, 0]
    assert figure[:, 22, 30].tolist() == [128, 0, 0]
    assert figure[:, 17, 30].tolist() == [0, 0, 0]  # 3 pixels away
    assert figure[:, 21:, 13:28].max() < 0.1
    between = official_body_structure(units(joints + 0.25, 64, 64)[None], 64, 64, "human36m")[0, 17]
    torch.testing.assert_close(between[20:22, 20], torch.tensor([0.75, 0.25]) * 255, atol=0.1, rtol=0)


def test_joints_are_gaussians_of_six_pixels_and_missing_ones_are_nothing():
    joints = 2 * torch.rand(2, 17, 2, generator=torch.Generator().manual_seed(0)) - 1
    joints[0, 5] = torch.nan
    maps = official_body_structure(joints, 64, 48, "coco")
    assert torch.equal(maps[:, :17], pose_maps(joints, 64, 48, size=6.0))
    assert maps[0, 5].max() == 0
    assert maps.isfinite().all()
    assert official_body_structure(torch.full((1, 17, 2), torch.nan), 64, 48, "coco").abs().max() == 0


def test_other_bodies_are_refused():
    with pytest.raises(ValueError, match=r"expected shape \(B, 17, 2\), got \(1, 18, 2\)"):
        official_body_structure(torch.zeros(1, 18, 2), 16, 16, "coco")
    with pytest.raises(ValueError, match="skeleton: expected one of coco, human36m, got 'openpose'"):
        official_body_structure(torch.zeros(1, 17, 2), 16, 16, "openpose")
