"""Random numbers by counter: what a row gets depends on its key alone, never on the batch it is drawn in."""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def keys(seed: int, stream: int, counters: Tensor) -> Tensor:
    """Keys (B,) for `counters` (B,) in [0, 2^32); distinct counters of one seed and stream get distinct keys."""
    salt = torch.tensor(0)
    for word in (seed & _WORD, (seed >> 32) & _WORD, stream):
        salt = _mix(salt ^ word)
    return _mix(counters ^ salt)


def uniforms(key: Tensor, count: int) -> Tensor:
    """(B, count) float32, uniform in [0, 1), one row a key."""
    column = torch.arange(1, count + 1) * _GOLDEN
    return (_mix(_mix((key[:, None] + column) & _WORD)) >> 8).float() / 2**24


def _mix(word: Tensor) -> Tensor:
    """A bijection of 32-bit words in which every input bit moves every output bit (multiply, xor-shift)."""
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & _WORD
    word = ((word ^ (word >> 15)) * 0x846CA68B) & _WORD
    return word ^ (word >> 16)
