"""The figure of what an edit costs in identity: distances between embeddings, a group of bars for each expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geotrans.base import Generator
from geotrans.factory import create_feature
from geotrans.figures.conditions import TARGET, edited
from geotrans.figures.inputs import PICTURES_OF_A_PERSON, faces, missing, open_test
from geotrans.figures.layout import translated
from geotrans.ops.images import from_uint8, to_uint8
from geotrans.types import ConditionSpec, Sample

TRUTH = "true picture"
_DATA, _JUDGE = "synthface", "synthface_identity"
_BATCH, _SMALL, _JUDGED = 32, 16, 64
_COLOURS = ("#3b6fb6", "#d1495b", "#2e9e6b", "#edae49", "#7b5ea7", "#5c8d89")
_GREY, _INK = "#b4b8bf", "#282c34"
_LABEL: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 6.5}

Judge = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Distances:
    """1 - cos of the embeddings of two pictures.

    Attributes:
        moved: who made the result (a model, or the data: "true picture") -> expression -> (n,), source and result.
        strangers: (N,), pictures of two people.
    """

    moved: dict[str, dict[str, Tensor]]
    strangers: Tensor


def embedding_distance(
    models: Mapping[str, Generator], n: int = 50, seed: int = 0, *, title: str = "Distance from the source's identity"
) -> Tensor:
    """A chart of `embedding_distances`: mean and standard deviation (DefGAN, Fig. 3 and 8).

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: see `embedding_distances`.
    """
    figure, canvas = _empty_figure()
    _draw(figure, embedding_distances(models, n, seed), title)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())[..., :3]
    return from_uint8(torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous())


def embedding_distances(models: Mapping[str, Generator], n: int = 50, seed: int = 0) -> Distances:
    """How far models take faces away from themselves: judge `synthface_identity`, test split of `synthface`.

    For models that read action units or emotions: `n` pairs for each emotion, translated to the pair's own target; the
    distance of the true picture tells what the judge makes of a perfect edit. For models that read attributes: `n`
    faces for each that do not have it yet.

    Args:
        models: name -> model, all of the one sort or all of the other.

    Raises:
        ValueError: models of no or of either sort, or `n` is below 2 or more than the split has.
    """
    if n < 2:
        raise ValueError(f"rows: expected at least 2 faces for each expression, got {n}")
    task = _task(models)
    groups = _groups(task, models, n, seed)
    judge = create_feature(_JUDGE)
    moved: dict[str, dict[str, Tensor]] = {}
    for name, model in models.items():
        spec, own = model.cfg.condition, {}
        for group, indices in groups.items():
            samples = [faces(model, index=part, task=task, data=_DATA) for part in _parts(indices)]
            wanted = TARGET if task == "emotion" else group
            results = [translated(model, sample, edited(spec, sample, wanted)).image for sample in samples]
            own[group] = _distances(judge, samples, results)
            if task == "emotion":
                truths = [sample.truth for sample in samples if sample.truth is not None]
                moved.setdefault(TRUTH, {}).setdefault(group, _distances(judge, samples, truths))
        moved[name] = own
    everyone = [index for indices in groups.values() for index in indices]
    return Distances(moved, _strangers(judge, list(dict.fromkeys(everyone)), task))


def _task(models: Mapping[str, Generator]) -> str:
    """What differs in the pairs that these models can be compared on."""
    have = open_test(_DATA, _SMALL, "", {}).spec
    for name, model in models.items():
        if lacking := missing(model.cfg.condition, have):
            raise ValueError(f"{name} reads {', '.join(lacking)}, which the built-in faces do not have")
    specs = [model.cfg.condition for model in models.values()]
    if all(spec.aus or spec.emotion for spec in specs):
        return "emotion"
    if all(spec.attributes for spec in specs) and len({spec.attributes for spec in specs}) == 1:
        return "attributes"
    raise ValueError(
        "expected models that all read action units or emotions, or all the same attributes; got "
        + ", ".join(f"{name} ({_kinds(model)})" for name, model in models.items())
    )


def _kinds(model: Generator) -> str:
    spec = model.cfg.condition
    kinds = ("attributes", "aus", "emotion", "modality", "landmarks")
    return ", ".join(kind for kind in kinds if getattr(spec, kind)) or "no condition"


def _groups(task: str, models: Mapping[str, Generator], n: int, seed: int) -> dict[str, list[int]]:
    """Expression -> `n` indices into the test split."""
    small = open_test(_DATA, _SMALL, task, {})
    names = small.spec.emotion if task == "emotion" else next(iter(models.values())).cfg.condition.attributes
    groups: dict[str, list[int]] = {name: [] for name in names}
    order = torch.randperm(len(small), generator=torch.Generator().manual_seed(seed)).tolist()
    for part in _parts(order):
        for name, fits in _fitting(task, small.batch(part), small.spec).items():
            if name in groups:
                groups[name] += [index for index, fit in zip(part, fits.tolist(), strict=True) if fit]
        if all(len(indices) >= n for indices in groups.values()):
            return {name: indices[:n] for name, indices in groups.items()}
    most = min(len(indices) for indices in groups.values())
    raise ValueError(f"rows: the test split has {most} faces for each expression, got {n}")


def _fitting(task: str, sample: Sample, spec: ConditionSpec) -> dict[str, Tensor]:
    """Expression -> which rows (B,) can be taken to show it."""
    if task == "emotion":
        assert sample.target is not None
        columns, value = spec.emotion, sample.target.emotion
    else:
        assert sample.source is not None
        assert sample.source.attributes is not None
        columns, value = spec.attributes, 1 - sample.source.attributes
    assert value is not None
    return dict(zip(columns, value.T > 0.5, strict=True))


def _distances(judge: Judge, samples: list[Sample], results: list[Tensor]) -> Tensor:
    pairs = zip(samples, results, strict=True)
    cosines = [(judge(to_uint8(sample.image)) * judge(to_uint8(result))).sum(1) for sample, result in pairs]
    return 1 - torch.cat(cosines)


def _strangers(judge: Judge, indices: list[int], task: str) -> Tensor:
    """Distances of each face from the next one that is another person's."""
    dataset = open_test(_DATA, _JUDGED, task, {})
    vectors = torch.cat([judge(to_uint8(dataset.batch(part).image)) for part in _parts(indices)])
    person = torch.tensor(indices) // PICTURES_OF_A_PERSON
    return (1 - (vectors * vectors.roll(1, 0)).sum(1))[person != person.roll(1)]


