"""Convolutions that go on with the edge pixels, against padding and convolving."""

import pytest
import torch
import torch.nn.functional as F

from geotrans.ops.convolution import edge_convolution

LAST = torch.channels_last


def noise(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


def padded(image, weight, bias, before, after):
    return F.conv2d(F.pad(image, (before, after, before, after), mode="replicate"), weight, bias)


@pytest.mark.parametrize(
    ("size", "before", "after"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (3, 2, 2), (5, 4, 4), (4, 0, 3)]
)
@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (1, 3, 1, 1), (2, 3, 1, 4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_is_padding_and_convolving(size, before, after, shape, layout):
    image = noise(*shape).contiguous(memory_format=layout).requires_grad_()
    weight, bias = noise(4, 6, size, size).chunk(2, dim=1)[1].requires_grad_(), noise(4).requires_grad_()
    if min(shape[2:]) + before + after < size:
        pytest.skip("nothing to convolve")
    ours, expected = (f(image, weight, bias, before, after) for f in (edge_convolution, padded))
    torch.testing.assert_close(ours, expected)
    gradients = (torch.autograd.grad(out.square().sum(), (image, weight, bias)) for out in (ours, expected))
    for mine, right in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, right)


def test_gradients_that_nobody_wants_are_left_out():
    image, weight = noise(1, 3, 4, 4), noise(2, 3, 3, 3)
    for wanted in (image, weight):
        wanted.requires_grad_()
        edge_convolution(image, weight, None, 1, 1).sum().backward()
        assert wanted.grad is not None
        wanted.requires_grad_(False)
    assert not edge_convolution(image, weight, None, 1, 1).requires_grad


def test_keeps_the_image_and_not_the_grown_one():
    image, weight = noise(1, 3, 4, 4).requires_grad_(), noise(2, 3, 3, 3)
    out = edge_convolution(image, weight, None, 2, 2)
    assert out.is_contiguous(memory_format=LAST)
    assert [kept.data_ptr() for kept in out.grad_fn.saved_tensors] == [image.data_ptr(), weight.data_ptr()]


def test_autocast_chooses_the_type_as_for_any_convolution():
    image, weight, bias = (noise(*shape, dtype=torch.float32) for shape in ((2, 3, 5, 4), (4, 3, 3, 3), (4,)))
    leaves = [x.requires_grad_() for x in (image, weight, bias)]
    with torch.autocast("cpu", torch.bfloat16):
        ours, expected = (f(image, weight, bias, 1, 1) for f in (edge_convolution, padded))
    assert ours.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(ours, expected)
    gradients = (torch.autograd.grad(out.float().square().sum(), leaves) for out in (ours, expected))
    for mine, right in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, right, atol=0.05, rtol=0.02)


def test_second_derivatives_are_refused():
    image, weight = noise(1, 3, 4, 4).requires_grad_(), noise(2, 3, 3, 3)
    out = edge_convolution(image, weight, None, 1, 1)
    (gradient,) = torch.autograd.grad(out.square().sum(), image, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
