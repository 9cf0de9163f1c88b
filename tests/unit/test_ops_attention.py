"""Local attention against the official code's numbers and against the patches themselves, spelled out."""

import pytest
import torch
import torch.nn.functional as F

from geotrans.ops.attention import content_sample, extract_blocks, flowed_convolution, patch_convolution
from geotrans.ops.flow import from_pixels
from geotrans.ops.gather import bilinear, positions
from geotrans.ops.warp import warp

SIZES = range(1, 8)


@pytest.fixture(autouse=True, params=["planes", "rows"])
def way(request, monkeypatch):
    """Bilinear samples have two ways, of which the number and layout of channels choose; every test goes both."""
    monkeypatch.setattr("geotrans.ops.gather._by_rows", lambda image: request.param == "rows")


def noise(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


def blocks_pixel_by_pixel(source, flow_px, size):
    """The definition: a loop over every sample of every patch."""
    batch, channels, height, width = source.shape
    blocks = source.new_zeros(batch, channels, size * flow_px.shape[2], size * flow_px.shape[3])
    for b in range(batch):
        for row in range(blocks.shape[2]):
            for column in range(blocks.shape[3]):
                x = column // size + flow_px[b, 0, row // size, column // size] + column % size - size // 2
                y = row // size + flow_px[b, 1, row // size, column // size] + row % size - size // 2
                left, top = x.floor(), y.floor()
                for j, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
                    for i, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
                        pixel = source[b, :, int(i.clamp(0, height - 1)), int(j.clamp(0, width - 1))]
                        blocks[b, :, row, column] += wx * wy * pixel
    return blocks


def plain_sample(source, flow, kernels, size):
    return F.avg_pool2d(F.pixel_shuffle(kernels, size) * extract_blocks(source, flow, size), size)


def example(size, height=7, width=5, reach=3.0, batch=2):
    """A source, a flow of `reach` pixels that leaves the picture, and kernels."""
    return (
        noise(batch, 3, height, width),
        from_pixels(reach * noise(batch, 2, height, width)),
        noise(batch, size * size, height, width).softmax(1),
    )


@pytest.mark.parametrize("size", [3, 5])
def test_blocks_are_the_official_ones(golden, size):
    case = golden(f"op_gfla_block_extractor_k{size}")
    source, flow = (case.inputs[name].requires_grad_() for name in ("source", "flow"))
    blocks = extract_blocks(source, from_pixels(flow), size)
    case.close("y", blocks)
    case.close("y_integer", extract_blocks(source, from_pixels(case.inputs["flow_integer"]), size))
    blocks.backward(case.inputs["grad_y"])
    case.close("d_source", source.grad)
    case.close("d_flow", flow.grad)


@pytest.mark.parametrize("size", [3, 5])
def test_attention_is_the_official_one(golden, size):
    case = golden(f"op_gfla_attention_k{size}")
    source, target, flow = (case.inputs[name].requires_grad_() for name in ("source", "target", "flow"))
    layers = {key.removeprefix("fully_connect_layer."): value for key, value in case.state.items()}
    of_target, of_source = layers["0.weight"].chunk(2, dim=1)
    library = from_pixels(flow)
    case.close("block_source", extract_blocks(source, library, size))
    case.close("block_target", extract_blocks(target, torch.zeros_like(library), size))
    hidden = patch_convolution(target, of_target, layers["0.bias"]) + flowed_convolution(source, library, of_source)
    kernels = F.conv2d(F.leaky_relu(hidden, 0.1), layers["2.weight"], layers["2.bias"]).softmax(1)
    case.close("attention", kernels)
    y = content_sample(source, library, kernels)
    case.close("y", y)
    y.backward(case.inputs["grad_y"])
    for name, tensor in (("d_source", source), ("d_target", target), ("d_flow", flow)):
        case.close(name, tensor.grad)


def test_kernels_lie_in_a_patch_row_by_row(golden):
    """The official reshaping of kernels into maps is a pixel shuffle."""
    case = golden("op_gfla_local_attn_reshape")
    x = case.inputs["x"].requires_grad_()
    y = F.pixel_shuffle(x, case.args["kernel_size"])
    case.close("y", y)
    y.backward(case.inputs["grad_y"])
    case.close("d_x", x.grad)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_blocks_are_what_the_definition_says(size):
    source, flow_px = noise(2, 2, 4, 3), 4 * noise(2, 2, 4, 3)
    expected = blocks_pixel_by_pixel(source, flow_px, size)
    torch.testing.assert_close(extract_blocks(source, from_pixels(flow_px), size), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (2, 9)])
