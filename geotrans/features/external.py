"""Weights that other projects publish: where a file is looked for, and what to say when it is not there."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hub import files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedWeights:
    """One file of weights on somebody else's server. Nothing is downloaded unless `fetch` is called.

    Attributes:
        name: its file name in the torch hub cache, `$TORCH_HOME/hub/checkpoints`.
        url: where it is published.
        size: its length in bytes.
        sha256: hex digest of the published file.
        variable: environment variable that may name another place; empty if there is none.
        folder: where the package that it comes from looks for it, seen from the torch hub cache.
    """

    name: str
    url: str
    size: int
    sha256: str
    variable: str = ""
    folder: str = "checkpoints"

    @property
    def path(self) -> Path:
        """Where the file is looked for."""
        place = os.environ.get(self.variable) if self.variable else None
        return Path(place) if place else Path(os.path.normpath(Path(torch.hub.get_dir()) / self.folder)) / self.name

    def find(self) -> Path:
        """The file on this machine.

        Raises:
            FileNotFoundError: it is not there; the message says what to download, how large it is and where to put it.
        """
        path = self.path
        if not path.is_file():
            elsewhere = f", or set {self.variable} to its path" if self.variable else ""
            raise FileNotFoundError(
                f"{path} is missing: download {self.url} ({self.size / 1e6:.0f} MB) and put it there{elsewhere}"
            )
        return path

    def checked(self) -> Path:
        """The file on this machine; one of another digest too, with a warning that its scores may differ.

        Raises:
            FileNotFoundError: see `find`.
        """
        path = self.find()
        digest = files.sha256(path)
        if digest != self.sha256:
            log.warning(
                "%s is not the published file (sha256 %s, expected %s): its scores may not compare with others",
                *(path, digest[:12], self.sha256[:12]),
            )
        return path

    def fetch(self) -> Path:
        """Download the file to where `find` looks for it, unless it is there; the published digest is checked.

        Raises:
            OSError: the server does not answer.
            ValueError: what came is not the published file; nothing is kept.
        """
        path = self.path
        if path.is_file():
            return path
        log.warning("downloading %s (%.0f MB) to %s", self.url, self.size / 1e6, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(self.url, str(path), hash_prefix=self.sha256)
        except RuntimeError as error:
            raise ValueError(
                f"{self.url} is not the file expected, sha256 {self.sha256}: {error}; try again"
            ) from error
        return path

    def load(self) -> dict[str, Any]:
        """The state dict in the file; see `checked`.

        Raises:
            FileNotFoundError: see `find`.
            ValueError: the file holds no plain tensors.
        """
        path = self.checked()
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises pickle, zip, runtime and end-of-file errors here
            raise ValueError(
                f"{path} cannot be read as a file of weights: {error}; download {self.url} again"
            ) from error
        if not isinstance(state, dict):
            raise ValueError(
                f"{path}: expected a dict of tensors, got {type(state).__name__}; download {self.url} again"
            )
        return state
