"""`geotrans prepare`: what it cuts out and writes, that it can be stopped, and that the datasets read and check it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geotrans import faces
from geotrans.cli import main
from geotrans.data.emotionnet import emotionnet, example_emotionnet
from geotrans.data.folder import folder
from geotrans.faces import Face, Region
from geotrans.ops.images import from_uint8, list_images, read_image, read_pixels, write_image
from geotrans.prepare import Preparation, prepare

SMALL = Preparation(size=8)


def whole(image):
    """A detector that sees a face in the middle of whatever is not dark."""
    height, width = image.shape[2:]
    return Face(Region(width // 4, height // 4, width // 2)) if image.mean() > -0.9 else None


def points_of(image):
    """A landmarker: points along a diagonal of the face; none in a picture without red."""
    assert image.dtype == torch.uint8
    if not image[:, 0].any():
        return torch.zeros(1, 136)
    return torch.linspace(-0.5, 0.5, 136)[None]


@pytest.fixture
def photos(tmp_path):
    """Five pictures in two folders; number 3 is dark."""
    for number in range(5):
        picture = torch.randint(60, 256, (3, 32, 32), dtype=torch.uint8) * (number != 3)
        write_image(tmp_path / "photos" / ("b" if number % 2 else "a") / f"p{number}.png", picture)
    return tmp_path / "photos"


def files_in(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_faces_are_cut_and_resized_and_those_not_found_are_listed(photos, tmp_path):
    done = prepare(photos, tmp_path / "out", SMALL, detect=whole)
    assert done.kept == ("a/p0", "a/p2", "a/p4", "b/p1")
    assert done.left_out == {"b/p3": "no face"}
    expected = read_image(photos / "a" / "p2.png")[:, :, 8:24, 8:24]
    expected = torch.nn.functional.interpolate(expected, (8, 8), mode="bilinear", antialias=True)
    assert (read_image(tmp_path / "out" / "a" / "p2.png") - expected).abs().max() < 1.01 / 127.5
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["left_out"] == {"b/p3": "no face"}
    assert manifest["options"]["size"] == 8
    found = files_in(tmp_path / "out")
    assert manifest["files"].keys() == found.keys() - {"manifest.json"}
    assert all(row["bytes"] == len(found[name]) for name, row in manifest["files"].items())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_whole_pictures_need_no_face(photos, tmp_path):
    options = Preparation(size=32, crop="whole")
    assert len(prepare(photos, tmp_path / "out", options, detect=pytest.fail).kept) == 5
    assert torch.equal(read_pixels(tmp_path / "out" / "b" / "p3.png"), read_pixels(photos / "b" / "p3.png"))


def test_folder_reads_it_with_its_classes_and_landmarks(photos, tmp_path):
    write_image(
        photos / "a" / "green.png", torch.tensor([0, 255, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 32, 32)
    )
    options = Preparation(size=8, landmarks="dlib")
    done = prepare(photos, tmp_path / "out", options, detect=whole, landmarker=points_of)
    assert done.left_out == {"a/green": "no landmarks", "b/p3": "no face"}
    assert not (tmp_path / "out" / "a" / "green.png").exists()
    dataset = folder(str(tmp_path / "out"), resolution=8, landmarks="landmarks", flip=False)
    sample = dataset.batch(range(len(dataset)))
    assert dataset.spec.modality == ("a", "b")
    torch.testing.assert_close(sample.source.landmarks[0], torch.linspace(-0.5, 0.5, 136).view(68, 2))
    assert torch.equal(sample.image[:1], read_image(tmp_path / "out" / f"{sample.id[0]}.png"))


def test_emotionnet_reads_it_with_its_action_units(tmp_path):
    example_emotionnet(tmp_path / "in")
    (tmp_path / "in" / "images" / "face_03.png").rename(tmp_path / "in" / "images" / "face.v2.png")
    (tmp_path / "in" / "aus" / "face_03.csv").rename(tmp_path / "in" / "aus" / "face.v2.csv")
    options = Preparation(size=32, units=True, landmarks="mediapipe")
    source, aus = tmp_path / "in" / "images", tmp_path / "in" / "aus"
    prepare(source, tmp_path / "out", options, aus=aus, detect=whole, landmarker=points_of)
    splits = [
        emotionnet(str(tmp_path / root), "train", 32, landmarks=marks, flip=False)
        for root, marks in (("in", ""), ("out", "landmarks"))
    ]
    before, after = (split.batch(range(len(split))) for split in splits)
    assert before.id == after.id
    assert (tmp_path / "out" / "landmarks" / "face.v2.npz").is_file()
    torch.testing.assert_close(after.source.aus, before.source.aus)
    assert after.source.landmarks.shape == (len(after.id), 68, 2)
    (aus / "face_07.csv").unlink()
    with pytest.raises(ValueError, match="1 of 20 pictures have no action units: face_07; --skip-broken"):
        prepare(source, tmp_path / "less", options, aus=aus, detect=whole, landmarker=points_of)
    done = prepare(source, tmp_path / "less", options, aus=aus, skip_broken=True, detect=whole, landmarker=points_of)
    assert done.left_out == {"face_07": "no action units"}
    assert len(done.kept) == 19


def test_a_broken_picture_is_named_or_listed(photos, tmp_path):
    (photos / "a" / "p2.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a/p2\.png: not an image .*; --skip-broken leaves such pictures out"):
        prepare(photos, tmp_path / "out", SMALL, detect=whole)
    assert not (tmp_path / "out").exists()
    done = prepare(photos, tmp_path / "out", SMALL, skip_broken=True, detect=whole)
    assert done.kept == ("a/p0", "a/p4", "b/p1")
    assert done.left_out["a/p2"].startswith("broken: ")


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(photos, tmp_path, caplog):
    options = Preparation(size=8, landmarks="dlib")
    seen = []

    def stops(image):
        seen.append(image)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return whole(image)

    prepare(photos, tmp_path / "straight", options, detect=whole, landmarker=points_of)
    with pytest.raises(KeyboardInterrupt):
        prepare(photos, tmp_path / "out", options, detect=stops, landmarker=points_of)
    part = tmp_path / ".out.part"
    assert not (tmp_path / "out").exists()
    # What a run killed at the worst moments leaves: half a line, half a picture, a file that nobody knows.
    journal = part / ".prepare.jsonl"
    journal.write_text(journal.read_text() + '["b/p1", {"b/p1.p')
    (part / "a" / "p2.png").write_bytes(b"half")
    (part / "a" / ".p4.png.1234.tmp").write_bytes(b"stray")
    again = []
    prepare(photos, tmp_path / "out", options, detect=lambda x: again.append(x) or whole(x), landmarker=points_of)
    assert "2 pictures are done" in caplog.text
    assert len(again) == 3
    assert files_in(tmp_path / "out") == files_in(tmp_path / "straight")
    assert not part.exists()


def test_what_is_in_the_way_is_left_alone(photos, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        prepare(photos, tmp_path / "out", SMALL, detect=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(ValueError, match="was begun with other options"):
        prepare(photos, tmp_path / "out", Preparation(size=16), detect=whole)
    prepare(photos, tmp_path / "out", SMALL, detect=whole)
    with pytest.raises(FileExistsError, match="out is there already"):
        prepare(photos, tmp_path / "out", SMALL, detect=whole)
    for inside, outside in ((photos / "faces", photos), (tmp_path / "new", tmp_path)):
        with pytest.raises(ValueError, match="must not lie in each other"):
            prepare(outside, inside, SMALL, detect=whole)
    with pytest.raises(ValueError, match="nothing is left, no face in 5: a/p0, a/p2, a/p4, b/p1, b/p3; --crop whole"):
        prepare(photos, tmp_path / "none", SMALL, detect=lambda image: None)
    assert not (tmp_path / ".none.part").exists()
    with pytest.raises(ValueError, match="--size: expected at least 1, got 0"):
        prepare(photos, tmp_path / "zero", Preparation(size=0))
    with pytest.raises(ValueError, match="--upright turns faces"):
        prepare(photos, tmp_path / "zero", Preparation(crop="whole", upright=True))


def test_training_checks_the_manifest(photos, tmp_path):
    root = tmp_path / "out"
    prepare(photos, root, Preparation(size=8, landmarks="dlib"), detect=whole, landmarker=points_of)
    dataset = folder(str(root), resolution=8, flip=False, landmarks="landmarks")
    dataset.batch(range(len(dataset)))
    name = dataset.table.names[0]
    picture, points = root / f"{name}.png", root / "landmarks" / f"{name}.npz"
    kept = {path: path.read_bytes() for path in (picture, points)}

    def other(data):
        return data[:-1] + bytes([data[-1] ^ 1])

    picture.write_bytes(other(kept[picture]))  # as long as before: found when it is read
    again = folder(str(root), resolution=8, flip=False)
    with pytest.raises(ValueError, match=rf"{name}\.png: its sha256 is not the one in .*manifest\.json; prepare"):
        again.batch(range(len(again)))
    picture.write_bytes(kept[picture])
    points.write_bytes(other(kept[points]))
    folder(str(root), resolution=8)
    with pytest.raises(ValueError, match=rf"{name}\.npz: its sha256"):
        folder(str(root), resolution=8, landmarks="landmarks")
    points.write_bytes(kept[points] + b"more")
    with pytest.raises(
        ValueError, match=rf"1 of 8 files are missing or not as in manifest\.json: landmarks/{name}\.npz"
    ):
        folder(str(root), resolution=8)
    points.unlink()
    with pytest.raises(ValueError, match="1 of 8 files are missing"):
        folder(str(root), resolution=8)
    (root / "manifest.json").unlink()
    folder(str(root), resolution=8)


def test_a_file_is_hashed_once(photos, tmp_path, monkeypatch):
    prepare(photos, tmp_path / "out", SMALL, detect=whole)
    dataset = folder(str(tmp_path / "out"), resolution=8, flip=True)
    hashed = []
    monkeypatch.setattr("geotrans.data._manifest.sha256", lambda path: hashed.append(path) or "")
    dataset.manifest.files.clear()  # nothing is listed, so nothing is hashed
    dataset.batch([0])
    assert hashed == []
    dataset = folder(str(tmp_path / "out"), resolution=8, flip=True)
    monkeypatch.setattr(
        "geotrans.data._manifest.sha256",
        lambda path: (
            hashed.append(path) or dataset.manifest.files[path.relative_to(tmp_path / "out").as_posix()].sha256
        ),
    )
    for _ in range(2):
        dataset.batch(range(len(dataset)))
    assert len(hashed) == len(set(hashed)) == len(dataset) // 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"made_by": "geotrans prepare", "version": 7}', "expected version 1, got 7"),
        ('{"made_by": "geotrans prepare", "version": 1, "files": {"a.png": 3}}', "no list of files"),
        ("{", "not JSON"),
    ],
)
def test_a_damaged_manifest_is_named(photos, text, message):
    (photos / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=rf"manifest\.json: {message}"):
        folder(str(photos), resolution=8)
    (photos / "manifest.json").write_text('{"name": "of another program"}')
    assert len(folder(str(photos), resolution=8, flip=False)) == 3


def test_a_turned_face_comes_out_upright():
    """Two eyes drawn on a slope; the line through them is level in what is cut out, and as long as before."""
    y, x = torch.meshgrid(torch.arange(80.0), torch.arange(90.0), indexing="ij")
    tilt, middle = math.radians(25), torch.tensor([44.0, 40.0])
    along = 15 * torch.tensor([math.cos(tilt), math.sin(tilt)])

    def spot(place):
        return torch.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 8)

    image = torch.stack([spot(middle - along), spot(middle + along), torch.zeros_like(x)])[None]
    face = Face(Region(24, 20, 40), tilt)  # its middle is at pixel 43.5, 39.5
    level = face.cut(image, upright=True)
    assert level.shape == (1, 3, 40, 40)
    places = [divmod(int(level[0, channel].argmax()), 40) for channel in (0, 1)]
    (left_y, left_x), (right_y, right_x) = places
    assert abs(left_y - right_y) <= 1
    assert right_x - left_x == pytest.approx(30, abs=1)
    assert torch.equal(face.cut(image), face.region.cut(image))
    torch.testing.assert_close(Face(face.region).cut(image, upright=True), face.region.cut(image), atol=1e-4, rtol=0)


def test_the_command(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("geotrans.prepare.prepare.__kwdefaults__", {**prepare.__kwdefaults__, "detect": whole})
    main(["prepare", str(photos), str(tmp_path / "out"), "--size", "8"])
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"{tmp_path / 'out'}: 4 of 5 pictures, 8 px",
        f"left out, all listed in {tmp_path / 'out' / 'manifest.json'}: no face in 1: b/p3",
    ]
    with pytest.raises(SystemExit) as stop:
        main(["prepare", str(tmp_path / "nowhere"), str(tmp_path / "other")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"geotrans prepare: {tmp_path / 'nowhere'}: no such folder\n"


def test_mtcnn_sees_no_face_where_there_is_none():
    assert faces.detect_face(torch.zeros(1, 3, 64, 64)) is None
    assert faces.detect_face(torch.zeros(1, 3, 12, 12)) is None


def real_faces(count):
    root = Path(os.environ.get("GEOTRANS_TEST_DATA", "")) / "cmu_faces"
    if "GEOTRANS_TEST_DATA" not in os.environ or not root.is_dir():
        pytest.skip("needs cmu_faces; set GEOTRANS_TEST_DATA to the folder that holds it")
    return [path for path in list_images(root / "images") if "_straight_" in path.name and "_open" in path.name][:count]


def test_real_faces_are_found_and_turned(tmp_path):
    """Faces leaning by 20 degrees, found by MTCNN; upright, the eyes that it finds again are level."""
    chosen = real_faces(6)
    for path in chosen:
        picture = Image.open(path).convert("RGB").resize((256, 240)).rotate(20, Image.Resampling.BICUBIC)
        (tmp_path / "photos").mkdir(exist_ok=True)
        picture.save(tmp_path / "photos" / path.name)
    done = prepare(tmp_path / "photos", tmp_path / "out", Preparation(size=96, upright=True))
    assert len(done.kept) >= 5
    tilts = [faces.detect_face(read_image(path)) for path in list_images(tmp_path / "out")]
    degrees = [abs(math.degrees(face.tilt)) for face in tilts if face is not None]
    assert len(degrees) >= 5
    assert sum(degrees) / len(degrees) < 6
    assert len(folder(str(tmp_path / "out"), resolution=64, flip=False)) + 2 == len(done.kept)
    before = faces.detect_face(from_uint8(read_pixels(tmp_path / "photos" / chosen[0].name)[None]))
    assert math.degrees(before.tilt) == pytest.approx(-20, abs=8)


def test_landmarks_are_in_pixels_of_the_result(photos, tmp_path):
    prepare(photos, tmp_path / "out", Preparation(size=8, landmarks="dlib"), detect=whole, landmarker=points_of)
    with np.load(tmp_path / "out" / "landmarks" / "a" / "p0.npz") as stored:
        points = stored["landmarks"]
    assert points[0, 0] == pytest.approx(-0.5 * 4 + 4 - 0.5)  # x = -0.5 of eight pixels, whose centres are 0, ..., 7
    assert points[67, 1] == pytest.approx(0.5 * 4 + 4 - 0.5)
