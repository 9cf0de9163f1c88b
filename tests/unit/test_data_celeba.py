"""`celeba` and `celebahq`: lists, splits and pictures."""

import random

import pytest
import torch

from geotrans.data.celeba import SPM4, celeba, celebahq, example_celeba, read_attributes, read_list
from geotrans.data.synthface import synthface
from geotrans.ops.images import read_image, resize, write_image


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("celeba")
    example_celeba(path)
    return path


def names(root, **options):
    return {
        split: list(celeba(str(root), split, resolution=8, flip=False, **options).table.names)
        for split in ("train", "val", "test")
    }


def test_pictures_are_the_middle_resized(root):
    dataset = celeba(str(root), resolution=89, flip=False)
    sample = dataset.batch([4])
    path = root / "img_align_celeba" / f"{sample.id[0]}.jpg"
    expected = resize(read_image(path)[:, :, 20:198], 89)
    assert torch.equal(sample.image, expected)


def test_labels_are_those_of_the_faces(root):
    dataset = celeba(str(root), resolution=64, attributes=("Male", *SPM4), flip=False)
    sample = dataset.batch(range(len(dataset)))
    rows = [int(name) - 1 for name in sample.id]
    drawn = synthface("train", 64).batch(rows)
    assert torch.equal(sample.source.attributes[:, 1:], drawn.source.attributes)
    assert sample.source.attributes[:, 0].tolist() == [1 - row % 2 for row in rows]
    assert (sample.image - drawn.image).abs().mean() < 0.06  # drawn at 64, enlarged, JPEG, and back
    assert dataset.spec.attributes == ("Male", *SPM4)


@pytest.mark.parametrize(("rule", "held"), [("spm", 2000), ("stargan", 1999)])
def test_the_split_is_that_of_the_official_code(tmp_path, rule, held):
    files = [f"{number:06d}.jpg" for number in range(1, 25_001)]
    lines = [str(len(files)), "Smiling Young", *(f"{name} {1 - 2 * (row % 2)}  -1" for row, name in enumerate(files))]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines))
    order = lines[2:]
    state = random.getstate()
    random.seed(1234)
    random.shuffle(order)
    random.setstate(state)
    expected = [line.split()[0].removesuffix(".jpg") for line in order]
    write_image(tmp_path / "img_align_celeba" / f"{expected[0]}.jpg", torch.zeros(3, 218, 178))
    with pytest.raises(FileNotFoundError, match=f"{held - 1} of {held} labelled pictures are missing: {expected[1]}"):
        celeba(str(tmp_path), "test", attributes=["Smiling"], rule=rule)
    with pytest.raises(FileNotFoundError, match=f"{held} of {held} labelled pictures are missing: {expected[held]}"):
        celeba(str(tmp_path), "val", attributes=["Smiling"], rule=rule)
    with pytest.raises(FileNotFoundError, match=f"missing: {expected[2 * held]}"):
        celeba(str(tmp_path), "train", attributes=["Smiling"], rule=rule)
    found = celeba(str(tmp_path), "test", attributes=["Smiling"], rule=rule, skip_broken=True)
    assert found.table.names == (expected[0],)
    assert found.table.labels.attributes.tolist() == [[float(int(expected[0]) % 2)]]


def test_a_part_of_celeba_holds_out_a_tenth(root):
    found = names(root)
    assert [len(part) for part in found.values()] == [16, 2, 2]
    assert len({name for part in found.values() for name in part}) == 20


def test_the_official_partition_is_read(root):
    found = names(root, rule="official")
    assert found["train"] == [f"{number:06d}" for number in range(1, 13)]
    assert found["val"] == [f"{number:06d}" for number in range(13, 17)]
    assert found["test"] == [f"{number:06d}" for number in range(17, 21)]


def test_kaggle_s_lists_and_folders_are_read_too(root, tmp_path):
    inner = tmp_path / "img_align_celeba" / "img_align_celeba"
    inner.mkdir(parents=True)
    for path in (root / "img_align_celeba").iterdir():
        (inner / path.name).symlink_to(path)
    lines = (root / "list_attr_celeba.txt").read_text().splitlines()[1:]
    rows = [",".join(["image_id", *lines[0].split()]), *(",".join(line.split()) for line in lines[1:])]
    (tmp_path / "list_attr_celeba.csv").write_text("\n".join(rows))
    parts = (root / "list_eval_partition.txt").read_text().replace(" ", ",")
    (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\n" + parts)
    for rule in ("spm", "official"):
        one, other = (celeba(str(folder), resolution=16, rule=rule).batch(range(5)) for folder in (root, tmp_path))
        assert one.id == other.id
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.source.attributes, other.source.attributes)


def test_the_authors_folders_and_another_suffix_are_found(root, tmp_path):
    (tmp_path / "Anno").mkdir()
    (tmp_path / "Anno" / "list_attr_celeba.txt").write_text((root / "list_attr_celeba.txt").read_text())
    for path in (root / "img_align_celeba").iterdir():
        write_image(tmp_path / "Img" / "img_align_celeba" / f"{path.stem}.png", read_image(path))
    one, other = (celeba(str(folder), resolution=16).batch([3]) for folder in (root, tmp_path))
    assert torch.equal(one.image, other.image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attributes": ["Smilling"]}, "has no column 'Smilling'; did you mean 'Smiling'"),
        ({"attributes": "Smiling"}, "attributes: expected a list of columns, got 'Smiling'"),
        ({"attributes": ()}, "attributes: expected a list"),
        ({"rule": "mine"}, "expected rule to be one of spm, stargan, official, got 'mine'"),
    ],
)
def test_mistakes_are_named(root, options, message):
    with pytest.raises(ValueError, match=message):
        celeba(str(root), **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a line for each picture, got none"),
        ("2\nSmiling Male\n1.jpg 1 -1\n2.jpg 1\n", "2.jpg: expected 3 columns, got 2"),
        ("2\nSmiling Male\n1.jpg 1 -1\n2.jpg 1 7\n", "2: expected -1, 0 or 1, got '7'"),
    ],
)
def test_broken_lists_are_named(tmp_path, text, message):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_attributes(path, ["Male"])
    assert str(path) in str(caught.value)


def test_lists_with_and_without_header(tmp_path):
    (tmp_path / "a").write_text("000001.jpg 0\n\n000002.jpg 2\n")
    assert read_list(tmp_path / "a") == {"000001": ["0"], "000002": ["2"]}
    (tmp_path / "b").write_text("2\nA B C\n0.jpg  -1  1 -1\n1.jpg 1 1 -1")
    assert read_list(tmp_path / "b", ["C", "A"]) == {"0": ["-1", "-1"], "1": ["-1", "1"]}


def test_a_partition_that_lacks_a_picture_is_named(root, tmp_path):
    for path in root.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "list_eval_partition.txt").unlink()
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    with pytest.raises(ValueError, match="000002: expected 0, 1 or 2, got no line"):
        celeba(str(tmp_path), rule="official")


def test_celebahq_has_no_official_rule(tmp_path):
    from geotrans.data.celeba import example_celebahq

    example_celebahq(tmp_path)
    with pytest.raises(ValueError, match="expected rule to be one of spm, stargan, got 'official'"):
        celebahq(str(tmp_path), rule="official")
    sample = celebahq(str(tmp_path), resolution=64, flip=False).batch([0])
    torch.testing.assert_close(
        sample.image, synthface("train", 64).batch([int(sample.id[0]) - 1]).image, atol=0.25, rtol=0
    )
