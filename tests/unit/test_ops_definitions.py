"""GFLA's operations against their definitions in pixels of the source: other sizes than the recorded cases have.

The definitions here share nothing with the library: patches are made, kernels laid out and places counted as the
official code does it. Its flows are in pixels of the source, from whole pixels on that are numbered as the flow's.
"""

import pytest
import torch
import torch.nn.functional as F

from geotrans.layers.attention import LocalAttention
from geotrans.ops.attention import content_sample, extract_blocks
from geotrans.ops.flow import from_pixels
from geotrans.ops.gather import bilinear, positions
from geotrans.ops.resample import resample_gaussian
from geotrans.ops.warp import warp

SIZES = range(2, 8)
# Channels, source, flow, reach of the flow in pixels, batch.
SHAPES = {
    "odd sides": (3, (7, 5), (7, 5), 3, 2),
    "many channels": (70, (6, 5), (6, 5), 3, 2),
    "far outside": (3, (9, 4), (9, 4), 60, 1),
    "a smaller flow": (3, (6, 9), (4, 5), 3, 2),
    "a larger flow": (2, (5, 5), (8, 3), 20, 1),
    "one pixel": (2, (1, 1), (1, 1), 5, 1),
}


def noise(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def pixel(source, rows, columns):
    """The source at whole places (B, H, W), those outside at the nearest edge."""
    height, width = source.shape[2:]
    at = rows.long().clamp(0, height - 1) * width + columns.long().clamp(0, width - 1)
    return (
        source.flatten(2).gather(2, at.flatten(1)[:, None].expand(-1, source.shape[1], -1)).unflatten(2, at.shape[1:])
    )


def lattice(height, width):
    return torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")


def official_blocks(source, flow, size):
    """The patches of size x size samples, the flow in pixels of the source: (B, C, size * H, size * W)."""
    rows, columns = lattice(size * flow.shape[2], size * flow.shape[3])
    cell = rows // size, columns // size
    y = cell[0] + flow[:, 1, *cell] + rows % size - size // 2
    x = cell[1] + flow[:, 0, *cell] + columns % size - size // 2
    top, left = y.floor(), x.floor()
    below, right = (y - top)[:, None], (x - left)[:, None]
    upper = (1 - right) * pixel(source, top, left) + right * pixel(source, top, left + 1)
    lower = (1 - right) * pixel(source, top + 1, left) + right * pixel(source, top + 1, left + 1)
    return (1 - below) * upper + below * lower


def official_attention(layer, source, target, flow):
    size = layer.patch.kernel_size[0]
    of_source, of_target = (official_blocks(x, w, size) for x, w in ((source, flow), (target, torch.zeros_like(flow))))
    hidden = layer.patch(torch.cat([of_target, of_source], dim=1))
    kernels = layer.kernel(F.leaky_relu(hidden, 0.1)).softmax(1)
    rows, columns = lattice(*of_source.shape[2:])
    laid_out = kernels[:, rows % size * size + columns % size, rows // size, columns // size][:, None]
    return F.avg_pool2d(laid_out * of_source, size), kernels


def official_resample(image, flow, size, dilation, sigma):
    rows, columns = lattice(*image.shape[2:])
    y, x = rows + flow[:, 1], columns + flow[:, 0]
    top, left = y.floor(), x.floor()

    def taps(fraction):
        """Steps from the whole pixel, and how far they are from the place."""
        for j in range(size // 2):
            yield -j * dilation, j * dilation + fraction
            yield (j + 1) * dilation, (j + 1) * dilation - fraction

    total, weights = torch.zeros_like(image), torch.zeros_like(y)
    for down, far_down in taps(y - top):
        for across, far_across in taps(x - left):
            weight = torch.exp(-far_across.square() / (2 * sigma**2)) * torch.exp(-far_down.square() / (2 * sigma**2))
            total = total + weight[:, None] * pixel(image, top + down, left + across)
            weights = weights + weight
    return total / weights[:, None]


def library_flow(pixels, source):
    """The flow that leads from the places of its own size's pixels to where an official one leads in the source."""
    height, width = source.shape[2:]
    x, y = positions(torch.zeros_like(pixels), source)  # where the library starts from
    rows, columns = lattice(*pixels.shape[2:])
    shift = torch.stack([columns + pixels[:, 0] - x, rows + pixels[:, 1] - y], dim=1)
    return shift * torch.tensor([2 / width, 2 / height], dtype=pixels.dtype).view(2, 1, 1)


def example(name):
    channels, of_source, of_flow, reach, batch = SHAPES[name]
    return noise(batch, channels, *of_source), reach * noise(batch, 2, *of_flow), noise(batch, channels, *of_flow)


def same(ours, expected, leaves):
    """Values, and gradients of a random sum of them."""
    torch.testing.assert_close(ours, expected)
    upstream = noise(*expected.shape)
    for got, wanted in zip(*(torch.autograd.grad(y, leaves, upstream) for y in (ours, expected)), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SHAPES)
def test_blocks(name, size):
    source, pixels, _ = (value.requires_grad_() for value in example(name))
    blocks = extract_blocks(source, library_flow(pixels, source), size)
    same(blocks, official_blocks(source, pixels, size), (source, pixels))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SHAPES)
def test_local_attention(name, size):
    source, pixels, target = (value.requires_grad_() for value in example(name))
    layer = LocalAttention(source.shape[1], size, hidden=16).double()
    attended, kernels = layer(source, target, library_flow(pixels, source))
    expected, weights = official_attention(layer, source, target, pixels)
    torch.testing.assert_close(kernels, weights)
    same(attended, expected, (source, pixels, target, *layer.parameters()))


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
@pytest.mark.parametrize(("size", "dilation"), [(2, 1), (2, 3), (4, 1), (4, 2), (6, 1), (8, 2)])
@pytest.mark.parametrize("name", ["odd sides", "far outside", "one pixel"])
def test_gaussian_resampling(name, size, dilation, sigma):
    image, pixels, _ = (value.requires_grad_() for value in example(name))
    ours = resample_gaussian(image, from_pixels(pixels), size=size, dilation=dilation, sigma=sigma)
    same(ours, official_resample(image, pixels, size, dilation, sigma), (image, pixels))


@pytest.mark.parametrize("name", SHAPES)
def test_bilinear(name):
    """A patch of one sample; beyond the edges `bilinear` and `warp` with a border go on alike."""
    image, pixels, _ = (value.requires_grad_() for value in example(name))
    for sample in (lambda i, f: warp(i, f, padding="border"), lambda i, f: bilinear(i, *positions(f, i))):
        ours = sample(image, library_flow(pixels, image))
        same(ours, official_blocks(image, pixels, 1), (image, pixels))


@pytest.mark.parametrize("name", ["odd sides", "far outside", "a smaller flow", "one pixel"])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_gradcheck_of_bilinear_samples(name, padding):
    image, pixels, _ = (value.requires_grad_() for value in example(name))
    assert torch.autograd.gradcheck(
        lambda i, f: warp(i, library_flow(f, i), padding=padding), (image, pixels), fast_mode=True
    )
    assert torch.autograd.gradcheck(lambda i, f: bilinear(i, *positions(library_flow(f, i), i)), (image, pixels))


@pytest.mark.parametrize("size", SIZES)
def test_a_constant_becomes_its_share_at_any_size(size):
    _, pixels, target = example("a smaller flow")
    layer = LocalAttention(3, size, hidden=8).double()
    attended, kernels = layer(torch.full((2, 3, 6, 9), 2.0, dtype=torch.float64), target, from_pixels(pixels))
    torch.testing.assert_close(attended, torch.full_like(attended, 2 / size**2))
    torch.testing.assert_close(kernels.sum(1), torch.ones_like(kernels[:, 0]))


def bilinear_samples(image, flow):
    return bilinear(image, *positions(flow, image))


def attended(image, flow):
    return content_sample(image, flow, image[:, :1].expand(-1, 9, -1, -1).softmax(1))


@pytest.mark.parametrize("operation", [warp, bilinear_samples, attended])
@pytest.mark.parametrize("channels", [3, 70])
def test_compiles_in_one_piece_with_gradients(operation, channels):
    inputs = noise(2, channels, 5, 4).requires_grad_(), from_pixels(2 * noise(2, 2, 5, 4)).requires_grad_()
    compiled = torch.compile(operation, backend="aot_eager", fullgraph=True)(*inputs)
    same(compiled, operation(*inputs), inputs)
