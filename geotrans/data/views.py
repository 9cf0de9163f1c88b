"""`shapenet_views`: rendered objects from 54 sides, as GFLA and Appearance Flow learn to turn them.

Papers: Sun et al., "Multi-view to Novel view", ECCV 2018, whose renderings of ShapeNet these are; Ren et al., "Deep
Image Spatial Transformation for Person Image Generation", CVPR 2020; Zhou et al., "View Synthesis by Appearance Flow",
ECCV 2016. Differences from the official codes: a view's target depends on the index, not on when it is read; pictures
are resized by PyTorch; Appearance Flow's own renderings, every 5 degrees, are not these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from geotrans.data._counter import keys, uniforms
from geotrans.data._files import (
    Copies,
    Fit,
    Framing,
    cut,
    framed,
    pictures_in,
    place_draws,
    sample_id,
    shares,
    shown,
    shuffled,
)
from geotrans.data._reader import Reader
from geotrans.data._view_camera import AZIMUTHS, ELEVATIONS, make_camera
from geotrans.data._view_car import CAR_DRAWS, make_car
from geotrans.data._view_files import TOLD, Hdf5Views, PictureViews, View, ViewFiles, parse
from geotrans.data._view_pair import draw_views
from geotrans.data.base import Dataset
from geotrans.data.synthviews import SPEC
from geotrans.ops.images import write_image
from geotrans.types import Condition, ConditionSpec, Sample
from registry import register_dataset

Told = Literal["views", "turns"]
_STEP = AZIMUTHS[1]
_HALF = len(AZIMUTHS) // 2
_TURNS = tuple(f"turn_{_STEP * turn:+04d}" for turn in range(-_HALF, _HALF + 1))


class ViewPairs(Dataset):
    """A view of an object, and a view of the same object from the same elevation and any azimuth, its own too.

    Every view is a source once a pass. With `flip`, the second half of the indices are mirror images of the first: the
    mirrored object from the mirrored azimuth, 340 for 20. An id is FROM_2_TO, of the names of the two views.

    Args:
        names: of the views of the split.
        views: what each name says.
        told: what conditions say, "views" or "turns".
    """

    def __init__(
        self,
        files: ViewFiles,
        names: Sequence[str],
        views: Sequence[View],
        told: Told,
        framing: Framing,
        copies: Copies,
        seed: int,
    ) -> None:
        self.files, self.names, self.views, self.told = files, tuple(names), tuple(views), told
        self.framing, self.copies, self.seed = framing, copies, seed
        self.spec = ConditionSpec(view=_TURNS if told == "turns" else SPEC.view)
        self.resolution = framing.resolution
        rings: dict[tuple[str, int], list[int]] = {}
        for row, view in enumerate(self.views):
            rings.setdefault((view.thing, view.elevation), []).append(row)
        self._rings = [tuple(rings[view.thing, view.elevation]) for view in self.views]

    def __len__(self) -> int:
        return len(self.copies)

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
            ValueError: a file is broken; the message has its path.
        """
        chosen = [self.copies[index] for index in indices]
        mirrors = [mirrored for _, mirrored in chosen]
        draws = place_draws(self.seed, 5, [index % self.copies.plain for index in indices])
        sources = [row for row, _ in chosen]
        rings = [self._rings[row] for row in sources]
        targets = [ring[int(draw * len(ring))] for ring, draw in zip(rings, draws[:, 0].tolist(), strict=True)]
        shown, wanted = (self._azimuths(rows, mirrors) for rows in (sources, targets))
        if self.told == "turns":
            sides = torch.tensor(mirrors) != (draws[:, 1] < 0.5)
            conditions = [_turned(0 * shown, sides), _turned(wanted - shown, sides)]
        else:
            heights = torch.tensor([self.views[row].elevation for row in sources])
            conditions = [_viewed(azimuths, heights) for azimuths in (shown, wanted)]
        names = [f"{self.names[a]}_2_{self.names[b]}" for a, b in zip(sources, targets, strict=True)]
        return Sample(
            image=self._pictures(sources, mirrors),
            source=conditions[0],
            target=conditions[1],
            truth=self._pictures(targets, mirrors),
            id=tuple(sample_id(name, mirrored) for name, mirrored in zip(names, mirrors, strict=True)),
        )

    def _azimuths(self, rows: Sequence[int], mirrors: Sequence[bool]) -> Tensor:
        signs = torch.tensor([-1 if mirrored else 1 for mirrored in mirrors])
        return signs * torch.tensor([self.views[row].azimuth for row in rows]) % len(AZIMUTHS)

    def _pictures(self, rows: Sequence[int], mirrors: Sequence[bool]) -> Tensor:
        middle, pictures = torch.full((2,), 0.5), []
        for row, mirrored in zip(rows, mirrors, strict=True):
            name = self.names[row]
            pictures.append(framed(self.files.read(name), self.files.path(name), self.framing, middle, mirrored)[0])
        return torch.cat(pictures)


def _viewed(azimuths: Tensor, elevations: Tensor) -> Condition:
    view = torch.cat([one_hot(azimuths, len(AZIMUTHS)), one_hot(elevations, len(ELEVATIONS))], dim=1)
    return Condition(view=view.float())


def _turned(turns: Tensor, sides: Tensor) -> Condition:
    """Turns (B,) in steps, one-hot; half a turn is the one to the left or, where `sides` (B,) is set, to the right."""
    turns = (turns + _HALF) % len(AZIMUTHS)
    turns = torch.where((turns == 0) & sides, len(AZIMUTHS), turns)
    return Condition(view=one_hot(turns, len(_TURNS)).float())


