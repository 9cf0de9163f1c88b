"""`shapenet_views`: pairs of views from pictures and from HDF5 files, what they say, and what is refused."""

import pickle
import sys

import pytest
import torch

from geotrans.data.views import example_shapenet_views, shapenet_views
from geotrans.factory import create_model
from geotrans.models.appflow import TURNS
from geotrans.models.gfla_view import VIEWS
from geotrans.ops.images import write_image
from geotrans.types import ConditionSpec

SIDE = 16


def colour(thing, azimuth, elevation):
    """What a view shows: one colour, which tells it; azimuth in tens of degrees, elevation in degrees."""
    return torch.tensor([10 * thing, 6 * azimuth, 6 * elevation], dtype=torch.uint8)


def picture(*view):
    return colour(*view)[:, None, None].expand(3, SIDE, SIDE)


def ring(thing, elevations=(0,), azimuths=range(0, 36, 2)):
    return [(thing, azimuth, elevation) for elevation in elevations for azimuth in azimuths]


def name(view):
    return "thing{}_{}_{}".format(*view)


def write_views(root, views):
    for view in views:
        write_image(root / f"{name(view)}.png", picture(*view))
    return root


def write_hdf5(root, views, category="car", **changed):
    h5py = pytest.importorskip("h5py")
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / f"data_{category}.hdf5", "w") as file:
        for view in views:
            group = file.create_group(name(view))
            content = {"image": picture(*view).permute(1, 2, 0).numpy(), "pose": list(view[1:])}
            for key, value in {**content, **changed}.items():
                group[key] = value
    return root


def write_lists(root, category="car", **views):
    for side, own in views.items():
        (root / f"id_{category}_{side}.txt").write_text("\n".join(map(name, own)) + "\n")


