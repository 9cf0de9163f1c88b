"""Variants of SSIM against scikit-image, and the differences in pixels against arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage.measure import block_reduce
from skimage.metrics import structural_similarity
from torch import Tensor

from eval.metrics.base import EvalBatch, Score
from eval.metrics.ssim import SCALES, multiscale_similarity
from registry import METRICS


def _smooth(n: int, size: int, seed: int) -> Tensor:
    coarse = torch.rand(n, 3, 9, 9, generator=torch.Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(coarse, (size, size + 2), mode="bicubic").clamp(0, 255).to(torch.uint8)


def _score(name: str, generated: Tensor, truth: Tensor, **fields: Any) -> Score:
    metric = METRICS.get(name).factory()
    metric.update(EvalBatch(tuple(map(str, range(len(generated)))), generated, truth=truth, **fields))
    score = metric.compute()
    assert isinstance(score, Score)
    return score


def _skimage(a: Tensor, b: Tensor, **options: Any) -> float:
    x, y = (image.permute(1, 2, 0).numpy() for image in (a, b))
    return float(structural_similarity(x, y, channel_axis=2, **options))


GAUSSIAN: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def test_ssim_patn_is_skimage_with_the_range_of_the_result() -> None:
    truth, generated = _smooth(3, 30, 0), _smooth(3, 30, 1) // 2 + 20
    expected = [
        _skimage(b, a, data_range=float(a.max() - a.min()), **GAUSSIAN) for a, b in zip(generated, truth, strict=True)
    ]
    assert _score("ssim_patn", generated, truth).value == pytest.approx(np.mean(expected), abs=1e-9)
    assert _score("ssim_patn", generated, truth).value != pytest.approx(
        _score("ssim", generated, truth).value, abs=1e-4
    )


@pytest.mark.parametrize(("name", "window"), [("ssim_gfla51", 51), ("ssim_uniform7", 7)])
def test_uniform_windows_are_skimage_with_sample_covariance(name: str, window: int) -> None:
    a, b = _smooth(2, 60, 2), _smooth(2, 60, 3)
    expected = [
        _skimage(y.double() / 255, x.double() / 255, win_size=window, data_range=1.0) for x, y in zip(a, b, strict=True)
    ]
    assert _score(name, a, b).value == pytest.approx(np.mean(expected), abs=1e-9)
    with pytest.raises(ValueError, match=f"at least {window} pixels"):
        _score(name, a[..., : window - 1], b[..., : window - 1])


def test_ms_ssim_is_made_of_skimage_at_every_scale() -> None:
    """With a huge k1 scikit-image's luminance is 1, so that its mean is the contrast-structure similarity."""
    a, b = (_smooth(1, 178, seed)[0].permute(1, 2, 0).double().numpy() for seed in (4, 5))
    b = 0.7 * a + 0.3 * b
    a, b = (np.round(image) for image in (a, b))
    expected = np.ones(3)
    pictures = [torch.from_numpy(image).permute(2, 0, 1)[None].to(torch.uint8) for image in (a, b)]
    for scale, weight in enumerate(SCALES):
        if scale:
            a, b = (_halved(image) for image in (a, b))
        k1 = 0.01 if scale == len(SCALES) - 1 else 1e8
        for channel in range(3):
            part = structural_similarity(a[..., channel], b[..., channel], data_range=255, K1=k1, **GAUSSIAN)
            expected[channel] *= part**weight
    assert float(multiscale_similarity(*pictures)) == pytest.approx(expected.mean(), abs=1e-7)
    assert 0.1 < expected.mean() < 0.99


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; of what there is at an odd edge."""
    count = block_reduce(np.ones(image.shape), (2, 2, 1), np.sum)
    return block_reduce(image, (2, 2, 1), np.sum) / count


def test_ms_ssim_of_equal_and_of_small_pictures() -> None:
    a = _smooth(2, 161, 6)
    assert _score("ms_ssim", a, a).value == pytest.approx(1)
    with pytest.raises(ValueError, match=r"at least 161 pixels a side, got \(160, 163\)"):
        _score("ms_ssim", a[..., :160, :], a[..., :160, :])


def test_mse_is_on_0_to_1() -> None:
    truth = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    made = truth.clone()
    made[0] += 51
    assert _score("mse", made, truth).value == pytest.approx(0.5 * 0.2**2)


def test_mae_of_gfla_is_relative_to_both_pictures() -> None:
    truth = torch.full((3, 3, 4, 4), 100, dtype=torch.uint8)
    made = truth.clone()
    made[0] += 50
    truth[2] = made[2] = 0
    score = _score("mae_gfla", made, truth)
    assert score.value == pytest.approx(0.5 * 50 / 250)
    assert score.n == 2  # two black pictures tell nothing


def test_cycle_error_compares_with_the_source() -> None:
    source = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    back, other = source + 51, source + 100
    assert _score("cycle_error", other, other, source=source, cycle=back).value == pytest.approx(0.4)
