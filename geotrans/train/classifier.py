"""Train a judge of real data: a timm network that reads the labels of any dataset.

Its folder is a judge for the harness: `python -m eval.run --protocol spm_rafd_acc --judge emotion=FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import RandomSampler
from tqdm import tqdm

from geotrans.base import config_to_dict, count_parameters
from geotrans.data.base import Dataset, loader
from geotrans.factory import create_dataset
from geotrans.features.classifier import ARCH, ARCHITECTURES, Classifier, ClassifierConfig
from geotrans.features.timm import find_timm
from geotrans.ops.images import from_uint8, to_uint8
from geotrans.train._judge_pictures import augment
from geotrans.types import Condition, ConditionSpec, Sample
from hub import files
from hub.folder import CONFIG, WEIGHTS, PublishedFolder, write_folder

PARTS = ("emotion", "attributes", "modality")
EXAMPLES = """examples:
  geotrans train-judge rafd --data ~/RaFD --output runs/judge_rafd                     SPM's classifier of expressions
  geotrans train-judge celeba --data ~/CelebA --option 'attributes=["Smiling","Male"]'
  geotrans train-judge folder --data ~/faces --option classes=emotion --pretrained      one folder for each class
  python -m eval.run --protocol spm_rafd_acc --data ~/RaFD --judge emotion=runs/judge_rafd --models ...
