"""`paired_folder`, `unpaired_folders` and `joint`: what comes together, and what does not."""

import pytest
import torch

from geotrans.data.joint import ATTRIBUTES5, example_joint, joint, star_targets
from geotrans.data.pairs import example_paired_folder, paired_folder, unpaired_folders
from geotrans.data.rafd import EMOTIONS
from geotrans.data.synthface import synthface
from geotrans.ops.images import write_image
from geotrans.ops.landmarks import mirror_landmarks
from geotrans.types import Condition, ConditionSpec


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    root = tmp_path_factory.mktemp("paired")
    example_paired_folder(root)
    return root


def write_numbered(root, name, number, size=(8, 8)):
    write_image(root / f"{name}.png", torch.full((3, *size), number, dtype=torch.uint8))


def numbers(images):
    """What `write_numbered` wrote."""
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_pairs_are_of_one_name(paired):
    dataset = paired_folder(str(paired), resolution=64, landmarks="landmarks")
    sample, drawn = dataset.batch([3, 5]), synthface("train", 64).batch([3, 5])
    for got, wanted in ((sample.image, drawn.image), (sample.truth, drawn.truth)):
        torch.testing.assert_close(got, wanted, atol=1 / 127, rtol=0)
    for got, wanted in ((sample.source, drawn.source), (sample.target, drawn.target)):
        torch.testing.assert_close(got.landmarks, wanted.landmarks, atol=1e-5, rtol=0)
    assert sample.source.modality.tolist() == [[1, 0]] * 2
    assert sample.target.modality.tolist() == [[0, 1]] * 2
    assert sample.id == ("A/train/face_03", "A/train/face_05")
    mirrored = dataset.batch([16 + 3])
    torch.testing.assert_close(mirrored.truth, sample.truth[:1].flip(-1))
    torch.testing.assert_close(mirrored.target.landmarks, mirror_landmarks(sample.target.landmarks[:1]))


def test_pairs_go_both_ways(paired):
    one, other = (paired_folder(str(paired), resolution=64, reverse=reverse).batch([2]) for reverse in (False, True))
    assert torch.equal(one.image, other.truth)
    assert torch.equal(one.truth, other.image)
    assert torch.equal(one.source.modality, other.target.modality)


