"""Fixtures that every test may use. One thread: the networks here are tiny."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

torch.set_num_threads(1)

# The Hub client reads these once, when it is imported. Tests of the Hub speak to a server on this machine only.
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(_name, None)

GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Golden:
    """One recorded case of official code: see tests/golden/README.md."""

    args: dict[str, Any]
    state: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    deviation: dict[str, float]

    def close(self, name: str, value: Tensor) -> None:
        """Compare with a recorded output, within 20 times the float32 rounding that was measured on it."""
        atol = max(1e-5, 20 * self.deviation.get(name, 0.0))
        torch.testing.assert_close(value, self.outputs[name], atol=atol, rtol=1e-4)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def golden() -> Callable[[str], Golden]:
    """`golden("stargan_g")` reads tests/golden/stargan_g.safetensors."""
    return read_golden


def read_golden(name: str) -> Golden:
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    parts: dict[str, dict[str, Tensor]] = {"state": {}, "in": {}, "out": {}}
    for key, value in tensors.items():
        part, _, rest = key.partition("/")
        parts[part][rest] = value.float() if value.is_floating_point() else value
    deviation = json.loads(metadata.get("f64_diff_by_tensor", "{}"))
    return Golden(json.loads(metadata["args"]), parts["state"], parts["in"], parts["out"], deviation)
