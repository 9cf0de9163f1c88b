"""Sample metrics against official packages, closed forms and cases made by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from eval.metrics.base import EvalBatch, Score, bootstrap_interval
from eval.metrics.ssim import structural_similarity as our_ssim
from eval.networks import Networks
from geotrans.types import Condition, Sample, Translation
from registry import METRICS


def _levels(n: int, size: int, seed: int) -> Tensor:
    coarse = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear").to(torch.uint8)


def _batch(generated: Tensor, **fields: Any) -> EvalBatch:
    return EvalBatch(tuple(f"s{i}" for i in range(len(generated))), generated, **fields)


def _score(name: str, *batches: EvalBatch) -> Score | None:
    metric = METRICS.get(name).factory()
    for batch in batches:
        metric.update(batch)
    score: Score | None = metric.compute()
    return score


def _value(name: str, batch: EvalBatch) -> float:
    score = _score(name, batch)
    assert score is not None
    return score.value


@pytest.mark.parametrize("size", [11, 24, 40])
def test_ssim_equals_skimage(size: int) -> None:
    a, b = _levels(3, size, 0), _levels(3, size, 1)
    expected = [
        structural_similarity(
            x.permute(1, 2, 0).numpy(),
            y.permute(1, 2, 0).numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            data_range=255,
        )
        for x, y in zip(a, b, strict=True)
    ]
    assert our_ssim(a, b).numpy() == pytest.approx(np.array(expected), abs=1e-9)
    assert our_ssim(a, a).tolist() == pytest.approx([1.0] * 3)


def test_ssim_refuses_less_than_a_window() -> None:
    with pytest.raises(ValueError, match="at least 11 pixels"):
        our_ssim(_levels(1, 10, 0), _levels(1, 10, 1))


def test_psnr_equals_skimage_and_stops_at_100() -> None:
    a, b = _levels(4, 16, 2), _levels(4, 16, 3)
    expected = np.mean([peak_signal_noise_ratio(y.numpy(), x.numpy()) for x, y in zip(a, b, strict=True)])
    assert _value("psnr", _batch(a, truth=b)) == pytest.approx(expected, abs=1e-9)
    assert _value("psnr", _batch(a, truth=a)) == 100


def test_l1_is_in_units_of_the_image() -> None:
    black, white = torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    assert _value("l1", _batch(black, truth=white)) == pytest.approx(2)


def _judged(read: Tensor, wanted: Tensor, before: Tensor) -> EvalBatch:
    picture = torch.zeros(len(read), 3, 4, 4, dtype=torch.uint8)
    sample = Sample(picture.float(), Condition(attributes=before), Condition(attributes=wanted))
    networks = Networks(features={"toy": lambda images: read})
    return _batch(picture, source=picture, sample=sample, networks=networks, judges={"attributes": "toy"})


def test_attribute_accuracies_count_all_and_only_changed() -> None:
    read = torch.tensor([[0.9, 0.2], [0.4, 0.6]])
    wanted = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    before = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    batch = _judged(read, wanted, before)
    assert _value("attr_accuracy", batch) == 50  # right: first of row 0, second of row 1
    assert _value("attr_changed_accuracy", batch) == 50  # changed: the first columns; right in row 0


def test_samples_without_a_change_have_no_say() -> None:
    read, wanted = torch.tensor([[0.9], [0.9]]), torch.tensor([[1.0], [0.0]])
    metric = METRICS.get("attr_changed_accuracy").factory()
    metric.update(_judged(read, wanted, torch.tensor([[0.0], [0.0]])))
    assert metric.compute().value == 100
    assert metric.compute().n == 1
    assert metric.samples() == {"s0": 100.0, "s1": None}


def test_a_judge_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reads \(2, 1\) where the data has \(2, 3\)"):
        _score("attr_accuracy", _judged(torch.zeros(2, 1), torch.zeros(2, 3), torch.zeros(2, 3)))


def test_a_judge_that_returns_nan_names_the_sample() -> None:
    with pytest.raises(ValueError, match="NaN for sample s1"):
        _score("attr_accuracy", _judged(torch.tensor([[0.0], [torch.nan]]), torch.zeros(2, 1), torch.zeros(2, 1)))


def _read(role: str, read: Tensor, **wanted: Tensor) -> EvalBatch:
    picture = torch.zeros(len(read), 3, 4, 4, dtype=torch.uint8)
    sample = Sample(picture.float(), target=Condition(**wanted))
    return _batch(
        picture, sample=sample, networks=Networks(features={"toy": lambda images: read}), judges={role: "toy"}
    )


def test_au_error_is_in_fifths_of_facs() -> None:
    batch = _read("aus", torch.tensor([[0.5, 0.0]]), aus=torch.tensor([[0.2, 0.1]]))
    assert _value("au_mae", batch) == pytest.approx(0.2)


def test_emotion_accuracy_takes_the_likeliest() -> None:
    batch = _read("emotion", torch.tensor([[0.4, 0.6], [0.4, 0.6]]), emotion=torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert _value("emotion_accuracy", batch) == 50


def test_identity_cosine() -> None:
    picture = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    vectors = iter([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])])
    networks = Networks(features={"toy": lambda images: next(vectors)})
    batch = _batch(picture, source=picture, networks=networks, judges={"identity": "toy"})
    assert _value("id_cosine", batch) == pytest.approx(0.6)


def _moved(flow: Tensor, true: Tensor, visible: Tensor) -> EvalBatch:
    picture = torch.zeros(len(true), 3, *true.shape[2:], dtype=torch.uint8)
    image = picture.float()
    return _batch(
        picture,
        translation=Translation(image, flow),
        sample=Sample(image, flow=true, visible=visible),
    )


def test_flow_error_is_in_pixels_where_pixels_are_seen_and_move() -> None:
    height, width = 8, 16
    true = torch.zeros(1, 2, height, width)
    true[:, 0, :4] = 2 * 3 / width  # the upper half moves 3 pixels along x
    visible = torch.ones(1, 1, height, width)
    assert _value("flow_epe", _moved(torch.zeros_like(true), true, visible)) == pytest.approx(3)
    assert _value("flow_epe", _moved(true, true, visible)) == 0
    off = true.clone()
    off[:, 1] += 2 * 4 / height  # 4 pixels along y, everywhere; the half that is at rest does not count
    assert _value("flow_epe", _moved(off, true, visible)) == pytest.approx(4)
    seen = visible.clone()
    seen[:, :, :2] = 0
    wrong_where_hidden = true.clone()
    wrong_where_hidden[:, :, :2] = 1
    assert _value("flow_epe", _moved(wrong_where_hidden, true, seen)) == pytest.approx(0, abs=1e-6)


def test_flow_error_of_pictures_at_rest_is_no_score() -> None:
    still = torch.zeros(1, 2, 8, 8)
    assert _score("flow_epe", _moved(still + 0.5, still, torch.ones(1, 1, 8, 8))) is None


def test_edit_concentration_is_the_share_of_change_outside_the_true_one() -> None:
    source = torch.full((1, 3, 12, 12), 100, dtype=torch.uint8)
    truth = source.clone()
    truth[:, :, 4:6, 4:6] = 200
    good, spread = truth.clone(), truth.clone()
    spread[:, :, 10, 10] = 200  # one pixel as strong as each of the four right ones
    assert _value("edit_concentration", _batch(good, source=source, truth=truth)) == 0
    assert _value("edit_concentration", _batch(spread, source=source, truth=truth)) == pytest.approx(20)
    neighbour = truth.clone()
    neighbour[:, :, 3, 3] = 200  # within the margin of one pixel
    assert _value("edit_concentration", _batch(neighbour, source=source, truth=truth)) == 0
    assert _score("edit_concentration", _batch(source, source=source, truth=truth)) is None


def test_mask_area() -> None:
    mask = torch.zeros(2, 1, 4, 4)
    mask[0] = 1
    picture = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    assert _value("mask_area", _batch(picture, translation=Translation(picture.float(), mask=mask))) == 50


def test_not_a_number_is_an_error_that_names_the_sample() -> None:
    picture = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    mask = torch.zeros(2, 1, 4, 4)
    mask[1, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="sample s1"):
        _score("mask_area", _batch(picture, translation=Translation(picture.float(), mask=mask)))


def test_a_picture_is_embedded_once_for_all_metrics_and_models() -> None:
    calls: list[Tensor] = []

    def feature(images: Tensor) -> Tensor:
        calls.append(images)
        return images.float().flatten(1)[:, :4]

    source, truth = _levels(4, 8, 4), _levels(4, 8, 5)
    judges = {"identity": "toy", "features": "toy"}
    first = _batch(
        _levels(4, 8, 6),
        source=source,
        truth=truth,
        real=truth,
        networks=Networks(features={"toy": feature}),
        judges=judges,
    )
    second = dataclasses.replace(first, generated=_levels(4, 8, 7), _own={})
    for batch in (first, second):
        for name in ("frechet", "id_cosine"):
            METRICS.get(name).factory().update(batch)
    assert len(calls) == 4  # source and truth once, each model's result once


def test_bootstrap_interval_of_a_mean_is_near_two_standard_errors() -> None:
    values = np.random.default_rng(1).normal(size=400)
    low, high = bootstrap_interval(values, np.ones(400))
    error = values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.02)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.02)
    assert (low, high) == bootstrap_interval(values, np.ones(400))


def test_lpips_hands_bytes_to_its_network_result_first() -> None:
    a, b = _levels(3, 16, 8), _levels(3, 16, 9)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        assert torch.equal(x, a)
        assert torch.equal(y, b)
        return torch.tensor([0.1, 0.2, 0.6])

    assert _value("lpips", _batch(a, truth=b, networks=Networks(distances={"lpips_alex": distance}))) == pytest.approx(
        0.3
    )


def _flow(across: float, down: float, height: int = 8, width: int = 16) -> Tensor:
    """Displacements that grow by so many pixels a pixel, along x in x and along y in y."""
    x, y = torch.arange(width) * across * 2 / width, torch.arange(height) * down * 2 / height
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])[None]


def _motion(flow: Tensor) -> EvalBatch:
    picture = torch.zeros(len(flow), 3, *flow.shape[2:], dtype=torch.uint8)
    return _batch(picture, translation=Translation(picture.float(), flow))


def test_a_motion_folds_where_it_turns_the_picture_over() -> None:
    assert _value("flow_folds", _motion(_flow(0.5, -0.5))) == 0
    assert _value("flow_folds", _motion(_flow(-1.5, 0))) == 100  # p -> -p / 2 along x
    assert _value("flow_folds", _motion(torch.cat([_flow(0, 0), _flow(0, -2)]))) == 50


def test_smoothness_is_the_length_of_the_gradient() -> None:
    assert _value("flow_smoothness", _motion(_flow(0, 0) + 0.3)) == 0
    assert _value("flow_smoothness", _motion(_flow(0.3, -0.4))) == pytest.approx(0.5, rel=1e-5)
