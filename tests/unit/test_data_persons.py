"""`deepfashion` and `market1501`: PATN's lists, key points on pictures, and real persons where they are at hand."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from geotrans.data._files import pictures_in
from geotrans.data._keypoints import JOINTS, read_keypoints, read_pairs
from geotrans.data._posing import TARGET, Posing
from geotrans.data.persons import deepfashion, example_deepfashion, example_market1501, market1501
from geotrans.factory import create_model
from geotrans.ops.images import read_image, read_pixels, write_image
from geotrans.ops.limbs import joints_of, pose_mask
from geotrans.ops.poses import OPENPOSE18_MIRROR
from geotrans.types import Condition

HEADER = "name:keypoints_y:keypoints_x"
JOINT = 4


def line(name, **places):
    """A line of key points, all missing but those given as jNUMBER=(y, x)."""
    found = [places.get(f"j{joint}", (-1, -1)) for joint in range(JOINTS)]
    return f"{name}: {[y for y, _ in found]}: {[x for _, x in found]}"


def write_list(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def write_pair(root, first, second, lists="fasion", size=(256, 176), split="test"):
    """Two grey pictures and their lists; each side is what `line` takes."""
    for name, level in (("a", 60), ("b", 200)):
        write_image(root / split / f"{name}.png", torch.full((3, *size), level, dtype=torch.uint8))
    told = line("a.jpg", **first), line("b.jpg", **second)
    write_list(root / f"{lists}-annotation-{split}.csv", HEADER, *told)
    write_list(root / f"{lists}-pairs-{split}.csv", "from,to", "a.jpg,b.jpg")


def official_map(y, x, old, new, sigma=6):
    """What GFLA's code draws, by its definition: the joint scaled, cut to whole numbers, and a Gaussian."""
    row, column = int(y / old[0] * new[0]), int(x / old[1] * new[1])
    rows, columns = np.mgrid[: new[0], : new[1]]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))


def test_fashion_maps_are_the_official_ones(tmp_path):
    shown, wanted = {"j4": (100, 33), "j17": (255, 175)}, {"j0": (0, 0), "j4": (7, 100)}
    write_pair(tmp_path, shown, wanted)
    sample = deepfashion(str(tmp_path), "test").batch([0])
    assert sample.image.shape == sample.truth.shape == (1, 3, 256, 256)
    assert sample.id == ("a_2_b",)
    assert sample.image.unique().item() == pytest.approx(60 / 127.5 - 1)
    assert sample.truth.unique().item() == pytest.approx(200 / 127.5 - 1)
    for condition, places in ((sample.source, shown), (sample.target, wanted)):
        for joint in range(JOINTS):
            known = places.get(f"j{joint}")
            expected = np.zeros((256, 256)) if known is None else official_map(*known, (256, 176), (256, 256))
            np.testing.assert_allclose(condition.structure[0, joint], expected, atol=1e-6)


@pytest.mark.parametrize(("pose", "total"), [("points", 1), ("discs", 13)])
def test_other_maps_for_patn_and_intrinsic_flow(tmp_path, pose, total):
    write_pair(tmp_path, {"j4": (100, 33)}, {})
    maps = deepfashion(str(tmp_path), "test", width=176, pose=pose, pose_size=2).batch([0]).source.structure
    assert maps.shape == (1, JOINTS, 256, 176)
    assert maps[0, JOINT, 100, 33] == 1
    assert maps.sum() == total


def test_sizes_of_maps_are_pixels_at_every_resolution(tmp_path):
    write_pair(tmp_path, {"j4": (128, 88)}, {})
    maps = deepfashion(str(tmp_path), "test", resolution=64).batch([0]).source.structure
    np.testing.assert_allclose(maps[0, JOINT], official_map(128, 88, (256, 176), (64, 64)), atol=1e-6)


def test_market_pictures_are_twice_as_high_as_wide(tmp_path):
    write_pair(tmp_path, {"j4": (100, 33)}, {}, "market", (128, 64))
    (tmp_path / "test").rename(tmp_path / "bounding_box_test")
    sample = market1501(str(tmp_path), "test", distort=True).batch([0])
    assert sample.image.shape == (1, 3, 128, 64)
    np.testing.assert_allclose(
        sample.source.structure[0, JOINT], official_map(100, 33, (128, 64), (128, 64)), atol=1e-6
    )
    assert market1501(str(tmp_path), "test", resolution=32).batch([0]).image.shape == (1, 3, 32, 16)


