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


class Draws:
    """Hands out the columns of a table of uniforms, one a call."""

    def __init__(self, table: Tensor) -> None:
        self._columns = iter(table.unbind(1))

    def between(self, low: float, high: float) -> Tensor:
        """A number in [low, high), (B, 1, 1)."""
        return (low + (high - low) * next(self._columns))[:, None, None]

    def chance(self, probability: float) -> Tensor:
        """1 with that probability, else 0, (B, 1, 1)."""
        return (next(self._columns) < probability).float()[:, None, None]

    def pick(self, table: Tensor) -> Tensor:
        """A row of the table, (B, C)."""
        return table[(next(self._columns) * len(table)).long()]

    def along(self, table: Tensor) -> Tensor:
        """A place on the line through the table's rows, (B, C)."""
        place = next(self._columns) * (len(table) - 1)
        low = place.long()
        return torch.lerp(table[low], table[low + 1], (place - low)[:, None])

    def jitter(self, colour: Tensor, amount: float) -> Tensor:
        """A colour (B, 3) near this one, at most `amount` off in each channel."""
        noise = torch.stack([next(self._columns) for _ in range(3)], dim=1) - 0.5
        return (colour + 2 * amount * noise).clamp(0.03, 1.0)
