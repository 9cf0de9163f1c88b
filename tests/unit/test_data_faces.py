"""`rafd` and `emotionnet`: labels from file names and from OpenFace, and real pictures where there are some."""

import csv
import os
from pathlib import Path

import pytest
import torch

from geotrans.data.emotionnet import emotionnet, example_emotionnet, read_units
from geotrans.data.folder import folder
from geotrans.data.rafd import EMOTIONS, example_rafd, rafd
from geotrans.data.synthface import AUS, synthface
from geotrans.models.ganimation import AU17
from geotrans.ops.images import list_images, read_image, write_image

GREY = torch.zeros(3, 12, 8)


def shoot(root, angle="090", person=1, emotion="happy", gaze="left"):
    name = f"Rafd{angle}_{person:02d}_Moroccan_male_{emotion}_{gaze}.jpg"
    write_image(root / name, GREY)
    return name


def test_rafd_reads_emotions_off_the_names(tmp_path):
    example_rafd(tmp_path)
    for split in ("train", "val", "test"):
        dataset = rafd(str(tmp_path), split, resolution=64, flip=False)
        sample = dataset.batch(range(len(dataset)))
        told = [EMOTIONS[column] for column in sample.source.emotion.argmax(1).tolist()]
        assert [name.split("_")[4] for name in sample.id] == told
        assert (sample.source.emotion.sum(1) == 1).all()
    first = synthface("train", 64, task="emotion").batch([0])
    everyone = [rafd(str(tmp_path), split, resolution=64, flip=False) for split in ("train", "val", "test")]
    pictures = torch.cat([dataset.batch(range(len(dataset))).image for dataset in everyone])
    assert len(pictures) == 15
    closest = (pictures - first.image).abs().mean((1, 2, 3)).sort().values
    assert closest[0] < 0.03  # the largest square in the middle of 96 x 64, and JPEG
    assert closest[1] > 0.1


def test_rafd_holds_out_whole_people(tmp_path):
    for person in range(1, 41):
        for emotion in ("happy", "sad"):
            shoot(tmp_path / f"session{person % 3}", person=person, emotion=emotion)
    people = [
        {name.split("_")[1] for name in rafd(str(tmp_path), split).table.names} for split in ("train", "val", "test")
    ]
    assert [len(part) for part in people] == [34, 2, 4]
    assert len(set.union(*people)) == 40


def test_rafd_keeps_frontal_pictures_unless_told_otherwise(tmp_path):
    for person in range(1, 5):
        for angle in ("000", "045", "090"):
            shoot(tmp_path, angle, person)
    assert {name[:7] for name in rafd(str(tmp_path)).table.names} == {"Rafd090"}
    assert {name[:7] for name in rafd(str(tmp_path), angles=(0, 45)).table.names} == {"Rafd000", "Rafd045"}
    with pytest.raises(ValueError, match=r"expected angles of 0, 45, 90, 135, 180, got \(60,\)"):
        rafd(str(tmp_path), angles=(60,))
    with pytest.raises(ValueError, match="no pictures for the split 'train'"):
        rafd(str(tmp_path), angles=(180,))


def test_rafd_names_files_of_other_names(tmp_path):
    shoot(tmp_path)
    shoot(tmp_path, emotion="bored", person=3)
    write_image(tmp_path / "holiday.jpg", GREY)
    with pytest.raises(ValueError, match=r"2 names are not RaFD's.*bored_left, holiday"):
        rafd(str(tmp_path))


def test_emotionnet_has_ganimation_s_columns_and_a_fifth_of_openface_s_numbers(tmp_path):
    example_emotionnet(tmp_path)
    dataset = emotionnet(str(tmp_path), resolution=64, flip=False)
    assert dataset.spec.aus == AU17.aus == AUS
    sample = dataset.batch(range(len(dataset)))
    drawn = synthface("train", 64, task="aus").batch([int(name[-2:]) for name in sample.id])
    torch.testing.assert_close(sample.source.aus, drawn.source.aus, atol=0.0011, rtol=0)
    torch.testing.assert_close(sample.image, drawn.image, atol=1 / 127, rtol=0)


