"""Figures of motion: fields, their sums, and how a coarse-to-fine network refines them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from geotrans.base import Generator
from geotrans.edit import combine
from geotrans.figures.conditions import TARGET, chosen_edits, columns_of, edited
from geotrans.figures.layout import Rows, device_of, enlargement, shown, translated
from geotrans.figures.overlays import arrows, bent_grid
from geotrans.ops.images import resize
from geotrans.types import Condition, Sample, Translation
from geotrans.viz import flow_to_rgb, wheel_legend

_LARGE = 256  # arrows need room
_ARROW = 0.25  # how long the longest may get, where 2 is the picture's width
_PARTS = ("source", "flow", "warped", "mask", "residual", "image")


def motion(model: Generator, sample: Sample, edits: Sequence[str] = (), *, title: str = "") -> Tensor:
    """The motion field of each edit: as colours, as arrows, as a bent grid (SPM, Fig. 5; DefGAN, Fig. 11).

    A row an edit of each face; for the edit "target" the true flow stands beside it, where the data knows it.

    Raises:
        ValueError: the model does not move, or an edit is wrong.
    """
    spec = model.cfg.condition
    edits = chosen_edits(spec, edits, 4)
    flows = {edit: _flow(model, translated(model, sample, edited(spec, sample, edit))) for edit in edits}
    if sample.flow is not None and TARGET in edits:
        flows["true flow"] = sample.flow.float().cpu()
        flows = {name: flows[name] for name in sorted(flows, key=lambda name: name not in (TARGET, "true flow"))}
    longest, scale = _longest(list(flows.values())), enlargement(sample.image.shape[-1], _LARGE)
    stretch = max((s for s in (4, 3, 2, 1.5) if s * longest <= _ARROW), default=1)
    image = sample.image.float().cpu()
    rows = Rows(["source", "flow", "arrows", "moved, with grid"])
    drawn = {
        name: (
            F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False),
            F.interpolate(flow_to_rgb(flow, longest), scale_factor=scale, mode="bicubic", align_corners=False),
            arrows(image, flow, scale=scale, stretch=stretch, longest=longest),
            bent_grid(image, flow, scale=scale),
        )
        for name, flow in flows.items()
    }
    for face in range(len(image)):
        for name, parts in drawn.items():
            rows.add(name, *(part[face] for part in parts))
    times = "" if stretch == 1 else f", {stretch:g} times as far"
    note = shown(sample, f"flow: from where pixels come, {_scale(longest, sample)}; arrows: where they go{times}")
    return rows.drawn(title, note, scale=1, group=len(drawn), legend=wheel_legend())


def basis(
    model: Generator, sample: Sample, edits: Sequence[str] = (), weights: Sequence[float] = (), *, title: str = ""
) -> Tensor:
    """Motion fields one by one and summed: fields above, results below (SPM, Fig. 7 and 13).

    Args:
        edits: at least two; with three of them, the sums of two are shown as well.
        weights: a factor for each edit's field; 1 if none are given.

    Raises:
        TypeError: the model has no motion basis.
        ValueError: fewer than two edits, or another number of weights.
    """
    spec = model.cfg.condition
    edits = chosen_edits(spec, edits, 3)
    weights = tuple(weights) or (1.0,) * len(edits)
    if len(edits) < 2 and hasattr(model, "combine"):
        raise ValueError(f"a sum needs two edits or more, got {', '.join(edits)}; the model reads: {columns_of(spec)}")
    if len(weights) != len(edits):
        raise ValueError(f"expected a weight for each edit, got {len(weights)} weights for {len(edits)} edits")
    sizes = range(1, len(edits) + 1) if len(edits) <= 3 else (1, len(edits))
    chosen = [subset for size in sizes for subset in combinations(range(len(edits)), size)]
    wanted = [edited(spec, sample, edit) for edit in edits]
    found = {
        " + ".join(_weighted(edits[k], weights[k]) for k in subset): _combined(
            model, sample, [wanted[k] for k in subset], [weights[k] for k in subset]
        )
        for subset in chosen
    }
    longest = _longest([_flow(model, output) for output in found.values()])
    rows = Rows(["source", *found])
    for face, image in enumerate(sample.image):
        rows.add("flow", None, *(flow_to_rgb(_flow(model, out), longest)[face] for out in found.values()))
        rows.add("result", image, *(out.image[face] for out in found.values()))
    return rows.drawn(title, shown(sample, f"flow: {_scale(longest, sample)}"), group=2, legend=wheel_legend())


def pyramid(model: Generator, sample: Sample, edits: Sequence[str] = (), *, title: str = "") -> Tensor:
    """What each level of a coarse-to-fine network makes, the lowest resolution first (SPM, Fig. 6).

    A row a level; more for each edit of each face.

    Raises:
        ValueError: the model has one level only, or an edit is wrong.
    """
    spec = model.cfg.condition
    edits = chosen_edits(spec, edits, 1)
    found = {edit: _levels(sample, translated(model, sample, edited(spec, sample, edit))) for edit in edits}
    levels = next(iter(found.values()))
    if len(levels) < 2:
        kind = type(model).__name__
        raise ValueError(f"{kind} shows one resolution only; take a coarse-to-fine model like spm_refine_256")
    parts = [part for part in _PARTS if all(part in level for level in levels)]
    flows = [level["flow"] for own in found.values() for level in own if "flow" in parts]
    longest, side = _longest(flows) if flows else 0.0, sample.image.shape[-1]
    names = {"image": "result", "warped": "moved"}
    rows = Rows([names.get(part, part) for part in parts])
    for face in range(len(sample.image)):
        for edit, own in found.items():
            for level in own:
                size = level["image"].shape[-1]
                pictures = (_coloured(part, level[part], longest)[face] for part in parts)
                rows.add(f"{edit}, {size} px", *(_squares(picture, side // size) for picture in pictures))
    note = shown(sample, f"flow: {_scale(longest, sample)}") if flows else shown(sample)
    legend = wheel_legend() if flows else None
    return rows.drawn(title, note, group=len(levels), legend=legend, enlarge="nearest")


def _combined(model: Generator, sample: Sample, targets: Sequence[Condition], weights: Sequence[float]) -> Translation:
    device = device_of(model)
    output = combine(model, sample.image.to(device), [target.to(device) for target in targets], weights)
    return output.apply(lambda tensor: tensor.float().cpu())


def _levels(sample: Sample, output: Translation) -> list[dict[str, Tensor]]:
    """What there is at each resolution, the lowest first: names of `_PARTS` -> (B, C, h, w)."""
    found = output.intermediates
    top = {part: value for part in _PARTS[1:] if (value := getattr(output, part)) is not None}
    levels = [{**top, "source": sample.image}]
    for key, image in found.items():
        if key.startswith("image_"):
            level = {part: found[f"{part}_{key[6:]}"] for part in _PARTS if f"{part}_{key[6:]}" in found}
            size = (image.shape[2], image.shape[3])
            levels.append({"source": resize(sample.image, size), **level})
    return sorted(levels, key=lambda level: level["image"].shape[-1])


def _flow(model: Generator, output: Translation) -> Tensor:
    if output.flow is None:
        raise ValueError(f"{type(model).__name__} moves nothing; take a model that does, like spm_refine_64 or DefGAN")
    return output.flow


def _longest(flows: Sequence[Tensor]) -> float:
    return max(float(torch.linalg.vector_norm(flow, dim=1).max()) for flow in flows)


def _scale(longest: float, sample: Sample) -> str:
    side = sample.image.shape[-1]
    return f"full colour is {longest * side / 2:.2g} of {side} px"


def _weighted(edit: str, weight: float) -> str:
    return edit if weight == 1 else f"{weight:g} {edit}"


def _coloured(part: str, value: Tensor, longest: float) -> Tensor:
    if part == "flow":
        return flow_to_rgb(value, longest)
    return (2 * value - 1).expand(-1, 3, -1, -1) if part == "mask" else value


def _squares(picture: Tensor, scale: int) -> Tensor:
    """(3, h, w) -> (3, h * scale, w * scale), each pixel a square."""
    return picture.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
