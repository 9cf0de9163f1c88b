"""Pictures for detectors that know photographs of a certain size."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SHORT_SIDE = 384  # detectors miss faces below some 80 pixels


def photographs(images: Tensor) -> list[np.ndarray]:
    """Each picture of uint8 (B, 3, H, W) as (H, W, 3), enlarged until its shorter side has 384 pixels.

    Raises:
        TypeError: the pictures are not uint8.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"expected uint8, got {images.dtype}; quantise pictures with geotrans.ops.images.to_uint8")
    height, width = images.shape[2:]
    scale = max(1.0, SHORT_SIDE / min(height, width))
    size = (round(width * scale), round(height * scale))
    pictures = [Image.fromarray(image.permute(1, 2, 0).cpu().numpy()) for image in images]
    return [np.array(picture.resize(size, Image.Resampling.BICUBIC)) for picture in pictures]