def test_a_frame_can_be_each_pictures_own(tmp_path):
    write_pair(tmp_path, {"j4": (90, 30)}, {}, "market", (180, 60))
    maps = market1501(str(tmp_path), "test", frame=(), pose="points").batch([0]).source.structure
    assert maps[0, JOINT, 64, 32] == 1


def test_key_points_of_another_frame_are_told(tmp_path, caplog):
    write_pair(tmp_path, {"j4": (300, 30)}, {"j4": (90, 30)})
    deepfashion(str(tmp_path), "test", resolution=32, frame=())
    deepfashion(str(tmp_path), "test", resolution=32, frame=(400, 200))
    assert not caplog.records
    deepfashion(str(tmp_path), "test", resolution=32)
    assert "1 of 2 pictures have key points outside of the frame of 256 x 176" in caplog.text


def test_a_flip_exchanges_left_and_right(tmp_path):
    example_deepfashion(tmp_path)
    dataset = deepfashion(str(tmp_path), resolution=64)
    straight, mirrored = dataset.batch([2]), dataset.batch([2 + len(dataset) // 2])
    for one, other in ((straight.source, mirrored.source), (straight.target, mirrored.target)):
        expected = one.structure[:, list(OPENPOSE18_MIRROR)].flip(3)
        torch.testing.assert_close(other.structure, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(mirrored.truth, straight.truth.flip(-1))


def test_distortions_take_the_joints_along():
    pixels = torch.zeros(3, 128, 64, dtype=torch.uint8)
    joints = torch.full((JOINTS, 2), torch.nan)
    joints[JOINT] = torch.tensor([40.0, 30.0])
    pixels[:, 29:32, 39:42] = 255  # a spot of 3 x 3 around the joint
    posing = Posing(128, 64, distort=True)
    moved = set()
    for draws in torch.rand(20, 4, generator=torch.Generator().manual_seed(0)):
        image, maps = posing(pixels, joints, draws)
        weights = image[0, 0] + 1
        weights = weights * (weights > 0.5 * weights.max())  # the edges that came in are half as bright
        spot = (weights.sum(0) @ torch.arange(64.0), weights.sum(1) @ torch.arange(128.0))
        x, y = ((value / weights.sum()).item() for value in spot)
        row, column = divmod(int(maps[0, JOINT].argmax()), 64)
        assert abs(x - 0.5 - column) <= 0.75  # joints are cut to whole pixels
        assert abs(y - 0.5 - row) <= 0.75
        moved.add((row, column))
    assert len(moved) > 10
    still = posing(pixels, joints, torch.full((4,), 0.5))[0]
    torch.testing.assert_close(still, Posing(128, 64)(pixels, joints, torch.zeros(4))[0], atol=1e-4, rtol=0)
    calm = posing(pixels, joints, torch.tensor([0.5, 1.0, 0.5, 1.0]), shares=TARGET)[0]
    assert (calm[0, 0, 30, 42:45].mean() + 1) > 0.9  # 2.5 pixels to the right, and no larger


def test_training_is_distorted_and_the_test_is_not(tmp_path):
    example_market1501(tmp_path)
    plain, moved = (market1501(str(tmp_path), distort=distort, flip=False, passes=2) for distort in (False, True))
    assert len(moved) == 16
    assert not torch.equal(plain[0].image, moved[0].image)
    assert not torch.equal(moved[0].image, moved[8].image)  # the second pass
    assert torch.equal(moved[3].image, moved.batch([1, 3]).image[1:])
    tests = [market1501(str(tmp_path), "test", distort=distort)[0].image for distort in (False, True)]
    assert torch.equal(*tests)


def test_pairs_are_those_of_the_list_in_its_order(tmp_path):
    example_market1501(tmp_path)
    listed = (tmp_path / "market-pairs-test.csv").read_text().split()[1:]
    wanted = [tuple(name.removesuffix(".jpg") for name in pair.split(",")) for pair in listed]
    for split in ("test", "val"):
        dataset = market1501(str(tmp_path), split)
        assert [tuple(name.split("_2_")) for name in dataset.batch(range(len(dataset))).id] == wanted
    first = read_image(tmp_path / "test" / f"{wanted[0][0]}.jpg")
    assert torch.equal(market1501(str(tmp_path), "test")[0].image, first)


def test_in_shop_folders_are_read_by_patns_names(tmp_path):
    example_deepfashion(tmp_path)
    flat = deepfashion(str(tmp_path), "test").batch(range(4))
    for number, path in enumerate(sorted((tmp_path / "test").iterdir())):
        person, shot = divmod(number, 2)
        place = (
            tmp_path / "img_highres" / "WOMEN" / "Tees_Tanks" / f"id_0000{person + 8:04d}" / f"01_{shot + 1}_front.jpg"
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    shutil.rmtree(tmp_path / "test")
    tree = deepfashion(str(tmp_path), "test").batch(range(4))
    assert tree.id == flat.id
    assert torch.equal(tree.image, flat.image)


def test_square_pictures_are_cut_to_their_middle(tmp_path):
    write_pair(tmp_path, {"j4": (100, 33)}, {}, size=(256, 256))
    ramp = torch.arange(256, dtype=torch.uint8).expand(3, 256, 256)
    write_image(tmp_path / "test" / "a.png", ramp)
    sample = deepfashion(str(tmp_path), "test", width=176, crop=True, pose="points").batch([0])
    assert torch.equal(((sample.image[0, 0, 0] + 1) * 127.5).round(), torch.arange(40.0, 216.0))
    assert sample.source.structure[0, JOINT, 100, 33] == 1
    assert deepfashion(str(tmp_path), "test", width=176).batch([0]).image[0, 0, 0, 0] < -0.98


BROKEN = [
    ("name,y,x", "annotation.csv:1: expected the header name:keypoints_y:keypoints_x, got 'name,y,x'"),
    (
        f"{HEADER}\na.jpg: [1, 2]: [3, 4]",
        r"annotation.csv:2: expected name: \[18 numbers\]: \[18 numbers\], got 'a.jpg",
    ),
    (f"{HEADER}\n\n{line('a.jpg')[:-1]}", r"annotation.csv:3: expected name: \[18 numbers\]"),
    (f"{HEADER}\n{line('a.jpg').replace('-1', 'nan', 1)}", "annotation.csv:2: expected name"),
    (f"{HEADER}\n{line('a.jpg').replace('-1', '1e999', 1)}", "annotation.csv:2: expected name"),
    (f"{HEADER}\n{line('a.jpg').replace('-1', 'x', 1)}", "annotation.csv:2: expected name"),
    (f"{HEADER}\n{line('a.jpg')}\n{line('a.png')}", "annotation.csv:3: a has key points already"),
    (HEADER, "annotation.csv: expected a line for each picture after the header, got none"),
    ("", "annotation.csv:1: expected the header .*, got ''"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_broken_key_points_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_keypoints(write_list(tmp_path / "annotation.csv", text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b", "pairs.csv:1: expected the header from,to, got 'a,b'"),
        ("from,to\na.jpg", "pairs.csv:2: expected from,to, got 'a.jpg'"),
        ("from,to\na.jpg,", "pairs.csv:2: expected from,to, got 'a.jpg,'"),
        (
            "from,to\na.jpg,a.jpg\na.jpg,c.jpg",
            "pairs.csv:3: expected a picture with key points, got 'c', not in .*told",
        ),
        ("from,to", "pairs.csv: expected a line for each pair after the header, got none"),
    ],
)
def test_broken_pairs_are_named(tmp_path, text, message):
    known = read_keypoints(write_list(tmp_path / "told.csv", HEADER, line("a.jpg")))
    with pytest.raises(ValueError, match=message) as caught:
        read_pairs(write_list(tmp_path / "pairs.csv", text), known, tmp_path / "told.csv")
    assert "\n" not in str(caught.value)


def test_lists_may_have_further_columns_and_blank_lines(tmp_path):
    known = read_keypoints(write_list(tmp_path / "told.csv", f"\ufeff{HEADER}", "", line("a:b.jpg", j4=(1, 2.5)), ""))
    assert known.joints[known.rows["a:b"], JOINT].tolist() == [2.5, 1]
    assert known.joints.isfinite().sum() == 2
    listed = write_list(tmp_path / "pairs.csv", ",from,to", "0,a:b.jpg,a:b.jpg", "")
    assert read_pairs(listed, known, tmp_path) == [("a:b", "a:b")]


def test_missing_files_are_named_or_skipped(tmp_path, caplog):
    example_market1501(tmp_path)
    dataset = market1501(str(tmp_path), "test")
    gone = next(path for path in sorted((tmp_path / "test").iterdir()) if path.stem == dataset.names[3])
    gone.unlink()
    with pytest.raises(FileNotFoundError, match=f"1 of 8 labelled pictures are missing: {gone.stem}"):
        market1501(str(tmp_path), "test")
    fewer = market1501(str(tmp_path), "test", skip_broken=True)
    assert len(fewer) == len(dataset) - 1
    assert gone.stem in caplog.text
    (tmp_path / "market-pairs-test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no list of pairs \(looked for market-pairs-test.csv\)"):
        market1501(str(tmp_path), "test")
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(FileNotFoundError, match=r"no folder test \(looked for test, bounding_box_test\)"):
        market1501(str(tmp_path), "test")


def test_nothing_left_is_an_error(tmp_path):
    write_pair(tmp_path, {}, {}, "market", (128, 64))
    (tmp_path / "test" / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="has no pairs for the split 'test'"):
        market1501(str(tmp_path), "test", skip_broken=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pose": "stars"}, "style: expected 'gaussians', 'points' or 'discs', got 'stars'"),
        ({"pose_size": 0}, "size: expected a positive number of pixels, got 0"),
        ({"frame": (256,)}, "frame: expected a height and a width"),
        ({"frame": (), "crop": True}, "crop: .* give a frame too"),
        ({"width": -1}, "resolution and width: expected at least 1, got 256 and -1"),
    ],
)
def test_unknown_options_are_named(tmp_path, options, message):
    write_pair(tmp_path, {}, {})
    with pytest.raises(ValueError, match=message):
        deepfashion(str(tmp_path), "test", **options)


@pytest.fixture(scope="module")
def persons(tmp_path_factory):
    """Real persons in crops of any size, as a folder of pairs: each with the next."""
    root = Path(os.environ.get("GEOTRANS_TEST_DATA", "")) / "coco_persons"
    if "GEOTRANS_TEST_DATA" not in os.environ or not root.is_dir():
        pytest.skip("needs coco_persons; set GEOTRANS_TEST_DATA to the folder that holds it")
    folder = tmp_path_factory.mktemp("persons")
    shutil.copytree(root / "images", folder / "test")
    shutil.copy(root / "annotation.csv", folder / "market-annotation-test.csv")
    names = [f"{name}.png" for name in pictures_in(root / "images")]
    pairs = [f"{first},{second}" for first, second in zip(names, names[1:] + names[:1], strict=True)]
    write_list(folder / "market-pairs-test.csv", "from,to", *pairs)
    return folder


def test_real_persons_have_their_joints_where_the_list_says(persons):
    dataset = market1501(str(persons), "test", resolution=256, width=256, frame=())
    sample = dataset.batch(range(len(dataset)))
    assert len(dataset) == 23
    known = read_keypoints(persons / "market-annotation-test.csv")
    missing, sizes = 0, set()
    for row, name in enumerate(sample.id):
        stem = name.split("_2_")[0]
        joints = known.joints[known.rows[stem]]
        height, width = read_pixels(persons / "test" / f"{stem}.png").shape[1:]
        sizes.add((height, width))
        read = joints_of(sample.source.structure[row : row + 1])[0]
        there = ((joints >= 0) & (joints < torch.tensor([width, height]))).all(1)
        assert read[there].isfinite().all()
        assert read[joints.isnan().any(1)].isnan().all()  # of the rest, outside of their crop, a Gaussian may reach in
        pixels = ((read + 1) / 2 * torch.tensor([width, height]))[there]
        one = torch.tensor([width, height]) / 256 + 0.01  # a pixel of the map, in the file's
        assert ((pixels - joints[there]).abs() <= one).all()
        missing += int((~there).sum())
    assert missing > 20
    assert len(sizes) > 10
    assert (pose_mask(sample.source.structure, (256, 256)).mean((1, 2, 3)) > 0.01).all()


@pytest.mark.parametrize(("name", "height", "width"), [("gfla_fashion_256", 256, 256), ("gfla_market_128", 128, 64)])
@torch.no_grad()
def test_real_persons_go_through_gfla(persons, name, height, width):
    model = create_model(name).eval()
    sample = market1501(str(persons), "test", resolution=height, width=width, frame=()).batch([4])
    out = model(sample.image, sample.target, sample.source)
    assert out.image.shape == sample.image.shape
    assert out.image.isfinite().all()
    nobody = Condition(structure=torch.zeros_like(sample.target.structure))
    assert model(sample.image, nobody, nobody).image.isfinite().all()
