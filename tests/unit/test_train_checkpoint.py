"""Checkpoints: exact, whole or absent, pruned, and never a pickle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from geotrans.train.checkpoint import (
    Checkpoint,
    checkpoints,
    load_optimizer_tensors,
    optimizer_tensors,
    read_checkpoint,
    write_checkpoint,
)
from geotrans.train.recipe import LossTerm, Recipe

RECIPE = Recipe(generator="identity", dataset="synthface", g_losses=(LossTerm("cycle_l1", 2.0),))


def _checkpoint(step: int) -> Checkpoint:
    shared = torch.arange(4.0)
    return Checkpoint(
        step, 1.5, 1, RECIPE, {"generator/a": shared, "generator/b": shared.view(2, 2), "ema/a": shared + 1}
    )


def _descend(layer: nn.Linear, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        layer(torch.full((2, 3), 0.1 * step)).square().sum().backward()
        optimizer.step()


def test_round_trip(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, _checkpoint(7))
    back = read_checkpoint(path)
    assert (path.name, back.step, back.seconds, back.world, back.recipe) == ("checkpoint-00000007", 7, 1.5, 1, RECIPE)
    assert torch.equal(back.part("generator")["b"], torch.arange(4.0).view(2, 2))
    assert set(back.part("ema")) == {"a"}
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 100_000_000, 15):
        write_checkpoint(tmp_path, _checkpoint(step))
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-00000015", "checkpoint-100000000"]


def test_half_written_ones_do_not_count_and_are_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-00000009.tmp").mkdir()
    (tmp_path / ".checkpoint-00000009.tmp" / "tensors.safetensors").write_bytes(b"half")
    assert checkpoints(tmp_path) == []
    write_checkpoint(tmp_path, _checkpoint(9))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000009"]


def test_a_damaged_one_says_what_to_do(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, _checkpoint(3))
    (path / "tensors.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(ValueError, match=r"checkpoint-00000003 is no readable checkpoint .*remove it"):
        read_checkpoint(path)


@pytest.mark.parametrize("fused", [False, True])
def test_an_optimiser_goes_on_to_the_bit(tmp_path: Path, fused: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=fused)
    _descend(layer, optimizer, 3)
    tensors = {f"optim/{key}": value for key, value in optimizer_tensors(optimizer).items()}
    tensors |= {f"layer/{key}": value for key, value in layer.state_dict().items()}
    saved = read_checkpoint(write_checkpoint(tmp_path, Checkpoint(3, 0.0, 1, RECIPE, tensors)))
    _descend(layer, optimizer, 4)

    other = nn.Linear(3, 2)
    resumed = torch.optim.Adam(other.parameters(), lr=0.1, fused=fused)
    other.load_state_dict(saved.part("layer"))
    load_optimizer_tensors(resumed, saved.part("optim"))
    _descend(other, resumed, 4)
    assert torch.equal(other.weight, layer.weight)
    assert torch.equal(other.bias, layer.bias)
