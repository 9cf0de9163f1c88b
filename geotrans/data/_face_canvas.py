"""A canvas that shapes are laid on, given by signed distances: negative inside, in the units of the face frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.data._face_identity import SCALE, SHIFT_X, SHIFT_Y


@dataclass(frozen=True, slots=True)
class Region:
    """A window of the canvas: its rows and columns, and the coordinates (B, h, w) of its pixels in the face at rest."""

    rows: slice
    columns: slice
    x: Tensor
    y: Tensor


class Canvas:
    """Colours and, where a modality wants them, outlines of a batch of pictures.

    Attributes:
        rgb: (B, 3, H, W) in [0, 1].
        line: (B, H, W) in [0, 1], or None.
    """

    def __init__(self, x: Tensor, y: Tensor, pixel: Tensor, line_width: float = 0.0, shading: float = 1.0) -> None:
        """`x`, `y` (B, H, W): coordinates of the pixels; `pixel` (B, 1, 1): a pixel's size in the same units."""
        self.rgb = x.new_zeros(len(x), 3, *x.shape[1:])
        self.line = torch.zeros_like(x) if line_width else None
        self.x, self.y, self.pixel = x, y, pixel
        self.line_width = line_width
        self.shading = shading

    def region(self, left: float, right: float, top: float, bottom: float) -> Region:
        """The window that holds a box of the face frame, wherever a scene puts it."""
        height, width = self.x.shape[1:]
        rows = slice(_pixel(top, SHIFT_Y, min, height), _pixel(bottom, SHIFT_Y, max, height))
        columns = slice(_pixel(left, SHIFT_X, min, width), _pixel(right, SHIFT_X, max, width))
        return Region(rows, columns, self.x[:, rows, columns], self.y[:, rows, columns])

    def whole(self) -> Region:
        """All of the canvas."""
        return Region(slice(None), slice(None), self.x, self.y)

    def cover(self, distance: Tensor) -> Tensor:
        """Share of each pixel inside a shape, from its signed distance."""
        return (0.5 - distance / self.pixel).clamp_(0, 1)

    def fill(
        self, area: Region, distance: Tensor, colour: Tensor, outline: float = 1.0, opacity: Tensor | None = None
    ) -> None:
        """Lay a shape of one colour (B, 3, 1, 1) or (B, 3, h, w), and its outline, on what is there."""
        coverage = self.cover(distance)
        self.blend(area, coverage if opacity is None else coverage * opacity, colour)
        if self.line is not None:
            line = self.line[:, area.rows, area.columns]
            line.mul_(1 - coverage)
            if outline:
                edge = self.cover(distance.abs() - 0.5 * outline * self.line_width)
                torch.maximum(line, edge, out=line)

    def blend(self, area: Region, amount: Tensor, colour: Tensor) -> None:
        """Mix a colour in by `amount` (B, h, w)."""
        self.rgb[:, :, area.rows, area.columns].lerp_(colour, amount[:, None])

    def shade(self, area: Region, amount: Tensor, colour: Tensor) -> None:
        """Mix a soft shade in, as far as the modality has shading."""
        if self.shading:
            self.blend(area, amount * self.shading, colour)

    def stroke(self, area: Region, coverage: Tensor) -> None:
        """Add to the outlines alone."""
        if self.line is not None:
            line = self.line[:, area.rows, area.columns]
            torch.maximum(line, coverage, out=line)


def spot(x: Tensor, y: Tensor) -> Tensor:
    """A soft round spot of radius 1 around the origin."""
    return (1 - x * x - y * y).clamp_min(0) ** 2


def ramp(value: Tensor) -> Tensor:
    """Smoothstep from 0 at 0 to 1 at 1."""
    value = value.clamp(0, 1)
    return value * value * (3 - 2 * value)


def round_box(
    x: Tensor, y: Tensor, half_width: Tensor | float, half_height: Tensor | float, radius: Tensor | float
) -> Tensor:
    """Signed distance to a box with round corners; `x` >= 0."""
    corner_x, corner_y = x - half_width + radius, y.abs() - half_height + radius
    outside = torch.sqrt(corner_x.clamp_min(0) ** 2 + corner_y.clamp_min(0) ** 2)
    return outside + torch.maximum(corner_x, corner_y).clamp_max(0) - radius


def _pixel(place: float, shifts: tuple[float, float], extreme: Callable[..., float], side: int) -> int:
    """The pixel border that `place` cannot lie beyond, for any scale and shift of a scene."""
    image = extreme(place * scale + shift for scale in SCALE for shift in shifts)
    border = (image + 1) / 2 * side
    return min(max(math.floor(border) if extreme is min else math.ceil(border), 0), side)
