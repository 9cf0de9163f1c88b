"""Gaussian resampling and linearized multi-sampling against the official code, their formulas and fitted planes."""

import pytest
import torch

from geotrans.ops.flow import from_pixels
from geotrans.ops.resample import resample_gaussian, resample_linearized
from geotrans.ops.samplers import local_attention, move
from geotrans.ops.warp import warp


def noise(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def gaussian_pixel_by_pixel(image, flow_px, size, dilation, sigma):
    batch, _, height, width = image.shape
    out = torch.zeros_like(image)
    for b in range(batch):
        for row in range(height):
            for column in range(width):
                x, y = column + flow_px[b, 0, row, column], row + flow_px[b, 1, row, column]
                total = 0
                steps = [s * dilation for s in range(-(size // 2) + 1, size // 2 + 1)]
                for i in (int(y.floor()) + step for step in steps):
                    for j in (int(x.floor()) + step for step in steps):
                        weight = torch.exp(-((x - j) ** 2 + (y - i) ** 2) / (2 * sigma**2))
                        out[b, :, row, column] += (
                            weight * image[b, :, min(max(i, 0), height - 1), min(max(j, 0), width - 1)]
                        )
                        total += weight
                out[b, :, row, column] /= total
    return out


def test_gaussian_is_the_official_one(golden):
    case = golden("op_gfla_resample2d")
    source, flow = (case.inputs[name].requires_grad_() for name in ("source", "flow_inside"))
    inside = resample_gaussian(source, from_pixels(flow))
    case.close("y_inside", inside)
    case.close("y", resample_gaussian(source, from_pixels(case.inputs["flow"])))
    case.close("y_zero", resample_gaussian(source, from_pixels(case.inputs["flow_zero"])))
    inside.backward(case.inputs["grad_y_inside"])
    case.close("d_source", source.grad)
    case.close("d_flow_inside", flow.grad)


@pytest.mark.parametrize(("size", "dilation", "sigma"), [(2, 1, 1.0), (4, 1, 2.0), (4, 2, 0.7), (6, 1, 3.0)])
def test_gaussian_is_what_the_definition_says(size, dilation, sigma):
    image, flow_px = noise(2, 2, 5, 4), 4 * noise(2, 2, 5, 4)
    expected = gaussian_pixel_by_pixel(image, flow_px, size, dilation, sigma)
    out = resample_gaussian(image, from_pixels(flow_px), size=size, dilation=dilation, sigma=sigma)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("reach", [3.0, 60.0])
@pytest.mark.parametrize(("size", "dilation"), [(2, 1), (4, 1), (4, 2), (6, 1)])
def test_gaussian_gradcheck(size, dilation, reach):
    image, flow = noise(1, 2, 5, 3).requires_grad_(), from_pixels(reach * noise(1, 2, 5, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, f: resample_gaussian(i, f, size=size, dilation=dilation), (image, flow))


@pytest.mark.parametrize("reach", [3.0, 60.0])
def test_linearized_image_gradcheck(reach):
    """By the flow its gradient is no derivative, but the slope of a plane: see below."""
    image, flow = noise(1, 2, 5, 3).requires_grad_(), from_pixels(reach * noise(1, 2, 5, 3))
    assert torch.autograd.gradcheck(lambda i: resample_linearized(i, flow), (image,))


def test_gaussian_keeps_constants_and_blurs():
    flow = from_pixels(5 * noise(2, 2, 6, 9))
    constant = torch.full((2, 3, 6, 9), 0.7, dtype=torch.float64)
    torch.testing.assert_close(resample_gaussian(constant, flow), constant)
    image = noise(2, 3, 6, 9)
    assert resample_gaussian(image, torch.zeros_like(flow)).var() < 0.5 * image.var()


@pytest.mark.parametrize("reach", [1, 2])
def test_linearized_has_the_values_of_a_bilinear_sample(reach):
    image, flow = noise(2, 3, 6, 5), from_pixels(3 * noise(2, 2, 6, 5))
    expected = warp(image, flow, padding="border")
    torch.testing.assert_close(resample_linearized(image, flow, reach=reach), expected)
    torch.testing.assert_close(resample_linearized(image, flow.requires_grad_(), reach=reach), expected)


@pytest.mark.parametrize("reach", [1, 2])
def test_linearized_gradient_is_the_slope_of_a_fitted_plane(reach):
    image, flow_px = noise(1, 2, 7, 6), (3 * noise(1, 2, 7, 6)).requires_grad_()
    upstream = noise(1, 2, 7, 6)
    resample_linearized(image, from_pixels(flow_px), reach=reach).backward(upstream)
    steps = range(-reach, reach + 1)
    offsets = torch.tensor([(dx, dy) for dy in steps for dx in steps], dtype=torch.float64)
    around = torch.stack(
        [warp(image, from_pixels(flow_px.detach() + step.view(1, 2, 1, 1)), padding="border") for step in offsets]
    )
    design = torch.cat([offsets, torch.ones(len(offsets), 1, dtype=torch.float64)], dim=1)
    planes = torch.linalg.lstsq(design, around.flatten(1)).solution[:2].view(2, 1, 2, 7, 6)  # slope, B, C, H, W
    torch.testing.assert_close(flow_px.grad, (planes * upstream).sum(2).transpose(0, 1))


def test_linearized_image_gradient_is_the_bilinear_one():
    image, flow = noise(2, 3, 6, 5).requires_grad_(), from_pixels(3 * noise(2, 2, 6, 5)).requires_grad_()
    upstream = noise(2, 3, 6, 5)
    samples = (resample_linearized(image, flow), warp(image, flow, padding="border"))
    ours, expected = (torch.autograd.grad(out, image, upstream)[0] for out in samples)
    torch.testing.assert_close(ours, expected)


def test_linearized_sees_past_a_flat_neighbourhood():
    """Between two equal pixels a bilinear sample has no gradient; the plane knows of the step beyond them."""
    image = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1], dtype=torch.float64).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    at = from_pixels(torch.tensor([0.5, 0.0], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 8, 8))
    slopes = []
    for sample in (lambda f: warp(image, f, padding="border"), lambda f: resample_linearized(image, f, reach=2)):
        flow = at.clone().requires_grad_()
        sample(flow)[..., 2].sum().backward()
        slopes.append(flow.grad[0, 0, :, 2])
    assert (slopes[0] == 0).all()
    assert (slopes[1] > 0.1).all()


@pytest.mark.parametrize("sample", [resample_gaussian, resample_linearized])
def test_compiles_in_one_piece_with_gradients(sample):
    image, flow = noise(1, 3, 6, 5).requires_grad_(), from_pixels(3 * noise(1, 2, 6, 5)).requires_grad_()
    compiled, plain = torch.compile(sample, backend="aot_eager", fullgraph=True)(image, flow), sample(image, flow)
    torch.testing.assert_close(compiled, plain)
    gradients = (torch.autograd.grad(out.square().sum(), (image, flow)) for out in (compiled, plain))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("options", [{"size": 3}, {"size": 0}, {"dilation": 0}, {"sigma": 0.0}])
def test_gaussian_options_are_checked(options):
    with pytest.raises(ValueError, match="expected an even size, a dilation of at least 1 and a positive sigma"):
        resample_gaussian(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4), **options)


def test_linearized_reach_is_checked():
    with pytest.raises(ValueError, match="reach: expected at least 1 pixel, got 0"):
        resample_linearized(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4), reach=0)


def test_move_applies_a_warp_by_name():
    image, flow = noise(2, 3, 6, 5), from_pixels(noise(2, 2, 6, 5))
    assert torch.equal(move("flow", image, flow), warp(image, flow))
    assert torch.equal(move("gaussian_resample", image, flow), resample_gaussian(image, flow))
    assert torch.equal(move("linearized", image, flow), resample_linearized(image, flow))
    still = torch.cat([flow, torch.full((2, 9, 6, 5), -1e9).double().index_fill(1, torch.tensor(4), 0.0)], dim=1)
    torch.testing.assert_close(move("local_attention", image, still), warp(image, flow, padding="border"))
    with pytest.raises(LookupError, match="no warp is named 'local_atention'; did you mean 'local_attention'"):
        move("local_atention", image, flow)


def test_local_attention_as_a_flow_points_at_the_kernels_centre_of_mass():
    params = torch.zeros(1, 11, 4, 8, dtype=torch.float64)
    params[:, 2 + 5] = 50.0  # the kernel's right neighbour: one pixel along x
    params[:, 1] = 0.25
    flow = torch.tensor([2 / 8, 0.25], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 4, 8)
    torch.testing.assert_close(local_attention(params, 4, 8), flow)
    with pytest.raises(ValueError, match=r"\(B, 2 \+ k \* k, h, w\) with an odd k, got \(1, 6, 4, 8\)"):
        local_attention(torch.zeros(1, 6, 4, 8), 4, 8)
