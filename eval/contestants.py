"""What is scored: models by name, functions, and pictures that another program made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from eval.environment import source_digest
from eval.protocol import Protocol
from eval.reading import read_picture, shown
from eval.results import IDENTITY, Kind, ModelFacts
from geotrans.base import Generator, count_parameters
from geotrans.factory import create_model
from geotrans.ops.condition import draw_style, pick
from geotrans.ops.images import SUFFIXES, from_uint8
from geotrans.types import VECTOR_FIELDS, Condition, ConditionSpec, Translation
from hub import files
from hub.download import resolve
from hub.folder import RESULTS, WEIGHTS, read_config
from registry import parse_model_name

Function = Callable[..., "Translation | Tensor"]
Inputs = tuple[Tensor, Condition | None, Condition | None]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A row before it is scored.

    Attributes:
        model: a generator, or a function `(image (B, 3, H, W) in [-1, 1], target, source) -> Translation`, or a tensor
            like the image; None for the real images and for pictures.
        pictures: folder of pictures that another program made, each called by the id of its sample.
    """

    name: str
    kind: Kind
    model: Generator | Function | None
    facts: ModelFacts = field(default_factory=ModelFacts)
    pictures: Path | None = None

    @property
    def config(self) -> Any:
        """The model's config; None for what is no generator."""
        return self.model.cfg if isinstance(self.model, Generator) else None

    @property
    def key(self) -> str | None:
        """Twelve hex digits for what decides its results; None where nobody can tell, as for a function."""
        if self.kind == "folder" or (self.kind == "model" and self.facts.weights_sha256 is None):
            return None
        facts = [
            self.kind,
            self.name,
            self.facts.weights_sha256,
            repr(self.config),
            source_digest(cast("Any", type(self.model))),
        ]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]

    def inputs(
        self,
        image: Tensor,
        target: Condition | None,
        source: Condition | None,
        codes: Sequence[str],
        have: ConditionSpec,
        device: torch.device,
    ) -> Inputs:
        """What the model is called with.

        Args:
            codes: a name a row, from which a style is drawn.
            have: the columns of the conditions.
        """
        if not isinstance(self.model, Generator):
            return image.to(device), target and target.to(device), source and source.to(device)
        spec: ConditionSpec = self.model.cfg.condition
        picked = pick(spec, target, have, _styles(spec, codes)).to(device)
        old = pick(spec, source, have, _styles(spec, codes)).to(device) if spec.needs_source else None
        return image.to(device), picked, old

    def translate(self, inputs: Inputs, ids: Sequence[str]) -> Translation:
        """What it makes of some samples.

        Raises:
            ValueError: it returns another shape or something not finite, or a picture is missing or broken.
        """
        image = inputs[0]
        if self.pictures is not None:
            return Translation(_pictures(self.pictures, ids, image))
        assert self.model is not None
        with torch.inference_mode():
            made = self.model(*inputs)
        translation = made if isinstance(made, Translation) else Translation(made)
        if not isinstance(translation.image, Tensor) or translation.image.shape != (len(image), *image.shape[-3:]):
            got = tuple(getattr(translation.image, "shape", ())) or type(translation.image).__name__
            raise ValueError(f"{self.name} returns {got} for pictures of shape {tuple(image.shape)}")
        _check_finite(translation.image, ids, self.name)
        return translation


def contestant(name: str, *, pretrained: bool = True) -> Contestant:
    """The model of that name with its weights and what its published folder says about it.

    Raises:
        LookupError: no such model, or no such weights.
        ValueError: the weights are broken.
    """
    if name == IDENTITY:
        return Contestant(IDENTITY, "identity", create_model(IDENTITY), ModelFacts(IDENTITY, 0))
    model = create_model(name, pretrained=pretrained)
    facts = ModelFacts(parse_model_name(name).arch, count_parameters(model))
    return Contestant(name, "model", model, _published_facts(name, facts) if pretrained else facts)


