"""What a model made of a few samples, panel by panel, as pictures for the board."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eval.results import Pictures
from geotrans.ops.images import to_uint8
from geotrans.types import Translation
from geotrans.viz import flow_to_rgb

GAP = 4
SHOWN = 6  # samples on a strip
Panels = dict[str, Tensor]


def longest_flow(pictures: Pictures) -> float:
    """The length that gets full colour on every strip of a board, so that strips compare."""
    flows = [pictures.sample.flow, *(translation.flow for translation in pictures.translations.values())]
    return max((float(torch.linalg.vector_norm(flow, dim=1).max()) for flow in flows if flow is not None), default=1.0)


def given(pictures: Pictures, longest: float) -> Panels:
    """What every model shares: source, truth and true flow as far as they are known, each (B, 3, H, W) in [-1, 1]."""
    sample = pictures.sample
    true_flow = None if sample.flow is None else flow_to_rgb(sample.flow, longest)
    return _known({"source": sample.image, "truth": sample.truth, "true flow": true_flow})


def overview(translations: Mapping[str, Translation], longest: float) -> Panels:
    """Every model's results, each with the model's flow beside it if it has one."""
    panels: Panels = {}
    for name, made in translations.items():
        panels[name] = made.image
        if made.flow is not None:
            panels[f"flow of {name}"] = flow_to_rgb(made.flow, longest)
    return panels


def anatomy(pictures: Pictures, translation: Translation, longest: float) -> Panels:
    """Source, flow, warped, mask, residual, result and truth as far as they exist, each (B, 3, H, W) in [-1, 1].

    The mask is white where the model paints; the residual is shown at half strength, grey where nothing is added.
    """
    moves = translation.flow is not None
    return _known(
        {
            "source": pictures.sample.image,
            "flow": None if translation.flow is None else flow_to_rgb(translation.flow, longest),
            "warped": translation.warped if moves else None,
            "mask": None if translation.mask is None else (2 * translation.mask - 1).expand(-1, 3, -1, -1),
            "residual": None if translation.residual is None else translation.residual.clamp(-2, 2) / 2,
            "result": translation.image,
            "truth": pictures.sample.truth,
        }
    )


def column(panel: Tensor) -> Image.Image:
    """The pictures of a panel (B, 3, H, W) below each other, with transparent gaps."""
    count, _, height, width = panel.shape
    canvas = np.zeros((count * (height + GAP) - GAP, width, 4), dtype=np.uint8)
    for row, pixels in enumerate(to_uint8(panel).permute(0, 2, 3, 1).numpy()):
        top = row * (height + GAP)
        canvas[top : top + height, :, :3] = pixels
        canvas[top : top + height, :, 3] = 255
    return Image.fromarray(canvas)


def data_uri(image: Image.Image) -> str:
    """A picture as text that HTML can hold."""
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _known(panels: dict[str, Tensor | None]) -> Panels:
    return {name: panel for name, panel in panels.items() if panel is not None}
