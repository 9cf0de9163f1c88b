"""A pool of earlier generated images, so that a discriminator does not only learn from the newest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def half_the_time(size: int) -> int | None:
    """A random slot of `size` in half of the cases, else None; from PyTorch's global generator."""
    if float(torch.rand(())) > 0.5:
        return int(torch.randint(size, ()))
    return None


class ImagePool:
    """Hands back the images it is given until it is full; from then on, each or an older one in its place.

    Shrivastava et al., "Learning from Simulated and Unsupervised Images through Adversarial Training", CVPR 2017,
    Sec. 2.3, in the form of CycleGAN: half of the images of a full pool are swapped with a stored one.

    Args:
        size: images kept, 50 in CycleGAN; 0 hands everything through.
        choose: number of slots -> the slot to swap the next image with, or None to hand it through.

    Raises:
        ValueError: the size is negative.
    """

    def __init__(self, size: int, choose: Callable[[int], int | None] = half_the_time) -> None:
        if size < 0:
            raise ValueError(f"size: expected 0 or more images, got {size}")
        self.size = size
        self.images: list[Tensor] = []
        self._choose = choose

    def __call__(self, images: Tensor) -> Tensor:
        """Exchange images (B, C, H, W) one by one; as many come back, without gradients."""
        if not len(images) or not self.size:
            return images.detach()
        return torch.stack([self._exchange(image) for image in images.detach()])

    def tensors(self) -> dict[str, Tensor]:
        """The stored images under "images", (n, C, H, W), for a checkpoint; nothing while the pool is empty."""
        return {"images": torch.stack(self.images)} if self.images else {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`.

        Raises:
            ValueError: more images than the pool has room for.
        """
        stored = list(tensors.get("images", ()))
        if len(stored) > self.size:
            raise ValueError(f"a pool of {self.size} images cannot hold {len(stored)}; build it with the size it had")
        self.images = stored

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        slot = self._choose(self.size)
        if slot is None:
            return image
        older, self.images[slot] = self.images[slot], image.clone()
        return older
