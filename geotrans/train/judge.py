"""Train the judges of the built-in benchmark: small networks that read its pictures, for the metrics to ask.

The options decide everything: the same ones, with the same torch on the same machine, give the same weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from geotrans.base import config_to_dict, count_parameters
from geotrans.data.base import Dataset
from geotrans.errors import user_errors
from geotrans.factory import create_dataset
from geotrans.features.judge import IdentityJudge, Judge, JudgeConfig, Trunk
from geotrans.ops.images import from_uint8, to_uint8
from geotrans.ops.warp import warp
from geotrans.types import ConditionSpec
from hub import files
from hub.folder import CONFIG, WEIGHTS, PublishedFolder, write_folder

COMMAND = "python -m geotrans.train.judge"
EXAMPLES = f"""examples:
  {COMMAND} synthface                                            ten minutes on one core
  {COMMAND} identity --images 8000 --output runs/identity
  {COMMAND} shapes --output hub/bundled/judge_shapes_64
"""
RESOLUTION = 64
RENDER_BATCH = 64
FACE_TASKS = ("attributes", "aus", "emotion", "modality")


@dataclass(frozen=True)
class Plan:
    """How a judge is trained.

    Attributes:
        judge: what it is called: synthface, identity or shapes.
        dataset: what it is trained on.
        tasks: the dataset's tasks, which are also the parts of a condition that are read; one: it has no such option.
        shares: how many parts of the training pictures each task gets.
        images: pictures rendered for training, over all tasks.
        test_images: pictures of the test split that the scores are taken on.
        passes: how often each training picture is seen.
        batch_size: pictures a step; an identity judge sees pairs, so half as many people.
        learning_rate: at its peak; one cycle, cosine.
        samples_per_person: samples of one person that follow each other in the dataset.
    """

    judge: str
    dataset: str
    tasks: tuple[str, ...]
    shares: tuple[int, ...]
    images: int
    test_images: int
    passes: int = 3
    batch_size: int = 32
    learning_rate: float = 2e-3
    samples_per_person: int = 4
    seed: int = 0


PLANS = {
    "synthface": Plan("synthface", "synthface", FACE_TASKS, (1, 3, 1, 1), images=36_000, test_images=8_000, passes=5),
    "identity": Plan(
        "identity", "synthface", FACE_TASKS, (1, 1, 1, 1), images=32_000, test_images=8_000, batch_size=128
    ),
    "shapes": Plan("shapes", "shapes", ("attributes",), (1,), images=12_000, test_images=4_000),
}


@dataclass(frozen=True)
class Pictures:
    """Rendered pictures with what is known of them.

    Attributes:
        images: (N, 3, H, W) uint8.
        labels: (N, columns of the dataset's spec).
        tasks: (N,) which of the plan's tasks a picture was drawn for.
        persons: (N,) who it shows, by number.
        spec: names of the label columns.
    """

    images: Tensor
    labels: Tensor
    tasks: Tensor
    persons: Tensor
    spec: ConditionSpec


def render(plan: Plan, split: str, count: int) -> Pictures:
    """Draw `count` pictures of a split, sources and truths in turn.

    Training shows other people in each task, to have many; a test shows the same people in each, and each task evenly.

    Raises:
        ValueError: the split is too small, or its samples have no truth.
    """
    training = split == "train"
    shares = plan.shares if training else (1,) * len(plan.tasks)
    pairs = [count * share // (2 * sum(shares)) for share in shares]
    firsts = [sum(pairs[:number]) if training else 0 for number in range(len(pairs))]
    parts = [_render_task(plan, split, number, firsts[number], pairs[number]) for number in range(len(pairs))]
    joined = [
        torch.cat(tensors) for tensors in zip(*((p.images, p.labels, p.tasks, p.persons) for p in parts), strict=True)
    ]
    return Pictures(joined[0], joined[1], joined[2], joined[3], parts[0].spec)


def _render_task(plan: Plan, split: str, number: int, first: int, pairs: int) -> Pictures:
    dataset = _dataset(plan, split, plan.tasks[number])
    if pairs < 1 or first + pairs > len(dataset):
        raise ValueError(
            f"{plan.dataset} {split} has {len(dataset)} pairs of pictures, and the task {plan.tasks[number]} is to get "
            f"those from {first} to {first + pairs}; ask for {'more' if pairs < 1 else 'fewer'} pictures"
        )
    images, labels = [], []
    for start in tqdm(
        range(first, first + pairs, RENDER_BATCH), desc=f"draw {split} {plan.tasks[number]}", unit="batch"
    ):
        sample = dataset.batch(range(start, min(start + RENDER_BATCH, first + pairs)))
        if sample.truth is None or sample.source is None or sample.target is None:
            raise ValueError(f"{plan.dataset} {split}: its samples have no truth, source or target; a judge needs them")
        size = len(sample.image)
        both = [dataset.spec.vector(condition, size) for condition in (sample.source, sample.target)]
        images.append(to_uint8(torch.stack([sample.image, sample.truth], dim=1).flatten(0, 1)))
        labels.append(torch.stack(both, dim=1).flatten(0, 1))
    persons = torch.arange(first, first + pairs).repeat_interleave(2) // plan.samples_per_person
    return Pictures(torch.cat(images), torch.cat(labels), torch.full_like(persons, number), persons, dataset.spec)


def _dataset(plan: Plan, split: str, task: str) -> Dataset:
    options = {"task": task} if len(plan.tasks) > 1 else {}
    return create_dataset(plan.dataset, split=split, resolution=RESOLUTION, seed=plan.seed, **options)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Disturb pictures as a generator's artefacts would, without changing what they show.

    Half of the pictures are moved by at most a pixel, get up to 15 % more or less contrast and brightness, are blurred
    and get noise, each by amounts of its own. More would teach slower: what tells two action units apart is a pixel.
    Nothing is mirrored: some units act on one side.

    Args:
        images: (B, 3, H, W) in [-1, 1].
    """
    batch, _, height, width = images.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(batch, *(shape or (1, 1, 1)), generator=generator) * (high - low) + low

    shift = uniform(-1.5, 1.5, 2, 1, 1).round() * 2 / torch.tensor([width, height])[:, None, None]
    moved = warp(images, shift.expand(-1, -1, height, width), padding="border")
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    disturbed = torch.lerp(moved, blurred, uniform(-0.5, 0.5).clamp(min=0))
    disturbed = disturbed * uniform(0.85, 1.15) + uniform(-0.15, 0.15)
    disturbed = disturbed + torch.randn(images.shape, generator=generator) * uniform(-0.05, 0.05).clamp(min=0)
    return torch.where(uniform(0, 1) < 0.5, disturbed.clamp(-1, 1), images)


def reading_loss(judge: Judge, images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """How far a judge's reading is from the labels: cross-entropies, and 20 times the squared error of the AUs.

    Args:
        images: (B, 3, H, W).
        labels: (B, columns).
        weights: (B, columns): 1 where a label counts.
    """
    spec = judge.cfg.condition
    read, truth, counts = judge(images), spec.split(labels), spec.split(weights)
    total = images.new_zeros(())
    if spec.attributes:
        losses = F.binary_cross_entropy_with_logits(read.attributes, truth.attributes, reduction="none")
        total = total + _mean(losses, counts.attributes)
    if spec.aus:
        losses = (read.aus - truth.aus).square()  # not absolute: most AUs rest, and a median would never leave 0
        total = total + 20 * _mean(losses, counts.aus)
    for name in ("emotion", "modality"):
        if getattr(spec, name):
            losses = F.cross_entropy(getattr(read, name), getattr(truth, name), reduction="none")
            total = total + _mean(losses, getattr(counts, name)[:, 0])
    return total


def identity_loss(vectors: Tensor, persons: Tensor, scale: float = 16.0) -> Tensor:
    """Each picture must find the others of its person in the batch by cosine (Khosla et al. 2020, eq. 2).

    Args:
        vectors: (B, D) unit vectors.
        persons: (B,) who is shown; everyone at least twice.
        scale: what a cosine is multiplied with: the inverse of the paper's temperature.
    """
    itself = torch.eye(len(vectors), dtype=torch.bool)
    log_share = (scale * vectors @ vectors.T).masked_fill(itself, float("-inf")).log_softmax(1)
    partners = (persons[:, None] == persons[None]) & ~itself
    return -(log_share.masked_fill(~partners, 0).sum(1) / partners.sum(1)).mean()


def train(plan: Plan, pictures: Pictures) -> Trunk:
    """Train a judge; the last weights, no early stopping: the test split is not looked at."""
    torch.manual_seed(plan.seed)
    generator = torch.Generator().manual_seed(plan.seed)
    judge = _new_judge(plan, pictures.spec).to(memory_format=torch.channels_last)
    loss_of = _objective(plan, judge, pictures)
    steps = len(pictures.images) // plan.batch_size * plan.passes
    if steps < 1:
        raise ValueError(
            f"--images: expected at least one batch of {plan.batch_size} pictures, got {len(pictures.images)}"
        )
    optimiser = torch.optim.AdamW(judge.parameters(), plan.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=steps + 1, pct_start=0.1)
    with tqdm(_batches(plan, pictures.persons, generator), total=steps, desc=f"train {plan.judge}") as bar:
        for rows in bar:
            images = augment(from_uint8(pictures.images[rows]), generator)
            loss = loss_of(images, rows)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(judge.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    return judge.eval()


def _new_judge(plan: Plan, spec: ConditionSpec) -> Trunk:
    if plan.judge == "identity":
        return IdentityJudge(JudgeConfig(embedding=64))
    named = {name: getattr(spec, name) for name in plan.tasks}
    return Judge(JudgeConfig(condition=ConditionSpec(**named)))


def _objective(plan: Plan, judge: Trunk, pictures: Pictures) -> Callable[[Tensor, Tensor], Tensor]:
    if not isinstance(judge, Judge):
        return lambda images, rows: identity_loss(judge(images), pictures.persons[rows])
    labels, weights = _labels(judge, pictures), _weights(plan, judge, pictures)
    return lambda images, rows: reading_loss(judge, images, labels[rows], weights[rows])


def _labels(judge: Judge, pictures: Pictures) -> Tensor:
    spec: ConditionSpec = judge.cfg.condition
    return spec.vector(spec.select(pictures.spec.split(pictures.labels), pictures.spec), len(pictures.labels))


def _weights(plan: Plan, judge: Judge, pictures: Pictures) -> Tensor:
    """(N, columns): 1 where a label counts: everywhere, but an emotion only where one was acted."""
    spec, columns = judge.cfg.condition, []
    for number, name in enumerate(plan.tasks):
        counts = (pictures.tasks == number) | (name != "emotion")
        columns.append(counts.float()[:, None].expand(-1, len(getattr(spec, name))))
    return torch.cat(columns, dim=1)


def _batches(plan: Plan, persons: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers of each step, in another order with every pass; for identity, people come four pictures at a time."""
    group = 4 if plan.judge == "identity" else 1
    for _ in range(plan.passes):
        rows = torch.randperm(len(persons), generator=generator)
        rows = rows[persons[rows].argsort(stable=True)][: len(rows) // group * group].view(-1, group)
        rows = rows[torch.randperm(len(rows), generator=generator)].flatten()
        for start in range(0, len(rows) - plan.batch_size + 1, plan.batch_size):
            yield rows[start : start + plan.batch_size]


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    return (values * counts).sum() / counts.sum().clamp(min=1)


@torch.no_grad()
def read(judge: Trunk, images: Tensor) -> Tensor:
    """What a judge says of uint8 pictures: identity vectors, or readings in the order of its spec."""
    parts = []
    for part in torch.split(images, 256):
        out = judge(from_uint8(part))
        parts.append(out if isinstance(out, Tensor) else judge.cfg.condition.vector(out, len(part)))
    return torch.cat(parts)


def score(plan: Plan, judge: Trunk, pictures: Pictures) -> dict[str, Any]:
    """Held-out scores, each with the number of pictures (or pairs) behind it."""
    if not isinstance(judge, Judge):
        return _identity_scores_by_kind(plan, read(judge, pictures.images), pictures)
    spec = judge.cfg.condition
    readings, truths = spec.split(read(judge, pictures.images)), spec.split(_labels(judge, pictures))
    scores: dict[str, Any] = {}
    for number, name in enumerate(plan.tasks):
        own = pictures.tasks == number
        value, truth, columns = getattr(readings, name)[own], getattr(truths, name)[own], getattr(spec, name)
        if name == "attributes":
            scores["attributes_accuracy"] = _by_column(columns, ((value > 0) == (truth > 0.5)).float())
        elif name == "aus":
            scores["aus_mean_absolute_error"] = _by_column(columns, (value.clamp(0, 1) - truth).abs())
        else:
            scores[f"{name}_accuracy"] = round((value.argmax(1) == truth.argmax(1)).float().mean().item(), 4)
        scores[f"{name}_n"] = int(own.sum())
    return scores


def _identity_scores_by_kind(plan: Plan, vectors: Tensor, pictures: Pictures) -> dict[str, Any]:
    """Photographs alone, and all modalities against each other."""
    mixed = pictures.tasks == plan.tasks.index("modality")
    kinds = {"photo": ~mixed, "across_modalities": mixed}
    return {kind: identity_scores(vectors[rows], pictures.persons[rows]) for kind, rows in kinds.items()}


def identity_scores(vectors: Tensor, persons: Tensor) -> dict[str, Any]:
    """Verification scores over all pairs of the pictures (N, D), whose rows 2i and 2i + 1 show one scene.

    `partners` are a sample's picture and its truth: what an identity metric compares.
    """
    cosine = vectors @ vectors.T
    upper = torch.ones_like(cosine, dtype=torch.bool).triu(1)
    alike = persons[:, None] == persons[None]
    same, different = cosine[upper & alike], cosine[upper & ~alike]
    partners = (vectors[::2] * vectors[1::2]).sum(1)
    threshold, error = equal_error(same, different)
    return {
        "equal_error_rate": round(error, 5),
        "equal_error_threshold": round(threshold, 4),
        "partners_equal_error_rate": round(equal_error(partners, different)[1], 5),
        "cosine_same": round(same.mean().item(), 4),
        "cosine_partners": round(partners.mean().item(), 4),
        "cosine_different": round(different.mean().item(), 4),
        "cosine_different_std": round(different.std().item(), 4),
        "persons_n": len(set(persons.tolist())),
        "same_n": len(same),
        "partners_n": len(partners),
        "different_n": len(different),
    }


def equal_error(same: Tensor, different: Tensor) -> tuple[float, float]:
    """The threshold at which as large a share of `same` lies below as of `different` lies above, and that share."""
    same, different = same.sort().values, different.sort().values
    misses = torch.arange(len(same)) / len(same)  # of same pairs below same[i]
    alarms = 1 - torch.searchsorted(different, same) / len(different)
    best = int((misses - alarms).abs().argmin())
    return same[best].item(), (misses[best] + alarms[best]).item() / 2


def _by_column(names: Sequence[str], values: Tensor) -> dict[str, float]:
    means = values.mean(0).tolist()
    return {"mean": round(sum(means) / len(means), 4), **{n: round(m, 4) for n, m in zip(names, means, strict=True)}}


def publish(plan: Plan, judge: Trunk, pictures: Pictures, results: dict[str, Any], folder: Path) -> Path:
    """Write a judge's folder in one rename: fp16 weights, scores, a recorded reading and a card."""
    images = pictures.images[:2]
    return write_folder(
        PublishedFolder(
            arch="judge_identity" if plan.judge == "identity" else "judge",
            tag=plan.dataset,
            config=config_to_dict(judge.cfg),
            weights={name: value.half() for name, value in judge.state_dict().items()},
            check={"in/image": images, "out/reading": read(judge, images)},
            results=results,
            card=_card(plan, judge, results),
            dataset={
                "name": plan.dataset,
                "resolution": RESOLUTION,
                "seed": plan.seed,
                "tasks": list(plan.tasks),
            },
        ),
        folder,
    )


def _card(plan: Plan, judge: Trunk, results: dict[str, Any]) -> str:
    reads = "who is drawn: unit vectors, compare by cosine"
    if isinstance(judge, Judge):
        spec = judge.cfg.condition
        reads = "; ".join(f"{name}: {', '.join(getattr(spec, name))}" for name in plan.tasks)
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in results["scores"].items())
    return f"""# Judge `{plan.judge}`, {RESOLUTION} px

A frozen convolutional network of {count_parameters(judge):,} parameters for pictures of the procedural dataset
`{plan.dataset}`.

Reads: {reads}.

Trained on {plan.images:,} pictures of the train split: {plan.passes} passes, batch {plan.batch_size}, AdamW, one cycle
up to {plan.learning_rate:g}; half of them shifted by up to a pixel and blurred, with noise and another contrast and
brightness. Drawing took {results["draw_seconds"]} s, training {results["train_seconds"]} s, on {results["threads"]} CPU
thread(s).

| score on the test split, of which nothing was seen in training | value |
|---|---|
{rows}

Make it again: `{results["command"]}`
"""


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def make(plan: Plan, folder: Path) -> dict[str, Any]:
    """Draw, train, score the rounded weights and write the folder; the record that goes into it."""
    start = time.perf_counter()
    pictures, test = render(plan, "train", plan.images), render(plan, "test", plan.test_images)
    drawn = time.perf_counter()
    judge = train(plan, pictures)
    trained = time.perf_counter()
    results: dict[str, Any] = {
        "command": _command(plan),
        "draw_seconds": round(drawn - start),
        "train_seconds": round(trained - drawn),
        "threads": torch.get_num_threads(),
        "split": "test",
    }
    judge.load_state_dict({name: value.half() for name, value in judge.state_dict().items()})
    results["scores"] = score(plan, judge, test)
    publish(plan, judge, test, results, folder)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("judge", choices=sorted(PLANS), help="what to train")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder to write (default: runs/judge_NAME_64)")
    parser.add_argument("--images", type=int, metavar="N", help="pictures to draw for training (default: by judge)")
    parser.add_argument("--test-images", type=int, metavar="N", help="pictures to score on (default: by judge)")
    parser.add_argument("--passes", type=int, metavar="N", help="how often each picture is seen (default: by judge)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawings and of the training (default: 0)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    return parser


def _check_output(folder: Path) -> None:
    """Refuse what `write_folder` would refuse, before minutes are spent."""
    if folder.exists() and not (folder / CONFIG).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not a published folder; choose another --output")


def _command(plan: Plan) -> str:
    return (
        f"{COMMAND} {plan.judge} --images {plan.images} --passes {plan.passes} "
        f"--test-images {plan.test_images} --seed {plan.seed}"
    )


def _plan(options: argparse.Namespace) -> Plan:
    given = {name: getattr(options, name) for name in ("images", "test_images", "passes")}
    for name, value in {**given, "threads": options.threads}.items():
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')}: expected at least 1, got {value}")
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(PLANS[options.judge], seed=options.seed, **changes)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `python -m geotrans.train.judge`."""
    options = _parser().parse_args(arguments)
    with user_errors(COMMAND):
        plan = _plan(options)
        torch.set_num_threads(options.threads)
        folder: Path = options.output or Path("runs") / f"judge_{plan.judge}_{RESOLUTION}"
        _check_output(folder)
        results = make(plan, folder)
        lines = [f"{name}: {_cell(value)}" for name, value in results["scores"].items()]
        lines.append(
            f"{folder / WEIGHTS}: {(folder / WEIGHTS).stat().st_size:,} bytes, sha256 {files.sha256(folder / WEIGHTS)}"
        )
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
