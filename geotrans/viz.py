"""Pictures of what a network did: flow as colours, and titled sheets of a translation and its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from geotrans.ops.images import from_uint8, to_uint8
from geotrans.ops.warp import check_flow
from geotrans.types import Sample, Translation

# Lengths of the arcs of the wheel, in steps between two hues: red-yellow, yellow-green, ... (Baker et al., 2011).
_ARCS = (15, 6, 4, 11, 13, 6)
_CORNERS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0))
_INK, _PAPER = (40, 44, 52), (255, 255, 255)
_GAP = 4

Enlarge = Literal["nearest", "bicubic"]


def flow_to_rgb(flow: Tensor, largest: float | Tensor | None = None) -> Tensor:
    """Colours of a flow: hue is its direction, saturation its length; no motion is white.

    Args:
        flow: (B, 2, H, W).
        largest: the length that gets the full colour, one number or one a sample (B,); longer ones are darkened. By
            default each sample's longest.

    Returns:
        (B, 3, H, W) in [-1, 1].

    Convention:
        The flow is backward, (x, y), y down. With the Middlebury wheel (Baker et al., 2011) a flow to the right is red,
        down yellow-green, left cyan and up violet; a backward flow to the right shows content that moved to the left.
    """
    check_flow(flow)
    flow = flow.detach().float()
    length = torch.linalg.vector_norm(flow, dim=1, keepdim=True)
    scale = length.amax((1, 2, 3)) if largest is None else torch.as_tensor(largest).to(length)
    radius = length / scale.clamp_min(1e-6).view(-1, 1, 1, 1)
    wheel = _wheel().to(flow)
    turn = torch.atan2(-flow[:, 1], -flow[:, 0]) / math.pi  # the signs are Middlebury's: -pi and pi meet at red
    position = (turn + 1) / 2 * (len(wheel) - 1)
    low = position.floor().long()
    share = (position - low)[..., None]
    colour = torch.lerp(wheel[low], wheel[(low + 1) % len(wheel)], share).permute(0, 3, 1, 2)
    inside = 1 - radius.clamp_max(1) * (1 - colour)
    return torch.where(radius > 1 + 1e-6, 0.75 * colour, inside) * 2 - 1


def wheel_legend(size: int = 64) -> Tensor:
    """The colour wheel itself, (1, 3, size, size): each pixel has the colour of the flow from the centre to it."""
    axis = (2 * torch.arange(size) + 1) / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    legend = flow_to_rgb(torch.stack([x, y])[None], largest=1.0)
    return torch.where((x.square() + y.square() <= 1), legend, torch.ones(()))


def sheet(
    sample: Sample,
    output: Translation,
    *,
    scale: int = 1,
    enlarge: Enlarge = "bicubic",
    rows: int | None = None,
    largest: float | None = None,
) -> Tensor:
    """A translation and its parts, a row a sample, with a title over each column.

    Columns are source, flow, warped, mask, residual, result, truth, true flow; what is None is left out.

    Args:
        scale: enlarges each picture so many times.
        rows: at most so many samples.
        largest: flow length with the full colour; by default the longest of all flows on the sheet: rows compare.

    Returns:
        (1, 3, height, width) in [-1, 1].
    """
    columns = {name: value[:rows] for name, value in _columns(sample, output, largest).items()}
    return titled_grid(columns, scale=scale, enlarge=enlarge)


def titled_grid(
    columns: dict[str, Tensor], *, scale: int = 1, enlarge: Enlarge = "bicubic", row_titles: Sequence[str] = ()
) -> Tensor:
    """Pictures in columns, each under its title.

    Args:
        columns: title -> (B, 3, H, W) in [-1, 1], all of one shape.
        row_titles: written left of the rows.

    Returns:
        (1, 3, height, width) in [-1, 1].

    Raises:
        ValueError: no columns, or unlike shapes.
    """
    shapes = {tuple(value.shape) for value in columns.values()}
    if len(shapes) != 1:
        raise ValueError(f"expected columns of one shape, got {sorted(shapes) or 'none'}")
    count, _, height, width = (size * scale if place > 1 else size for place, size in enumerate(shapes.pop()))
    font = _font(max(10, min(18, width // 7)))
    left = max((_extent(font, title) for title in row_titles), default=-2 * _GAP) + 3 * _GAP
    top = _line_height(font) + 2 * _GAP
    size = (left + len(columns) * (width + _GAP), top + count * (height + _GAP))
    canvas = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, (title, value) in enumerate(columns.items()):
        x = left + column * (width + _GAP)
        draw.text((x + width / 2, top / 2), _fitting(font, title, width), _INK, font, anchor="mm")
        for row, picture in enumerate(to_uint8(_enlarged(value, scale, enlarge))):
            canvas.paste(Image.fromarray(picture.permute(1, 2, 0).numpy()), (x, top + row * (height + _GAP)))
    for row, title in enumerate(row_titles[:count]):
        draw.text((left - 2 * _GAP, top + row * (height + _GAP) + height / 2), title, _INK, font, anchor="rm")
    return from_uint8(torch.from_numpy(np.array(canvas)).permute(2, 0, 1)[None].contiguous())


def _columns(sample: Sample, output: Translation, largest: float | None) -> dict[str, Tensor]:
    flows = [flow for flow in (output.flow, sample.flow) if flow is not None]
    if largest is None and flows:
        largest = max(float(torch.linalg.vector_norm(flow.detach().float(), dim=1).max()) for flow in flows)
    found = {
        "source": sample.image,
        "flow": None if output.flow is None else flow_to_rgb(output.flow, largest),
        "warped": None if output.flow is None else output.warped,
        "mask": None if output.mask is None else (2 * output.mask - 1).expand_as(sample.image),
        "residual": output.residual,
        "result": output.image,
        "truth": sample.truth,
        "true flow": None if sample.flow is None else flow_to_rgb(sample.flow, largest),
    }
    return {name: value.detach().float().cpu() for name, value in found.items() if value is not None}


def _enlarged(picture: Tensor, scale: int, enlarge: Enlarge) -> Tensor:
    if scale == 1:
        return picture
    if enlarge == "nearest":
        return F.interpolate(picture, scale_factor=scale, mode="nearest")
    return F.interpolate(picture, scale_factor=scale, mode="bicubic", align_corners=False)


def _wheel() -> Tensor:
    """The 55 colours of the wheel, from red round to the last before red again, (55, 3) in [0, 1]."""
    colours = [
        [a + (b - a) * step / steps for a, b in zip(start, stop, strict=True)]
        for start, stop, steps in zip(_CORNERS[:-1], _CORNERS[1:], _ARCS, strict=True)
        for step in range(steps)
    ]
    return torch.tensor(colours, dtype=torch.float32)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _extent(font: ImageFont.ImageFont | ImageFont.FreeTypeFont, text: str) -> int:
    return math.ceil(font.getbbox(text)[2])


def _line_height(font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> int:
    return math.ceil(font.getbbox("Ag")[3])


def _fitting(font: ImageFont.ImageFont | ImageFont.FreeTypeFont, text: str, width: int) -> str:
    while len(text) > 1 and _extent(font, text) > width:
        text = text[:-1]
    return text
