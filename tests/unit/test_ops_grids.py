"""Integral grids, against the official code of Deforming Autoencoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from geotrans.ops.flow import folds, total_variation
from geotrans.ops.grids import base_grid, bias_reduce, grid_residual, grid_to_flow, integral, integral_grid
from geotrans.ops.transforms import grid_integral
from geotrans.ops.warp import from_corner_units, warp

GOLDEN = Path(__file__).parents[1] / "golden" / "op_dae_integral_grid.safetensors"


class Golden(NamedTuple):
    tensors: dict[str, Tensor]
    deviation: dict[str, float]

    def check(self, name: str, value: Tensor) -> None:
        tolerance = max(1e-5, 20 * self.deviation[name])
        torch.testing.assert_close(value, self.tensors[f"out/{name}"], atol=tolerance, rtol=1e-4)


@pytest.fixture
def golden() -> Golden:
    with safe_open(GOLDEN, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}
        return Golden(tensors, json.loads(file.metadata()["f64_diff_by_tensor"]))


def test_official_grid_and_pixels(golden: Golden) -> None:
    increments = golden.tensors["in/increments"]
    grid = integral_grid(increments)
    golden.check("integral", integral(increments))
    golden.check("grid", grid)
    golden.check("residual", grid_residual(grid))
    golden.check("warped", warp(golden.tensors["in/image"], grid_to_flow(grid)))
    torch.testing.assert_close(base_grid(16, 16).expand(3, -1, -1, -1), golden.tensors["in/base_grid"])


def test_official_regularisers(golden: Golden) -> None:
    residual = grid_residual(integral_grid(golden.tensors["in/increments"]))
    variation = 1e-6 * total_variation(residual, reduction="sum").sum()
    torch.testing.assert_close(variation, golden.tensors["out/tv"], atol=1e-8, rtol=1e-4)
    torch.testing.assert_close(1e-2 * bias_reduce(residual), golden.tensors["out/bias_reduce"], atol=1e-8, rtol=1e-4)


def test_official_gradient(golden: Golden) -> None:
    increments = golden.tensors["in/increments"].requires_grad_()
    (gradient,) = torch.autograd.grad(integral(increments), increments, golden.tensors["in/grad_integral"])
    golden.check("d_increments", gradient)


def test_base_grid_is_between_the_corner_pixels() -> None:
    grid = base_grid(3, 5)
    assert grid[0, 0, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert grid[0, 1, :, 0].tolist() == [-1, 0, 1]
    assert grid_to_flow(grid).abs().max() == 0


def test_the_head_of_defgan_is_the_registered_warp() -> None:
    """Increments 5/N * sigmoid(o + b), summed from -1 with the pixel itself left out, clamped: DefGAN's grid."""
    size = 12
    head = torch.randn(2, 2, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bias = torch.logit(torch.tensor(0.4 * size / (size - 1), dtype=torch.float64))
    increments = 5 / size * torch.sigmoid(head + bias)
    grid = (integral(increments) - increments - 1).clamp(-1, 1)
    official = from_corner_units(grid - base_grid(size, size, dtype=torch.float64))
    assert (grid == 1).any()
    torch.testing.assert_close(grid_integral(head, size, size, max_step=2.5 * (size - 1) / size), official)


def test_the_integral_never_folds() -> None:
    head = 3 * torch.randn(4, 2, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moved = grid_integral(head, 16, 16)
    steps = torch.diff(moved[:, 0] * 8, dim=2) + 1
    assert steps.min() >= -1e-12
    assert steps.max() <= 2.5 + 1e-12
    gentle = grid_integral(0.1 * head.sign().mean((2, 3), keepdim=True).expand_as(head) - 0.1, 16, 16)
    assert not folds(gentle).any()


def test_max_step_is_checked() -> None:
    with pytest.raises(ValueError, match="expected more than 1, the step of the identity, got 1"):
        grid_integral(torch.zeros(1, 2, 4, 4), 4, 4, max_step=1.0)
