"""What the answers of a user study say: how often each row was chosen, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.answers import Answer

MANY = 5  # from so many participants on, intervals come from drawing participants again
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often a row was chosen where it could be. low, high: the 95 % interval."""

    row: str
    rate: float
    low: float
    high: float
    wins: int
    n: int


def win_rates(options: Mapping[str, Sequence[str]], answers: Sequence[Answer], *, seed: int = 0) -> list[WinRate]:
    """Share of answers that chose a row, of those that could have, the best first.

    With five participants or more the interval is the percentile bootstrap's over participants, since one person's
    answers go together; with fewer it is Wilson's, which takes every answer for itself.

    Args:
        options: item -> the rows that could be chosen.
        answers: to these items.
        seed: of the bootstrap.

    Raises:
        ValueError: there are no answers.
    """
    if not answers:
        raise ValueError("there are no answers yet; `geotrans-eval study serve` takes them")
    rows = list(dict.fromkeys(row for shown in options.values() for row in shown))
    people = sorted({answer.participant for answer in answers})
    wins = np.zeros((len(people), len(rows)))
    asked = np.zeros_like(wins)
    for answer in answers:
        person = people.index(answer.participant)
        for row in options[answer.item]:
            asked[person, rows.index(row)] += 1
        wins[person, rows.index(answer.row)] += 1
    draws = np.random.default_rng(seed).integers(0, len(people), (RESAMPLES, len(people)))
    rates = []
    for place, row in enumerate(rows):
        won, n = int(wins[:, place].sum()), int(asked[:, place].sum())
        if not n:
            continue
        low, high = wilson(won, n)
        if len(people) >= MANY:
            sums = asked[:, place][draws].sum(1)
            shares = wins[:, place][draws].sum(1)[sums > 0] / sums[sums > 0]
            low, high = (float(end) for end in np.quantile(shares, (0.025, 0.975)))
        rates.append(WinRate(row, won / n, low, high, won, n))
    return sorted(rates, key=lambda rate: -rate.rate)


def wilson(wins: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share; Wilson 1927."""
    z = 1.959963984540054
    share, middle = wins / n, z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (share + middle - spread) / scale), min(1.0, (share + middle + spread) / scale)
