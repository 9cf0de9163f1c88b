"""Frozen networks for metrics: each is loaded once, on first use, and put on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from eval.feature_store import FeatureStore
from eval.judges import LOCAL, judge_weights
from geotrans.factory import create_feature
from geotrans.features import facenet, inception, inception_torchvision, lpips, mediapipe, vgg
from geotrans.features.external import PublishedWeights
from geotrans.features.maps import MapDistance
from geotrans.features.timm import PREFIX, fetch_timm, find_timm
from hub import files
from registry import FEATURES

Feature = Callable[[Tensor], Tensor]
Distance = Callable[[Tensor, Tensor], Tensor]

MAPS = "maps_"  # before the name of a feature: the distance of its inner layers

# Files of weights that other projects publish, by the name of the network that reads them.
FILES: dict[str, PublishedWeights] = {
    "inception_fid": inception.WEIGHTS,
    "inception_torchvision": inception_torchvision.WEIGHTS,
    **{f"lpips_{net}": weights for net, weights in lpips.BACKBONES.items()},
    "vgg16": vgg.WEIGHTS[16],
    "vgg19": vgg.WEIGHTS[19],
    "vgg19_plain": vgg.WEIGHTS[19],
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
        store: for what they say of a dataset's pictures, which later runs meet again.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        download: bool = False,
        features: Mapping[str, Feature] | None = None,
        distances: Mapping[str, Distance] | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.download = download
        self.store = store
        self._given = frozenset(features or {})
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
        """The pair distance `uint8 (B, 3, H, W) x 2 -> (B,)` called `lpips_NET`, or `maps_FEATURE`: see `MapDistance`.

        Raises:
            ValueError: there is no such net, or the feature has no inner layers to show.
            UnknownNameError: no feature has that name.
            OSError: its weights are not on this machine; the message names the file and its place.
        """
        if name not in self._distances:
            if self.download:
                _fetch(name.removeprefix(MAPS))
            if name.startswith(MAPS):
                own = name.removeprefix(MAPS)
                distance: nn.Module = MapDistance(self._features[own] if own in self._given else create_feature(own))
            else:
                distance = lpips.lpips_distance(cast(lpips.Net, name.removeprefix("lpips_")))
            self._distances[name] = self._placed(distance)
        return self._distances[name]

    def known(self, name: str, images: Tensor, store: FeatureStore | None) -> Tensor:
        """`feature(name)(images)`, from a file if it was left there before.

        Only the networks of other projects are worth a file; a ready-made one cannot be told from another.
        """
        if store is None or name in self._given or not (name in FILES or name.startswith(PREFIX)):
            return self.feature(name)(images)
        facts = f"{name} {network_digest(name)} {_code_digest()} {self.device.type}"
        return store.features(name, facts, self.feature(name), images)

    def missing(self, name: str) -> str | None:
        """Why the network `name` cannot be had on this machine; None if it can."""
        try:
            if name.startswith(("lpips_", MAPS)):
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


def network_digest(name: str) -> str:
    """Twelve hex digits of a network's weights as they are here; "absent" or "unpinned" where there are none."""
    try:
        if name in FILES:
            path = FILES[name].path
        elif name.startswith(LOCAL):
            path = judge_weights(name)
        elif name.startswith(PREFIX):
            path = find_timm(name.removeprefix(PREFIX))
        else:
            pinned = FEATURES.get(name).info.sha256 if name in FEATURES else None
            return pinned[:12] if pinned else "unpinned"
        return _file_digest(path, path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return "absent"


@cache
def _file_digest(path: Path, changed: int) -> str:
    return files.sha256(path)[:12]


@cache
def _code_digest() -> str:
    """Changes with the source of any network."""
    sources = sorted(Path(inception.__file__).parent.glob("*.py"))
    return "".join(files.sha256(path)[:12] for path in sources)


def _fetch(name: str) -> None:
    """Download the weights of a network, unless they are on this machine."""
    if name.startswith(PREFIX):
        fetch_timm(name)
    elif name in FILES:
        FILES[name].fetch()
