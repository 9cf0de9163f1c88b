"""Pictures of what a network did: flow as colours, shares as heat, and titled sheets of a translation and its parts."""

from __future__ import annotations

import math
import re
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
_INK, _PAPER, _FRAME = (40, 44, 52), (255, 255, 255), (218, 220, 224)
_GAP = 4
_SMALLEST, _LARGEST, _TITLE, _NOTE = 10, 18, 20, 14  # heights of letters in pixels

# Black, purple, red, orange, pale yellow: what matplotlib calls inferno, at 0, 1/4, ..., 1.
_HEAT = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))

Enlarge = Literal["nearest", "bicubic"]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


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


def heat(share: Tensor) -> Tensor:
    """(B, 1, H, W) in [0, 1] as colours (B, 3, H, W) in [-1, 1]: black, purple, red, orange, pale yellow."""
    colours = torch.tensor(_HEAT, dtype=torch.float32, device=share.device) / 127.5 - 1
    place = share.detach().float()[:, 0].clamp(0, 1) * (len(colours) - 1)
    low = place.floor().long().clamp_max(len(colours) - 2)
    return torch.lerp(colours[low], colours[low + 1], (place - low)[..., None]).permute(0, 3, 1, 2)


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
    columns: dict[str, Tensor],
    *,
    scale: int = 1,
    enlarge: Enlarge = "bicubic",
    row_titles: Sequence[str] = (),
    title: str = "",
    note: str = "",
    legend: Tensor | None = None,
    group: int = 0,
) -> Tensor:
    """Pictures in columns, each under its title. Letters get smaller and lines break until titles fit.

    Args:
        columns: title -> (B, 3, H, W) in [-1, 1], all of one shape.
        row_titles: written left of the rows.
        title: written above everything.
        note: written below everything.
        legend: (1, 3, h, w) in [-1, 1], a picture left of the note.
        group: rows that belong together; a gap follows them.

    Returns:
        (1, 3, height, width) in [-1, 1].

    Raises:
        ValueError: no columns, or unlike shapes.
    """
    shapes = {tuple(value.shape) for value in columns.values()}
    if len(shapes) != 1:
        raise ValueError(f"expected columns of one shape, got {sorted(shapes) or 'none'}")
    count, _, height, width = (size * scale if place > 1 else size for place, size in enumerate(shapes.pop()))
    heads, size = _fitted(list(columns), width, max(_SMALLEST, min(_LARGEST, width // 7)))
    rows, row_size = _fitted(list(row_titles[:count]), max(96, width * 5 // 4), size)
    font, row_font = _font(size), _font(row_size)
    left = max((_extent(row_font, text) for text in rows), default=-2 * _GAP) + 3 * _GAP
    whole = left + len(columns) * (width + _GAP)
    above = _broken(_font(_TITLE), title, whole - 2 * _GAP)
    below = _broken(_font(_NOTE), note, whole - 2 * _GAP - (0 if legend is None else legend.shape[3] + 2 * _GAP))
    first = _tall(_font(_TITLE), above)
    top = first + _line_height(font) * (1 + max(text.count("\n") for text in heads)) + 2 * _GAP
    tops = [top + row * (height + _GAP) + (row // group * 3 * _GAP if group else 0) for row in range(count)]
    bottom = tops[-1] + height + _GAP
    foot = max(_tall(_font(_NOTE), below), 0 if legend is None else legend.shape[2] + 2 * _GAP)
    canvas = Image.new("RGB", (whole, bottom + foot), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, _GAP), above, _INK, _font(_TITLE))
    for column, (head, value) in enumerate(zip(heads, columns.values(), strict=True)):
        x = left + column * (width + _GAP)
        draw.text((x + width / 2, (first + top) / 2), head, _INK, font, anchor="mm", align="center")
        for y, picture in zip(tops, _enlarged(value, scale, enlarge), strict=True):
            canvas.paste(_pasted(picture), (x, y))
            if (picture < 1).any():
                draw.rectangle((x - 1, y - 1, x + width, y + height), outline=_FRAME)
    for y, text in zip(tops, rows, strict=False):
        draw.text((left - 2 * _GAP, y + height / 2), text, _INK, row_font, anchor="rm", align="right")
    x = _GAP
    if legend is not None:
        canvas.paste(_pasted(legend[0]), (x, bottom + _GAP))
        x += legend.shape[3] + 2 * _GAP
    draw.text((x, bottom + foot / 2), below, _INK, _font(_NOTE), anchor="lm")
    return from_uint8(torch.from_numpy(np.array(canvas)).permute(2, 0, 1)[None].contiguous())


def _columns(sample: Sample, output: Translation, largest: float | None) -> dict[str, Tensor]:
    flows = [flow for flow in (output.flow, sample.flow) if flow is not None]
    if largest is None and flows:
        largest = max(float(torch.linalg.vector_norm(flow.detach().float(), dim=1).max()) for flow in flows)
    found = {
        "source": sample.reference,
        "flow": None if output.flow is None else flow_to_rgb(output.flow, largest),
        "warped": None if output.flow is None else output.warped,
        "mask": None if output.mask is None else (2 * output.mask - 1).expand_as(output.image),
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


def _pasted(picture: Tensor) -> Image.Image:
    return Image.fromarray(to_uint8(picture).permute(1, 2, 0).numpy())


def _font(size: float) -> Font:
    return ImageFont.load_default(size)


def _extent(font: Font, text: str) -> int:
    return max(math.ceil(font.getbbox(line)[2]) for line in text.split("\n"))


def _line_height(font: Font) -> int:
    return math.ceil(font.getbbox("Ag")[3])


def _tall(font: Font, text: str) -> int:
    """Height of a paragraph with its margins; 0 for none."""
    return (_line_height(font) + _GAP) * (1 + text.count("\n")) + 2 * _GAP if text else 0


def _fitted(titles: list[str], width: int, largest: int) -> tuple[list[str], int]:
    """Titles and the size in which they fit: a little smaller rather than broken, broken rather than tiny, then cut."""
    for breaks, shrinks in (("", 3), (" ", 5), (" _+.", largest)):
        for size in range(largest, max(_SMALLEST, largest - shrinks) - 1, -1):
            lines = [_broken(_font(size), title, width, breaks) for title in titles]
            if all(_extent(_font(size), text) <= width for text in lines):
                return lines, size
    return ["\n".join(_cut(_font(size), line, width) for line in text.split("\n")) for text in lines], size


def _broken(font: Font, text: str, width: int, breaks: str = " ") -> str:
    """Lines broken after the characters of `breaks`, where they would be wider than `width`."""
    lines = [""]
    for part in re.findall(f"[^{breaks}]+[{breaks}]?|[{breaks}]", text) if breaks else [text]:
        if lines[-1] and _extent(font, (lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _cut(font: Font, text: str, width: int) -> str:
    while len(text) > 1 and _extent(font, text) > width:
        text = text[:-1]
    return text