def table(path, rows, columns=()):
    """A CSV file of OpenFace: every unit of a row has the row's value."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *(f" {unit}_r" for unit in AUS), " AU45_c"])
        writer.writerows([*row[:-1], *[row[-1]] * len(AUS), 1] for row in rows)
    return path


def test_one_table_names_its_pictures_or_counts_them(tmp_path):
    names = ["a", "b", "c"]
    by_name = read_units(table(tmp_path / "n.csv", [("c.jpg", 3), ("x/a.png", 1), ("b", 2)], ["filename"]), names)
    by_frame = read_units(table(tmp_path / "f.csv", [(1, 1), (2, 2), (3, 3)], ["frame"]), names)
    expected = {name: [0.2 * (number + 1)] * 17 for number, name in enumerate(names)}
    for found in (by_name, by_frame):
        assert {name: pytest.approx(values) for name, values in found.items()} == expected


def test_the_most_certain_face_counts_and_failures_do_not(tmp_path):
    (tmp_path / "aus").mkdir()
    table(tmp_path / "aus" / "a.csv", [(0, 0.6, 1), (1, 0.9, 2), (2, 0.7, 3)], ["face", "confidence"])
    assert read_units(tmp_path / "aus", [])["a"] == pytest.approx([0.4] * 17)
    rows = [("a", 1, 1), ("b", 0, 0)]
    assert set(read_units(table(tmp_path / "t.csv", rows, ["file", "success"]), [])) == {"a"}


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a", 5.01)], ["file"], r"line 2: AU01_r: expected an intensity in 0\.\.5, got 5.01"),
        ([("a", -0.1)], ["file"], "got -0.1"),
        ([("a", "nan")], ["file"], "AU01_r: expected a number, got 'nan'"),
        ([("a", "high")], ["file"], "AU01_r: expected a number, got 'high'"),
        ([(4, 1)], ["frame"], "frame 4, but there are the pictures 1 to 3"),
        ([(0, 1)], ["frame"], "frame 0, but"),
        ([(1, 1)], ["index"], "expected a column frame, or one of filename, file, image, name"),
        ([("a", "b", 1)], ["file"], "line 2: expected 19 cells as in the header, got 20"),
    ],
)
def test_broken_tables_are_named(tmp_path, rows, columns, message):
    path = table(tmp_path / "t.csv", rows, columns)
    with pytest.raises(ValueError, match=message) as caught:
        read_units(path, ["a", "b", "c"])
    assert str(path) in str(caught.value)


def test_missing_units_are_named(tmp_path):
    (tmp_path / "t.csv").write_text("file,AU01_r\na,1\n")
    with pytest.raises(ValueError, match="there is no column AU02_r"):
        read_units(tmp_path / "t.csv", ["a"])


def test_pictures_without_units_are_named_or_skipped(tmp_path, caplog):
    example_emotionnet(tmp_path)
    (tmp_path / "aus" / "face_04.csv").unlink()
    with pytest.raises(ValueError, match=r"1 of 18 pictures have no action units.*face_04; skip_broken"):
        emotionnet(str(tmp_path))
    dataset = emotionnet(str(tmp_path), flip=False, skip_broken=True)
    assert len(dataset) == 17
    assert "skipped 1 of 18 pictures have no action units" in caplog.text


def test_lists_of_names_are_the_split(tmp_path):
    example_emotionnet(tmp_path)
    (tmp_path / "test_ids.csv").write_text("face_01.png\nface_02.png\n")
    names = {split: emotionnet(str(tmp_path), split).table.names for split in ("train", "val", "test")}
    assert names["test"] == names["val"] == ("face_01", "face_02")
    assert len(names["train"]) == 18
    (tmp_path / "val_ids.csv").write_text("face_03\n")
    assert emotionnet(str(tmp_path), "val").table.names == ("face_03",)
    assert len(emotionnet(str(tmp_path), flip=False)) == 17
    (tmp_path / "test_ids.csv").write_text("face_01\nface_99\n")
    with pytest.raises(FileNotFoundError, match="1 of 2 labelled pictures are missing: face_99"):
        emotionnet(str(tmp_path), "test")


def real(name):
    root = Path(os.environ.get("GEOTRANS_TEST_DATA", "")) / name
    if not os.environ.get("GEOTRANS_TEST_DATA") or not root.is_dir():
        pytest.skip(f"GEOTRANS_TEST_DATA names no folder with {name} in it")
    return root


def test_real_faces_in_folders_of_their_expressions(tmp_path):
    for path in list_images(real("cmu_faces") / "images"):
        person, _, expression, _ = path.stem.split("_")
        where = tmp_path / ("test" if person < "b" else "train") / expression
        where.mkdir(parents=True, exist_ok=True)
        (where / path.name).symlink_to(path)
    train, test = (folder(str(tmp_path), split, resolution=64, classes="emotion") for split in ("train", "test"))
    assert train.spec.emotion == ("angry", "happy", "neutral", "sad")
    assert len(train) // 2 + len(test) == 633
    sample = train.batch(range(0, len(train), 97))
    assert all(name.split("/")[1] in name.split("_")[2] for name in sample.id)
    assert (sample.image.mean((1, 2, 3)) > -1).all()
    assert (sample.image[:, 0] == sample.image[:, 2]).all()  # grey pictures
    assert sample.image.std((1, 2, 3)).min() > 0.1


def test_real_cartoons_as_a_folder():
    root = real("cartoonset_samples")
    dataset = folder(str(root), resolution=128)
    assert dataset.spec.size == 0
    assert len(dataset) == 2 * 28
    sample = dataset.batch([0])
    path = root / f"{sample.id[0]}.png"
    assert (sample.image - read_image(path, size=128)).abs().max() < 1e-6