def test_content_sampling_is_a_weighted_mean_of_blocks(size, shape):
    source, flow, kernels = example(size, *shape)
    torch.testing.assert_close(content_sample(source, flow, kernels), plain_sample(source, flow, kernels, size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (2, 9)])
def test_flowed_convolution_is_a_layer_on_blocks(size, shape):
    source, flow, _ = example(size, *shape)
    weight = noise(4, 3, size, size)
    expected = F.conv2d(extract_blocks(source, flow, size), weight, stride=size)
    torch.testing.assert_close(flowed_convolution(source, flow, weight), expected)
    still = F.conv2d(extract_blocks(source, torch.zeros_like(flow), size), weight, stride=size)
    torch.testing.assert_close(patch_convolution(source, weight), still)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_the_blocks(size):
    source, flow, kernels = (value.requires_grad_() for value in example(size))
    weight = noise(4, 3, size, size).requires_grad_()
    leaves, upstream = (source, flow, kernels, weight), noise(2, 7, 7, 5)
    fast = torch.cat([content_sample(source, flow, kernels), flowed_convolution(source, flow, weight)], dim=1)
    layer = F.conv2d(extract_blocks(source, flow, size), weight, stride=size)
    slow = torch.cat([plain_sample(source, flow, kernels, size), layer], dim=1)
    for ours, expected in zip(*(torch.autograd.grad(y, leaves, upstream) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("options", [{"height": 4}, {"height": 5, "reach": 60.0, "batch": 1}])
@pytest.mark.parametrize("size", SIZES)
def test_gradcheck(size, options):
    source, flow, kernels = (value.requires_grad_() for value in example(size, width=3, **options))
    weight = noise(2, 3, size, size).requires_grad_()
    assert torch.autograd.gradcheck(content_sample, (source, flow, kernels), fast_mode=True)
    assert torch.autograd.gradcheck(flowed_convolution, (source, flow, weight), fast_mode=True)
    assert torch.autograd.gradcheck(patch_convolution, (source, weight), fast_mode=True)
    assert torch.autograd.gradcheck(lambda s, f: extract_blocks(s, f, size), (source, flow), fast_mode=True)


@pytest.mark.parametrize("far", [3.0, 1e4, 1e30])
def test_far_outside_lies_the_edge(far):
    source = noise(1, 2, 5, 4, dtype=torch.float32)
    kernels = torch.full((1, 9, 5, 4), 1 / 9)
    for channel, sign, edge in ((0, -1, 0), (0, 1, -1), (1, -1, 0), (1, 1, -1)):
        flow = torch.zeros(1, 2, 5, 4)
        flow[:, channel] = sign * far
        out, layer = (
            content_sample(source, flow, kernels, scale="sum"),
            flowed_convolution(source, flow, torch.ones(1, 2, 3, 3)),
        )
        assert torch.isfinite(out).all()
        lines = source[..., edge] if channel == 0 else source[..., edge, :]  # all that is left of the source
        grown = F.pad(lines, (1, 1), mode="replicate")
        means = F.avg_pool1d(grown, 3, 1)
        means = means[..., :, None] if channel == 0 else means[..., None, :]
        torch.testing.assert_close(out, means.expand_as(out))
        torch.testing.assert_close(layer, 9 * means.sum(1, keepdim=True).expand_as(layer))


def test_a_constant_becomes_its_share_of_the_patch():
    source, (_, flow, kernels) = torch.full((2, 3, 7, 5), 2.0, dtype=torch.float64), example(3)
    torch.testing.assert_close(content_sample(source, flow, kernels), torch.full_like(source, 2 / 9))
    torch.testing.assert_close(content_sample(source, flow, kernels, scale="sum"), source)


def test_a_kernel_of_one_weight_moves_as_warp_does():
    source, flow, _ = example(3)
    centre = F.one_hot(torch.full((2, 7, 5), 4), 9).permute(0, 3, 1, 2).double()
    expected = warp(source, flow, padding="border")
    torch.testing.assert_close(content_sample(source, flow, centre, scale="sum"), expected)
    torch.testing.assert_close(bilinear(source, *positions(flow, source)), expected)


def test_the_output_has_the_size_of_the_flow():
    source, flow = noise(2, 3, 6, 9), from_pixels(2 * noise(2, 2, 4, 5))
    out = content_sample(source, flow, noise(2, 9, 4, 5))
    assert out.shape == (2, 3, 4, 5)
    torch.testing.assert_close(bilinear(source, *positions(flow, source)), warp(source, flow, padding="border"))


def test_zero_flow_reads_whole_pixels():
    for size in ((5, 7), (64, 128), (178, 218)):
        x, y = positions(torch.zeros(1, 2, *size), torch.zeros(1, 1, *size))
        assert torch.equal(x[0, 0], torch.arange(size[1], dtype=x.dtype))
        assert torch.equal(y[0, :, 0], torch.arange(size[0], dtype=y.dtype))


def test_memory_format_and_type_are_the_sources():
    source, flow, kernels = (value.float() for value in example(3))
    plain = content_sample(source, flow, kernels)
    assert plain.is_contiguous()
    last = content_sample(source.to(memory_format=torch.channels_last), flow, kernels)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)
    half = content_sample(source.bfloat16(), flow, kernels)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), plain, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [3, 80])
