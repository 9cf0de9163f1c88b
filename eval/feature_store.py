"""Features of pictures in files, so that no later run shows a network the same pictures again.

DIR/NETWORK/DIGEST.safetensors     features (B, D) of one batch

DIGEST is taken of the pictures' bytes, of the network's weights and code, and of what computes them. Files appear whole
or not at all, so that several processes may share a folder; whatever is deleted is computed again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from hub import files

_log = logging.getLogger(__name__)


class FeatureStore:
    """A folder of features."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writable = True

    def features(self, name: str, facts: str, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """`network(images)`, from a file if it is there.

        Args:
            name: of the network.
            facts: all that its answer depends on beside the pictures.
            images: uint8 (B, 3, H, W).
        """
        digest = hashlib.sha256(f"{facts} {torch.__version__} {tuple(images.shape)}".encode())
        digest.update(images.contiguous().cpu().numpy().data)
        path = self.folder / name.replace("/", "-") / f"{digest.hexdigest()[:32]}.safetensors"
        try:
            return files.read_safetensors(path)[0]["features"]
        except (OSError, ValueError, KeyError):
            features = network(images)
        self._write(path, features)
        return features

    def _write(self, path: Path, features: Tensor) -> None:
        if self._writable:
            try:
                files.write_safetensors(path, {"features": features})
            except OSError as error:
                self._writable = False
                _log.warning("features are not kept for the next run: %s", error)


def user_folder() -> Path:
    """Where features of datasets are kept: GEOTRANS_CACHE, or `geotrans` in the user's folder for caches."""
    own = os.environ.get("GEOTRANS_CACHE")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return (Path(own) if own else caches / "geotrans").expanduser() / "features"