"""


@dataclass(frozen=True)
class ClassifierPlan:
    """How a classifier is trained; the same plan on the same machine gives the same weights.

    Attributes:
        dataset: registered name.
        root: the dataset's folder.
        part: what is read: emotion, attributes or modality; empty: the one that the dataset has.
        options: further options of the dataset.
        pretrained: start from ImageNet's weights, which have to be on this machine.
        learning_rate: at its peak; one cycle, cosine.
    """

    dataset: str
    root: str
    part: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    architecture: str = "resnet18"
    resolution: int = 128
    pretrained: bool = False
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0
    workers: int = 0


def train_classifier(plan: ClassifierPlan, device: str = "cpu") -> tuple[Classifier, dict[str, Any]]:
    """Train on the training pictures and score on the test pictures, which nothing else looks at.

    Raises:
        ValueError: the dataset has no labels of that part, or fewer pictures than a batch.
        OSError: the data, or the weights to start from, are not there.
    """
    torch.manual_seed(plan.seed)
    train, test = (_dataset(plan, split) for split in ("train", "test"))
    part = _part(plan, train.spec)
    cfg = ClassifierConfig(plan.architecture, plan.resolution, ConditionSpec(**{part: getattr(train.spec, part)}))
    classifier = Classifier(cfg, str(find_timm(plan.architecture)) if plan.pretrained else None)
    classifier.to(device)
    start = time.perf_counter()
    _fit(plan, classifier, train, part, device)
    seconds = round(time.perf_counter() - start)
    scores = _score(plan, classifier.eval(), test, part, device)
    facts = {"seconds": seconds, "device": device, "images": len(train), "split": "test", "scores": scores}
    return classifier.cpu(), facts


def _dataset(plan: ClassifierPlan, split: str) -> Dataset:
    return create_dataset(
        plan.dataset, root=plan.root, split=split, resolution=plan.resolution, seed=plan.seed, **plan.options
    )


def _part(plan: ClassifierPlan, spec: ConditionSpec) -> str:
    has = [part for part in PARTS if getattr(spec, part)]
    if not has or (plan.part and plan.part not in has):
        raise ValueError(
            f"{plan.dataset} has no labels of {plan.part or ', '.join(PARTS)}; it has: {', '.join(has) or 'none'}"
        )
    return plan.part or has[0]


def _fit(plan: ClassifierPlan, classifier: Classifier, data: Dataset, part: str, device: str) -> None:
    generator = torch.Generator().manual_seed(plan.seed)
    sampler = RandomSampler(data, generator=generator)
    batches = loader(data, plan.batch_size, sampler=sampler, workers=plan.workers, drop_last=True)
    if not len(batches):
        raise ValueError(f"{plan.dataset} has {len(data)} training pictures, fewer than a batch of {plan.batch_size}")
    steps = len(batches) * plan.epochs
    optimiser = torch.optim.AdamW(classifier.parameters(), plan.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=steps + 1, pct_start=0.1)
    classifier.train()
    with tqdm(total=steps, desc=f"train {plan.architecture}", unit="batch", file=sys.stderr) as bar:
        for _ in range(plan.epochs):
            for sample in batches:
                images = augment(sample.image, generator).to(device)
                loss = _loss(classifier(images), _labels(sample, part).to(device), part)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(classifier.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                bar.update()


def _loss(read: Condition, labels: Tensor, part: str) -> Tensor:
    logits: Tensor = getattr(read, part)
    if part == "attributes":
        return F.binary_cross_entropy_with_logits(logits, labels)
    return F.cross_entropy(logits, labels.argmax(1))


def _labels(sample: Sample, part: str) -> Tensor:
    assert sample.source is not None
    labels: Tensor = getattr(sample.source, part)
    return labels


@torch.no_grad()
def _score(plan: ClassifierPlan, classifier: Classifier, data: Dataset, part: str, device: str) -> dict[str, Any]:
    """Accuracy on rounded pictures, as metrics see them: of all, and of each column or class."""
    right, labels = [], []
    for sample in loader(data, plan.batch_size, workers=plan.workers):
        read = getattr(classifier(from_uint8(to_uint8(sample.image)).to(device)), part).cpu()
        label = _labels(sample, part)
        if part == "attributes":
            right.append(((read > 0) == (label > 0.5)).float())
        else:
            right.append((read.argmax(1) == label.argmax(1)).float()[:, None].expand_as(label))
        labels.append(label)
    hits, shown = torch.cat(right), torch.cat(labels)
    counts = torch.ones_like(shown) if part == "attributes" else shown  # a class is scored on its own pictures
    columns = getattr(data.spec, part)
    each = (hits * counts).sum(0) / counts.sum(0)
    by_column = {name: round(value, 4) for name, value in zip(columns, each.tolist(), strict=True) if value == value}
    overall = float((hits * counts).sum() / counts.sum())
    return {f"{part}_accuracy": {"all": round(overall, 4), **by_column}, "n": len(shown)}


def publish_classifier(plan: ClassifierPlan, classifier: Classifier, results: dict[str, Any], folder: Path) -> Path:
    """Write a classifier's folder in one rename: weights, scores, a recorded reading and a card."""
    size = classifier.cfg.resolution
    images = torch.randint(0, 256, (2, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        reading = classifier.cfg.condition.vector(classifier(from_uint8(images)), 2)
    return write_folder(
        PublishedFolder(
            arch=ARCH,
            tag=plan.dataset,
            config=config_to_dict(classifier.cfg),
            weights=classifier.state_dict(),
            check={"in/image": images, "out/reading": reading},
            results=results,
            card=_card(plan, classifier, results),
            dataset={"name": plan.dataset, "options": plan.options},
        ),
        folder,
    )


def _card(plan: ClassifierPlan, classifier: Classifier, results: dict[str, Any]) -> str:
    spec = classifier.cfg.condition
    (part,) = (part for part in PARTS if getattr(spec, part))
    accuracy = results["scores"][f"{part}_accuracy"]
    rows = "\n".join(f"| {name} | {100 * value:.2f} |" for name, value in accuracy.items())
    start = "ImageNet's weights" if plan.pretrained else "random weights"
    return f"""# Judge of `{plan.dataset}`, {plan.resolution} px

{plan.architecture} of {count_parameters(classifier):,} parameters, from {start}. Reads {part}:
{", ".join(getattr(spec, part))}.

Trained on {results["images"]:,} pictures: {plan.epochs} epochs, batch {plan.batch_size}, AdamW, one cycle up to
{plan.learning_rate:g}, seed {plan.seed}; {results["seconds"]} s on {results["device"]}. The data's licence holds for
the weights too.

| accuracy on {results["scores"]["n"]:,} test pictures, of which nothing was seen in training | % |
|---|---:|
{rows}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `geotrans train-judge`."""
    parser.epilog = EXAMPLES
    parser.add_argument("dataset", help="a registered dataset with labels: rafd, celeba, folder, ...")
    parser.add_argument("--data", required=True, metavar="DIR", help="the dataset's folder")
    parser.add_argument("--part", default="", choices=("", *PARTS), help="what to read (default: what the dataset has)")
    parser.add_argument(
        "--option", default=[], action="append", metavar="NAME=VALUE", help="of the dataset; text, or JSON"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder to write (default: runs/judge_DATASET)")
    parser.add_argument("--architecture", default="resnet18", choices=ARCHITECTURES, help="default: resnet18")
    parser.add_argument("--pretrained", action="store_true", help="start from ImageNet's weights")
    parser.add_argument("--resolution", type=int, default=128, metavar="N", help="default: 128")
    parser.add_argument("--epochs", type=int, default=30, metavar="N", help="default: 30")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="default: 32")
    parser.add_argument("--lr", type=float, default=1e-3, metavar="X", help="at its peak (default: 0.001)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read pictures")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")


def run(arguments: argparse.Namespace) -> None:
    """What the command does with its parsed arguments."""
    for name in ("epochs", "batch_size", "threads"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')}: expected at least 1, got {value}")
    folder: Path = arguments.output or Path("runs") / f"judge_{arguments.dataset}"
    if folder.exists() and not (folder / CONFIG).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not a published folder; choose another --output")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        torch.empty(0, device=arguments.device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {arguments.device}: {str(error).splitlines()[0]}") from None
    plan = ClassifierPlan(
        arguments.dataset,
        arguments.data,
        arguments.part,
        dict(_option(text) for text in arguments.option),
        arguments.architecture,
        arguments.resolution,
        arguments.pretrained,
        arguments.epochs,
        arguments.batch_size,
        arguments.lr,
        arguments.seed,
        arguments.workers,
    )
    classifier, results = train_classifier(plan, arguments.device)
    publish_classifier(plan, classifier, results, folder)
    digest = files.sha256(folder / WEIGHTS)
    sys.stdout.write(f"{json.dumps(results['scores'])}\n{folder}: sha256 {digest}\n")


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"--option {text}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