def test_many_channels_side_by_side_are_fetched_as_rows(channels, layout, monkeypatch):
    monkeypatch.undo()
    source, flow = noise(2, channels, 6, 5).contiguous(memory_format=layout), from_pixels(2 * noise(2, 2, 6, 5))
    gathered = []
    monkeypatch.setattr("geotrans.ops.gather.gather", lambda *args: gathered.append(args) or source)
    bilinear(source, *positions(flow, source))
    assert bool(gathered) == (channels >= 64 and layout is torch.channels_last)


def test_a_sample_does_not_depend_on_its_batch():
    source, flow, kernels = example(3)
    alone = content_sample(source[1:], flow[1:], kernels[1:])
    assert torch.equal(alone, content_sample(source, flow, kernels)[1:])


def attend(source, flow, weight):
    kernels = (patch_convolution(source, weight) + flowed_convolution(source, flow, weight)).softmax(1)
    return content_sample(source, flow, kernels)


def blocks(source, flow, weight):
    return extract_blocks(source, flow, weight.shape[2])


@pytest.mark.parametrize(("function", "size"), [(attend, 2), (attend, 3), (blocks, 4)])
def test_compiles_in_one_piece_with_gradients(function, size):
    source, flow, _ = (value.requires_grad_() for value in example(size))
    inputs = (source, flow, noise(size * size, 3, size, size).requires_grad_())
    compiled, plain = torch.compile(function, backend="aot_eager", fullgraph=True)(*inputs), function(*inputs)
    torch.testing.assert_close(compiled, plain)
    upstream = noise(*plain.shape)
    gradients = (torch.autograd.grad(y, inputs, upstream, allow_unused=True) for y in (compiled, plain))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)


def test_no_map_of_patches_is_made():
    """Nothing larger than a few outputs is allocated, forward or backward."""
    source, flow, kernels = (value.float().requires_grad_() for value in example(7, 32, 32))
    source = source.detach().repeat(1, 16, 1, 1).requires_grad_()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        content_sample(source, flow, kernels).sum().backward()
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 10 * 4 * source.numel()  # the patches alone would be 49 times the source


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3, 4, 4), (2, 2, 4, 4), (2, 8, 4, 4)), r"expected shape \(B, size\*\*2, H, W\).*got \(2, 8, 4, 4\)"),
        (((2, 3, 4, 4), (2, 2, 4, 4), (2, 9, 4, 5)), r"got \(2, 9, 4, 5\) for a flow \(2, 2, 4, 4\)"),
        (
            ((1, 3, 4, 4), (2, 2, 4, 4), (2, 9, 4, 4)),
            r"image: expected shape \(2, C, h, w\), one a flow, got \(1, 3, 4, 4\)",
        ),
        (((2, 3, 4, 4), (2, 4, 4, 2), (2, 9, 4, 4)), r"flow: expected shape \(B, 2, H, W\), got \(2, 4, 4, 2\)"),
    ],
)
def test_wrong_shapes_are_named(shapes, message):
    with pytest.raises(ValueError, match=message):
        content_sample(*(torch.zeros(shape) for shape in shapes))


def test_an_unknown_scale_is_named():
    with pytest.raises(ValueError, match="scale: expected 'mean' or 'sum', got 'max'"):
        content_sample(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2, 2), scale="max")
