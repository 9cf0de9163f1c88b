"""What every network of the library is: a module that holds its frozen config, and nothing else."""

from __future__ import annotations

import dataclasses
import importlib
import types
import typing
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

from torch import Tensor, nn

from geotrans.types import Condition, Critique, Translation
from registry import suggest

C = TypeVar("C")
Beside = Literal["picture", "shown", "wanted"]


class Model(nn.Module):
    """A network built from a frozen config. No device, optimiser, loss or file is in it.

    A config has at least `resolution` (what the network was trained at), `width` (channels of its first layer) and
    `condition` (a `ConditionSpec`). `paper` names where the architecture comes from.
    """

    paper: ClassVar[str] = ""

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.cfg = cfg

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, cache_dir: str | Path | None = None, **overrides: Any
    ) -> Self:
        """Load a published model, strictly: every tensor has its place, and the recorded call is repeated.

        Args:
            name: a folder, ORG/NAME on the Hub, or any name that `create_model` takes.
            revision: branch, tag or commit on the Hub.
            overrides: fields of the config to change.

        Raises:
            TypeError: the name is of another class; otherwise as `create_model`.
        """
        model = _above("factory").load_published(str(name), revision, cache_dir, overrides)
        if not isinstance(model, cls):
            raise TypeError(f"{name} is a {type(model).__name__}, not a {cls.__name__}")
        return model

    def save_pretrained(self, path: str | Path, **options: Any) -> Path:
        """Write a published folder; options as for `geotrans.publishing.save_pretrained`."""
        return cast("Path", _above("publishing").save_pretrained(self, path, **options))

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Put the model on the Hub; options as for `geotrans.push_to_hf_hub`. Returns its address."""
        return cast(str, _above("publishing").push_to_hf_hub(self, repo_id, **options))


class Generator(Model):
    """Moves and paints: an image and a wanted condition become a `Translation`.

    `references` is 2 for models of clips, which read the frame before and the reference picture, (B, 2, 3, H, W).
    """

    references: ClassVar[int] = 1

    @abstractmethod
    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        """Translate.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            target: the wanted condition, with the columns that `cfg.condition` names.
            source: the condition of `image`, for models whose `cfg.condition.needs_source` is set.

        Raises:
            ValueError: the condition lacks a part that the model reads, or has another shape.
        """

    def adopt(self, stage: Generator) -> None:
        """Take over the weights of a trained model of the same shape; a coarse-to-fine model, of the stage before too.

        Raises:
            ValueError: it has another shape; the message names the first tensor that does not fit.
        """
        self._adopt(stage.state_dict(), whole=True)

    def _adopt(self, tensors: Mapping[str, Tensor], *, whole: bool) -> None:
        """Load `tensors`, which may be a part of this model's unless `whole`."""
        own = self.state_dict()
        odd = [name for name, value in tensors.items() if name not in own or own[name].shape != value.shape]
        odd += [name for name in own if whole and name not in tensors]
        if odd:
            raise ValueError(f"the weights to start from belong to a network of another shape: {odd[0]} does not fit")
        self.load_state_dict(dict(tensors), strict=False)


class Discriminator(Model):
    """Judges: an image becomes a `Critique`.

    `conditional` discriminators judge an image beside its condition, which `cfg.condition` names; others read off the
    image what `cfg.condition` names.
    """

    conditional: ClassVar[bool] = False

    @property
    def beside(self) -> tuple[Beside, ...]:
        """What makes up the `Condition.structure` of a conditional one, channel after channel, in training.

        The source "picture", as in pix2pix; the structure "shown" there; the "wanted" structure.
        """
        return ("picture",)

    @abstractmethod
    def forward(self, image: Tensor, condition: Condition | None = None, flow: Tensor | None = None) -> Critique:
        """Judge.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            condition: for discriminators that judge an image given a condition.
            flow: (B, 2, H, W) backward, normalised; for discriminators that judge a motion.
        """

    def examine(self, output: Translation, condition: Condition | None = None) -> Critique:
        """Judge a translation: its picture, and for some families what else the generator shows of it."""
        critique: Critique = self(output.image, condition)
        return critique


def _above(module: str) -> Any:
    """A module that knows all models. It stands above this one, so it is looked up when it is called."""
    return importlib.import_module(f"geotrans.{module}")


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters; a tensor that two layers share counts once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def override(cfg: C, values: Mapping[str, Any]) -> C:
    """`dataclasses.replace` that says what the fields are when one is misspelt.

    Raises:
        TypeError: a name is no field of the config, or a value has another type than the field.
    """
    hints = typing.get_type_hints(type(cfg))
    names = [f.name for f in dataclasses.fields(cfg)]  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in names:
            raise TypeError(
                f"{type(cfg).__name__} has no field {name!r}; {suggest(name, names)} "
                f"(fields: {', '.join(sorted(names))})"
            )
        if not _fits(value, hints[name]):
            raise TypeError(f"{type(cfg).__name__}.{name}: expected {_type_name(hints[name])}, got {value!r}")
    return dataclasses.replace(cfg, **values)  # type: ignore[type-var]


def config_to_dict(cfg: Any) -> dict[str, Any]:
    """A config as JSON-ready values; nested configs become dicts, tuples become lists."""
    return {f.name: _plain(getattr(cfg, f.name)) for f in dataclasses.fields(cfg)}


def config_from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
    """The inverse of `config_to_dict`; strict about names and types.

    Raises:
        TypeError: an unknown field, or a value of another type than the field's.
    """
    hints = typing.get_type_hints(cls)
    built = {name: _revive(hints.get(name, Any), value) for name, value in values.items()}
    return override(cls(), built)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return config_to_dict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _revive(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return config_from_dict(hint, value)
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        item, *rest = typing.get_args(hint)
        kinds = [item] * len(value) if rest == [...] else [item, *rest]
        if len(kinds) != len(value):
            return value  # `override` reports it
        return tuple(_revive(kind, entry) for kind, entry in zip(kinds, value, strict=True))
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and value is not None:
        return _revive(next(arg for arg in typing.get_args(hint) if arg is not type(None)), value)
    if hint is float and type(value) is int:
        return float(value)
    return value


def _fits(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is typing.Literal:
        return value in args
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = [args[0]] * len(value) if args[-1:] == (...,) else list(args)
        return len(kinds) == len(value) and all(_fits(v, k) for v, k in zip(value, kinds, strict=True))
    if hint is float:
        return type(value) in (int, float)
    if hint in (int, bool, str, type(None)):
        return type(value) is hint
    return isinstance(value, origin or hint)


def _type_name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if typing.get_origin(hint) is None else str(hint).replace("typing.", "")
