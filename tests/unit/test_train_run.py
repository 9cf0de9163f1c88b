"""The command: one-line errors, a kill at any moment, and two processes that train as one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from geotrans import count_parameters, create_model
from geotrans.train.checkpoint import checkpoints, read_checkpoint
from geotrans.train.recipe import LossTerm, Recipe, Warmup, from_json, to_json
from geotrans.train.run import main

ROOT = Path(__file__).parents[2]
TINY = Recipe(
    generator="spm_warp_64",
    generator_options={"resolution": 16, "width": 4, "blocks": 1},
    discriminator="star_d_64",
    discriminator_options={"resolution": 16, "width": 4, "layers": 3},
    dataset="synthface",
    dataset_options={"resolution": 16, "size": 24},
    g_losses=(LossTerm("adv_lsgan_g"), LossTerm("cls_bce_fake"), LossTerm("cycle_l1", 10.0)),
    d_losses=(LossTerm("adv_lsgan_d"), LossTerm("cls_bce_real")),
    batch_size=4,
    total_images=160,
    warmup=Warmup(images=16, batch_size=8),
    ema_halflife=16,
    tag="test",
)


def _write(folder: Path, recipe: Recipe) -> Path:
    path = folder / "tiny.json"
    path.write_text(to_json(recipe))
    return path


def _start(*arguments: str | Path, launcher: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", *launcher, "geotrans.train", *map(str, arguments), "--sample-every", "0"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


def _finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def _weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "published" / "spm_warp_64.test" / "model.safetensors")


def test_a_run_killed_and_resumed_publishes_the_same_bits(tmp_path: Path) -> None:
    recipe = _write(tmp_path, TINY)
    arguments = (recipe, "--device", "cpu", "--threads", "1", "--checkpoint-every", "8")
    whole = _start(*arguments, "--output", tmp_path / "whole")
    killed = _start(*arguments, "--output", tmp_path / "killed")
    while not checkpoints(tmp_path / "killed") and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "published").exists()
    _finish(_start(*arguments, "--output", tmp_path / "killed", "--resume"))
    _finish(whole)
    expected, resumed = _weights(tmp_path / "whole"), _weights(tmp_path / "killed")
    assert all(torch.equal(value, resumed[name]) for name, value in expected.items())


def _processes(output: Path) -> int:
    (results,) = (output / "published").glob("*/results.json")
    return int(json.loads(results.read_text())["training"]["processes"])


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    recipe = _write(tmp_path, replace(TINY, total_images=12, ema_halflife=0))
    # Accelerate's --cpu starts one process only, whatever --num_processes says, unless there is MPI.
    launcher = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")
    launcher += ("--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1", "-m")
    one = _start(recipe, "--device", "cpu", "--output", tmp_path / "one")
    two = _start(recipe, "--device", "cpu", "--output", tmp_path / "two", launcher=launcher)
    _finish(one)
    _finish(two)
    assert [_processes(tmp_path / name) for name in ("one", "two")] == [1, 2]
    one, two = (read_checkpoint(checkpoints(tmp_path / name)[-1]).tensors for name in ("one", "two"))
    generator = create_model("spm_warp_64", **TINY.generator_options)
    compared = 0
    for place, (name, _) in enumerate(generator.named_parameters()):
        # Adam makes a full step of a gradient that is all rounding, and two processes add up in another order.
        learned = one[f"g_optim/{place}.exp_avg_sq"].sqrt() > 1e-6
        weights = (tensors[f"generator/{name}"][learned] for tensors in (two, one))
        torch.testing.assert_close(*weights, atol=2e-5, rtol=1e-3)
        compared += int(learned.sum())
    assert compared > 0.99 * count_parameters(generator)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny", "--set", "batch_size=1.5"], "geotrans.train: no recipe is named 'tiny'; "),
        (["{recipe}", "--set", "batch_size=1.5"], "geotrans.train: batch_size: expected int, got '1.5'\n"),
        (["{recipe}", "--set", "generator=spm_wrap_64"], "geotrans.train: no generator is named 'spm_wrap_64'; did"),
        (["{recipe}", "--device", "cuda:99"], "geotrans.train: --device cuda:99: "),
        (
            ["{recipe}", "--output", "{folder}"],
            "is not empty; add --resume to go on with it, or choose another --output",
        ),
        (["{recipe}", "--output", "{recipe}"], "tiny.json is a file; choose another --output\n"),
        (["nothing.json"], "geotrans.train: "),
        ([], "geotrans.train: which recipe? there are: "),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = _write(tmp_path, TINY)
    with pytest.raises(SystemExit) as exit_:
        main([text.format(recipe=recipe, folder=tmp_path) for text in arguments])
    errors = capsys.readouterr().err
    assert exit_.value.code == 2
    assert message in errors
    assert errors.count("\n") == 1


def test_a_run_that_breaks_before_its_first_step_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOTRANS_VGG19", str(tmp_path / "none.pth"))
    recipe = _write(
        tmp_path, replace(TINY, warmup=Warmup(), g_losses=(LossTerm("perc_vgg19", 1.0, {"feature": "vgg19"}),))
    )
    command = [str(recipe), "--device", "cpu", "--output", str(tmp_path / "run"), "--sample-every", "0"]
    with pytest.raises(SystemExit) as exit_:
        main(command)
    assert exit_.value.code == 2
    assert "none.pth is missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_show_prints_the_recipe_with_its_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(_write(tmp_path, TINY)), "--show", "--set", "g_optim.lr=0.25", "batch_size=8", "--set", "tag=other"])
    shown = from_json(capsys.readouterr().out)
    assert (shown.g_optim.lr, shown.batch_size, shown.tag) == (0.25, 8, "other")


def test_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("spm_refine_64_synthface ") for line in lines)
    width = lines[0].index(lines[0].split(maxsplit=1)[1])
    assert all(line[width - 1] == " " != line[width] for line in lines)
