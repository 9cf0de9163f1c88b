"""Where the face is in a photograph, as a square region of it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.ops.images import to_uint8
from geotrans.ops.transforms import affine
from geotrans.ops.warp import warp

# A synthetic face is about this much of its picture's height; crops of photographs are made alike.
FACE_SHARE = 0.55


@dataclass(frozen=True, slots=True)
class Region:
    """A square of an image in pixels: left, top and side."""

    left: int
    top: int
    side: int

    def inside(self, height: int, width: int) -> Region:
        """The square within an image that is nearest to it, smaller if the image is smaller."""
        side = min(self.side, height, width)
        left, top = (start + (self.side - side) // 2 for start in (self.left, self.top))
        return Region(max(0, min(left, width - side)), max(0, min(top, height - side)), side)

    def cut(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, side, side); what lies outside the image repeats its edge."""
        height, width = image.shape[2:]
        pad = (
            max(0, -self.left),
            max(0, self.left + self.side - width),
            max(0, -self.top),
            max(0, self.top + self.side - height),
        )
        padded = F.pad(image, pad, mode="replicate")
        top, left = self.top + pad[2], self.left + pad[0]
        return padded[:, :, top : top + self.side, left : left + self.side]

    def paste(self, image: Tensor, patch: Tensor, feather: float = 0.06) -> Tensor:
        """Put a patch back; its outer `feather` share fades into the image."""
        height, width = image.shape[2:]
        ramp = torch.arange(self.side, dtype=image.dtype, device=image.device) + 0.5
        ramp = (torch.minimum(ramp, self.side - ramp) / max(1.0, feather * self.side)).clamp(max=1)
        weight = (ramp[:, None] * ramp[None, :])[None, None]
        x0, y0 = max(0, self.left), max(0, self.top)
        x1, y1 = min(width, self.left + self.side), min(height, self.top + self.side)
        inside = (..., slice(y0 - self.top, y1 - self.top), slice(x0 - self.left, x1 - self.left))
        out = image.clone()
        spot = (..., slice(y0, y1), slice(x0, x1))
        out[spot] = image[spot] + weight[inside] * (patch[inside] - image[spot])
        return out


@dataclass(frozen=True, slots=True)
class Face:
    """Where a face is, and how far the line through its eyes falls to the right, in radians."""

    region: Region
    tilt: float = 0.0

    def cut(self, image: Tensor, *, upright: bool = False) -> Tensor:
        """The face's region of (1, C, H, W), (1, C, side, side); upright, turned about its middle to level the eyes."""
        if not upright:
            return self.region.cut(image)
        side = self.region.side
        margin = math.ceil((math.sqrt(2) - 1) / 2 * side) + 1  # the corners of a turned square
        wide = Region(self.region.left - margin, self.region.top - margin, side + 2 * margin).cut(image)
        cosine, sine = math.cos(self.tilt), math.sin(self.tilt)
        turn = wide.new_tensor([[cosine - 1, -sine, 0, sine, cosine - 1, 0]])
        turned = warp(wide, affine(turn, *wide.shape[2:]))
        return turned[..., margin : margin + side, margin : margin + side]


def find_face(image: Tensor) -> Region | None:
    """The region of `detect_face`, brought inside the image; None if no face is seen.

    A face that fills its picture, as those that models are trained on do, leaves no room for a margin.
    """
    face = detect_face(image)
    return None if face is None else face.region.inside(*image.shape[2:])


def detect_face(image: Tensor) -> Face | None:
    """The most certain face of one picture, with the margin that models are trained on; None if none is seen.

    MTCNN of the facenet-pytorch package, whose weights come with it.

    Args:
        image: (1, 3, H, W) in [-1, 1].
    """
    from PIL import Image

    height, width = image.shape[2:]
    if min(height, width) < 20:
        return None
    picture = Image.fromarray(to_uint8(image)[0].permute(1, 2, 0).cpu().numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        boxes, _, points = _detector().detect(picture, landmarks=True)
    if boxes is None:
        return None
    x0, y0, x1, y1 = (float(value) for value in boxes[0])
    side = max(8, round(max(x1 - x0, y1 - y0) / FACE_SHARE))
    region = Region(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side)
    across, down = (float(value) for value in points[0][1] - points[0][0])  # from one eye to the other
    return Face(region, math.atan2(down, across))


@cache
def _detector() -> Any:
    from facenet_pytorch import MTCNN

    return MTCNN(device="cpu")
