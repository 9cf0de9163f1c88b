"""`faceforensics` and `iper`: frames in order, references, points from every kind of file, and what is refused."""

import json

import numpy as np
import pytest
import torch

from geotrans.data._manifest import seal, write_manifest
from geotrans.data.clips import example_faceforensics, faceforensics, iper
from geotrans.factory import create_model
from geotrans.ops.body_structure import COCO17, body_structure
from geotrans.ops.face_structure import face_structure
from geotrans.ops.images import read_pixels, write_image
from geotrans.ops.landmarks import mirror_landmarks
from geotrans.ops.official_face import official_face_structure
from geotrans.ops.poses import OPENPOSE18_MIRROR
from geotrans.train.clips import fed_back
from geotrans.train.step import make_batch
from geotrans.types import ConditionSpec

SIDE = 32


def level(number):
    """What frame `number` shows: one grey."""
    return (10 * number) / 127.5 - 1


def points(number, count=68, side=SIDE):
    """Points of frame `number`, in pixels."""
    return 2 + (side - 4) * torch.rand(count, 2, generator=torch.Generator().manual_seed(number))


def write_frame(folder, name, number, size=(SIDE, SIDE)):
    write_image(folder / f"{name}.png", torch.full((3, *size), 10 * number, dtype=torch.uint8))


def write_points(path, found):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, landmarks=found.numpy())
    else:
        path.write_text("\n".join(f"{x},{y}" for x, y in found.tolist()))


def write_clip(root, clip, numbers, *, suffix=".npz", size=(SIDE, SIDE)):
    for number in numbers:
        write_frame(root / clip, number, number, size)
        if suffix:
            write_points(root / clip / f"{number}{suffix}", points(number))


