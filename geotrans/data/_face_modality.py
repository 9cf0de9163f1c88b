"""The four ways a face is rendered: photo, sketch, ink and cartoon."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from geotrans.data._face_canvas import Canvas, ramp
from geotrans.data._face_identity import Face

MODALITIES = ("photo", "sketch", "ink", "cartoon")
_LINE_WIDTH = {"photo": 0.0, "sketch": 0.016, "ink": 0.030, "cartoon": 0.034}
_SHADING = {"photo": 1.0, "sketch": 1.0, "ink": 1.0, "cartoon": 0.0}
_LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
_PAPER = torch.tensor([0.965, 0.955, 0.925])[:, None, None]
_GRAPHITE = torch.tensor([0.20, 0.20, 0.23])[:, None, None]
_INK = torch.tensor([0.06, 0.06, 0.09])[:, None, None]
_WASH = torch.tensor([0.72, 0.74, 0.77])[:, None, None]


def toned(modality: str, face: Face) -> Face:
    """The face as `modality` colours it: drawings keep the paper white and skin light."""
    if modality in ("sketch", "ink"):
        return replace(face, backdrop=torch.ones_like(face.backdrop), skin=0.45 + 0.55 * face.skin)
    return face


def make_canvas(modality: str, x: Tensor, y: Tensor, pixel: Tensor) -> Canvas:
    """An empty canvas with the outlines and the shading that `modality` wants."""
    return Canvas(x, y, pixel, _LINE_WIDTH[modality], _SHADING[modality])


def finish(modality: str, canvas: Canvas) -> Tensor:
    """The picture, (B, 3, H, W) in [-1, 1]."""
    if modality == "sketch":
        rgb = _sketch(canvas)
    elif modality == "ink":
        rgb = _ink(canvas)
    elif modality == "cartoon":
        rgb = _cartoon(canvas)
    else:
        rgb = canvas.rgb
    return rgb.mul(2).sub_(1).clamp_(-1, 1)


def _luma(canvas: Canvas) -> Tensor:
    return (canvas.rgb * _LUMA).sum(dim=1)


def _line(canvas: Canvas) -> Tensor:
    return torch.zeros_like(canvas.x) if canvas.line is None else canvas.line


def _sketch(canvas: Canvas) -> Tensor:
    tone = _luma(canvas)
    hatch = 0.5 + 0.5 * torch.sin(64.0 * (canvas.x + 0.8 * canvas.y))
    cross = 0.5 + 0.5 * torch.sin(64.0 * (canvas.x - 1.1 * canvas.y))
    dark = 0.42 * ramp((0.80 - tone) * 2.2) * (0.35 + 0.65 * hatch) + 0.45 * ramp((0.42 - tone) * 2.6) * (
        0.4 + 0.6 * cross
    )
    amount = torch.maximum(dark, 0.88 * _line(canvas)).clamp(0, 0.95)
    return torch.lerp(_PAPER, _GRAPHITE, amount[:, None])


def _ink(canvas: Canvas) -> Tensor:
    tone = _luma(canvas)
    wash = ramp((0.58 - tone) * 9 + 0.5)
    solid = ramp((0.25 - tone) * 9 + 0.5)
    paper = torch.lerp(torch.ones_like(_WASH), _WASH, wash[:, None])
    return torch.lerp(paper, _INK, torch.maximum(solid, _line(canvas)).clamp(0, 1)[:, None])


def _cartoon(canvas: Canvas) -> Tensor:
    grey = _luma(canvas)[:, None]
    vivid = (grey + 1.45 * (canvas.rgb - grey) + 0.03).clamp(0, 1)
    return torch.lerp(vivid, _INK, 0.92 * _line(canvas)[:, None].clamp(0, 1))
