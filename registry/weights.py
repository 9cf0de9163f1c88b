"""Where published weights lie: `arch.tag` -> a Hub repository, pinned to a revision and a digest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.core import DuplicateNameError
from registry.kinds import DISCRIMINATORS, GENERATORS
from registry.names import parse_model_name


@dataclass(frozen=True, slots=True)
class Weights:
    """One published set of weights.

    Attributes:
        repo: ORG/NAME on the Hub.
        revision: the full commit hash, which nobody can move.
        sha256: hex digest of its model.safetensors.
        licence: of the weights.
    """

    repo: str
    revision: str
    sha256: str
    licence: str


_WEIGHTS: dict[str, Weights] = {}


def register_weights(name: str, weights: Weights) -> None:
    """Say where the weights `arch.tag` lie; a model's file calls this beside its variants.

    Raises:
        ValueError: the name has no tag, or the revision or the digest is not a whole hexadecimal hash.
        DuplicateNameError: other weights have that name.
    """
    parsed = parse_model_name(name)
    if not parsed.arch or parsed.tag is None:
        raise ValueError(f"{name!r}: weights are registered as arch.tag, such as spm_refine_64.synthface")
    if not re.fullmatch(r"[0-9a-f]{40}", weights.revision) or not re.fullmatch(r"[0-9a-f]{64}", weights.sha256):
        raise ValueError(f"{name}: expected a commit hash of 40 and a sha256 of 64 hexadecimal digits")
    if _WEIGHTS.setdefault(name, weights) != weights:
        raise DuplicateNameError(f"two sets of weights are named {name!r}: {_WEIGHTS[name].repo} and {weights.repo}")


def registered_weights() -> dict[str, Weights]:
    """`arch.tag` -> where it lies, for all models."""
    GENERATORS.names(), DISCRIMINATORS.names()  # imports every model's file
    return dict(sorted(_WEIGHTS.items()))
