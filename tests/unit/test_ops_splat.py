"""Forward splatting, against a loop and against the warp, whose adjoint it is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geotrans.ops.flow import from_pixels, invert, to_pixels
from geotrans.ops.splat import normalise, splat
from geotrans.ops.transforms import forward_splat
from geotrans.ops.warp import identity_grid, warp


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def splat_by_hand(image: Tensor, flow: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """One pixel at a time."""
    batch, _, height, width = image.shape
    out, coverage = torch.zeros_like(image), torch.zeros(batch, 1, height, width, dtype=image.dtype)
    for b in range(batch):
        for row in range(height):
            for column in range(width):
                x = column + flow[b, 0, row, column].item() * width / 2
                y = row + flow[b, 1, row, column].item() * height / 2
                for i in (math.floor(y), math.floor(y) + 1):
                    for j in (math.floor(x), math.floor(x) + 1):
                        if 0 <= i < height and 0 <= j < width:
                            share = (1 - abs(x - j)) * (1 - abs(y - i)) * weights[b, 0, row, column]
                            out[b, :, i, j] += share * image[b, :, row, column]
                            coverage[b, 0, i, j] += share
    return out, coverage


def test_agrees_with_a_loop() -> None:
    image, flow, weights = noise(2, 3, 5, 6), 0.5 * noise(2, 2, 5, 6, seed=1), noise(2, 1, 5, 6, seed=2).exp()
    for mine, byhand in zip(splat(image, flow, weights), splat_by_hand(image, flow, weights), strict=True):
        torch.testing.assert_close(mine, byhand)


def test_zero_flow_returns_the_image_covered_once() -> None:
    image = noise(2, 3, 7, 9).float()
    splatted, coverage = splat(image, torch.zeros(2, 2, 7, 9))
    assert torch.equal(splatted, image)
    assert torch.equal(coverage, torch.ones(2, 1, 7, 9))


def test_is_the_adjoint_of_the_warp() -> None:
    image, other, flow = noise(2, 3, 6, 8), noise(2, 3, 6, 8, seed=1), 0.4 * noise(2, 2, 6, 8, seed=2)
    torch.testing.assert_close((warp(image, flow) * other).sum(), (image * splat(other, flow)[0]).sum())


def test_weights_choose_between_layers() -> None:
    image = torch.tensor([[[[1.0, 5.0]]]])
    flow = from_pixels(torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]]))  # both land on column 1
    assert normalise(*splat(image, flow))[0, 0, 0].tolist() == [0, 3]
    near = torch.tensor([[[[3.0, 1.0]]]])
    assert normalise(*splat(image, flow, near))[0, 0, 0].tolist() == [0, 2]


@pytest.mark.parametrize(("batch", "reach"), [(2, 0.3), (1, 20.0)])
def test_gradcheck(batch: int, reach: float) -> None:
    inputs = (noise(batch, 2, 3, 5), reach * noise(batch, 2, 3, 5, seed=1), noise(batch, 1, 3, 5, seed=2).exp())
    assert torch.autograd.gradcheck(splat, tuple(value.requires_grad_() for value in inputs))


def test_far_outside_is_lost() -> None:
    for far in (100.0, 1e30):
        splatted, coverage = splat(noise(1, 2, 3, 5).float(), torch.full((1, 2, 3, 5), far))
        assert splatted.abs().max() == coverage.max() == 0


def test_compiles_in_one_piece_with_gradients() -> None:
    inputs = tuple(
        value.requires_grad_()
        for value in (noise(1, 2, 3, 5), 0.3 * noise(1, 2, 3, 5, seed=1), noise(1, 1, 3, 5, seed=2).exp())
    )
    compiled = torch.compile(splat, backend="aot_eager", fullgraph=True)(*inputs)
    outs = [torch.cat(made, dim=1) for made in (compiled, splat(*inputs))]
    torch.testing.assert_close(*outs)
    gradients = (torch.autograd.grad(out.square().sum(), inputs) for out in outs)
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)


def test_lowering_a_shift_is_exact() -> None:
    shift = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 8, 16)
    backward = to_pixels(forward_splat(from_pixels(shift), 8, 16))
    torch.testing.assert_close(backward[..., :-2, 3:], -shift[..., :-2, 3:])
    assert backward[..., :3].abs().max() == 0  # nothing landed there


def test_lowering_a_smooth_flow_is_nearly_its_inverse() -> None:
    x, y = identity_grid(64, 64, dtype=torch.float64).unbind(-1)
    forward = 0.05 * torch.stack([torch.sin(2 * y), torch.cos(2 * x)], dim=1) * ((1 - x**2) * (1 - y**2))[:, None]
    inverse = invert(forward)
    error = to_pixels(forward_splat(forward, 64, 64) - inverse)[..., 2:-2, 2:-2].abs().max()
    assert error < 0.05 * to_pixels(inverse).abs().max()


def test_low_precision_lands_on_the_right_pixels() -> None:
    image = torch.rand(1, 1, 4, 512, generator=torch.Generator().manual_seed(0)).bfloat16()
    splatted, coverage = splat(image, torch.zeros(1, 2, 4, 512, dtype=torch.bfloat16))
    assert splatted.dtype == coverage.dtype == torch.bfloat16
    assert torch.equal(splatted, image)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="a forward flow stands at the image's own pixels"):
        splat(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"weights: expected shape \(1, 1, 4, 4\), got \(1, 3, 4, 4\)"):
        splat(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4))