def _parts(indices: list[int]) -> list[list[int]]:
    return [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]


def _empty_figure() -> tuple[Any, Any]:
    """A matplotlib figure and its canvas, of no window and no global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise ImportError(
            'embedding_distance draws with matplotlib, which is not installed: pip install "geotrans-gan[docs]"'
        ) from None
    figure = Figure(layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08), dpi=150)
    return figure, FigureCanvasAgg(figure)


def _draw(figure: Any, found: Distances, title: str) -> None:
    groups = list(next(iter(found.moved.values())))
    n = min(len(values) for own in found.moved.values() for values in own.values())
    bars, width = len(found.moved), 0.8 / len(found.moved)
    figure.set_size_inches(max(7.0, 1.2 + len(groups) * (0.3 + 0.34 * bars)), 4.4)
    axes = figure.add_subplot()
    models = [name for name in found.moved if name != TRUTH]
    colours = {TRUTH: _GREY, **{name: _COLOURS[k % len(_COLOURS)] for k, name in enumerate(models)}}
    for k, name in enumerate([*models, *([TRUTH] if TRUTH in found.moved else [])]):
        values = [found.moved[name][group] for group in groups]
        places = np.arange(len(groups)) + (k - (bars - 1) / 2) * width
        means, spreads = [float(v.mean()) for v in values], [float(v.std()) for v in values]
        axes.bar(places, means, 0.92 * width, color=colours[name], label=name)
        low = [min(spread, mean) for mean, spread in zip(means, spreads, strict=True)]  # no distance is below 0
        axes.errorbar(places, means, [low, spreads], fmt="none", ecolor=_INK, elinewidth=0.8, capsize=2.5)
        for place, mean, spread in zip(places, means, spreads, strict=True):
            axes.annotate(f"{mean:.2g}", (place, mean + spread), (0, 2), **_LABEL)
    axes.set_xticks(range(len(groups)), groups, rotation=20 if len(groups) > 5 else 0)
    axes.set_ylabel("1 - cos(source, result)")
    axes.set_ylim(bottom=0)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    note = f"mean and standard deviation, n = {n} each; two people: {_pair(found.strangers)}; judge {_JUDGE}"
    axes.set_title(note, loc="left", fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.4)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9)


def _pair(values: Tensor) -> str:
    return f"{float(values.mean()):.2f} ± {float(values.std()):.2f}"
