"""What judges are trained and scored on: how much of it, pictures with what is known of them, and disturbances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from geotrans.data.base import Dataset
from geotrans.factory import create_dataset
from geotrans.ops.images import to_uint8
from geotrans.ops.limbs import joints_of
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec

RESOLUTION = 64
RENDER_BATCH = 64


@dataclass(frozen=True)
class Plan:
    """How a judge is trained.

    Attributes:
        judge: what it is called.
        kind: what it learns: "reading" a condition, "identity", or a "subject": who is shown, and how.
        dataset: what it is trained on.
        tasks: the dataset's tasks, which are also the parts of a condition that are read; one: it has no such option.
            "structure" stands for the joints of a pose.
        shares: how many parts of the training pictures each task gets.
        images: pictures rendered for training, over all tasks.
        test_images: pictures of the test split that the scores are taken on.
        passes: how often each training picture is seen.
        batch_size: pictures a step; where identity is learned, four of each person.
        learning_rate: at its peak; one cycle, cosine.
        samples_per_person: samples of one person that follow each other in the dataset.
    """

    judge: str
    kind: str
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


@dataclass(frozen=True)
class Pictures:
    """Rendered pictures with what is known of them.

    Attributes:
        images: (N, 3, H, W) uint8.
        labels: (N, columns of the dataset's spec), or (N, 2 * joints) where it has none; NaN: not to be seen.
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
        both = [_labels(dataset.spec, condition, size) for condition in (sample.source, sample.target)]
        images.append(to_uint8(torch.stack([sample.image, sample.truth], dim=1).flatten(0, 1)))
        labels.append(torch.stack(both, dim=1).flatten(0, 1))
    persons = torch.arange(first, first + pairs).repeat_interleave(2) // plan.samples_per_person
    return Pictures(torch.cat(images), torch.cat(labels), torch.full_like(persons, number), persons, dataset.spec)


def _labels(spec: ConditionSpec, condition: Condition, size: int) -> Tensor:
    """The columns of a condition; where it has none, the joints of its pose."""
    if spec.size or condition.structure is None:
        return spec.vector(condition, size)
    return joints_of(condition.structure).flatten(1)


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


def batches(plan: Plan, persons: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers of each step, in another order with every pass; for identity, people come four pictures at a time."""
    group = 1 if plan.kind == "reading" else 4
    for _ in range(plan.passes):
        rows = torch.randperm(len(persons), generator=generator)
        rows = rows[persons[rows].argsort(stable=True)][: len(rows) // group * group].view(-1, group)
        rows = rows[torch.randperm(len(rows), generator=generator)].flatten()
        for start in range(0, len(rows) - plan.batch_size + 1, plan.batch_size):
            yield rows[start : start + plan.batch_size]
