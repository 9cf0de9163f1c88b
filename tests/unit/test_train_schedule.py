"""Schedules: rates and averages against their closed forms, and the order of the data."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from geotrans.train.recipe import Optim
from geotrans.train.schedule import Shuffle, average, learning_rate, mix


@pytest.mark.parametrize(("images", "expected"), [(0, 2.0), (600, 2.0), (800, 1.0), (999, 0.005), (1000, 0.0)])
def test_the_rate_is_constant_then_falls_to_zero(images: int, expected: float) -> None:
    assert learning_rate(Optim(lr=2.0, decay_images=400), images, total=1000) == pytest.approx(expected)


def test_without_decay_the_rate_is_constant() -> None:
    assert learning_rate(Optim(lr=2.0), 999, total=1000) == 2.0
    ramp = Optim(lr=2.0, ramp_images=99)
    assert [learning_rate(ramp, images, 1000) for images in (0, 49, 99, 500)] == pytest.approx([0.02, 1.0, 2.0, 2.0])


def test_the_average_forgets_half_in_a_halflife() -> None:
    averaged, current = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(averaged.weight)
    nn.init.ones_(current.weight)
    for step in range(25):
        average(averaged, current, halflife=100, batch_size=4, images=100_000 + 4 * step)
    assert averaged.weight.item() == pytest.approx(0.5, abs=1e-6)


def test_early_on_the_average_follows_the_weights() -> None:
    averaged, current = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(averaged.weight)
    nn.init.ones_(current.weight)
    average(averaged, current, halflife=10_000, batch_size=16, images=320)  # a twentieth of 320 is one batch
    assert averaged.weight.item() == pytest.approx(0.5)


def test_every_epoch_shows_every_sample_once_in_another_order() -> None:
    order = list(Shuffle(range(12), seed=3, batch_size=4, start=0, stop=6))
    first, second = order[:12], order[12:]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_a_later_start_is_the_rest_of_the_same_order() -> None:
    whole = list(Shuffle(range(10), seed=3, batch_size=3, start=0, stop=9))
    assert list(Shuffle(range(10), seed=3, batch_size=3, start=4, stop=9)) == whole[12:]
    assert len(Shuffle(range(10), seed=3, batch_size=3, start=4, stop=9)) == 15


def test_processes_share_each_draw_of_one() -> None:
    alone = torch.tensor(list(Shuffle(range(100), seed=1, batch_size=6, start=2, stop=7))).view(5, 6)
    shares = [
        torch.tensor(list(Shuffle(range(100), seed=1, batch_size=3, start=2, stop=7, rank=rank, world=2))).view(5, 3)
        for rank in (0, 1)
    ]
    assert torch.equal(torch.cat(shares, dim=1), alone)


def test_seeds_mix_the_same_everywhere() -> None:
    assert mix(0, "weights") == 4283426181684004966
    assert len({mix(seed, step, rank) for seed in range(4) for step in range(50) for rank in range(4)}) == 800
    assert mix(1, 23) != mix(12, 3)
