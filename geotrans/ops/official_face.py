"""Landmarks of a face as the maps that GFLA's official weights for face animation were trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from geotrans.ops.face_structure import CURVES, crowned, in_pixels, nearest, part_labels
from geotrans.ops.images import to_uint8

# Strokes as (number of the curve, first point, middle point or the first once more, last point).
_STROKES = tuple(
    (number, curve[place], curve[min(place + 1, len(curve) - 2)], curve[min(place + 2, len(curve) - 1)])
    for number, curve in enumerate(CURVES)
    for place in range(0, len(curve) - 1, 2)
)
_STEEPEST = 1.0  # quadratic coefficient, in 1 / pixels
_STEP, _FARTHEST = 3, 255  # pixels to a level of distance, and the last level
_BOTH = 254 / 255  # what two edges add up to in eight bits
_LUMA = (0.299, 0.587, 0.114)
_SLACK = 1e-3  # pixels, by which a whole number may have been missed in [-1, 1]


def official_face_structure(landmarks: Tensor, height: int, width: int, picture: Tensor | None = None) -> Tensor:
    """iBUG-68 landmarks (B, 68, 2) as the official weights read them, (B, 16, H, W): `face_structure` in whole numbers.

    Landmarks are truncated to whole pixels. Channel 0 is 1 on the curves, which are one pixel wide: a parabola through
    each three points in a row, a line through the two that may be left. A parabola is left out whose quadratic
    coefficient is beyond 1 or -1. Channels 1 to 14 hold the distances |dx| + |dy| to the pixels of a curve, a level for
    3 pixels, 255 levels to 1; 15 holds labels from 0 to 6.

    The weights' pictures have 256 x 256. Chosen here: a parabola is one of the coordinate in which its ends are farther
    apart, and its places are truncated as landmarks are, so that pixels of a curve may lie beside the authors'; a
    pixel's label is that of its centre.

    Args:
        picture: (B, 3, H, W) in [-1, 1], that of the frame itself. Its edges are then in channel 0 too, wherever the
            label is 0: those that `skimage.feature.canny` finds in its luma (ITU-R BT.601); 254 / 255 where an edge
            meets a curve. Without it there are none.

    Convention:
        Landmarks are (x, y) in [-1, 1] at the picture's outer edges; pixel j of W sits at (2j + 1) / W - 1.

    Raises:
        ImportError: a picture is given, and scikit-image is not installed.
        ValueError: another shape, or a landmark that is not finite.
    """
    points = in_pixels(landmarks.cpu().double(), height, width)
    points = _truncated(crowned(_truncated(points)))
    drawn = _drawn(points, height, width)
    labels = part_labels(points, height, width)
    edges = drawn.any(1).float()
    if picture is not None:
        expected = (len(points), 3, height, width)
        if tuple(picture.shape) != expected:
            raise ValueError(f"picture: expected shape {expected}, got {tuple(picture.shape)}")
        edges += _canny(picture.cpu()) & (labels == 0)
        edges[edges > 1] = _BOTH
    far = nearest(torch.where(drawn, 0.0, torch.inf).permute(2, 0, 1, 3).contiguous())
    levels = far.div(_STEP).floor_().clamp_(max=_FARTHEST) / _FARTHEST
    return torch.cat([edges[:, None], levels, labels[:, None]], dim=1).to(landmarks)


def _truncated(points: Tensor) -> Tensor:
    """Whole numbers towards 0, those nearly reached counting as reached."""
    return (points + _SLACK * points.sign()).trunc()


def _drawn(points: Tensor, height: int, width: int) -> Tensor:
    """Which pixels each curve passes, (B, 14, H, W), of crowned points (B, 83, 2) that are whole numbers."""
    curve, *ends = torch.tensor(_STROKES).T
    first, middle, last = (points[:, end] for end in ends)  # (B, strokes, 2)
    reach = (last - first).abs()
    upright = (reach[..., 1] > reach[..., 0])[..., None]
    (u, v), (u_mid, v_mid), (u_last, v_last) = (
        torch.where(upright, end.flip(2), end).unsqueeze(3).unbind(2) for end in (first, middle, last)
    )
    slope = (v_last - v) / torch.where(u_last == u, 1.0, u_last - u)
    bend = (v_mid - v - slope * (u_mid - u)) / ((u_mid - u) * (u_mid - u_last))
    bend = bend.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)  # 0 / 0: the middle is one of the ends
    along = torch.arange(max(height, width), dtype=points.dtype)
    shown = (along >= torch.minimum(u, u_last)) & (along <= torch.maximum(u, u_last)) & (bend.abs() <= _STEEPEST)
    across = _truncated(v + slope * (along - u) + bend * (along - u) * (along - u_last))
    x, y = torch.where(upright, across, along), torch.where(upright, along, across)
    shown &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
    face, stroke, place = shown.nonzero().unbind(1)
    drawn = torch.zeros(len(points), len(CURVES), height, width, dtype=torch.bool)
    drawn[face, curve[stroke], y[face, stroke, place].long(), x[face, stroke, place].long()] = True
    return drawn


def _canny(picture: Tensor) -> Tensor:
    """Edges of pictures (B, 3, H, W) in [-1, 1], (B, H, W).

    Raises:
        ImportError: scikit-image is not installed.
    """
    try:
        from skimage.feature import canny
    except ImportError as error:
        told = f"the backdrop's edges need scikit-image ({error}); pip install 'geotrans-gan[faces]'"
        raise ImportError(told) from None
    pixels = to_uint8(picture).float()
    grey = (pixels * pixels.new_tensor(_LUMA)[:, None, None]).sum(1).round().to(torch.uint8)
    return torch.stack([torch.from_numpy(canny(row.numpy())) for row in grey])
