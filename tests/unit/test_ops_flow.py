"""Flow algebra, against closed forms and the warp itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from geotrans.ops import flow as flows
from geotrans.ops.images import Box, unpad
from geotrans.ops.warp import identity_grid, warp

INNER = (..., slice(4, -4), slice(4, -4))
GOLDEN = Path(__file__).parents[1] / "golden"


def smooth_flow(height: int, width: int, amount: float = 0.06, batch: int = 2) -> Tensor:
    """A flow of a few sine waves that is 0 at the borders; its slope is at most about 6 * amount."""
    x, y = identity_grid(height, width, dtype=torch.float64).unbind(-1)
    window = (1 - x**2) * (1 - y**2)
    waves = [torch.cat([torch.sin(2 * y + k + 1), torch.cos(2 * x - k)]) for k in range(batch)]
    return amount * window * torch.stack(waves)


def smooth_image(height: int, width: int, batch: int = 2) -> Tensor:
    x, y = identity_grid(height, width, dtype=torch.float64).unbind(-1)
    one = torch.cat([torch.sin(3 * x + y), torch.cos(2 * y - x), torch.sin(x * y * 3)])
    return one.expand(batch, -1, -1, -1)


def constant_flow(x: float, y: float, height: int, width: int) -> Tensor:
    """A flow of x, y pixels everywhere."""
    pixels = torch.tensor([x, y], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, height, width)
    return flows.from_pixels(pixels)


def test_pixels_are_half_a_side_to_the_unit() -> None:
    pixels = flows.to_pixels(torch.ones(1, 2, 6, 10))
    assert pixels[0, 0].unique().tolist() == [5.0]
    assert pixels[0, 1].unique().tolist() == [3.0]
    torch.testing.assert_close(flows.from_pixels(pixels), torch.ones(1, 2, 6, 10))


def test_resize_keeps_values_and_grows_pixels() -> None:
    flow = constant_flow(2.0, -1.0, 8, 8)
    for size in [(16, 24), (5, 7), (4, 16)]:
        resized = flows.resize(flow, size)
        torch.testing.assert_close(resized, flow[..., :1, :1].expand(1, 2, *size))
    grown = flows.to_pixels(flows.resize(flow, (16, 24)))
    torch.testing.assert_close(grown[0, :, 0, 0], torch.tensor([6.0, -2.0], dtype=torch.float64))


def test_crop_moves_the_same_pixels() -> None:
    image, flow = smooth_image(20, 24), smooth_flow(20, 24)
    box = Box(4, 6, 12, 12)
    whole = unpad(warp(image, flow), box)
    torch.testing.assert_close(warp(unpad(image, box), flows.crop(flow, box))[..., 2:-2, 2:-2], whole[..., 2:-2, 2:-2])


def test_compose_is_two_warps() -> None:
    image = smooth_image(96, 96)
    first, second = smooth_flow(96, 96), smooth_flow(96, 96, 0.08).flip(0)
    twice = warp(warp(image, first), second)
    once, wrong_order = warp(image, flows.compose(first, second)), warp(image, flows.compose(second, first))
    torch.testing.assert_close(once[INNER], twice[INNER], atol=1.5e-3, rtol=0)
    assert (wrong_order - twice)[INNER].abs().max() > 1e-2


def test_compose_of_shifts_is_exact_at_the_borders_too() -> None:
    composed = flows.compose(constant_flow(3, 0, 16, 16), constant_flow(-5, 2, 16, 16))
    torch.testing.assert_close(composed, constant_flow(-2, 2, 16, 16))


def test_invert_undoes_a_flow() -> None:
    flow = smooth_flow(96, 96)
    inverse = flows.invert(flow)
    assert flows.to_pixels(flows.compose(flow, inverse)).abs().max() < 1e-6
    assert flows.to_pixels(flows.compose(inverse, flow)).abs().max() < 0.02  # the other side, up to interpolation
    image = smooth_image(96, 96)
    torch.testing.assert_close(warp(warp(image, flow), inverse)[INNER], image[INNER], atol=2e-3, rtol=0)


def test_invert_of_a_zoom_has_a_closed_form() -> None:
    grid = identity_grid(33, 33, dtype=torch.float64).permute(0, 3, 1, 2)
    inverse = flows.invert(-0.25 * grid, iterations=40)  # p -> 0.75 p; its inverse p -> p / 0.75
    torch.testing.assert_close(inverse[..., 8:-8, 8:-8], grid[..., 8:-8, 8:-8] / 3)


def test_invert_converges_as_its_contraction_says() -> None:
    grid = identity_grid(33, 33, dtype=torch.float64).permute(0, 3, 1, 2)
    flow, exact = 0.5 * grid, -grid / 3
    errors = [(flows.invert(flow, iterations=n) - exact).abs().max().item() for n in (4, 5, 6)]
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=1e-6)
    assert errors[2] / errors[1] == pytest.approx(0.5, abs=1e-6)


def test_usage_counts_what_the_output_takes() -> None:
    flow = constant_flow(3, 0, 4, 8)
    used = flows.usage(flow)
    assert used.shape == (1, 1, 4, 8)
    assert used[0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    collapse = flows.from_pixels(
        torch.tensor([0.0, -1.0, -2.0, -3.0]).view(1, 1, 1, 4) * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    )
    assert flows.usage(collapse)[0, 0, 0].tolist() == [4, 0, 0, 0]
    assert flows.visibility(collapse)[0, 0, 0].tolist() == [1, 0, 0, 0]


def test_usage_is_the_gradient_of_the_warp() -> None:
    flow = smooth_flow(12, 15, 0.3)
    image = torch.zeros(2, 1, 12, 15, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(warp(image, flow).sum(), image)
    torch.testing.assert_close(flows.usage(flow), gradient)


def test_a_shrunk_source_is_partly_visible() -> None:
    grid = identity_grid(32, 32, dtype=torch.float64).permute(0, 3, 1, 2)
    inner = flows.visibility(grid).sum() / 32**2  # p -> 2 p: 16 x 16 outputs cover the whole source
    assert inner.item() == pytest.approx(0.25)


def test_determinant_of_an_affine_map() -> None:
    grid = identity_grid(10, 14, dtype=torch.float64).permute(0, 3, 1, 2)
    scale = torch.tensor([0.5, -0.3], dtype=torch.float64).view(1, 2, 1, 1)
    determinant = flows.jacobian_determinant(scale * grid)
    assert determinant.shape == (1, 1, 9, 13)
    torch.testing.assert_close(determinant, torch.full_like(determinant, 1.5 * 0.7))
    angle = math.radians(30)
    turned = torch.stack(
        [
            grid[:, 0] * math.cos(angle) - grid[:, 1] * math.sin(angle) * 10 / 14,
            grid[:, 0] * math.sin(angle) * 14 / 10 + grid[:, 1] * math.cos(angle),
        ],
        dim=1,
    )
    torch.testing.assert_close(flows.jacobian_determinant(turned - grid), torch.ones_like(determinant))


def test_mirrors_and_crossings_fold() -> None:
    mirror = -2 * identity_grid(6, 6).permute(0, 3, 1, 2) * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert flows.folds(mirror).all()
    assert not flows.folds(torch.zeros(1, 2, 6, 6)).any()
    assert not flows.folds(smooth_flow(32, 32)).any()
    crossing = torch.zeros(1, 2, 6, 6)
    crossing[0, 0, 2, 3] = -1.5 * 2 / 6  # one pixel steps over its left neighbour
    found = flows.folds(crossing)[0, 0]
    assert found.nonzero().tolist() == [[1, 2], [2, 2]]
    assert flows.jacobian_determinant(crossing)[0, 0, 1, 2] > 0  # the mean of a cell may hide a fold; `folds` may not


def test_endpoint_error_is_in_pixels() -> None:
    error = flows.endpoint_error(constant_flow(3, 0, 8, 16), constant_flow(0, 4, 8, 16))
    assert error.shape == (1, 8, 16)
    torch.testing.assert_close(error, torch.full_like(error, 5.0))
    flow = smooth_flow(4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(flows.endpoint_error(flow, flow.detach()).sum(), flow)
    assert torch.isfinite(gradient).all()
    with pytest.raises(ValueError, match=r"flows of one shape.*resize one"):
        flows.endpoint_error(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 8, 8))


def test_total_variation_of_a_ramp() -> None:
    ramp = torch.arange(5.0).expand(2, 1, 4, 5)
    assert flows.total_variation(ramp).tolist() == [1, 1]
    assert flows.total_variation(2 * ramp, power=2).tolist() == [4, 4]
    assert flows.total_variation(2 * ramp, reduction="sum").tolist() == [32, 32]


def test_total_variation_of_the_official_spm() -> None:
    golden = load_file(GOLDEN / "op_adspm_tv.safetensors")
    motion = golden["in/w"].requires_grad_()
    official = 2 * flows.total_variation(motion, power=2).mean()
    torch.testing.assert_close(official, golden["out/tv"])
    (gradient,) = torch.autograd.grad(official, motion)
    torch.testing.assert_close(gradient, golden["out/d_w"], atol=1e-7, rtol=1e-4)


def test_everything_has_gradients() -> None:
    first = torch.randn(1, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.1
    second = first.flip(3) + 0.03
    inputs = (first.requires_grad_(), second.requires_grad_())
    for function in (
        flows.compose,
        flows.endpoint_error,
        lambda a, b: flows.invert(a, 3) + b,
        lambda a, b: flows.jacobian_determinant(a) + flows.usage(b)[..., 1:, 1:],
        lambda a, b: flows.total_variation(a, power=2) + flows.total_variation(b),
        lambda a, b: flows.resize(a, (3, 8)) + flows.resize(b, (3, 8)),
    ):
        assert torch.autograd.gradcheck(function, inputs)


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(ValueError, match=r"flow: expected shape \(B, 2, H, W\)"):
        flows.to_pixels(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="iterations: expected at least 1, got 0"):
        flows.invert(torch.zeros(1, 2, 4, 4), 0)
