"""What all figures share: a model's answer on the CPU, and rows of pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.base import Generator
from geotrans.figures.conditions import known_source
from geotrans.types import Condition, Sample, Translation
from geotrans.viz import Enlarge, titled_grid

_MARGIN = 12
_CELL = 128  # pictures are enlarged to about this


def translated(model: Generator, sample: Sample, target: Condition) -> Translation:
    """The model's output for the whole batch, computed where the model is, on the CPU."""
    spec, device = model.cfg.condition, device_of(model)
    source = known_source(spec, sample).to(device) if spec.needs_source else None
    with torch.inference_mode():
        output: Translation = model(sample.image.to(device), target.to(device), source)
    return output.apply(lambda tensor: tensor.float().cpu())


def device_of(model: Generator) -> torch.device:
    """Where the model's parameters are; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def enlargement(side: int, cell: int = _CELL) -> int:
    """How many times pictures of `side` pixels are enlarged."""
    return max(1, round(cell / side))


@dataclass
class Rows:
    """Rows of pictures (3, H, W), as a figure collects them."""

    columns: Sequence[str]
    names: list[str] = field(default_factory=list)
    pictures: list[list[Tensor]] = field(default_factory=list)

    def add(self, name: str, *pictures: Tensor | None) -> None:
        """A row under its name; None leaves a place empty."""
        like = next(picture for picture in pictures if picture is not None)
        self.names.append(name)
        self.pictures.append([torch.ones_like(like) if picture is None else picture for picture in pictures])

    def drawn(
        self,
        title: str,
        note: str,
        *,
        scale: int | None = None,
        group: int = 0,
        legend: Tensor | None = None,
        enlarge: Enlarge = "bicubic",
    ) -> Tensor:
        """The sheet, (1, 3, height, width); `group` rows belong together."""
        columns = {
            column: torch.stack(pictures)
            for column, pictures in zip(self.columns, zip(*self.pictures, strict=True), strict=True)
        }
        side = next(iter(columns.values())).shape[-1]
        grid = titled_grid(
            columns,
            scale=enlargement(side) if scale is None else scale,
            enlarge=enlarge,
            row_titles=self.names if any(self.names) else (),
            title=title,
            note=note,
            legend=legend,
            group=group,
        )
        return F.pad(grid, [_MARGIN] * 4, value=1.0)


def shown(sample: Sample, *facts: str) -> str:
    """The note below a figure: facts, and which pictures these are."""
    names = list(sample.id[:6]) + ["..."] * (len(sample.id) > 6)
    unknown = sample.source is None and sample.target is None
    return "; ".join([*facts, *["sources taken to be at rest"] * unknown, *[", ".join(names)] * bool(names)])
