"""iBUG-68 landmarks by dlib, where the package and its model file are there.

Paper: Kazemi and Sullivan 2014. The package comes with the extra `geotrans-gan[faces]`. The model was trained on
iBUG 300-W, whose licence excludes commercial use.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from geotrans.features._photographs import photographs
from geotrans.features.external import PublishedWeights
from registry import register_feature

MODEL = PublishedWeights(
    name="shape_predictor_68_face_landmarks.dat",
    url="https://pypi.org/project/face_recognition_models/",
    size=99_693_937,
    sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    variable="GEOTRANS_DLIB68",
)


class DlibLandmarks(nn.Module):
    """uint8 (B, 3, H, W) -> (B, 136), x and y in turn in [-1, 1]; zeros where dlib sees no face. On the CPU.

    Raises:
        ImportError: dlib is not installed.
        ValueError: dlib cannot read the file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        try:
            import dlib
        except ImportError as error:
            raise ImportError(f"dlib is not installed ({error}); pip install 'geotrans-gan[faces]'") from error
        try:
            self._predict = dlib.shape_predictor(path)
        except RuntimeError as error:
            raise ValueError(f"{path}: dlib cannot read it as a shape predictor: {error}") from error
        self._detect = dlib.get_frontal_face_detector()
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 136) of uint8 (B, 3, H, W).

        Raises:
            TypeError: the pictures are not uint8.
        """
        rows = torch.zeros(len(images), 136)
        for row, picture in enumerate(photographs(images)):
            faces = self._detect(picture, 0)
            if not faces:
                continue
            points = self._predict(picture, max(faces, key=lambda face: face.area())).parts()
            height, width = picture.shape[:2]
            places = [((2 * point.x + 1) / width - 1, (2 * point.y + 1) / height - 1) for point in points]
            rows[row] = torch.tensor(places).flatten()
        return rows.to(images.device)


@register_feature(dim=136, licence="iBUG 300-W: research only", sha256=MODEL.sha256)
def dlib_landmarks() -> DlibLandmarks:
    """iBUG-68 landmarks of the largest face that dlib sees, x and y in turn, in [-1, 1]; zeros where it sees none.

    Raises:
        ImportError: dlib is not installed.
        FileNotFoundError: the model file is not on this machine; the message says what to put where.
    """
    return DlibLandmarks(str(_model()))


def _model() -> Path:
    """The file at its usual place, or in the package `face_recognition_models`, which need not import."""
    if not MODEL.path.is_file() and (spec := importlib.util.find_spec("face_recognition_models")):
        for folder in spec.submodule_search_locations or ():
            if (path := Path(folder) / "models" / MODEL.name).is_file():
                return path
    return MODEL.checked()
