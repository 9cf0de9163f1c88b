"""Framing, indices, landmarks beside pictures, and all sorts of picture files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geotrans.data._files import Copies, Framing, order_of, place_draws
from geotrans.data._sidecar import read_landmarks
from geotrans.data.folder import folder
from geotrans.data.synthface import synthface
from geotrans.ops.images import from_uint8, write_image
from geotrans.ops.landmarks import IBUG68_MIRROR, mirror_landmarks

MIDDLE = torch.tensor([0.5, 0.5])


def ramp(height, width):
    """A picture whose red is the column and whose green is the row."""
    x, y = torch.arange(width).expand(height, width), torch.arange(height)[:, None].expand(height, width)
    return torch.stack([x, y, torch.zeros_like(x)]).to(torch.uint8)


def write_pictures(root, count, size=(12, 12), folder=""):
    for number in range(count):
        write_image(root / folder / f"p{number:02d}.png", torch.full((3, *size), 4 * number, dtype=torch.uint8))


def test_a_window_without_resizing_is_the_pixels_themselves():
    pixels = ramp(218, 178)
    image, window = Framing(178, centre=178)(pixels, MIDDLE)
    assert torch.equal(image, from_uint8(pixels[None, :, 20:198]))
    assert window == (0, 20, 178, 178)


@pytest.mark.parametrize(
    ("framing", "window"),
    [
        (Framing(16, fit="square"), (20, 0, 40, 40)),
        (Framing(16, fit="stretch"), (0, 0, 80, 40)),
        (Framing(16, fit="aspect"), (20, 0, 40, 40)),
        (Framing(16, load=20, fit="stretch"), (8, 4, 64, 32)),
        (Framing(16, load=20, fit="aspect"), (24, 4, 32, 32)),
        (Framing(16, centre=20), (30, 10, 20, 20)),
    ],
)
def test_windows_of_a_wide_picture(framing, window):
    image, found = framing(ramp(40, 80), MIDDLE)
    assert image.shape == (1, 3, 16, 16)
    assert found == pytest.approx(window)
    # The picture's values are its columns and rows, so the picture itself says which window it shows.
    levels = (image[0, :2] + 1) * 127.5 + 0.5
    inside = levels[:, 2:-2, 2:-2]
    step_x, step_y = window[2] / 16, window[3] / 16
    assert inside[0, 0, 0] == pytest.approx(window[0] + 2.5 * step_x, abs=0.1)
    assert inside[1, 0, 0] == pytest.approx(window[1] + 2.5 * step_y, abs=0.1)
    assert inside[0, 0, -1] == pytest.approx(window[0] + 13.5 * step_x, abs=0.1)


def test_jitter_reaches_every_place_and_none_outside():
    framing = Framing(6, load=8, jitter=True)
    tops = {framing(ramp(8, 8), torch.tensor([share, 0.0]))[1].top for share in (0.0, 0.34, 0.5, 0.67, 0.999)}
    assert tops == {0, 1, 2}
    assert Framing(6, load=8)(ramp(8, 8), torch.tensor([0.9, 0.9]))[1][:2] == (1, 1)


def test_draws_depend_on_the_index_alone():
    assert torch.equal(place_draws(3, 0, [7, 1, 9])[1], place_draws(3, 0, [1])[0])
    assert not torch.equal(place_draws(3, 0, [1]), place_draws(4, 0, [1]))
    assert not torch.equal(place_draws(3, 0, [1]), place_draws(3, 1, [1]))
    assert sorted(order_of(0, 5, 9).tolist()) == list(range(9))
    assert order_of(0, 5, 9).tolist() != order_of(0, 6, 9).tolist()


def test_points_move_with_the_window():
    _, window = Framing(16, load=20, fit="stretch")(ramp(40, 80), MIDDLE)
    corner, middle = window.units(torch.tensor([[7.5, 3.5], [39.5, 19.5]]))
    assert corner.tolist() == pytest.approx([-1, -1])
    assert middle.tolist() == pytest.approx([0, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 16, "load": 8}, "load: expected at least the resolution 16"),
        ({"resolution": 16, "fit": "zoom"}, "fit: expected"),
        ({"resolution": 0}, "resolution: expected at least 1"),
    ],
)
def test_framing_names_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        Framing(**options)


def test_a_picture_that_is_too_small_is_named(tmp_path):
    with pytest.raises(ValueError, match="at least 20 x 20 pixels, got 8 x 9"):
        Framing(16, centre=20)(ramp(8, 9), MIDDLE)


def test_copies_count_passes_and_mirror_images():
    copies = Copies(3, passes=2, flip=True)
    assert [copies[index] for index in range(12)] == [
        *((0, False), (1, False), (2, False), (0, False), (1, False), (2, False)),
        *((0, True), (1, True), (2, True), (0, True), (1, True), (2, True)),
    ]
    with pytest.raises(IndexError, match=r"outside the dataset's 0\.\.11"):
        copies[12]
    with pytest.raises(ValueError, match="passes"):
        Copies(3, passes=0)


def test_mirrored_landmarks_are_those_of_the_mirrored_face():
    points = synthface("train", 16, task="aus").batch(range(8)).source.landmarks
    assert torch.equal(mirror_landmarks(mirror_landmarks(points)), points)
    assert sorted(IBUG68_MIRROR) == list(range(68))
    middle = points.mean(0, keepdim=True) - points.mean((0, 1)) * torch.tensor([1.0, 0.0])
    assert (mirror_landmarks(middle) - middle).abs().max() < 0.1  # an average face is nearly symmetric
    assert (middle * torch.tensor([-1.0, 1.0]) - middle).abs().max() > 0.5
    with pytest.raises(ValueError, match=r"expected shape \(B, 68, 2\)"):
        mirror_landmarks(points[0])


def write_openface(path, points, confidence=0.9):
    header = ["face", "confidence", *(f"{axis}_{i}" for axis in "xy" for i in range(68))]
    cells = ["0", str(confidence), *(f"{value:.3f}" for axis in (0, 1) for value in points[:, axis].tolist())]
    path.write_text(", ".join(header) + "\n" + ", ".join(cells) + "\n")


def test_landmarks_are_read_from_three_kinds_of_files(tmp_path):
    points = (torch.arange(136.0).reshape(68, 2) / 4).round(decimals=3)
    np.savez(tmp_path / "a.npz", points=points.numpy())
    lines = [f"{x},{y}" for x, y in points.tolist()]
    (tmp_path / "b.csv").write_text("\n".join(["x,y", *lines]))
    (tmp_path / "c.csv").write_text("\n".join(lines) + "\n")
    write_openface(tmp_path / "d.csv", points)
    for name in ("a.npz", "b.csv", "c.csv", "d.csv"):
        torch.testing.assert_close(read_landmarks(tmp_path / name), points)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "1,2\n3,4\n", r"expected 68 points \(x, y\), got an array of shape \(2, 2\)"),
        ("a.csv", "1,two\n" * 68, "expected 68 lines x,y: could not convert"),
        ("a.csv", "1\n" * 68, r"shape \(68, 1\)"),
        ("a.csv", "nan,2\n" * 68, "not finite"),
        ("a.csv", "", r"shape \(0,\)"),
        ("a.csv", "face, x_0, y_0\n0, 1, 2\n", "there is no column x_1"),
        (
            "a.csv",
            "face, " + ", ".join(f"{a}_{n}" for a in "xy" for n in range(68)) + "\n0" + ", inf" * 136,
            "x_0: .* 'inf'",
        ),
        ("a.npz", "no zip", "cannot be read as landmarks: not a whole NPZ file"),
    ],
)
def test_broken_landmarks_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_landmarks(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_pickle_in_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", points=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read as landmarks"):
        read_landmarks(tmp_path / "a.npz")


def test_landmarks_follow_the_picture_when_it_is_cut_and_mirrored(tmp_path):
    face = synthface("train", 64, task="aus").batch([3])
    write_image(tmp_path / "train" / "face.png", face.image)
    write_image(tmp_path / "test" / "face.png", face.image)
    (tmp_path / "points" / "train").mkdir(parents=True)
    np.savez(tmp_path / "points" / "train" / "face.npz", (face.source.landmarks[0].numpy() + 1) * 32 - 0.5)
    dataset = folder(str(tmp_path), resolution=64, landmarks="points")
    assert dataset.spec.landmarks
    sample = dataset.batch([0, 1])
    torch.testing.assert_close(sample.source.landmarks[:1], face.source.landmarks, atol=1e-5, rtol=0)
    torch.testing.assert_close(sample.source.landmarks[1:], mirror_landmarks(face.source.landmarks), atol=1e-5, rtol=0)
    cut = folder(str(tmp_path), resolution=48, load=64, landmarks="points", passes=4)
    tips = cut.batch(range(4)).source.landmarks[:, 30] * 48 - face.source.landmarks[0, 30] * 64
    assert len({tuple(tip) for tip in tips.round().tolist()}) > 1  # other windows, other places
    assert (tips.abs() <= 16.01).all()
    with pytest.raises(FileNotFoundError, match=r"1 of 1 pictures have no NAME.npz or NAME.csv.*test/face"):
        folder(str(tmp_path), "test", resolution=64, landmarks="points")


def test_modes_of_pictures_become_rgb_and_sixteen_bits_are_refused(tmp_path):
    picture = Image.fromarray(np.full((8, 8, 3), (200, 100, 50), np.uint8))
    picture.quantize(4).save(tmp_path / "palette.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.tif")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    picture.convert("L").save(tmp_path / "grey.png")
    dataset = folder(str(tmp_path), resolution=8, flip=False)
    sample = cat_splits(tmp_path)
    assert set(sample) == {"alpha", "cmyk", "grey", "palette"}
    for name in ("palette", "cmyk", "alpha"):
        torch.testing.assert_close((sample[name] + 1) * 127.5, torch.tensor([200.0, 100.0, 50.0]), atol=2.5, rtol=0)
    assert sample["grey"].std() == 0
    assert dataset.spec.size == 0
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png: .*8 bits a channel"):
        cat_splits(tmp_path)


def cat_splits(root):
    """The first pixel of every picture, by name."""
    found = {}
    for split in ("train", "val", "test"):
        dataset = folder(str(root), split, resolution=8, flip=False)
        sample = dataset.batch(range(len(dataset)))
        found |= {name: image[:, 0, 0] for name, image in zip(sample.id, sample.image, strict=True)}
    return found


def test_a_folder_without_splits_is_cut_and_nothing_is_lost(tmp_path):
    write_pictures(tmp_path, 60)
    names = [
        set(folder(str(tmp_path), split, resolution=4, flip=False).table.names) for split in ("train", "val", "test")
    ]
    assert [len(part) for part in names] == [54, 3, 3]
    assert len(set.union(*names)) == 60


def test_classes_are_columns(tmp_path):
    for split, kinds in (("train", ("ink", "photo")), ("val", ("photo",))):
        for kind in kinds:
            write_pictures(tmp_path, 3, folder=f"{split}/{kind}")
    train, val = folder(str(tmp_path), flip=False), folder(str(tmp_path), "val", classes="emotion", resolution=4)
    assert train.spec.modality == ("ink", "photo")
    assert train.batch([0, 3]).source.modality.tolist() == [[1, 0], [0, 1]]
    assert val.spec.emotion == ("ink", "photo")
    assert val.batch([0]).source.emotion.tolist() == [[0, 1]]
    assert folder(str(tmp_path), "test", resolution=4).table.names == val.table.names
    assert folder(str(tmp_path), classes="", resolution=4).spec.size == 0
    with pytest.raises(ValueError, match="classes: expected"):
        folder(str(tmp_path), classes="attributes")
    write_pictures(tmp_path, 1, folder="val/oil")
    with pytest.raises(ValueError, match="every picture in one of ink, photo, got val/oil/p00"):
        folder(str(tmp_path), "val", resolution=4)


def test_two_pictures_of_one_name_are_refused(tmp_path):
    write_pictures(tmp_path, 4)
    write_image(Path(tmp_path) / "p00.jpg", torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="have the same name"):
        folder(str(tmp_path))
