"""Every registered dataset: shapes, ranges, names, and that a sample depends on its index alone.

Those that read a folder have a function `example_NAME(root)` beside them, which writes such a folder in miniature.
"""

from __future__ import annotations

import inspect
import pickle
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from geotrans.data.base import Dataset, loader
from geotrans.factory import create_dataset, list_datasets
from geotrans.ops.images import list_images
from geotrans.types import VECTOR_FIELDS, Sample
from registry import DATASETS

NAMES = list_datasets()
SIDE = 32
Opener = Callable[..., Dataset]


def options_of(name: str) -> Any:
    return inspect.signature(DATASETS.get(name).factory).parameters


READERS = [name for name in NAMES if "root" in options_of(name)]


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Opener]:
    """`opener(name)(split)` opens a dataset, on its example folder if it reads one."""

    @cache
    def root_of(name: str) -> dict[str, str]:
        if name not in READERS:
            return {}
        root = tmp_path_factory.mktemp(name)
        module = sys.modules[DATASETS.get(name).factory.__module__]
        getattr(module, f"example_{name}")(root)
        return {"root": str(root)}

    return lambda name: (
        lambda split="train", **options: create_dataset(
            name, split=split, **{"resolution": SIDE, **root_of(name), **options}
        )
    )


@pytest.fixture(params=NAMES)
def opened(request: pytest.FixtureRequest, opener: Callable[[str], Opener]) -> Opener:
    return opener(request.param)


def same(one: Sample, other: Sample) -> None:
    assert one.id == other.id
    for name in ("image", "truth", "other"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        if first is not None:
            torch.testing.assert_close(first, second, atol=1e-5, rtol=0)  # drawing may round by the batch
    for first, second in ((one.source, other.source), (one.target, other.target)):
        assert (first is None) == (second is None)
        for name in (*VECTOR_FIELDS, "landmarks", "structure"):
            if first is not None and second is not None and getattr(first, name) is not None:
                torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=1e-5, rtol=0)


def test_there_are_datasets_that_read_folders() -> None:
    assert {"celeba", "rafd", "folder", "paired_folder", "unpaired_folders"} <= set(READERS)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_samples_are_what_the_dataset_says(opened: Opener, split: str) -> None:
    dataset = opened(split)
    assert dataset.resolution == SIDE
    sample = dataset.batch(range(min(3, len(dataset))))
    count = len(sample.id)
    assert sample.image.shape[0] == count
    for picture in (sample.reference, sample.truth, sample.other):
        if picture is not None:
            assert picture.shape == (count, 3, SIDE, getattr(dataset, "width", SIDE))
            assert picture.dtype == torch.float32
            assert picture.abs().max() <= 1
            assert picture.std() > 0.01
    assert sample.source is not None
    for condition in (sample.source, sample.target):
        if condition is not None:
            dataset.spec.check(condition, count)


def test_a_sample_depends_on_its_index_alone(opened: Opener) -> None:
    dataset = opened()
    last = len(dataset) - 1
    same(dataset.batch([last, 1, 0]).rows([0]), dataset[last])
    same(dataset.batch([last, 1, 0]).rows([1]), opened().batch([1]))


def test_names_are_unique_within_a_pass(opened: Opener) -> None:
    names = opened("test").batch(range(min(8, len(opened("test"))))).id
    assert len(set(names)) == len(names)


def test_training_and_test_data_have_nothing_in_common(opened: Opener) -> None:
    train, test = opened(), opened("test")
    seen = {name.partition("-mirrored")[0] for name in train.batch(range(min(40, len(train)))).id}
    assert not seen & set(test.batch(range(min(40, len(test)))).id)


def test_it_travels_to_the_workers_of_a_loader(opened: Opener) -> None:
    dataset = opened()
    same(pickle.loads(pickle.dumps(dataset)).batch([1, 0]), dataset.batch([1, 0]))
    first = next(iter(loader(dataset, 2)))
    same(first, dataset.batch([0, 1]))


def test_mistakes_are_named(opened: Opener) -> None:
    with pytest.raises(ValueError, match="expected split to be one of train, val, test, got 'dev'"):
        opened("dev")
    with pytest.raises(ValueError, match="resolution"):
        opened(resolution=0)
    dataset = opened()
    with pytest.raises(IndexError, match="outside the dataset's 0"):
        dataset.batch([len(dataset)])
    with pytest.raises(IndexError):
        dataset[-1]


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_what_protocols_and_recipes_give(name: str) -> None:
    entry = DATASETS.get(name)
    assert {"split", "resolution", "seed"} <= set(options_of(name))
    assert all(parameter.default is not inspect.Parameter.empty for parameter in options_of(name).values())
    assert entry.info.description
    assert entry.info.licence
    assert (entry.factory.__doc__ or "").strip()


@pytest.mark.parametrize("name", READERS)
def test_no_folder_is_one_clear_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^{name} reads a folder: pass --data DIR \(expected DIR") as caught:
        create_dataset(name)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=rf"no such folder; {name} expected DIR"):
        create_dataset(name, root=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        create_dataset(name, root=str(tmp_path))


# The sets of `joint` take turns, and each is as long as its own pictures and their mirror images.
@pytest.mark.parametrize("name", [name for name in READERS if name != "joint"])
def test_training_sees_mirror_images_in_its_second_half(name: str, opener: Callable[[str], Opener]) -> None:
    dataset, plain = opener(name)(), opener(name)(flip=False)
    assert len(dataset) == 2 * len(plain)
    straight, mirrored = dataset.batch([0, 1]), dataset.batch([len(plain), len(plain) + 1])
    torch.testing.assert_close(mirrored.image, straight.image.flip(-1))
    assert mirrored.id == tuple(f"{name}-mirrored" for name in straight.id)
    assert len(opener(name)("test")) == len(opener(name)("test", flip=False))


@pytest.mark.parametrize("name", READERS)
def test_broken_pictures_are_named_or_skipped(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    getattr(sys.modules[DATASETS.get(name).factory.__module__], f"example_{name}")(tmp_path)
    dataset = create_dataset(name, root=str(tmp_path), resolution=SIDE, flip=False)
    broken = next(path for path in list_images(tmp_path) if path.stem in pictures_of(dataset[0].id[0]))
    broken.write_bytes(broken.read_bytes()[:100])
    dataset = create_dataset(name, root=str(tmp_path), resolution=SIDE, flip=False)
    with pytest.raises(ValueError, match=broken.name):
        dataset.batch([0])
    fewer = create_dataset(name, root=str(tmp_path), resolution=SIDE, flip=False, skip_broken=True)
    assert "skipped 1 of" in caplog.text
    assert broken.name in caplog.text
    assert len(fewer) == len(dataset) - 1 or name in ("joint", "unpaired_folders")
    assert broken.stem not in {stem for name in fewer.batch(range(len(fewer))).id for stem in pictures_of(name)}


def pictures_of(name: str) -> list[str]:
    """The files behind an id: one, or a pair's two."""
    return Path(name).name.split("_2_")
