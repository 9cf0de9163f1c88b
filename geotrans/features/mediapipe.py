"""Landmarks and expression of a face by MediaPipe's FaceLandmarker, where the package and its model file are there.

Models: https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker. The package comes with the extra
`geotrans-gan[faces]`, the file does not: see `MODEL`.
"""

from __future__ import annotations

import weakref
from typing import Any, Literal

import torch
from torch import Tensor, nn

from geotrans.features._photographs import photographs
from geotrans.features.external import PublishedWeights
from registry import register_feature

Part = Literal["landmarks", "blendshapes", "aus"]

MODEL = PublishedWeights(
    name="face_landmarker.task",
    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    size=3_758_596,
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    variable="GEOTRANS_MEDIAPIPE_FACE",
)

# The vertices of MediaPipe's mesh that lie nearest to iBUG-68's points: on 79 faces they are 4 % of the eyes' distance
# from those that dlib finds, most of it along the jaw. Left and right are mirror images in the mesh.
IBUG68 = (
    *(127, 234, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 454, 356),  # jaw
    *(156, 63, 105, 66, 107, 336, 296, 334, 293, 383),  # brows
    *(168, 6, 195, 4, 240, 97, 2, 326, 460),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)

# What shows each action unit. Blendshapes are weights of an animator's face in [0, 1], not FACS intensities: AU23 and
# AU25 have no shape of their own, and MediaPipe hardly ever moves cheekSquint (AU6) and noseSneer (AU9).
ACTION_UNITS: dict[str, tuple[str, ...]] = {
    "AU01": ("browInnerUp",),
    "AU02": ("browOuterUpLeft", "browOuterUpRight"),
    "AU04": ("browDownLeft", "browDownRight"),
    "AU05": ("eyeWideLeft", "eyeWideRight"),
    "AU06": ("cheekSquintLeft", "cheekSquintRight"),
    "AU07": ("eyeSquintLeft", "eyeSquintRight"),
    "AU09": ("noseSneerLeft", "noseSneerRight"),
    "AU10": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "AU12": ("mouthSmileLeft", "mouthSmileRight"),
    "AU14": ("mouthDimpleLeft", "mouthDimpleRight"),
    "AU15": ("mouthFrownLeft", "mouthFrownRight"),
    "AU17": ("mouthShrugLower",),
    "AU20": ("mouthStretchLeft", "mouthStretchRight"),
    "AU23": ("mouthPressLeft", "mouthPressRight"),
    "AU25": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "AU26": ("jawOpen",),
    "AU45": ("eyeBlinkLeft", "eyeBlinkRight"),
}


class MediaPipeFace(nn.Module):
    """One part of what FaceLandmarker finds: uint8 (B, 3, H, W) -> (B, D), zeros where it finds no face. On the CPU.

    Args:
        part: `landmarks`, iBUG-68 as x, y, x, ... in [-1, 1] (136); `blendshapes` in [0, 1] (52); `aus`, the mean of
            each action unit's blendshapes in [0, 1] (17).
        path: the model file.

    Raises:
        ImportError: MediaPipe is not installed.
        ValueError: MediaPipe cannot read the file.
    """

    def __init__(self, part: Part, path: str) -> None:
        super().__init__()
        try:
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise ImportError(f"MediaPipe is not installed ({error}); pip install 'geotrans-gan[faces]'") from error
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=path), output_face_blendshapes=True, num_faces=1
        )
        try:
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: MediaPipe cannot read it as a FaceLandmarker: {error}") from error
        weakref.finalize(self, self._landmarker.close)
        self.part = part
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(B, D) of uint8 (B, 3, H, W).

        Raises:
            TypeError: the pictures are not uint8.
        """
        import mediapipe

        rows = []
        for picture in photographs(images):
            found = self._landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture))
            rows.append(self._row(found))
        return torch.stack(rows).to(images.device) if rows else torch.zeros(0, self._size, device=images.device)

    @property
    def _size(self) -> int:
        return {"landmarks": 2 * len(IBUG68), "blendshapes": 52, "aus": len(ACTION_UNITS)}[self.part]

    def _row(self, found: Any) -> Tensor:
        if not found.face_landmarks:
            return torch.zeros(self._size)
        if self.part == "landmarks":
            mesh = found.face_landmarks[0]
            return torch.tensor([2 * value - 1 for place in IBUG68 for value in (mesh[place].x, mesh[place].y)])
        scores = {shape.category_name: shape.score for shape in found.face_blendshapes[0]}
        if self.part == "aus":
            units = ACTION_UNITS.values()
            return torch.tensor([sum(scores[shape] for shape in shapes) / len(shapes) for shapes in units])
        return torch.tensor(list(scores.values()))


@register_feature(dim=136, licence="Apache-2.0", sha256=MODEL.sha256)
def mediapipe_landmarks() -> MediaPipeFace:
    """iBUG-68 landmarks of the largest face, x and y in turn, in [-1, 1]; zeros where there is no face.

    Raises:
        ImportError: MediaPipe is not installed.
        FileNotFoundError: the model file is not on this machine; the message says what to put where.
    """
    return MediaPipeFace("landmarks", str(MODEL.checked()))


@register_feature(dim=52, licence="Apache-2.0", sha256=MODEL.sha256)
def mediapipe_blendshapes() -> MediaPipeFace:
    """MediaPipe's 52 blendshape weights in its own order; errors as `mediapipe_landmarks`."""
    return MediaPipeFace("blendshapes", str(MODEL.checked()))


@register_feature(dim=17, licence="Apache-2.0", sha256=MODEL.sha256)
def mediapipe_aus() -> MediaPipeFace:
    """Blendshapes in place of 17 action units, in [0, 1]: a trend, no FACS coding; errors as `mediapipe_landmarks`."""
    return MediaPipeFace("aus", str(MODEL.checked()))
