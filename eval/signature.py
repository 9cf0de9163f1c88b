"""What a number rests on, in a line of text beside it: two laboratories see whether their numbers compare.

metric:fid|version:1|protocol:synthface_attr4_64.v1@68ab1b0a2c3d|net:inception_fid@6726825d0af5|
resize:bilinear-299|n:1000|real:1000|ids:0f3c5d7e9a1b|torch:2.15.0|...
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.environment import package_versions
from eval.metrics.base import Score
from eval.networks import network_digest
from eval.protocol import Protocol
from registry import METRICS

# How a network brings pictures to its size. A network's name and digest settle it too; this is for readers.
RESIZERS = {"inception_fid": "bilinear-299", "lpips_alex": "none", "lpips_vgg": "none", "lpips_squeeze": "none"}
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Samples:
    """Which samples were scored.

    Attributes:
        reals: number of real pictures of their own, for distances between sets; None: one a sample.
        pictures: what was compared with, where its names do not tell: a digest of the reference folder's files.
    """

    ids: Sequence[str]
    reals: int | None = None
    pictures: str = ""

    @property
    def digest(self) -> str:
        """Twelve hex digits of the ids, whatever their order."""
        return hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()[:_DIGITS]


def signature(metric: str, score: Score, protocol: Protocol, samples: Samples) -> str:
    """The line for one score."""
    info = METRICS.get(metric).info
    facts = {
        "metric": metric,
        "version": str(info.version),
        "protocol": f"{protocol.name}.v{protocol.version}@{protocol.digest()}",
    }
    names = network_names(info.needs, protocol)
    if names:
        facts["net"] = "+".join(f"{Path(name).name or name}@{network_digest(name)}" for name in names)
        facts["resize"] = "+".join(RESIZERS.get(name, "own") for name in names)
    facts["n"] = str(score.n)
    if "real" in info.needs:
        facts["real"] = str(len(samples.ids) if samples.reals is None else samples.reals)
    facts["ids"] = samples.digest
    if samples.pictures:
        facts["pictures"] = samples.pictures
    facts |= {name: version for name, version in package_versions().items() if version is not None}
    return "|".join(f"{name}:{value}" for name, value in facts.items())


def parse(text: str) -> dict[str, str]:
    """The facts in a signature; empty for an empty one."""
    return dict(part.split(":", 1) for part in text.split("|") if ":" in part)


def differences(first: str, second: str) -> list[str]:
    """Why two numbers do not compare; empty if they do.

    Other packages alone move a number by rounding only. Of the same samples some may have no say in a mean, one that a
    model did not change say; a distance between sets needs all.
    """
    left, right = parse(first), parse(second)
    packages = package_versions()
    settled = [name for name in {**left, **right} if name not in packages and (name != "n" or "real" in left)]
    return [
        f"{name} {left.get(name, 'none')} and {right.get(name, 'none')}"
        for name in settled
        if left.get(name) != right.get(name)
    ]


def network_names(needs: Sequence[str], protocol: Protocol) -> list[str]:
    """The networks that a metric asks under a protocol."""
    split = [need.partition(".") for need in needs]
    judges = [protocol.judges[role] for kind, _, role in split if kind == "judge" and role in protocol.judges]
    return judges + [name for kind, _, name in split if kind == "network"]