def contestant_of(model: Generator | Function, name: str = "") -> Contestant:
    """A model that is in memory already, or any function that takes and returns pictures."""
    called = name or getattr(model, "__name__", "") or type(model).__name__
    if isinstance(model, Generator):
        return Contestant(called, "model", model, ModelFacts(type(model).__name__, count_parameters(model)))
    return Contestant(called, "model", model)


def contestant_in(folder: str | Path, name: str = "") -> Contestant:
    """Pictures that another program made of a protocol's samples; each file is called by its sample's id.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected pictures called by the ids of the samples")
    return Contestant(name or str(folder), "folder", None, pictures=Path(folder))


def misfit(cfg: Any, protocol: Protocol, have: ConditionSpec) -> str | None:
    """Why a model with the config `cfg` cannot be scored under `protocol`, whose data has the columns `have`."""
    if cfg.resolution != protocol.resolution:
        return f"it works at {cfg.resolution} pixels and the protocol is at {protocol.resolution}"
    wanted: ConditionSpec = cfg.condition
    for name in VECTOR_FIELDS:
        if name == "style" and not have.style:
            continue  # drawn at random, as in training
        known = getattr(have, name)
        missing = [column for column in getattr(wanted, name) if column not in known]
        if missing:
            return f"it reads {name} {', '.join(missing)}; the data has: {', '.join(known) or 'none'}"
    if wanted.landmarks and not have.landmarks:
        return "it reads landmarks, which the data does not have"
    if wanted.structure != have.structure and wanted.structure:
        return f"it reads a structure of {wanted.structure} channels; the data has {have.structure or 'none'}"
    return None


def _styles(spec: ConditionSpec, ids: Sequence[str]) -> Tensor | None:
    """A random style code a sample, (B, columns): it depends on the sample's name alone. None if none is read."""
    if not spec.style:
        return None
    seeds = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big") for name in ids]
    codes = [draw_style(spec, 1, torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat([code for code in codes if code is not None])


def _pictures(folder: Path, ids: Sequence[str], like: Tensor) -> Tensor:
    """The pictures of those names, (B, 3, H, W) in [-1, 1]."""
    found = {name: [p for suffix in sorted(SUFFIXES) if (p := folder / f"{name}{suffix}").is_file()] for name in ids}
    if lacking := [name for name, paths in found.items() if not paths]:
        raise ValueError(f"{folder} has no picture for {len(lacking)} of {len(found)} samples: {shown(lacking)}")
    if twice := [name for name, paths in found.items() if len(paths) > 1]:
        raise ValueError(f"{folder} holds {twice[0]!r} under several suffixes; keep one")
    pixels = [read_picture(path, folder) for (path,) in found.values()]
    for (path,), picture in zip(found.values(), pixels, strict=True):
        if picture.shape != like.shape[-3:]:
            sizes = [f"{part.shape[-1]} x {part.shape[-2]}" for part in (picture, like)]
            raise ValueError(f"{path} has {sizes[0]} pixels and its sample {sizes[1]}; write results in that size")
    return from_uint8(torch.stack(pixels))


def _check_finite(image: Tensor, ids: Sequence[str], name: str) -> None:
    broken = (~torch.isfinite(image)).flatten(1).any(1).nonzero()
    if len(broken):
        raise ValueError(f"{name} returns NaN or infinity for sample {ids[int(broken[0])]}; its weights are broken")


def _published_facts(name: str, facts: ModelFacts) -> ModelFacts:
    folder = resolve(parse_model_name(name))
    results = files.read_json(folder / RESULTS) if (folder / RESULTS).is_file() else {}
    training = results.get("training") if isinstance(results, dict) else None
    arch = read_config(folder)["arch"]
    return replace(
        facts,
        arch=arch,
        weights_sha256=files.sha256(folder / WEIGHTS),
        training={name: value for name, value in dict(training or {}).items() if isinstance(value, (str, int, float))},
    )
