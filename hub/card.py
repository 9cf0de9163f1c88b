"""The card of a published folder: what the weights are, how to use them, what they cost and how they score.

The scores also go, for the Hub to read, into the card's front matter (`model-index`) and into `.eval_results/*.yaml`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LIBRARY, PIPELINE, LICENCE = "geotrans", "image-to-image", "apache-2.0"
TAGS = ("image-to-image", "image-translation", "geometry-aware")
SCORES_HEADING = "## Scores"
SAMPLES = ("samples.png", "samples.jpg")
BENCHMARKS = "geotrans"  # the Hub organisation of the benchmarks that scores refer to
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_USE = re.compile(r'create_model\("[^"\n]*"')


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card says of a network that its files do not.

    Attributes:
        name: what `create_model` takes.
        architecture: the paper, or the class.
        parameters: how many are trained.
        resolution: in pixels.
        columns: part of a condition -> names of its columns.
        deviations: what differs from the paper, in words.
        dataset: registered name of the training data.
        data_licence: on which terms the data may be used.
        needs_source: the model also reads the condition of the source.
    """

    name: str
    architecture: str
    parameters: int
    resolution: int
    columns: Mapping[str, Sequence[str]]
    deviations: str = ""
    dataset: str = ""
    data_licence: str = ""
    needs_source: bool = False


def render(facts: CardFacts, results: Mapping[str, Any]) -> str:
    """The whole card of a model that has just been trained or converted."""
    parts_of = list(facts.columns)
    values = ", ".join(f"{part}={part}" for part in parts_of) if len(parts_of) > 1 else f"{''.join(parts_of)}=wanted"
    wanted = f"geotrans.Condition({values if parts_of else ''})"
    if facts.needs_source:
        wanted += f", geotrans.Condition({values.replace('=wanted', '=present')})"
    columns = [f"- `{part}`: {', '.join(names) or 'points or maps'}" for part, names in facts.columns.items()]
    trained = f", trained on `{facts.dataset}`" if facts.dataset else ""
    size = f"{facts.resolution} x {facts.resolution} pixels"
    parts = [
        f"# {facts.name}",
        f"{facts.architecture}, {facts.parameters:,} parameters, {size}{trained}.",
        "```python\nimport geotrans\n\n"
        f'model = geotrans.create_model("{facts.name}", pretrained=True)\n'
        f"out = model(image, {wanted})\n"
        "out.image, out.flow, out.warped, out.mask, out.residual\n"
        "```",
        "## Condition\n\n" + ("\n".join(columns) or "None."),
        *_training(results.get("training")),
        f"## Differences from the paper\n\n{facts.deviations or 'None are known.'}",
        f"## Licence\n\nCode: Apache-2.0. Weights: {results.get('licence', 'Apache-2.0')}. "
        f"Data: {facts.data_licence or 'see its publisher'}.",
    ]
    return update("\n\n".join(parts) + "\n", facts.name, results)


def update(text: str, name: str, results: Mapping[str, Any], *, use: str = "", picture: str = "") -> str:
    """The card with front matter and scores as `results` has them; all other text stays.

    Args:
        name: of the model, for the model index.
        use: what `create_model` shall be given in the card's example; empty: as it is.
        picture: file name of a sample strip to show on top, if the card shows none.
    """
    body = _FRONT.sub("", text, count=1).partition(SCORES_HEADING)[0].strip()
    if use:
        body = _USE.sub(lambda _: f'create_model("{use}"', body)
    if picture and picture not in body:
        title, _, rest = body.partition("\n")
        body = f"{title}\n\n![samples]({picture})\n{rest}"
    return f"{_front_matter(text, name, results)}{body}\n\n{scores_section(results)}"


def scores_section(results: Mapping[str, Any]) -> str:
    """The scores as tables, one a protocol."""
    lines = [SCORES_HEADING, ""]
    for protocol, entry in protocol_scores(results):
        lines += [f"`{protocol}`, 95 % bootstrap intervals:", ""]
        lines += ["| metric | value | interval | n |", "|---|---|---|---|"]
        for name, score in entry["scores"].items():
            lines.append(f"| {name} ({score['unit']}) | {score['value']:.4g} | {_interval(score)} | {score['n']} |")
        lines.append("")
    if len(lines) == 2:
        lines.append("None yet: `python -m eval.run --models local-dir:FOLDER --record` writes them here.")
    return "\n".join(lines).rstrip() + "\n"


def eval_results(results: Mapping[str, Any]) -> dict[str, str]:
    """Path in the repository -> the Hub's YAML of one protocol's scores."""
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

    found = {}
    for protocol, entry in protocol_scores(results):
        benchmark = protocol.partition(" ")[0]
        rows = []
        for name, score in entry["scores"].items():
            notes = f"{protocol}, {name} v{score['version']}, {score['unit'] or 'no unit'}, n = {score['n']}"
            if ends := _interval(score):
                notes += f", 95 % bootstrap interval {ends}"
            row = {"dataset": {"id": f"{BENCHMARKS}/{benchmark}", "task_id": name}, "value": score["value"]}
            rows.append({**row, "date": str(entry["created"])[:10], "notes": notes})
        found[f".eval_results/{benchmark}.yaml"] = yaml_dump(rows, sort_keys=False)
    return found


def protocol_scores(results: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """`protocol vN` and its entry, for each protocol that the harness has scored the folder on."""
    scores = results.get("scores")
    for protocol, entry in sorted(scores.items()) if isinstance(scores, dict) else ():
        if isinstance(entry, dict) and isinstance(entry.get("scores"), dict) and "created" in entry:
            yield protocol, entry


def _front_matter(text: str, name: str, results: Mapping[str, Any]) -> str:
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    old = ModelCard(text, ignore_metadata_errors=True).data if _FRONT.match(text) else ModelCardData()
    kept: dict[str, Any] = old.to_dict()  # type: ignore[no-untyped-call]
    for rewritten in ("model-index", "model_name"):
        kept.pop(rewritten, None)
    entries = [
        EvalResult(
            task_type=PIPELINE,
            dataset_type=f"{BENCHMARKS}/{protocol.partition(' ')[0]}",
            dataset_name=protocol,
            metric_type=metric,
            metric_name=f"{metric} ({score['unit']})" if score["unit"] else metric,
            metric_value=score["value"],
            metric_args={key: score[key] for key in ("low", "high", "n", "version") if score[key] is not None},
        )
        for protocol, entry in protocol_scores(results)
        for metric, score in entry["scores"].items()
    ]
    merged = {"license": LICENCE, **kept, "library_name": LIBRARY, "pipeline_tag": PIPELINE}
    merged["tags"] = list(dict.fromkeys([*TAGS, *(kept.get("tags") or ())]))
    data = ModelCardData(**merged, model_name=name, eval_results=entries or None)
    return f"---\n{data.to_yaml(line_break=chr(10))}\n---\n"


def _training(training: Any) -> list[str]:
    if not isinstance(training, dict):
        return []
    cost = (
        f"{training.get('images', 0):,} images in {training.get('seconds', 0) / 60:.1f} minutes on "
        f"{training.get('device', 'an unknown device')} ({training.get('threads', 1)} threads, "
        f"{training.get('processes', 1)} process(es)), {training.get('average', 'the last weights')}."
    )
    recipe = json.dumps(training.get("recipe", {}), indent=2, ensure_ascii=False)
    return [f"## Training\n\n{cost} The recipe, all that decides the weights:\n\n```json\n{recipe}\n```"]


def _interval(score: Mapping[str, Any]) -> str:
    return "" if score.get("low") is None else f"{score['low']:.4g} to {score['high']:.4g}"
