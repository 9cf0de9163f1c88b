"""Condition vectors as pictures."""

from __future__ import annotations

from torch import Tensor


def spatial(vector: Tensor, image: Tensor) -> Tensor:
    """Repeat a condition at every pixel: (B, N) -> (B, N, H, W), in the size, type and place of `image`.

    The convolution that reads the result must pad with zeros: under reflection padding a constant plane adds a constant
    to each channel, which instance normalisation takes away again, and the condition would be lost.
    """
    return vector.to(image)[:, :, None, None].expand(-1, -1, *image.shape[2:])