@register_dataset("ShapeNet's cars or chairs, rendered from 54 sides: HDF5 files or pictures", "as ShapeNet's")
def shapenet_views(
    root: str = "",
    split: str = "train",
    resolution: int = 256,
    seed: int = 0,
    category: str = "car",
    condition: Told = "views",
    fit: Fit = "square",
    passes: int = 1,
    flip: bool = True,
    skip_broken: bool = False,
) -> ViewPairs:
    """Views of objects at 18 azimuths and 3 elevations, in pairs of one elevation, as the official codes pair them.

    Args:
        root: holds data_car.hdf5 or data_chair.hdf5, as the authors of "Multi-view to Novel view" hand them out (h5py
            reads them); or pictures, in folders or not. Names in the file, and of pictures, are
            OBJECT_AZIMUTH_ELEVATION, such as 1a2b_14_10: an azimuth of 0, 2, ..., 34 in tens of degrees, an elevation
            of 0, 10 or 20 in degrees. Of a picture, the last part of its path counts.
        split: train, val or test, by lists of names, id_car_train.txt and id_car_test.txt, where DIR has them: the
            second is for validation too. Otherwise objects are shuffled with a seed of its own, and 5 % each are held
            out.
        resolution: height and width.
        seed: decides which views come together.
        category: car or chair, or whatever else stands in the names of files.
        condition: "views" are a one-hot azimuth and a one-hot elevation, of source and target, as GFLA reads; "turns"
            say one-hot by how much the target is turned from the source, -180 to 180 degrees, as Appearance Flow reads.
        fit: how a picture becomes a square, see `Framing`.
        passes: how often an epoch of training goes through the views, each time with other targets.
        flip: training sees every pair mirrored too, for which azimuth 0 must show the front or the back.
        skip_broken: leave out, with a warning, pictures that cannot be read, and listed views that are missing.

    Raises:
        FileNotFoundError: a file is not there.
        ImportError: an HDF5 file is to be read, and h5py is not installed.
        ValueError: a name is of another form, no object has two views, or an unknown option.
    """
    expected = "DIR/data_CATEGORY.hdf5 with DIR/id_CATEGORY_train.txt, ..., or DIR/OBJECT_AZIMUTH_ELEVATION.png, ..."
    reader = Reader("shapenet_views", root, expected, split, seed, flip, skip_broken=skip_broken)
    if condition not in (known := get_args(Told)):
        raise ValueError(f"shapenet_views: condition: expected one of {', '.join(known)}, got {condition!r}")
    files = _files(reader, category)
    names, views = _in_split(reader, files, category)
    if isinstance(files, PictureViews):
        kept = reader.readable([files.path(name) for name in names])
        names, views = [names[row] for row in kept], [views[row] for row in kept]
    if len(names) == len({(view.thing, view.elevation) for view in views}):
        raise ValueError(
            f"shapenet_views: {reader.folder} has no object with two views of one elevation in the split {split!r}"
        )
    copies = reader.copies(len(names), passes)
    return ViewPairs(files, names, views, condition, Framing(resolution, fit=fit), copies, seed)


def _files(reader: Reader, category: str) -> ViewFiles:
    """The HDF5 file of the category if the folder has any HDF5 file, else its pictures."""
    if others := sorted(path.name for path in reader.folder.glob("data_*.hdf5")):
        what = f"data_{category}.hdf5, but {', '.join(others)}; set category"
        return Hdf5Views(reader.place((f"data_{category}.hdf5",), what))
    return PictureViews(pictures_in(reader.folder, recursive=True), reader.manifest)


def _in_split(reader: Reader, files: ViewFiles, category: str) -> tuple[list[str], list[View]]:
    """The names of the views of the split, and what they say."""
    lists = {side: f"id_{category}_{side}.txt" for side in ("train", "test")}
    if any((reader.folder / name).is_file() for name in lists.values()):
        names = _listed(reader, files, lists["train" if reader.train else "test"])
    elif isinstance(files, PictureViews):
        names = [path.stem for path, _ in reader.divided(whole=_thing)]
    else:
        names = list(files.names())
        things = shuffled(sorted({_thing(name) for name in names}))
        held = set(cut(things, reader.split, *shares(len(things))))
        names = [name for name in names if _thing(name) in held]
    views = [parse(name) for name in names]
    if wrong := [name for name, view in zip(names, views, strict=True) if view is None]:
        raise ValueError(f"shapenet_views: {len(wrong)} names are not {TOLD}: {shown(wrong)}")
    return names, [view for view in views if view is not None]


def _listed(reader: Reader, files: ViewFiles, name: str) -> list[str]:
    """The names in a list; of an HDF5 file, those that it lacks are noticed only when they are read."""
    listed = reader.place((name,), "list of names")
    names = [line.strip() for line in listed.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if isinstance(files, PictureViews) or reader.skip_broken:
        names = reader.existing(names, {name: files.path(name) for name in files.names()})
    return names


def _thing(name: str) -> str:
    """The object that a view is of; what a path to it ends with counts."""
    view = parse(name.rpartition("/")[2])
    return name if view is None else view.thing


def example_shapenet_views(root: Path) -> None:
    """Write a folder as `shapenet_views` reads it, in miniature: pictures of ten drawn cars from six azimuths."""
    cars = make_car(uniforms(keys(0, 34, torch.arange(10)), CAR_DRAWS))
    tint, level = torch.full((10, 3), 0.9), torch.ones(10, dtype=torch.int64)
    for pair in ((0, 3), (6, 9), (12, 15)):
        cameras = [make_camera(torch.full((10,), azimuth), level) for azimuth in pair]
        for azimuth, images in zip(pair, draw_views(cars, cameras[0], cameras[1], tint, 64), strict=False):
            for number, image in enumerate(images):
                name = f"car{number:02d}_{2 * azimuth}_{ELEVATIONS[1]}"
                write_image(root / f"car{number:02d}" / f"{name}.png", image)