def write_openface(path, rows):
    """OpenFace's table: for each row the number of its frame, or None where no face was seen."""
    lines = [", ".join(["frame", "success", *(f"{axis}_{point}" for axis in "xy" for point in range(68))])]
    for place, number in enumerate(rows, start=1):
        values = torch.zeros(68, 2) if number is None else points(number)
        lines.append(", ".join([str(place), str(int(number is not None)), *map(str, values.T.flatten().tolist())]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def structure(number, side=SIDE):
    return face_structure((2 * (points(number) + 0.5) / side - 1)[None], side, side)[0]


def levels(images):
    """The numbers of frames that grey pictures (..., 3, H, W) are."""
    return ((images.mean((-3, -2, -1)) + 1) * 12.75).round().long().tolist()


def test_each_frame_comes_with_the_one_before_and_the_first(tmp_path):
    write_clip(tmp_path, "test/anna", range(1, 13))  # 1.png, ..., 12.png, which are in another order by their letters
    write_clip(tmp_path, "test/bert", range(14, 17))
    (tmp_path / "train").mkdir()
    dataset = faceforensics(str(tmp_path), "test", SIDE)
    assert len(dataset) == 11 + 2
    sample = dataset.batch(range(13))
    assert sample.image.shape == (13, 2, 3, SIDE, SIDE)
    assert levels(sample.truth) == [*range(2, 13), 15, 16]
    assert levels(sample.image) == [*([number - 1, 1] for number in range(2, 13)), [14, 14], [15, 14]]
    assert sample.id[:1] + sample.id[-1:] == ("test/anna/2", "test/bert/16")
    torch.testing.assert_close(sample.truth[0].unique(), torch.tensor([level(2)]))
    assert dataset.spec == ConditionSpec(structure=16)
    torch.testing.assert_close(sample.target.structure[1], structure(3))
    torch.testing.assert_close(sample.source.structure[1], torch.stack([structure(2), structure(1)]))


def test_training_draws_references_that_are_near(tmp_path):
    write_clip(tmp_path, "train/anna", range(1, 21))
    dataset = faceforensics(str(tmp_path), resolution=SIDE, frames=4, passes=5, flip=False)
    assert len(dataset) == 19 * 5
    sample = dataset.batch(range(len(dataset)))
    shown = torch.tensor(levels(sample.image))
    wanted = torch.tensor(levels(sample.truth))
    assert torch.equal(shown[:, 0], wanted - 1)
    distance = (wanted - shown[:, 1])[wanted > 4]
    assert set(distance.tolist()) == {1, 2, 3}
    assert distance.bincount()[1:].min() > 0.2 * len(distance)
    assert shown[wanted == 2].unique().tolist() == [1]
    again = faceforensics(str(tmp_path), resolution=SIDE, frames=4, passes=5, flip=False, seed=1)
    assert levels(again.batch(range(40)).image) != shown[:40].tolist()
    first = faceforensics(str(tmp_path), resolution=SIDE, frames=0, flip=False)
    assert {reference for _, reference in levels(first.batch(range(19)).image)} == {1}


def test_a_clip_may_start_at_any_frame(tmp_path):
    write_clip(tmp_path, "train/anna", range(1, 13))
    starting = faceforensics(str(tmp_path), resolution=SIDE, starts=1.0, frames=0)
    assert levels(starting.batch(range(11)).image) == [[1, 1]] * 11
    some = faceforensics(str(tmp_path), resolution=SIDE, starts=0.3, frames=0, passes=10, flip=False)
    shown = torch.tensor(levels(some.batch(range(11 * 10)).image))
    wanted = 2 + torch.arange(11 * 10) % 11
    share = (shown[wanted > 2, 0] == 1).float().mean()
    assert 0.15 < share < 0.45


def test_a_run_wants_several_frames_one_after_the_other(tmp_path):
    write_clip(tmp_path, "train/anna", range(1, 6))
    write_clip(tmp_path, "train/bert", range(11, 15))
    dataset = faceforensics(str(tmp_path), resolution=SIDE, frames=2, run=3, flip=False)
    sample = dataset.batch(range(len(dataset)))
    assert levels(sample.truth) == [[2, 3, 4], [3, 4, 5], [12, 13, 14]]
    assert levels(sample.image) == [[1, 1], [2, 2], [11, 11]]
    assert sample.id == ("train/anna/2", "train/anna/3", "train/bert/12")
    torch.testing.assert_close(sample.target.structure[1], torch.stack([structure(3), structure(4), structure(5)]))
    torch.testing.assert_close(sample.source.structure[1], torch.stack([structure(2), structure(2)]))
    whole = faceforensics(str(tmp_path), resolution=SIDE, frames=0, run=2, flip=False)
    assert levels(whole.batch([1]).image) == [[2, 1]]


def test_mirror_images_take_their_landmarks_along(tmp_path):
    write_clip(tmp_path, "train/anna", range(1, 5))
    dataset = faceforensics(str(tmp_path), resolution=SIDE)
    straight, mirrored = dataset.batch([0, 1, 2]), dataset.batch([3, 4, 5])
    assert levels(mirrored.image) == levels(straight.image)
    assert mirrored.id == tuple(f"{name}-mirrored" for name in straight.id)
    units = mirror_landmarks((2 * (points(2) + 0.5) / SIDE - 1)[None])
    torch.testing.assert_close(mirrored.target.structure[:1], face_structure(units, SIDE, SIDE))


def test_structures_may_be_those_of_the_official_weights(tmp_path):
    example_faceforensics(tmp_path)
    dataset = faceforensics(str(tmp_path), resolution=64, structure="official", frames=0, run=2)
    assert dataset.spec == ConditionSpec(structure=16)
    folder = tmp_path / "train/speaker_0"
    pixels = [np.load(folder / f"speaker_0_{number}.npz")["landmarks"] for number in (1, 2, 0)]
    units = (
        2 * (torch.from_numpy(np.stack(pixels)).float() + 0.5) / read_pixels(folder / "speaker_0_0.png").shape[2] - 1
    )
    for index, points in ((0, units), (len(dataset) // 2, mirror_landmarks(units))):
        sample = dataset.batch([index])
        pictures = torch.cat([sample.truth[0], sample.image[0, :1]])
        expected = official_face_structure(points, 64, 64, pictures)
        torch.testing.assert_close(torch.cat([sample.target.structure[0], sample.source.structure[0, :1]]), expected)
        assert not torch.equal(expected, official_face_structure(points, 64, 64))  # edges of the backdrop
    with pytest.raises(ValueError, match="structure: expected one of smooth, official, got 'rough'"):
        faceforensics(str(tmp_path), structure="rough")


def test_landmarks_lie_in_the_square_that_is_kept(tmp_path):
    write_clip(tmp_path, "test/anna", (1, 2), size=(SIDE, 2 * SIDE))
    (tmp_path / "train").mkdir()
    units = 2 * (points(2) + 0.5) / torch.tensor([SIDE, SIDE]) - 1
    middle = faceforensics(str(tmp_path), "test", SIDE)[0].target.structure
    torch.testing.assert_close(middle, face_structure((units - torch.tensor([1.0, 0.0]))[None], SIDE, SIDE))
    whole = faceforensics(str(tmp_path), "test", SIDE, fit="stretch")[0].target.structure
    units = 2 * (points(2) + 0.5) / torch.tensor([2 * SIDE, SIDE]) - 1
    torch.testing.assert_close(whole, face_structure(units[None], SIDE, SIDE))


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".txt"])
def test_a_frame_has_its_landmarks_beside_it(tmp_path, suffix):
    write_clip(tmp_path, "test/anna", (1, 2, 3), suffix=suffix)
    (tmp_path / "train").mkdir()
    found = faceforensics(str(tmp_path), "test", SIDE).batch([0, 1]).target.structure
    torch.testing.assert_close(found, torch.stack([structure(2), structure(3)]), atol=1e-4, rtol=0)


def test_openfaces_table_follows_the_letters_of_names(tmp_path):
    write_clip(tmp_path, "test/anna", (1, 2, 10), suffix="")
    write_openface(tmp_path / "test/anna.csv", (1, 10, 2))  # as OpenFace finds 1.png, 10.png, 2.png
    (tmp_path / "train").mkdir()
    sample = faceforensics(str(tmp_path), "test", SIDE).batch([0, 1])
    assert levels(sample.truth) == [2, 10]
    torch.testing.assert_close(sample.target.structure, torch.stack([structure(2), structure(10)]), atol=1e-4, rtol=0)


def test_folders_may_have_other_names(tmp_path):
    """GFLA's: train_data, train_keypoint, test_data, ...; and those of `geotrans prepare`: landmarks."""
    for split, numbers in (("train", (1, 2, 3)), ("test", (4, 5))):
        write_clip(tmp_path / "gfla", f"{split}_data/anna", numbers, suffix="")
        for number in numbers:
            write_points(tmp_path / "gfla" / f"{split}_keypoint/anna/{number}.txt", points(number))
    options = {"pictures": "{split}_data", "landmarks": "{split}_keypoint", "resolution": SIDE, "flip": False}
    assert levels(faceforensics(str(tmp_path / "gfla"), **options).batch([0, 1]).truth) == [2, 3]
    for split in ("val", "test"):
        sample = faceforensics(str(tmp_path / "gfla"), split, **options)[0]
        assert sample.id == ("test_data/anna/5",)
        torch.testing.assert_close(sample.target.structure[0], structure(5), atol=1e-4, rtol=0)
    write_clip(tmp_path / "prepared", "train/anna", (1, 2), suffix="")
    for number in (1, 2):
        write_points(tmp_path / f"prepared/landmarks/train/anna/{number}.npz", points(number))
    torch.testing.assert_close(
        faceforensics(str(tmp_path / "prepared"), resolution=SIDE)[0].target.structure[0], structure(2)
    )


def test_whole_clips_are_held_out(tmp_path):
    for clip in range(20):
        write_clip(tmp_path, f"person_{clip // 2}/take_{clip % 2}", (1, 2))
    found = {split: faceforensics(str(tmp_path), split, SIDE, flip=False) for split in ("train", "val", "test")}
    assert {split: len(dataset) for split, dataset in found.items()} == {"train": 18, "val": 1, "test": 1}
    clips = [name.rpartition("/")[0] for dataset in found.values() for name in dataset.batch(range(len(dataset))).id]
    assert len(set(clips)) == 20


def joints(number):
    return points(number, 18)


def openpose(found, certain=1.0):
    return {"pose_keypoints_2d": [cell for x, y in found.tolist() for cell in (x, y, certain)]}


def write_dance(root, numbers, *, extra=()):
    for number in numbers:
        write_frame(root / "test/dora", number, number)
        stranger = openpose(points(99, 18), 0.2)
        (root / f"test/dora/{number}_keypoints.json").write_text(
            json.dumps({"people": [stranger, openpose(joints(number)), *extra]})
        )
    (root / "train").mkdir(exist_ok=True)


def body(found, side=SIDE):
    return body_structure((2 * (found + 0.5) / side - 1)[None], side, side, size=2.0)[0]


def test_joints_are_those_of_the_surest_person(tmp_path):
    write_dance(tmp_path, (1, 2, 3))
    dataset = iper(str(tmp_path), "test", SIDE, pose_size=2.0)
    assert dataset.spec == ConditionSpec(structure=20)
    sample = dataset.batch([0, 1])
    assert sample.source.structure.shape == (2, 2, 20, SIDE, SIDE)
    torch.testing.assert_close(sample.target.structure[1], body(joints(3)))
    torch.testing.assert_close(sample.source.structure[1], torch.stack([body(joints(2)), body(joints(1))]))


def test_joints_may_be_openposes_25_and_some_missing(tmp_path):
    write_dance(tmp_path, (1, 2))
    many = torch.cat([joints(5)[:8], torch.zeros(1, 2), joints(5)[8:], torch.zeros(6, 2)])  # 8 is the middle of hips
    person = openpose(many)
    person["pose_keypoints_2d"][3 * 4 + 2] = 0.0  # nobody saw the right wrist
    (tmp_path / "test/dora/2_keypoints.json").write_text(json.dumps({"people": [person]}))
    found = joints(5).clone()
    found[4] = torch.nan
    shown = iper(str(tmp_path), "test", SIDE, pose_size=2.0)[0].target.structure[0]
    torch.testing.assert_close(shown, body(found))
    assert shown[COCO17.index(4)].max() == 0


def test_joints_may_be_a_list_of_patns(tmp_path):
    lines = ["name:keypoints_y:keypoints_x"]
    for number in (1, 2):
        write_frame(tmp_path / "test/dora", number, number)
        x, y = joints(number).round().long().T.tolist()
        lines.append(f"{number}.png: {y}: {x}")
    (tmp_path / "test/dora.csv").write_text("\n".join(lines))
    (tmp_path / "train").mkdir()
    shown = iper(str(tmp_path), "test", SIDE, pose_size=2.0)[0].target.structure[0]
    torch.testing.assert_close(shown, body(joints(2).round()))


def test_a_body_is_seventeen_joints_and_a_figure():
    units = (joints(1) / SIDE * 2 - 1)[None]
    maps = body_structure(units, SIDE, SIDE)
    assert maps.shape == (1, 20, SIDE, SIDE)
    assert 0 <= maps.min() <= maps.max() <= 1
    assert len(set(COCO17)) == 17
    assert 1 not in COCO17  # the neck
    # COCO's left joints have odd numbers, and the right one of each comes next.
    assert all(OPENPOSE18_MIRROR[COCO17[left]] == COCO17[left + 1] for left in range(1, 17, 2))
    places = maps[0, :17].flatten(1).argmax(1)
    found = torch.stack([places % SIDE, places // SIDE], 1)
    torch.testing.assert_close(found.float(), joints(1)[list(COCO17)] - 0.5, atol=0.51, rtol=0)
    assert body_structure(torch.full((1, 18, 2), torch.nan), SIDE, SIDE).abs().max() == 0


def test_models_of_clips_read_it_as_they_read_drawn_clips(tmp_path):
    example_faceforensics(tmp_path)
    dataset = faceforensics(str(tmp_path), resolution=64)
    sample = dataset.batch([0, 1])
    model = create_model("gfla_face_64", width=4, max_width=8, flow_width=4, flow_max_width=8).eval()
    batch = make_batch(sample, model.cfg.condition, dataset.spec, "truth")
    assert model(batch.image, batch.target, batch.source).image.shape == sample.truth.shape
    fed = fed_back(type("Networks", (), {"translate": staticmethod(model)})(), batch, 1.0)
    assert torch.equal(fed.image[:, 1], batch.image[:, 1])
    assert not torch.equal(fed.image[:, 0], batch.image[:, 0])


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_a_prepared_folder_is_read_as_it_was(tmp_path, kind):
    write_clip(tmp_path, "train/anna", (1, 2))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    write_manifest(tmp_path, {path.relative_to(tmp_path).as_posix(): seal(path) for path in files}, {})
    dataset = faceforensics(str(tmp_path), resolution=SIDE)
    path = tmp_path / f"train/anna/2.{kind}"
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"2.{kind}: its sha256 is not the one in"):
        dataset[0]


def test_frames_without_landmarks_are_named_or_left_out(tmp_path, caplog):
    write_clip(tmp_path, "train/anna", range(1, 6))
    (tmp_path / "train/anna/3.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 5 frames have no points in .*anna/3.png; expected NAME.npz"):
        faceforensics(str(tmp_path))
    dataset = faceforensics(str(tmp_path), resolution=SIDE, skip_broken=True, flip=False)
    assert "skipped 1 of 5 frames" in caplog.text
    assert levels(dataset.batch(range(3)).truth) == [2, 4, 5]
    assert levels(dataset.batch([1]).image)[0][0] == 2


def test_frames_in_which_openface_saw_no_face_are_named_or_left_out(tmp_path, caplog):
    write_clip(tmp_path, "train/anna", range(1, 5), suffix="")
    write_openface(tmp_path / "train/anna.csv", (1, 2, None, 4))
    dataset = faceforensics(str(tmp_path), resolution=SIDE, flip=False)
    with pytest.raises(ValueError, match=r"anna.csv: knows no points of the frame 3; skip_broken leaves it out"):
        dataset[1]
    fewer = faceforensics(str(tmp_path), resolution=SIDE, flip=False, skip_broken=True)
    assert "skipped 1 of 4 frames without points" in caplog.text
    assert levels(fewer.batch([0, 1]).truth) == [2, 4]


def test_a_table_of_another_length_is_refused(tmp_path):
    write_clip(tmp_path, "train/anna", range(1, 5), suffix="")
    write_openface(tmp_path / "train/anna.csv", (1, 2, 3))
    with pytest.raises(ValueError, match=r"anna.csv: expected a row for each of the 4 frames in anna, got 3; run"):
        faceforensics(str(tmp_path), resolution=SIDE)[0]


def test_a_clip_needs_two_frames(tmp_path, caplog):
    write_clip(tmp_path, "train/anna", (1, 2))
    write_clip(tmp_path, "train/bert", (1,))
    with pytest.raises(ValueError, match=r"1 of 2 clips have less than 2 frames: .*train/bert; remove them"):
        faceforensics(str(tmp_path))
    assert len(faceforensics(str(tmp_path), flip=False, skip_broken=True)) == 1
    assert "skipped 1 of 2 clips" in caplog.text
    write_frame(tmp_path / "train", 3, 3)
    with pytest.raises(ValueError, match=r"expected frames in a folder for each clip, got .*3.png"):
        faceforensics(str(tmp_path))


def test_one_clip_alone_cannot_be_split(tmp_path):
    write_clip(tmp_path, "anna", (1, 2))
    with pytest.raises(ValueError, match="has no clips for the split 'train'; put some in its folder train"):
        faceforensics(str(tmp_path))


def test_frames_of_a_clip_have_one_size(tmp_path):
    write_clip(tmp_path, "train/anna", (1, 2, 3))
    write_frame(tmp_path / "train/anna", 2, 2, (SIDE, SIDE + 2))
    with pytest.raises(ValueError, match=r"2.png: expected 32 x 32 pixels as in 1.png, got 32 x 34; the frames of a"):
        faceforensics(str(tmp_path), resolution=SIDE)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected {.*}: JSONDecodeError"),
        ("[]", "expected {.*}: TypeError"),
        ('{"people": []}', "shows nobody; leave the frame out"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}', "expected 18 or 25 joints .*, got 1"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "expected {.*}: RuntimeError"),
    ],
)
def test_broken_joints_are_named(tmp_path, content, message):
    write_dance(tmp_path, (1, 2))
    (tmp_path / "test/dora/2_keypoints.json").write_text(content)
    with pytest.raises(ValueError, match=f"2_keypoints.json: {message}"):
        iper(str(tmp_path), "test", SIDE)[0]


def test_broken_landmarks_are_named(tmp_path):
    write_clip(tmp_path, "train/anna", (1, 2))
    (tmp_path / "train/anna/2.npz").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"2.npz: cannot be read as landmarks"):
        faceforensics(str(tmp_path), resolution=SIDE)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 1}, "expected 2 frames or more, or 0, got 1"),
        ({"starts": 1.5}, r"expected starts to be a share in \[0, 1\], got 1.5"),
        ({"run": 0}, "expected a run of 1 frame or more, got 0"),
        ({"run": 2}, "1 of 1 clips have less than 3 frames"),
        ({"passes": 0}, "passes: expected at least 1, got 0"),
        ({"fit": "fill"}, "fit: expected"),
        ({"pictures": "frames"}, "has no folder of clips"),
        ({"landmarks": "points"}, "has no folder of points"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    write_clip(tmp_path, "train/anna", (1, 2))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        faceforensics(str(tmp_path), **options)
    with pytest.raises(ValueError, match="pose_size: expected a positive number"):
        iper(str(tmp_path), pose_size=0)