def seen(images):
    """The views that pictures show."""
    levels = ((images[:, :, 0, 0] + 1) * 127.5).round().long()
    return [(a // 10, b // 6, c // 6) for a, b, c in levels.tolist()]


def test_a_pair_is_of_one_object_and_one_elevation(tmp_path):
    views = [view for thing in range(20) for view in ring(thing, (0, 10, 20))]
    dataset = shapenet_views(str(write_views(tmp_path, views)), "test", SIDE)
    assert len(dataset) == 54
    assert dataset.spec == ConditionSpec(view=VIEWS.view)
    sample = dataset.batch(range(54))
    sources, targets = seen(sample.image), seen(sample.truth)
    assert set(sources) == set(ring(sources[0][0], (0, 10, 20)))
    assert [(thing, elevation) for thing, _, elevation in sources] == [(a, c) for a, _, c in targets]
    assert sample.id == tuple(f"{name(a)}_2_{name(b)}" for a, b in zip(sources, targets, strict=True))
    for shown, condition in ((sources, sample.source), (targets, sample.target)):
        told = [f"azimuth_{10 * azimuth:03d} elevation_{elevation:02d}" for _, azimuth, elevation in shown]
        read = [" ".join(VIEWS.view[column] for column in row.nonzero().flatten()) for row in condition.view]
        assert read == told
    turns = [(b[1] - a[1]) % 36 for a, b in zip(sources, targets, strict=True)]
    assert len(set(turns)) > 12


def test_targets_change_from_pass_to_pass_and_with_the_seed(tmp_path):
    write_views(tmp_path, [view for thing in range(3) for view in ring(thing)])
    dataset = shapenet_views(str(tmp_path), resolution=SIDE, passes=30, flip=False)
    assert len(dataset) == 30 * 18
    sample = dataset.batch(range(len(dataset)))
    sources, targets = seen(sample.image), seen(sample.truth)
    assert sources[:18] == sources[18:36]
    assert targets[:18] != targets[18:36]
    counts = torch.tensor([(b[1] - a[1]) // 2 % 18 for a, b in zip(sources, targets, strict=True)]).bincount()
    assert len(counts) == 18
    assert counts.min() > 12
    other = shapenet_views(str(tmp_path), resolution=SIDE, seed=1).batch(range(18))
    assert seen(other.image) == sources[:18]
    assert seen(other.truth) != targets[:18]


def test_turns_are_what_appearance_flow_reads(tmp_path):
    write_views(tmp_path, [view for thing in range(3) for view in ring(thing)])
    dataset = shapenet_views(str(tmp_path), resolution=SIDE, condition="turns", passes=30)
    assert dataset.spec == ConditionSpec(view=TURNS.view)
    sample = dataset.batch(range(30 * 18))
    told = [int(TURNS.view[column].removeprefix("turn_")) for column in sample.target.view.argmax(1)]
    pairs = zip(seen(sample.image), seen(sample.truth), told, strict=True)
    assert all((b[1] - a[1]) * 10 % 360 == turn % 360 for a, b, turn in pairs)
    assert set(told) == set(range(-180, 181, 20))
    assert {TURNS.view[column] for column in sample.source.view.argmax(1)} == {"turn_+000"}


@pytest.mark.parametrize("condition", ["views", "turns"])
def test_a_mirror_image_is_seen_from_the_mirrored_side(tmp_path, condition):
    example_shapenet_views(tmp_path)
    dataset = shapenet_views(str(tmp_path), resolution=SIDE, condition=condition)
    count = len(dataset) // 2
    straight, mirrored = dataset.batch(range(6)), dataset.batch(range(count, count + 6))
    torch.testing.assert_close(mirrored.truth, straight.truth.flip(-1))
    assert mirrored.id == tuple(f"{one}-mirrored" for one in straight.id)
    if condition == "turns":
        torch.testing.assert_close(mirrored.target.view, straight.target.view.flip(1))
    else:
        azimuths = [part.target.view[:, :18].argmax(1) for part in (straight, mirrored)]
        assert ((azimuths[0] + azimuths[1]) % 18 == 0).all()
        torch.testing.assert_close(mirrored.target.view[:, 18:], straight.target.view[:, 18:])


def test_whole_objects_are_held_out(tmp_path):
    write_views(tmp_path, [view for thing in range(12) for view in ring(thing, azimuths=(0, 2))])
    found = {}
    for split in ("train", "val", "test"):
        dataset = shapenet_views(str(tmp_path), split, SIDE, flip=False)
        found[split] = {thing for thing, *_ in seen(dataset.batch(range(len(dataset))).image)}
    assert [len(things) for things in found.values()] == [10, 1, 1]
    assert len(set.union(*found.values())) == 12


def test_folders_divide_objects_if_there_are_some(tmp_path):
    write_views(tmp_path / "train", ring(1) + ring(2))
    write_views(tmp_path / "test", ring(3))
    assert len(shapenet_views(str(tmp_path), resolution=SIDE, flip=False)) == 36
    for split in ("val", "test"):
        dataset = shapenet_views(str(tmp_path), split, SIDE)
        assert {thing for thing, *_ in seen(dataset.batch(range(18)).image)} == {3}


@pytest.mark.parametrize("write", [write_views, write_hdf5])
def test_lists_say_which_views_are_whose(tmp_path, write):
    write(tmp_path, ring(1) + ring(2) + ring(3, (10,)))
    write_lists(tmp_path, train=ring(2), test=ring(3, (10,)))
    train = shapenet_views(str(tmp_path), resolution=SIDE, flip=False)
    assert seen(train.batch(range(len(train))).image) == ring(2)
    for split in ("val", "test"):
        dataset = shapenet_views(str(tmp_path), split, SIDE)
        assert seen(dataset.batch(range(len(dataset))).image) == ring(3, (10,))


def test_hdf5_files_are_read_as_pictures_are(tmp_path):
    views = [view for thing in range(4) for view in ring(thing, (0, 20))]
    write_hdf5(tmp_path / "file", views)
    write_views(tmp_path / "pictures", views)
    for split in ("train", "test"):
        one, other = (shapenet_views(str(tmp_path / kind), split, SIDE) for kind in ("file", "pictures"))
        assert len(one) == len(other)
        assert {thing for thing, *_ in seen(one.batch(range(len(one))).image)} <= set(range(4))
    dataset = shapenet_views(str(tmp_path / "file"), resolution=SIDE)
    sample = dataset.batch([0, 5])
    sources = [pair.partition("_2_")[0] for pair in sample.id]
    assert [name(view) for view in seen(sample.image)] == sources
    again = pickle.loads(pickle.dumps(dataset))  # as it travels to the workers of a loader
    torch.testing.assert_close(again.batch([0, 5]).truth, sample.truth)


def test_models_of_views_read_it(tmp_path):
    example_shapenet_views(tmp_path)
    options = {"resolution": 32, "width": 4}
    gfla = create_model(
        "gfla_view_256", max_width=8, layers=2, flow_width=4, flow_max_width=8, flow_layers=3, **options
    )
    small = {"layers": 2, "growths": 1, "units": 64, "mask_units": 64}
    appflow = create_model("appflow_car_224", **small, **options)
    for model, condition in ((gfla.eval(), "views"), (appflow.eval(), "turns")):
        dataset = shapenet_views(str(tmp_path), resolution=32, condition=condition)
        sample, spec = dataset.batch([0, 1]), model.cfg.condition
        picked = [spec.select(part, dataset.spec) for part in (sample.target, sample.source)]
        assert model(sample.image, *picked).image.shape == sample.truth.shape


def test_what_is_missing_is_told(tmp_path, monkeypatch):
    write_views(tmp_path, ring(1, azimuths=(0, 2)) + ring(2, azimuths=(0, 2)))
    write_lists(tmp_path, train=[*ring(1, azimuths=(0, 2)), (1, 4, 0)])
    with pytest.raises(FileNotFoundError, match="1 of 3 labelled pictures are missing: thing1_4_0"):
        shapenet_views(str(tmp_path))
    assert len(shapenet_views(str(tmp_path), flip=False, skip_broken=True)) == 2
    with pytest.raises(FileNotFoundError, match=r"has no list of names \(looked for id_car_test.txt\)"):
        shapenet_views(str(tmp_path), "test")
    (tmp_path / "data_chair.hdf5").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"has no data_car.hdf5, but data_chair.hdf5; set category"):
        shapenet_views(str(tmp_path))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"data_chair.hdf5: h5py is not installed .*; pip install 'geotrans-gan"):
        shapenet_views(str(tmp_path), category="chair")


@pytest.mark.parametrize("wrong", ["car.png", "car_1_0.png", "car_36_0.png", "car_2_15.png", "car_2.png"])
def test_names_of_another_form_are_refused(tmp_path, wrong):
    write_views(tmp_path / "train", ring(1))
    write_image(tmp_path / "train" / wrong, picture(1, 0, 0))
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match=rf"1 names are not OBJECT_AZIMUTH_ELEVATION.*: {wrong[:-4]}"):
        shapenet_views(str(tmp_path))


def test_an_object_needs_two_views_of_one_elevation(tmp_path):
    write_views(tmp_path / "train", ring(1, (0, 10, 20), azimuths=(4,)))
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match="has no object with two views of one elevation in the split 'train'"):
        shapenet_views(str(tmp_path))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pose": [4, 0]}, r"data_car.hdf5, thing\d_0_0: expected the pose \[0, 0\] as in the name, got \[4, 0\]"),
        ({"image": [[1.0, 2.0]]}, r"expected an image \(H, W, 3\) in 0..255, got \(1, 2\) of float64"),
        ({"image": [[[1.0, 2.0, 300.0]]]}, r"expected an image \(H, W, 3\) in 0..255"),
        ({"image": "picture"}, r"expected an image \(H, W, 3\) in 0..255"),
    ],
)
def test_broken_hdf5_files_are_named(tmp_path, changed, message):
    write_hdf5(tmp_path, [view for thing in range(3) for view in ring(thing)], **changed)
    with pytest.raises(ValueError, match=message):
        shapenet_views(str(tmp_path), resolution=SIDE)[0]


def test_hdf5_files_that_are_none_or_lack_a_view_are_named(tmp_path):
    write_hdf5(tmp_path, ring(1))
    write_lists(tmp_path, train=[(2, 0, 0), (2, 2, 0)])
    with pytest.raises(ValueError, match=r"data_car.hdf5: holds no thing2_0_0; is the list of names that of another"):
        shapenet_views(str(tmp_path), resolution=SIDE)[0]
    with pytest.raises(ValueError, match="has no object with two views"):
        shapenet_views(str(tmp_path), resolution=SIDE, skip_broken=True)
    (tmp_path / "data_car.hdf5").write_bytes(b"no file of that kind")
    with pytest.raises(ValueError, match=r"data_car.hdf5: cannot be read as HDF5"):
        shapenet_views(str(tmp_path), resolution=SIDE)[0]


def test_options_out_of_range_are_refused(tmp_path):
    write_views(tmp_path, ring(1) + ring(2) + ring(3))
    with pytest.raises(ValueError, match="condition: expected one of views, turns, got 'angles'"):
        shapenet_views(str(tmp_path), condition="angles")
    with pytest.raises(ValueError, match="fit: expected"):
        shapenet_views(str(tmp_path), fit="fill")
