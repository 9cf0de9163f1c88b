"""Train the judges of the built-in benchmark: small networks that read its pictures, for the metrics to ask.

The options decide everything: the same ones, with the same torch on the same machine, give the same weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from geotrans.base import config_to_dict, count_parameters
from geotrans.errors import user_errors
from geotrans.features.judge import Trunk
from geotrans.ops.images import from_uint8
from geotrans.train._judge_identity import Identity
from geotrans.train._judge_kind import Kind
from geotrans.train._judge_pictures import RESOLUTION, Pictures, Plan, augment, batches, render
from geotrans.train._judge_reading import Reading
from geotrans.train._judge_subject import Subject
from hub import files
from hub.folder import CONFIG, WEIGHTS, PublishedFolder, write_folder

COMMAND = "python -m geotrans.train.judge"
EXAMPLES = f"""examples:
  {COMMAND} synthface                                            ten minutes on one core
  {COMMAND} identity --images 8000 --output runs/identity
  {COMMAND} synthpeople --output runs/people                     who is drawn, and in which pose
  {COMMAND} shapes --output hub/bundled/judge_shapes_64
"""

FACE_TASKS = ("attributes", "aus", "emotion", "modality")
KINDS: dict[str, Kind] = {"reading": Reading(), "identity": Identity(), "subject": Subject()}
_PLANS = (
    Plan("synthface", "reading", "synthface", FACE_TASKS, (1, 3, 1, 1), images=36_000, test_images=8_000, passes=5),
    Plan("identity", "identity", "synthface", FACE_TASKS, (1,) * 4, images=32_000, test_images=8_000, batch_size=128),
    Plan("shapes", "reading", "shapes", ("attributes",), (1,), images=12_000, test_images=4_000),
    Plan("synthpeople", "subject", "synthpeople", ("structure",), (1,), 24_000, 4_000, passes=4, batch_size=128),
    Plan("synthviews", "subject", "synthviews", ("view",), (1,), 16_000, 4_000, passes=4, batch_size=128),
)
PLANS = {plan.judge: plan for plan in _PLANS}


def train(plan: Plan, pictures: Pictures) -> Trunk:
    """Train a judge; the last weights, no early stopping: the test split is not looked at."""
    torch.manual_seed(plan.seed)
    generator = torch.Generator().manual_seed(plan.seed)
    kind = KINDS[plan.kind]
    judge = kind.build(plan, pictures).to(memory_format=torch.channels_last)
    loss_of = kind.objective(plan, judge, pictures)
    steps = len(pictures.images) // plan.batch_size * plan.passes
    if steps < 1:
        raise ValueError(
            f"--images: expected at least one batch of {plan.batch_size} pictures, got {len(pictures.images)}"
        )
    optimiser = torch.optim.AdamW(judge.parameters(), plan.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.learning_rate, total_steps=steps + 1, pct_start=0.1)
    with tqdm(batches(plan, pictures.persons, generator), total=steps, desc=f"train {plan.judge}") as bar:
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


def publish(plan: Plan, judge: Trunk, pictures: Pictures, results: dict[str, Any], folder: Path) -> Path:
    """Write a judge's folder in one rename: fp16 weights, scores, a recorded reading and a card."""
    images = pictures.images[:2]
    return write_folder(
        PublishedFolder(
            arch=KINDS[plan.kind].arch,
            tag=plan.dataset,
            config=config_to_dict(judge.cfg),
            weights={name: value.half() for name, value in judge.state_dict().items()},
            check={"in/image": images, "out/reading": KINDS[plan.kind].read(judge, images)},
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
    reads = KINDS[plan.kind].reads(plan, judge)
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
    results["scores"] = KINDS[plan.kind].score(plan, judge, test)
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