def test_pairs_are_cut_in_the_same_place(tmp_path):
    ramp = torch.arange(16).expand(3, 16, 16).to(torch.uint8) + 16 * torch.arange(16)[:, None].to(torch.uint8)
    for split in ("train", "val"):
        for domain, side in (("photo", 16), ("style", 32)):
            picture = ramp.repeat_interleave(side // 16, 1).repeat_interleave(side // 16, 2)
            write_image(tmp_path / domain / split / "a.png", picture)
    dataset = paired_folder(str(tmp_path), resolution=8, load=16, passes=8, domains=["photo", "style"])
    assert len(dataset) == 16
    sample = dataset.batch(range(16))
    assert (sample.image - sample.truth).abs().max() < 0.03  # the larger one is blurred a little
    assert len(set(numbers(sample.image))) > 4
    assert dataset.spec.modality == ("photo", "style")
    whole = paired_folder(str(tmp_path), "test", resolution=16, load=32, domains=["photo", "style"])
    assert len(whole) == 1
    assert numbers(whole.batch([0]).image) == [0]


def test_halves_of_a_picture_are_a_pair(tmp_path):
    for name, (left, right) in {"a": (10, 20), "b": (30, 40), "c": (50, 60)}.items():
        halves = torch.tensor([left, right]).repeat_interleave(8).expand(3, 8, 16)
        write_image(tmp_path / "train" / f"{name}.png", halves.to(torch.uint8))
        write_image(tmp_path / "val" / f"{name}.png", halves.to(torch.uint8))
    sample = paired_folder(str(tmp_path), resolution=8, side_by_side=True, flip=False).batch(range(3))
    assert numbers(sample.image) == [10, 30, 50]
    assert numbers(sample.truth) == [20, 40, 60]
    back = paired_folder(str(tmp_path), "test", resolution=8, side_by_side=True, reverse=True).batch(range(3))
    assert numbers(back.image) == [20, 40, 60]
    write_numbered(tmp_path / "train", "d", 0, (8, 9))
    with pytest.raises(ValueError, match=r"d\.png: two pictures side by side have an even width, got 9"):
        paired_folder(str(tmp_path), resolution=8, side_by_side=True).batch([3])
    with pytest.raises(ValueError, match="landmarks belong to a file"):
        paired_folder(str(tmp_path), side_by_side=True, landmarks="points")


def test_pictures_without_partner_are_listed(tmp_path):
    for name in ("a", "b", "c", "d"):
        write_numbered(tmp_path / "A", name, 1)
        write_numbered(tmp_path / "B", name, 2)
    write_numbered(tmp_path / "A", "e", 1)
    write_numbered(tmp_path / "B", "f", 2)
    with pytest.raises(ValueError, match="2 pictures have no partner of their name: A/e, B/f"):
        paired_folder(str(tmp_path))


def test_pairs_without_splits_are_cut_alike(tmp_path):
    for number in range(40):
        write_numbered(tmp_path / "A", f"p{number:02d}", number)
        write_numbered(tmp_path / "B", f"p{number:02d}", 100 + number)
    seen = []
    for split, count in (("train", 36), ("val", 2), ("test", 2)):
        sample = paired_folder(str(tmp_path), split, resolution=8, flip=False).batch(range(count))
        assert [b - a for a, b in zip(numbers(sample.image), numbers(sample.truth), strict=True)] == [100] * count
        seen += numbers(sample.image)
    assert sorted(seen) == list(range(40))


def test_pairs_of_other_shapes_only_match_when_stretched(tmp_path):
    for name in ("a", "b", "c"):
        write_numbered(tmp_path / "A", name, 1, (8, 12))
        write_numbered(tmp_path / "B", name, 2, (12, 8))
    assert numbers(paired_folder(str(tmp_path), resolution=8).batch([0]).truth) == [2]
    with pytest.raises(ValueError, match="have other shapes, 8 x 12 and 12 x 8"):
        paired_folder(str(tmp_path), resolution=8, fit="square").batch([0])


@pytest.mark.parametrize("domains", ["AB", ["A"], ["A", "A"], ["A", "B", "C"]])
def test_two_domains_are_two(paired, domains):
    with pytest.raises(ValueError, match="expected the names of two domains"):
        paired_folder(str(paired), domains=domains)


@pytest.fixture
def unpaired(tmp_path):
    for number in range(3):
        write_numbered(tmp_path / "trainA", f"a{number}", number)
        write_numbered(tmp_path / "testA", f"a{number}", 10 + number)
    for number in range(7):
        write_numbered(tmp_path / "trainB", f"b{number}", 100 + number)
    write_numbered(tmp_path / "testB", "b", 200)
    return tmp_path


def test_every_picture_of_the_other_domain_is_a_partner_in_every_pass(unpaired):
    dataset = unpaired_folders(str(unpaired), resolution=8, passes=3)
    assert len(dataset) == 7 * 3 * 2
    sample = dataset.batch(range(42))
    assert numbers(sample.image)[:8] == [0, 1, 2, 0, 1, 2, 0, 0]
    partners = [numbers(sample.other)[start : start + 7] for start in range(0, 42, 7)]
    assert all(sorted(part) == list(range(100, 107)) for part in partners)
    assert len({tuple(part) for part in partners}) == 6
    assert sample.truth is None
    assert sample.source.modality[0].tolist() == [1, 0]
    assert sample.target.modality[0].tolist() == [0, 1]
    other_seed = unpaired_folders(str(unpaired), resolution=8, passes=3, seed=1).batch(range(42))
    assert numbers(other_seed.other) != numbers(sample.other)


def test_unpaired_pictures_the_other_way_and_of_the_test_split(unpaired):
    back = unpaired_folders(str(unpaired), resolution=8, reverse=True, flip=False)
    assert numbers(back.batch(range(7)).image) == list(range(100, 107))
    assert set(numbers(back.batch(range(7)).other)) == {0, 1, 2}
    test = unpaired_folders(str(unpaired), "val", resolution=8)
    assert len(test) == 3
    assert numbers(test.batch([0, 1, 2]).image) == [10, 11, 12]
    assert numbers(test.batch([0, 1, 2]).other) == [200] * 3


def test_missing_domains_are_named(unpaired):
    with pytest.raises(FileNotFoundError, match=r"no folder trainC \(.*\); expected DIR/trainA, DIR/trainC"):
        unpaired_folders(str(unpaired), domains=["A", "C"])
    with pytest.raises(FileNotFoundError, match=r"paired_folder: .* has no folder A"):
        paired_folder(str(unpaired))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    root = tmp_path_factory.mktemp("joint")
    example_joint(root)
    return root


def test_joint_labels_say_which_set_knows_what(both):
    dataset = joint(str(both), resolution=16)
    assert dataset.spec == ConditionSpec(attributes=ATTRIBUTES5, emotion=EMOTIONS, modality=("celeba", "rafd"))
    sample = dataset.batch(range(len(dataset)))
    for condition in (sample.source, sample.target):
        assert condition.modality.tolist() == [[1, 0], [0, 1]] * (len(dataset) // 2)
        assert condition.emotion.sum(1).tolist() == [0, 1] * (len(dataset) // 2)
        assert condition.attributes[1::2].sum() == 0
        assert condition.attributes[0::2].any(1).all()
    assert {name.split("/")[0] for name in sample.id[::2]} == {"celeba"}
    assert {name.split("/")[0] for name in sample.id[1::2]} == {"rafd"}


def test_joint_targets_are_conditions_of_the_same_set(both):
    dataset = joint(str(both), resolution=16, flip=False)
    rows = len(dataset.parts[0])
    assert len(dataset) == 2 * rows
    sample = dataset.batch(range(0, 2 * rows, 2))
    assert sorted(sample.target.attributes.tolist()) == sorted(sample.source.attributes.tolist())
    assert sample.target.attributes.tolist() != sample.source.attributes.tolist()


def test_joint_s_other_splits_hold_every_picture_once(both):
    test = joint(str(both), "test", resolution=16)
    names = test.batch(range(len(test))).id
    assert len(set(names)) == len(names) == len(test.parts[0]) + len(test.parts[1])


def test_stargan_s_targets_keep_hair_colours_exclusive():
    spec = ConditionSpec(attributes=ATTRIBUTES5)
    source = Condition(attributes=torch.tensor([[1.0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]))
    targets = star_targets(source, spec)
    assert list(targets) == list(ATTRIBUTES5)
    assert targets["Black_Hair"].attributes.tolist() == [[1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]
    assert targets["Blond_Hair"].attributes.tolist() == [[0, 1, 0, 1, 0], [0, 1, 0, 0, 1]]
    assert targets["Brown_Hair"].attributes.tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 0, 1]]
    assert targets["Male"].attributes.tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 1, 1]]
    assert targets["Young"].attributes.tolist() == [[1, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    assert source.attributes.tolist() == [[1, 0, 0, 1, 0], [0, 0, 0, 0, 1]]


def test_stargan_s_targets_name_one_emotion_and_one_set(both):
    dataset = joint(str(both), "test", resolution=16)
    source = dataset.batch([0, len(dataset) - 1]).source
    targets = star_targets(source, dataset.spec)
    assert list(targets) == [*ATTRIBUTES5, *EMOTIONS]
    for name, target in targets.items():
        dataset.spec.check(target, 2)
        emotional = name in EMOTIONS
        assert target.modality.tolist() == [[0, 1] if emotional else [1, 0]] * 2
        assert target.emotion.tolist() == [[float(emotional and name == column) for column in EMOTIONS]] * 2
        if emotional:
            assert target.attributes.sum() == 0
    with pytest.raises(ValueError, match=r"Condition\.emotion"):
        star_targets(Condition(attributes=source.attributes), dataset.spec)
