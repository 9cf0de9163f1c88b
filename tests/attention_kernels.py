"""The Triton kernels of local attention against the patches themselves, in float64. Not collected: see below.

tests/unit/test_ops_attention_triton.py runs this file in processes of its own: on the CPU through Triton's interpreter,
which must be chosen before triton is imported, and on a GPU where there is one.
"""

import os

import pytest
import torch
import torch.nn.functional as F

from geotrans.ops import attention, attention_triton
from geotrans.ops.attention import content_sample, extract_blocks
from geotrans.ops.flow import from_pixels

DEVICE = os.environ.get("GEOTRANS_TEST_DEVICE", "cpu")
LAST = torch.channels_last


@pytest.fixture(autouse=True)
def kernels_are_chosen(monkeypatch):
    """Every test goes through the public function; in the interpreter its choice is made for it."""
    if DEVICE == "cpu":
        monkeypatch.setattr(attention, "_has_kernels", lambda *_: True)


def example(size, shape=(1, 3, 7, 5), of=None, reach=3.0, dtype=torch.float32):
    """A source, a flow of `reach` pixels for an output of size `of`, and kernels."""
    batch, _, *area = shape
    area = of or area
    inputs = (
        torch.randn(*shape),
        from_pixels(reach * torch.randn(batch, 2, *area)),
        torch.randn(batch, size * size, *area).softmax(1),
    )
    return tuple(x.to(DEVICE, dtype) for x in inputs)


def slow(source, flow, kernels, scale="mean"):
    """The definition, which lays all patches side by side."""
    size = round(kernels.shape[1] ** 0.5)
    mean = F.avg_pool2d(F.pixel_shuffle(kernels, size) * extract_blocks(source, flow, size), size)
    return mean if scale == "mean" else mean * size**2


def check(inputs, scale="mean", **tolerance):
    """Values and all gradients."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    out = content_sample(*inputs, scale=scale)
    upstream = torch.randn(out.shape).to(out)
    exact = [x.detach().cpu().double().requires_grad_() for x in inputs]
    expected = slow(*exact, scale)
    torch.testing.assert_close(out.cpu().double(), expected, **tolerance)
    gradients = torch.autograd.grad(out, inputs, upstream)
    assert [x.dtype for x in gradients] == [x.dtype for x in inputs]
    for ours, right in zip(gradients, torch.autograd.grad(expected, exact, upstream.cpu().double()), strict=True):
        torch.testing.assert_close(ours.cpu().double(), right, **tolerance)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (1, {}),
        (2, {"shape": (1, 131, 3, 5)}),  # more than a block of channels, and no whole number of them
        (3, {"shape": (2, 6, 5, 7)}),
        (4, {"shape": (2, 3, 1, 1)}),
        (5, {"of": (4, 9), "shape": (1, 2, 6, 5)}),
        (6, {"reach": 100.0}),
        (7, {}),
    ],
)
def test_values_and_gradients(size, options):
    check(example(size, **options), atol=1e-5, rtol=1e-4)


def test_more_pixels_than_a_block_without_the_share_of_the_patch():
    check(example(1, (1, 3, 13, 11)), scale="sum", atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("far", [1e4, 1e30])
def test_far_outside_lies_the_edge(far):
    source, flow, kernels = example(3, reach=far)
    check((source, flow.clamp(-far, far), kernels), scale="sum", atol=1e-5, rtol=1e-4)


def test_zero_flow_reads_whole_pixels():
    source, flow, _ = example(3)
    centre = F.one_hot(torch.full(flow[:, 0].shape, 4), 9).permute(0, 3, 1, 2).to(source)
    assert torch.equal(content_sample(source, torch.zeros_like(flow), centre, scale="sum"), source)


def test_inputs_of_any_layout():
    source, flow, kernels = example(2, (1, 5, 6, 4))
    wide = torch.stack([source, -source], dim=-1)
    for same, strange in (
        (source.contiguous(memory_format=LAST), flow.mT.contiguous().mT),
        (wide[..., 0], flow.contiguous(memory_format=LAST)),
    ):
        assert torch.equal(same, source)
        check((same, strange, kernels.contiguous(memory_format=LAST)), atol=1e-5, rtol=1e-4)


def test_memory_format_is_the_sources():
    source, flow, kernels = example(2, (1, 4, 3, 5))
    assert content_sample(source, flow, kernels).is_contiguous()
    source = source.contiguous(memory_format=LAST).requires_grad_()
    out = content_sample(source, flow, kernels)
    assert out.is_contiguous(memory_format=LAST)
    assert torch.autograd.grad(out.sum(), source)[0].is_contiguous(memory_format=LAST)


@pytest.mark.parametrize(("dtype", "close"), [(torch.bfloat16, 0.02), (torch.float16, 0.003)])
def test_half_precision(dtype, close):
    source, flow, kernels = example(2, dtype=dtype)
    check((source, flow, kernels), scale="sum", atol=close, rtol=close)
    check((source, flow.float(), kernels.float()), scale="sum", atol=close, rtol=close)
    with torch.autocast(DEVICE, torch.bfloat16):
        assert content_sample(source.float(), flow, kernels).dtype == torch.float32  # as without kernels


def test_nothing_larger_than_the_inputs_is_kept():
    source, flow, kernels = (x.requires_grad_() for x in example(3))
    kept = content_sample(source, flow, kernels).grad_fn.saved_tensors
    assert sum(x.numel() for x in kept) == source.numel() + flow.numel() + kernels.numel()


def test_second_derivatives_are_refused():
    inputs = [x.requires_grad_() for x in example(2)]
    gradients = torch.autograd.grad(content_sample(*inputs).square().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match=r"content_sample_backward.*no autograd formula"):
        gradients[0].sum().backward()


def test_compiles_in_one_piece_with_gradients():
    inputs = [x.requires_grad_() for x in example(2)]
    compiled = torch.compile(content_sample, backend="aot_eager", fullgraph=True)(*inputs)
    plain = content_sample(*inputs)
    torch.testing.assert_close(compiled, plain)
    upstream = torch.randn_like(plain)
    gradients = (torch.autograd.grad(out, inputs, upstream) for out in (compiled, plain))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_is_a_proper_operator():
    source, *others = example(1, (2, 3, 3, 4))
    inputs = (source.contiguous(memory_format=LAST), *others)
    torch.library.opcheck(attention_triton.content_sample, (*(x.requires_grad_() for x in inputs), 0.25))
