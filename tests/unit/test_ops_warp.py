"""The sampling of images along flows, against scipy, exact crops and the official code of SPM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy.ndimage
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from geotrans.ops.warp import Padding, from_corner_units, identity_grid, warp

ROOT = Path(__file__).parents[2]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_identity_grid_is_at_pixel_centres() -> None:
    grid = identity_grid(2, 4, dtype=torch.float64)
    assert grid.shape == (1, 2, 4, 2)
    assert grid[0, 0, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert grid[0, :, 0, 1].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("size", [(64, 128), (7, 10), (1, 1), (178, 218)])
def test_zero_flow_is_the_identity(size: tuple[int, int], padding: Padding) -> None:
    image = noise(2, 3, *size, dtype=torch.float32).clamp(-1, 1)
    tolerance = 0 if size == (64, 128) else 1e-4
    torch.testing.assert_close(warp(image, torch.zeros(2, 2, *size), padding=padding), image, atol=tolerance, rtol=0)
    exact = warp(image.double(), torch.zeros(2, 2, *size, dtype=torch.float64), padding=padding)
    torch.testing.assert_close(exact, image.double(), atol=1e-12, rtol=0)


def test_whole_pixels_give_an_exact_crop() -> None:
    image = noise(1, 3, 8, 16, dtype=torch.float32)
    flow = torch.zeros(1, 2, 8, 16)
    flow[:, 0], flow[:, 1] = 3 * 2 / 16, -2 * 2 / 8  # look 3 columns to the right and 2 rows up
    expected = torch.zeros_like(image)
    expected[:, :, 2:, :-3] = image[:, :, :-2, 3:]
    assert torch.equal(warp(image, flow), expected)


@pytest.mark.parametrize(("padding", "mode"), [("zeros", "grid-constant"), ("border", "nearest")])
def test_agrees_with_scipy(padding: Padding, mode: str) -> None:
    image, flow = noise(2, 3, 9, 12), 0.6 * noise(2, 2, 9, 12, seed=1)
    rows, columns = np.mgrid[:9, :12].astype(float)
    out = warp(image, flow, padding=padding)
    for sample in range(2):
        where = [rows + flow[sample, 1].numpy() * 4.5, columns + flow[sample, 0].numpy() * 6]
        for channel in range(3):
            expected = scipy.ndimage.map_coordinates(image[sample, channel].numpy(), where, order=1, mode=mode)
            np.testing.assert_allclose(out[sample, channel].numpy(), expected, atol=1e-12)


def test_the_output_has_the_size_of_the_flow() -> None:
    image = noise(1, 3, 6, 9)
    out = warp(image, torch.zeros(1, 2, 15, 20, dtype=torch.float64), padding="border")
    torch.testing.assert_close(out, F.interpolate(image, (15, 20), mode="bilinear", align_corners=False))


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_gradcheck(padding: Padding) -> None:
    image, flow = noise(2, 2, 5, 6).requires_grad_(), (0.3 * noise(2, 2, 4, 7, seed=2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, f: warp(i, f, padding=padding), (image, flow))


def test_coordinates_stay_exact_in_half_precision() -> None:
    image = noise(1, 3, 256, 256, dtype=torch.float32).bfloat16()
    out = warp(image, torch.zeros(1, 2, 256, 256, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, image)


def test_corner_units_are_pixels_over_w_minus_1() -> None:
    flow = from_corner_units(torch.ones(1, 2, 3, 5))
    torch.testing.assert_close(flow[0, :, 0, 0], torch.tensor([4 / 5, 2 / 3]))
    torch.testing.assert_close(flow[0, :, 0, 0] * torch.tensor([5 / 2, 3 / 2]), torch.tensor([2.0, 1.0]))


class Golden(NamedTuple):
    """The warp of SPM's authors, with its gradients: zeros outside, motions as fractions of the image."""

    tensors: dict[str, Tensor]
    deviation: dict[str, float]
    fraction: float

    def check(self, name: str, value: Tensor) -> None:
        tolerance = max(1e-5, 20 * self.deviation[name])
        torch.testing.assert_close(value, self.tensors[f"out/{name}"], atol=tolerance, rtol=1e-4)


@pytest.fixture
def golden() -> Golden:
    with safe_open(ROOT / "tests/golden/op_adspm_warp.safetensors", "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    return Golden(tensors, json.loads(metadata["f64_diff_by_tensor"]), json.loads(metadata["args"])["lambda_w"])


def test_pixels_of_the_official_spm(golden: Golden) -> None:
    image, motion = golden.tensors["in/image"], golden.tensors["in/w"]
    golden.check("warped", warp(image, from_corner_units(2 * golden.fraction * motion)))
    golden.check("warped_c1", warp(image, from_corner_units(2 * motion)))


def test_gradients_of_the_official_spm(golden: Golden) -> None:
    image, motion = (golden.tensors[name].requires_grad_() for name in ("in/image", "in/w_grad"))
    out = warp(image, from_corner_units(2 * golden.fraction * motion))
    golden.check("warped_grad", out)
    d_image, d_motion = torch.autograd.grad(out, (image, motion), golden.tensors["in/grad_warped_grad"])
    golden.check("d_image", d_image)
    golden.check("d_w_grad", d_motion)


def test_exports_with_free_height_and_width() -> None:
    class Net(torch.nn.Module):
        def forward(self, image: Tensor, flow: Tensor) -> Tensor:
            return warp(image, from_corner_units(flow))

    height, width = torch.export.Dim("height", min=2, max=64), torch.export.Dim("width", min=2, max=64)
    free = {2: height, 3: width}
    program = torch.export.export(
        Net(), (torch.rand(1, 3, 8, 12), torch.rand(1, 2, 8, 12)), dynamic_shapes={"image": free, "flow": free}
    )
    image, flow = torch.rand(1, 3, 20, 14), torch.rand(1, 2, 20, 14) - 0.5
    torch.testing.assert_close(program.module()(image, flow), Net()(image, flow))


@pytest.mark.parametrize(
    ("image", "flow", "error", "message"),
    [
        ((1, 3, 4, 4), (1, 4, 4, 2), ValueError, r"flow: expected shape \(B, 2, H, W\), got \(1, 4, 4, 2\)"),
        ((3, 4, 4), (1, 2, 4, 4), ValueError, r"image: expected shape \(B, C, h, w\), got \(3, 4, 4\)"),
        ((1, 3, 4, 4), (2, 2, 4, 4), ValueError, "2 flows for 1 images"),
    ],
)
def test_wrong_shapes_are_named(
    image: tuple[int, ...], flow: tuple[int, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        warp(torch.zeros(image), torch.zeros(flow))


def test_wrong_types_and_paddings_are_named() -> None:
    image, flow = torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4)
    with pytest.raises(TypeError, match=r"image: expected a floating type, got torch\.uint8"):
        warp(image.to(torch.uint8), flow)
    with pytest.raises(TypeError, match=r"flow: expected a floating type, got torch\.int64"):
        warp(image, flow.long())
    with pytest.raises(ValueError, match="expected 'zeros' or 'border', got 'reflection'"):
        warp(image, flow, padding="reflection")  # type: ignore[arg-type]


def test_the_library_samples_in_one_place() -> None:
    calls = [path.name for path in (ROOT / "geotrans").rglob("*.py") if "grid_sample(" in path.read_text()]
    assert calls == ["warp.py"]
