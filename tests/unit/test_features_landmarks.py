"""MediaPipe and dlib: what their finds become, on stand-ins; and on real faces where the packages are installed."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from geotrans import create_feature
from geotrans.data._face_motion import AUS
from geotrans.features import dlib, mediapipe
from geotrans.features._photographs import photographs
from geotrans.features.dlib import DlibLandmarks
from geotrans.features.mediapipe import ACTION_UNITS, IBUG68, MediaPipeFace
from geotrans.ops.images import read_pixels
from geotrans.ops.landmarks import IBUG68_MIRROR


def _pictures(*levels: int, size: tuple[int, int] = (60, 40)) -> Tensor:
    return torch.stack([torch.full((3, *size), level, dtype=torch.uint8) for level in levels])


def _found(picture: np.ndarray) -> SimpleNamespace:
    """A face in every picture that is not black: vertex i at (i / 1000, i / 2000), shape j with weight j / 100."""
    if not picture.any():
        return SimpleNamespace(face_landmarks=[], face_blendshapes=[])
    names = ["_neutral", *dict.fromkeys(shape for shapes in ACTION_UNITS.values() for shape in shapes)]
    names += [f"other{i}" for i in range(52 - len(names))]
    shapes = [SimpleNamespace(category_name=name, score=i / 100) for i, name in enumerate(names)]
    mesh = [SimpleNamespace(x=i / 1000, y=i / 2000) for i in range(478)]
    return SimpleNamespace(face_landmarks=[mesh], face_blendshapes=[shapes])


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """MediaPipe as far as it is used; the list fills with the model files that were opened."""
    opened: list[str] = []

    def create(options: Any) -> SimpleNamespace:
        opened.append(options.base_options)
        if "broken" in options.base_options:
            raise RuntimeError("no model")
        return SimpleNamespace(detect=lambda image: _found(image), close=lambda: None)

    modules = {name: ModuleType(name) for name in ("mediapipe", "mediapipe.tasks", "mediapipe.tasks.python")}
    vision = SimpleNamespace(
        FaceLandmarkerOptions=lambda **options: SimpleNamespace(**options),
        FaceLandmarker=SimpleNamespace(create_from_options=create),
    )
    modules["mediapipe"].__dict__.update(
        Image=lambda image_format, data: data, ImageFormat=SimpleNamespace(SRGB=1), tasks=modules["mediapipe.tasks"]
    )
    modules["mediapipe.tasks.python"].__dict__.update(
        BaseOptions=lambda model_asset_path: model_asset_path, vision=vision
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return opened


def test_mesh_becomes_ibug68_in_units_of_the_picture(stand_in: list[str]) -> None:
    rows = MediaPipeFace("landmarks", "model")(_pictures(0, 9))
    assert rows.shape == (2, 136)
    assert not rows[0].any()
    points = rows[1].view(68, 2)
    assert points[:, 0].tolist() == pytest.approx([2 * i / 1000 - 1 for i in IBUG68])
    assert points[:, 1].tolist() == pytest.approx([2 * i / 2000 - 1 for i in IBUG68])
    assert stand_in == ["model"]


def test_blendshapes_become_action_units_in_the_order_of_the_data(stand_in: list[str]) -> None:
    assert tuple(ACTION_UNITS) == AUS
    weights = MediaPipeFace("blendshapes", "model")(_pictures(9))[0]
    assert weights.tolist() == pytest.approx([i / 100 for i in range(52)])
    units = MediaPipeFace("aus", "model")(_pictures(0, 9))
    assert not units[0].any()
    assert units[1, 0] == pytest.approx(0.01)  # browInnerUp is the first shape after the neutral one
    assert units[1, 1] == pytest.approx(0.025)  # browOuterUp, left and right
    assert MediaPipeFace("aus", "model")(_pictures(9)[:0]).shape == (0, 17)


def test_a_broken_model_file_is_named(stand_in: list[str]) -> None:
    with pytest.raises(ValueError, match=r"broken\.task: MediaPipe cannot read it as a FaceLandmarker: no model"):
        MediaPipeFace("aus", "broken.task")


@pytest.mark.parametrize(
    ("package", "build"), [("mediapipe", lambda: MediaPipeFace("aus", "x")), ("dlib", lambda: DlibLandmarks("x"))]
)
def test_a_missing_package_names_the_extra(package: str, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    with pytest.raises(ImportError, match=r"is not installed .* pip install 'geotrans-gan\[faces\]'"):
        build()


def test_missing_model_files_name_address_size_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for module, name in ((mediapipe, "mediapipe_aus"), (dlib, "dlib_landmarks")):
        monkeypatch.delenv(module.MODEL.variable, raising=False)
        with pytest.raises(FileNotFoundError) as error:
            create_feature(name)
        message, file = str(error.value), module.MODEL
        assert "\n" not in message
        for part in (str(tmp_path / "checkpoints" / file.name), file.url, f"{file.size / 1e6:.0f} MB", file.variable):
            assert part in message


def test_small_pictures_are_enlarged_and_large_ones_kept() -> None:
    assert photographs(_pictures(1, size=(60, 40)))[0].shape == (576, 384, 3)
    assert photographs(_pictures(1, size=(400, 500)))[0].shape == (400, 500, 3)
    with pytest.raises(TypeError, match="expected uint8"):
        photographs(torch.zeros(1, 3, 4, 4))


def _faces() -> Tensor:
    folder = Path(os.environ.get("GEOTRANS_TEST_DATA", "")) / "cmu_faces"
    if "GEOTRANS_TEST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs cmu_faces; set GEOTRANS_TEST_DATA to the folder that holds it")
    with (folder / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["pose"], row["eyes"]) == ("straight", "open")]
    return torch.stack([read_pixels(folder / "images" / row["image"]) for row in rows[::6]])


def _feature(name: str, package: str) -> Any:
    pytest.importorskip(package, exc_type=ImportError)
    try:
        return create_feature(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.weights
def test_mediapipe_and_dlib_agree_on_real_faces() -> None:
    """Two detectors that know nothing of each other: the inner face within 5 % of the eyes' distance."""
    pictures = _faces()
    ours, theirs = (
        _feature(name, name.partition("_")[0])(pictures).view(-1, 68, 2)
        for name in ("mediapipe_landmarks", "dlib_landmarks")
    )
    assert (ours != 0).any()
    seen = (ours != 0).flatten(1).any(1) & (theirs != 0).flatten(1).any(1)
    assert seen.sum() > 0.8 * len(pictures)
    pixels = torch.tensor([pictures.shape[3] / 2, pictures.shape[2] / 2])
    ours, theirs = ours[seen] * pixels, theirs[seen] * pixels
    eyes = (theirs[:, 36] - theirs[:, 45]).norm(dim=1)[:, None]
    distance = (ours - theirs).norm(dim=2) / eyes
    sys.stdout.write(
        f"MediaPipe to dlib: {100 * distance.mean():.1f} %, without jaw {100 * distance[:, 17:].mean():.1f} %\n"
    )
    assert distance[:, 17:].mean() < 0.05
    assert distance.mean() < 0.06


@pytest.mark.weights
@pytest.mark.parametrize("name", ["mediapipe_landmarks", "dlib_landmarks"])
def test_a_mirrored_face_has_mirrored_landmarks(name: str) -> None:
    """Left and right are not confused: point i of the mirrored face is the mirror image of its partner."""
    pictures = _faces()[:4]
    feature = _feature(name, name.partition("_")[0])
    straight, mirrored = feature(pictures).view(-1, 68, 2), feature(pictures.flip(3)).view(-1, 68, 2)
    back = mirrored[:, list(IBUG68_MIRROR)] * torch.tensor([-1.0, 1.0])
    eyes = (straight[:, 36] - straight[:, 45]).norm(dim=1)[:, None]
    assert ((straight - back).norm(dim=2) / eyes).mean() < 0.06
