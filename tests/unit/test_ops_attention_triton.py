"""When local attention takes its Triton kernels, and that these are right: in processes of their own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from geotrans.ops import attention

ROOT = Path(__file__).parents[2]
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="triton is not installed")

COMPILE = """
import sys
from geotrans.ops import attention_triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

constants = {"SIZE": 3, "PADDED": 4, "PIXELS": 16, "CHANNELS": 128, "source_c": 1}
for kernel in (attention_triton._forward, attention_triton._backward):
    types = {name: "i32" for name in kernel.arg_names}
    types |= {name: "fp32" for name in ("factor", "down", "across")}
    types |= {name: "*bf16" for name in ("source", "flow", "kernels", "out", "upstream")}
    types |= {name: "*fp32" for name in types if name.startswith("by_")} | {name: "constexpr" for name in constants}
    known = {name: value for name, value in constants.items() if name in kernel.arg_names}
    source = ASTSource(kernel, {name: types[name] for name in kernel.arg_names}, known)
    made = compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
    print(kernel.__name__, made.asm["ptx"].count("ld.global") > 0)
"""


def run(*arguments, **variables):
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=os.environ | variables
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_triton
def test_kernels_are_right_in_the_interpreter():
    run("-m", "pytest", "tests/attention_kernels.py", TRITON_INTERPRET="1", GEOTRANS_TEST_DEVICE="cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@needs_triton
def test_kernels_are_right_on_a_gpu():
    run("-m", "pytest", "tests/attention_kernels.py", TRITON_INTERPRET="0", GEOTRANS_TEST_DEVICE="cuda")


@needs_triton
def test_kernels_compile_for_a_gpu(tmp_path):
    """For one that need not be there."""
    assert run("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path)).splitlines() == ["_forward True", "_backward True"]


def inputs(device="cuda", **types):
    shapes = {"source": (1, 3, 4, 5), "flow": (1, 2, 4, 5), "kernels": (1, 9, 4, 5)}
    return [torch.zeros(shape, device=device, dtype=types.get(name)) for name, shape in shapes.items()]


def test_kernels_are_taken_where_they_can_be(monkeypatch):
    monkeypatch.setattr(attention, "TRITON", True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert not attention._has_kernels(*inputs("cpu"))
    with FakeTensorMode():
        assert attention._has_kernels(*inputs())
        assert attention._has_kernels(*inputs(source=torch.bfloat16, kernels=torch.float16))
        assert not attention._has_kernels(*inputs(flow=torch.float64))
        assert not attention._has_kernels(inputs()[0], *inputs("cpu")[1:])
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
        assert not attention._has_kernels(*inputs())
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
        monkeypatch.setattr(attention, "TRITON", False)
        assert not attention._has_kernels(*inputs())


def test_deterministic_algorithms_do_without_kernels(monkeypatch):
    monkeypatch.setattr(attention, "TRITON", True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with FakeTensorMode():
        assert not attention._has_kernels(*inputs())


def test_importing_the_operations_does_not_import_triton():
    code = "import sys, geotrans, geotrans.ops.attention, geotrans.models.gfla; print('triton' in sys.modules)"
    assert run("-c", code).strip() == "False"
