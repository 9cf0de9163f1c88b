"""Figures of what an edit does to a picture: sweeps, differences, attention masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from geotrans.base import Generator
from geotrans.figures.conditions import blend, chosen_edits, columns_of, edited, known_source
from geotrans.figures.layout import Rows, shown, translated
from geotrans.types import Sample, Translation
from geotrans.viz import heat


def sweep(model: Generator, sample: Sample, edits: Sequence[str] = (), *, steps: int = 6, title: str = "") -> Tensor:
    """From the source's condition to the wanted one in equal steps (DefGAN, Fig. 1, 11 and 12).

    A row an edit of each face; two, of the moved and of the painted picture, if the model does both.

    Args:
        edits: see `edited`; for a model that reads action units "AU26" is one, "disgusted" an expression.
        steps: pictures in a row, at least 2: alpha = 0, ..., 1.

    Raises:
        ValueError: the model reads no condition, or an edit or `steps` is wrong.
    """
    spec = model.cfg.condition
    if not spec.size and not spec.landmarks:
        raise ValueError(
            f"{type(model).__name__} reads no condition, so there is nothing to sweep; take a model with attributes, "
            "action units, emotions or modalities"
        )
    if steps < 2:
        raise ValueError(f"steps: expected at least 2, got {steps}")
    edits, source = chosen_edits(spec, edits, 4), known_source(spec, sample)
    shares = torch.linspace(0, 1, steps).tolist()
    found = {
        edit: [translated(model, sample, blend(source, edited(spec, sample, edit), share)) for share in shares]
        for edit in edits
    }
    both = _moves_and_paints(found[edits[0]][0])
    rows = Rows(["source", *(f"alpha {share:.3g}" for share in shares)])
    for face, image in enumerate(sample.image):
        for edit, outputs in found.items():
            if both:
                rows.add(f"{edit}: moved", image, *(_present(output.warped)[face] for output in outputs))
            rows.add(f"{edit}: painted" if both else edit, image, *(output.image[face] for output in outputs))
    note = shown(sample, "alpha: from the source's condition (0) to the wanted one (1)")
    return rows.drawn(title, note, group=len(edits) * (1 + both) if len(sample.image) > 1 else 2 * both)


def difference(
    models: Mapping[str, Generator], sample: Sample, edits: Sequence[str] = (), *, title: str = ""
) -> Tensor:
    """Source, results, and below each result how far it is from the source (DefGAN, Fig. 5, 13 and 14).

    Args:
        models: name -> model; all at one resolution, with the same columns.

    Raises:
        ValueError: the models do not read the same, or an edit is wrong.
    """
    names, first = list(models), next(iter(models.values()))
    for name, model in models.items():
        _comparable(names[0], first, name, model)
    spec = first.cfg.condition
    edits = chosen_edits(spec, edits, 7)
    found = {
        name: [translated(model, sample, edited(spec, sample, edit)).image for edit in edits]
        for name, model in models.items()
    }
    change = {
        name: [(image - sample.image).abs().mean(1, keepdim=True) / 2 for image in images]
        for name, images in found.items()
    }
    factor = _factor([part for parts in change.values() for part in parts])
    rows = Rows(["source", *edits])
    for face, image in enumerate(sample.image):
        for name in models:
            rows.add(name if len(models) > 1 else "result", image, *(result[face] for result in found[name]))
            rows.add("difference", None, *(heat(factor * part)[face] for part in change[name]))
    scale = f"difference: mean of |result - source| over RGB, times {factor:g}"
    most = f"palest is {_percent(1 / factor)} of the range or more"
    return rows.drawn(title, shown(sample, f"{scale}: {most}"), group=2 * len(models))


def attention(model: Generator, sample: Sample, edits: Sequence[str] = (), *, title: str = "") -> Tensor:
    """Where the model paints: its mask as heat beside each result (SPM, Fig. 10).

    Raises:
        ValueError: the model has no mask, or one that is 1 everywhere.
    """
    spec = model.cfg.condition
    edits = chosen_edits(spec, edits, 4)
    found = {edit: translated(model, sample, edited(spec, sample, edit)) for edit in edits}
    kind = type(model).__name__
    if any(output.mask is None for output in found.values()):
        raise ValueError(f"{kind} has no mask: it paints nothing; take a model that paints, like spm_refine_64")
    masks = [_present(output.mask) for output in found.values()]
    if min(float(mask.min()) for mask in masks) == 1:
        raise ValueError(f"{kind} paints the whole picture anew, so its mask is 1 everywhere; take SPM or GANimation")
    factor = _factor(masks)
    rows = Rows(["source", *(name for edit in edits for name in (f"{edit}: mask", edit))])
    for face, image in enumerate(sample.image):
        pairs = zip(masks, found.values(), strict=True)
        rows.add("", image, *(part for mask, out in pairs for part in (heat(factor * mask)[face], out.image[face])))
    times = "" if factor == 1 else f" times {factor:g}"
    return rows.drawn(title, shown(sample, f"mask{times}: black is kept, palest is painted to {_percent(1 / factor)}"))


def _moves_and_paints(output: Translation) -> bool:
    return output.flow is not None and output.residual is not None


def _present(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def _comparable(first_name: str, first: Generator, name: str, model: Generator) -> None:
    for what, one, other in (
        ("works at", f"{first.cfg.resolution} pixels", f"{model.cfg.resolution} pixels"),
        ("reads", columns_of(first.cfg.condition), columns_of(model.cfg.condition)),
    ):
        if one != other:
            raise ValueError(f"models on one figure must be alike: {first_name} {what} {one}, {name} {what} {other}")


def _factor(shares: Sequence[Tensor]) -> float:
    """A round number that brings all but the largest half percent of the shares to 1 or below; at least 1."""
    high = float(np.quantile(torch.cat([share.flatten() for share in shares]).numpy(), 0.995))
    steps = [a * 10.0**b for b in range(4) for a in (1, 1.5, 2, 3, 4, 5, 6, 8)]
    return max([step for step in steps if step * high <= 1], default=1.0)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
