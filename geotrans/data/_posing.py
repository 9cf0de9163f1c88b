"""Persons in poses: a picture and its key points become an image and maps of the joints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.data._keypoints import JOINTS
from geotrans.ops.images import from_uint8, resize
from geotrans.ops.poses import Style, mirror_joints, pose_maps
from geotrans.ops.transforms import affine
from geotrans.ops.warp import warp

Shares = tuple[float, float, float]

SOURCE: Shares = (1.0, 1.0, 1.0)
TARGET: Shares = (0.2, 0.5, 0.0)
_ANGLE, _SHIFT, _SCALE = math.radians(5), 5.0, 0.05  # radians, pixels, share


@dataclass(frozen=True, slots=True)
class Posing:
    """How that is done.

    Attributes:
        height: of the result.
        width: of the result.
        frame: height and width of the pictures that the key points were found in; () for each picture's own.
        crop: of a picture only the middle columns are shown, as many as give it the frame's aspect ratio.
        style: of the maps, see `pose_maps`.
        size: of a Gaussian or a disc, see `pose_maps`; in pixels of the result, whatever its height.
        distort: turn, scale and shift pictures by up to 5 degrees, 5 % and 5 pixels (GFLA on Market-1501).

    Raises:
        ValueError: a number out of range, or an unknown style.
    """

    height: int
    width: int
    frame: Sequence[int] = ()
    crop: bool = False
    style: Style = "gaussians"
    size: float = 6.0
    distort: bool = False

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ValueError(f"resolution and width: expected at least 1, got {self.height} and {self.width}")
        if self.frame and (len(self.frame) != 2 or min(self.frame) < 1):
            raise ValueError(f"frame: expected a height and a width, or nothing, got {tuple(self.frame)}")
        if self.crop and not self.frame:
            raise ValueError("crop: pictures are cut to the frame's aspect ratio; give a frame too")
        pose_maps(torch.empty(0, JOINTS, 2), 1, 1, style=self.style, size=self.size)  # refuses what it cannot draw

    def __call__(
        self, pixels: Tensor, joints: Tensor, draws: Tensor, *, mirrored: bool = False, shares: Shares = SOURCE
    ) -> tuple[Tensor, Tensor]:
        """Pose one picture.

        Args:
            pixels: (3, h, w) uint8.
            joints: (18, 2), (x, y) in pixels of the frame; NaN in what is missing.
            draws: (4,) in [0, 1), which decide the distortion.
            mirrored: left and right change places.
            shares: how much it is distorted: turned, shifted, scaled.

        Returns:
            The image (1, 3, H, W) in [-1, 1], and maps of its joints (1, 18, H, W) in [0, 1].
        """
        pixels = self._cropped(pixels)
        image = self._resized(pixels)
        height, width = self.frame or pixels.shape[1:]
        size = torch.tensor([self.width, self.height], dtype=torch.float64)
        places = joints[None].double() / torch.tensor([width, height]) * size
        if self.distort:
            image, places = _distorted(image, places, draws, shares)
        # Joints come to lie on whole pixels, as in the official code, whose weights have seen nothing else.
        units = ((2 * places.floor() + 1) / size - 1).float()
        if mirrored:
            image, units = image.flip(-1), mirror_joints(units)
        return image, pose_maps(units, self.height, self.width, style=self.style, size=self.size)

    def picture(self, pixels: Tensor) -> Tensor:
        """The image alone, as it is without distortion, (1, 3, H, W)."""
        return self._resized(self._cropped(pixels))

    def _cropped(self, pixels: Tensor) -> Tensor:
        if not self.crop:
            return pixels
        kept = min(pixels.shape[2], max(1, round(pixels.shape[1] * self.frame[1] / self.frame[0])))
        return pixels.narrow(2, (pixels.shape[2] - kept) // 2, kept)

    def _resized(self, pixels: Tensor) -> Tensor:
        return resize(from_uint8(pixels[None]), (self.height, self.width))


def _distorted(image: Tensor, places: Tensor, draws: Tensor, shares: Shares) -> tuple[Tensor, Tensor]:
    """A picture and its joints (1, 18, 2), in pixels, turned and scaled about the middle, then shifted.

    Grey comes in at the edges.
    """
    height, width = image.shape[2:]
    turn, right, down, larger = (2 * draws.double() - 1).tolist()
    angle, scale = _ANGLE * shares[0] * turn, 1 + _SCALE * shares[2] * larger
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    matrix = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
    shift = _SHIFT * shares[1] * torch.tensor([right, down], dtype=torch.float64)
    half = torch.tensor([width, height], dtype=torch.float64) / 2
    back = torch.linalg.inv(matrix)
    normalised = torch.cat([back * half, -(back @ shift)[:, None]], dim=1) / half[:, None]
    flow = affine((normalised - torch.eye(2, 3)).float()[None], height, width)
    return warp(image, flow), (places + 0.5 - half) @ matrix.T + shift + half - 0.5
