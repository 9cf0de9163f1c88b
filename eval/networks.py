"""Frozen networks for metrics: each is loaded once, on first use, and put on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from geotrans.factory import create_feature
from geotrans.features import facenet, inception_torchvision, mediapipe, vgg
from geotrans.features.external import PublishedWeights
from geotrans.features.inception import fetch_inception
from geotrans.features.lpips import Net, fetch_lpips, lpips_distance
from geotrans.features.timm import PREFIX, fetch_timm

Feature = Callable[[Tensor], Tensor]
Distance = Callable[[Tensor, Tensor], Tensor]

# Files of weights that other projects publish, by the name of the feature that reads them.
FILES: dict[str, PublishedWeights] = {
    "inception_torchvision": inception_torchvision.WEIGHTS,
    "vgg16": vgg.WEIGHTS[16],
    "vgg19": vgg.WEIGHTS[19],
    **{f"facenet_{people}{way}": file for people, file in facenet.WEIGHTS.items() for way in ("", "_aligned")},
    **{f"mediapipe_{part}": mediapipe.MODEL for part in ("landmarks", "blendshapes", "aus")},
}


class Networks:
    """Loads registered features, and pair distances such as `lpips_alex`, by name.

    Args:
        device: where the networks run; what they return comes back to the CPU.
        download: fetch weights of other projects that are missing, instead of saying where to put them.
        features: ready-made features to use instead of the registered ones.
        distances: ready-made pair distances.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        download: bool = False,
        features: Mapping[str, Feature] | None = None,
        distances: Mapping[str, Distance] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.download = download
        self._features = dict(features or {})
        self._distances = dict(distances or {})

    def feature(self, name: str) -> Feature:
        """The frozen network `uint8 (B, 3, H, W) -> (B, D)` of that name, which may be `timm/NAME`.

        Raises:
            UnknownNameError: no feature has that name.
            OSError: its weights are not on this machine; the message names the file and its place.
        """
        if name not in self._features:
            if self.download:
                _fetch(name)
            self._features[name] = self._placed(create_feature(name))
        return self._features[name]

    def distance(self, name: str) -> Distance:
        """The pair distance `uint8 (B, 3, H, W) x 2 -> (B,)` called `lpips_NET`.

        Raises:
            ValueError: there is no such net.
            OSError: its weights are not on this machine; the message names the file and its place.
        """
        if name not in self._distances:
            net = cast(Net, name.removeprefix("lpips_"))
            if self.download:
                fetch_lpips(net)
            self._distances[name] = self._placed(lpips_distance(net))
        return self._distances[name]

    def missing(self, name: str) -> str | None:
        """Why the network `name` cannot be had on this machine; None if it can."""
        try:
            if name.startswith("lpips_"):
                self.distance(name)
            else:
                self.feature(name)
        except (OSError, ImportError, ValueError, LookupError) as error:
            return str(error)
        return None

    def _placed(self, network: Callable[..., Tensor]) -> Callable[..., Tensor]:
        if isinstance(network, nn.Module):
            network.to(self.device)

        def run(*images: Tensor) -> Tensor:
            with torch.inference_mode():
                return network(*(image.to(self.device) for image in images)).cpu()

        return run


def _fetch(name: str) -> None:
    """Download the weights of a feature, unless they are on this machine."""
    if name == "inception_fid":
        fetch_inception()
    elif name.startswith(PREFIX):
        fetch_timm(name)
    elif name in FILES:
        FILES[name].fetch()
