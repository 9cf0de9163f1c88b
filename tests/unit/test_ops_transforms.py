"""What each registered warp means, against closed forms and scipy's splines. What all share is in conformance."""

from __future__ import annotations

import math

import pytest
import scipy.interpolate
import torch
from torch import Tensor

from geotrans.ops.flow import from_pixels, to_pixels
from geotrans.ops.transforms import affine, flow, grid_displacement, grid_integral, tps
from geotrans.ops.warp import identity_grid, warp


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def affine_params(matrix: list[list[float]]) -> Tensor:
    """What to add to the identity, for a batch of one."""
    return torch.tensor([matrix], dtype=torch.float64) - torch.eye(2, 3, dtype=torch.float64)


def test_flow_is_resized() -> None:
    params = noise(2, 2, 6, 7)
    assert torch.equal(flow(params, 6, 7), params)
    assert flow(params, 12, 10).shape == (2, 2, 12, 10)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_affine_turns_like_rot90(quarters: int) -> None:
    image = noise(1, 3, 8, 8)
    cos, sin = round(math.cos(quarters * math.pi / 2)), round(math.sin(quarters * math.pi / 2))
    turned = warp(image, affine(affine_params([[cos, -sin, 0], [sin, cos, 0]]), 8, 8))
    torch.testing.assert_close(turned, torch.rot90(image, quarters, (2, 3)))


def test_affine_mirrors_and_shifts() -> None:
    image = noise(1, 3, 4, 8)
    mirrored = warp(image, affine(affine_params([[-1, 0, 0], [0, 1, 0]]), 4, 8))
    torch.testing.assert_close(mirrored, image.flip(3))
    shifted = affine(affine_params([[1, 0, 2 * 2 / 8], [0, 1, 0]]).reshape(1, 6), 4, 8)
    torch.testing.assert_close(warp(image, shifted)[..., :-2], image[..., 2:])
    assert affine(torch.zeros(3, 6), 5, 7).shape == (3, 2, 5, 7)


def test_tps_agrees_with_scipy() -> None:
    params = 0.2 * noise(2, 16, 2)
    ticks = torch.linspace(-1, 1, 4, dtype=torch.float64)
    controls = torch.stack([ticks.repeat(4), ticks.repeat_interleave(4)], dim=1)
    pixels = identity_grid(9, 11, dtype=torch.float64).view(-1, 2)
    for sample in range(2):
        spline = scipy.interpolate.RBFInterpolator(controls, params[sample], kernel="thin_plate_spline", degree=1)
        expected = torch.from_numpy(spline(pixels)).view(9, 11, 2).permute(2, 0, 1)
        torch.testing.assert_close(tps(params, 9, 11)[sample], expected)


def test_tps_meets_its_control_points() -> None:
    params = 0.2 * noise(1, 25, 2)
    grid = params.view(5, 5, 2).permute(2, 0, 1)
    # of the control points -1, -0.5, 0, 0.5, 1, a side of 10 has pixel centres at -0.5 and 0.5 (2 and 7), one of 9 at 0
    torch.testing.assert_close(
        tps(params, 10, 10)[0][:, [2, 2, 7, 7], [2, 7, 2, 7]], grid[:, [1, 1, 3, 3], [1, 3, 1, 3]]
    )
    torch.testing.assert_close(tps(params, 9, 9)[0, :, 4, 4], grid[:, 2, 2])
    torch.testing.assert_close(tps(params.float(), 9, 9)[0, :, 4, 4], grid[:, 2, 2].float())


def test_tps_of_an_affine_map_is_affine() -> None:
    ticks = torch.linspace(-1, 1, 3, dtype=torch.float64)
    controls = torch.stack([ticks.repeat(3), ticks.repeat_interleave(3)], dim=1)
    params = noise(1, 2, 3)
    displaced = controls @ params[0, :, :2].T + params[0, :, 2]
    torch.testing.assert_close(tps(displaced[None], 7, 8), affine(params, 7, 8))


def test_grid_integral_of_a_constant_is_a_zoom_from_the_corner() -> None:
    step = 0.5
    params = torch.logit(torch.tensor(step / 2.5)) - torch.logit(torch.tensor(1 / 2.5))
    moved = to_pixels(grid_integral(params.expand(1, 2, 8, 8).double(), 8, 8))
    expected = torch.arange(8, dtype=torch.float64) * (step - 1)
    torch.testing.assert_close(moved[0, 0], expected.expand(8, 8), atol=1e-6, rtol=0)
    torch.testing.assert_close(moved[0, 1], expected[:, None].expand(8, 8), atol=1e-6, rtol=0)


def test_grid_integral_stays_on_the_image_and_learns_from_zero() -> None:
    ends = to_pixels(grid_integral(torch.full((1, 2, 8, 8), 9.0), 8, 8))[0, 0, 0] + torch.arange(8)
    torch.testing.assert_close(ends, torch.tensor([0.0, 2.5, 5.0, 7.0, 7.0, 7.0, 7.0, 7.0]), atol=0.01, rtol=0)
    params = torch.zeros(1, 2, 8, 8, requires_grad=True)
    moved = grid_integral(params, 8, 8)
    assert moved.abs().max() == 0
    (gradient,) = torch.autograd.grad(moved.sum(), params)
    assert (gradient[0, 0, :, :-1] > 0).all()


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_grid_integral_survives_saturated_heads(value: float) -> None:
    params = torch.full((1, 2, 6, 6), value, requires_grad=True)
    moved = grid_integral(params, 6, 6)
    moved.sum().backward()
    assert params.grad is not None
    assert torch.isfinite(moved).all()
    assert torch.isfinite(params.grad).all()


def test_grid_displacement_is_limited_in_pixels() -> None:
    moved = to_pixels(grid_displacement(torch.tensor([50.0, -50.0]).view(1, 2, 1, 1).expand(1, 2, 128, 128), 128, 128))
    torch.testing.assert_close(moved[0, :, 5, 7], torch.tensor([5.0, -5.0]))
    small = from_pixels(torch.full((1, 2, 4, 4), 1e-3))
    torch.testing.assert_close(grid_displacement(small, 4, 4, limit=0.5), small)


def test_wrong_params_are_named() -> None:
    with pytest.raises(ValueError, match=r"affine params: expected shape \(B, 6\) or \(B, 2, 3\), got \(1, 5\)"):
        affine(torch.zeros(1, 5), 4, 4)
    with pytest.raises(ValueError, match=r"tps params: expected shape \(B, k \* k, 2\) with k >= 2, got \(1, 5, 2\)"):
        tps(torch.zeros(1, 5, 2), 4, 4)
    with pytest.raises(ValueError, match="grid_displacement params: expected shape"):
        grid_displacement(torch.zeros(1, 3, 4, 4), 4, 4)
