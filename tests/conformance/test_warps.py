"""What holds for every registered warp: a new one is tested by being registered."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from geotrans.ops.samplers import move
from geotrans.ops.warp import warp
from registry import WARPS

Warp = Callable[[Tensor, int, int], Tensor]
pytestmark = pytest.mark.parametrize("name", WARPS.names())


def example(name: str, height: int, width: int, dtype: torch.dtype = torch.float64, scale: float = 0.3) -> Tensor:
    shape = WARPS.get(name).info.params(2, height, width)
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def factory(name: str) -> Warp:
    function: Warp = WARPS.get(name).factory
    return function


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gives_a_flow_of_the_wanted_size(name: str, dtype: torch.dtype) -> None:
    for size in [(5, 6), (11, 8)]:
        flow = factory(name)(example(name, 5, 6, dtype), *size)
        assert flow.shape == (2, 2, *size)
        assert flow.dtype == dtype
        assert torch.isfinite(flow).all()


def test_params_move_pixels(name: str) -> None:
    assert factory(name)(example(name, 5, 6), 5, 6).abs().max() > 1e-3


def test_zero_params_are_the_identity(name: str) -> None:
    params = torch.zeros_like(example(name, 8, 16, torch.float32))
    flow = factory(name)(params, 8, 16)
    assert flow.abs().max() == 0
    image = torch.rand(2, 3, 8, 16)
    assert torch.equal(warp(image, flow), image)


def test_has_the_right_gradient(name: str) -> None:
    params = example(name, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: factory(name)(p, 4, 5), (params,))


def test_zero_params_have_a_gradient(name: str) -> None:
    params = torch.zeros_like(example(name, 6, 6)).requires_grad_()
    target = torch.randn(2, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((factory(name)(params, 6, 6) * target).sum(), params)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    params = example(name, 5, 6)
    torch.testing.assert_close(factory(name)(params[1:], 5, 6), factory(name)(params, 5, 6)[1:])


def test_works_on_the_device_of_its_params(name: str) -> None:
    params = example(name, 5, 6).to("meta")  # refuses to mix with a tensor made on the CPU
    image = torch.zeros(2, 3, 5, 6, device="meta")
    assert warp(image, factory(name)(params, 5, 6)).device.type == "meta"


def test_moves_a_picture_and_can_be_learnt_from(name: str) -> None:
    params = example(name, 5, 6, scale=0.05).requires_grad_()
    image = torch.rand(2, 3, 5, 6, dtype=torch.float64).requires_grad_()
    moved = move(name, image, params)
    assert moved.shape == image.shape
    assert moved.dtype == image.dtype
    gradients = torch.autograd.grad(moved.square().sum(), (image, params))
    assert all(torch.isfinite(gradient).all() and gradient.abs().max() > 0 for gradient in gradients)
    flat = move(name, torch.ones(2, 1, 5, 6, dtype=torch.float64), params)
    torch.testing.assert_close(flat[..., 2, 3], torch.ones(2, 1, dtype=torch.float64))


def test_its_docstring_tells_its_params(name: str) -> None:
    assert "params" in (inspect.getdoc(factory(name)) or "")
