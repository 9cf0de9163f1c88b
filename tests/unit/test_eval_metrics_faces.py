"""Identity, action units and landmarks: cases made by hand, and agreement against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from eval.metrics.action_units import intraclass_correlation
from eval.metrics.base import EvalBatch, Score
from eval.networks import Networks
from geotrans.types import Condition, ConditionSpec, Sample
from registry import METRICS


def _pictures(count: int) -> Tensor:
    """Picture i is i everywhere."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 40, 20).clone()


def _batch(role: str, vectors: Tensor, target: Condition, *, source: Tensor | None = None, **fields: Any) -> EvalBatch:
    """A judge that reads row i off picture i; results are the first pictures."""
    count = len(target.emotion) if target.emotion is not None else len(vectors)
    generated = _pictures(len(vectors))[:count]

    def judge(images: Tensor) -> Tensor:
        return vectors[images[:, 0, 0, 0].long()]

    return EvalBatch(
        tuple(f"s{i}" for i in range(count)),
        generated,
        source=source,
        sample=Sample(generated.float(), target=target),
        networks=Networks(features={"toy": judge}),
        judges={role: "toy"},
        **fields,
    )


def _score(name: str, batch: EvalBatch) -> Score | None:
    metric = METRICS.get(name).factory()
    metric.update(batch)
    score = metric.compute()
    assert score is None or isinstance(score, Score)
    return score


def _identities() -> EvalBatch:
    """Four samples: cosines 1 and 0.6; a result without a face; a source without one."""
    results = torch.tensor([[1.0, 0], [0.6, 0.8], [0, 0], [1, 0]])
    sources = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 0]])
    emotion = F.one_hot(torch.tensor([0, 1, 1, 0]), 3).float()
    spec = ConditionSpec(emotion=("happy", "sad", "angry"))
    source = _pictures(8)[4:]
    return _batch("identity", torch.cat([results, sources]), Condition(emotion=emotion), source=source, spec=spec)


def test_pictures_without_a_face_have_no_say_in_identity() -> None:
    score = _score("id_cosine", _identities())
    assert score is not None
    assert score.value == pytest.approx(0.8)
    assert score.n == 2


def test_identity_distance_of_each_expression() -> None:
    score = _score("id_distance", _identities())
    assert score is not None
    assert score.value == pytest.approx(0.2)
    assert score.parts == pytest.approx({"happy": 0.0, "sad": 0.4})


def test_the_detection_rate_counts_results_whose_source_has_a_face() -> None:
    score = _score("id_detection_rate", _identities())
    assert score is not None
    assert score.value == pytest.approx(200 / 3)
    assert score.n == 3


def test_no_face_anywhere_is_no_score() -> None:
    batch = _batch("identity", torch.zeros(4, 2), Condition(emotion=torch.eye(2)), source=_pictures(4)[2:])
    assert _score("id_cosine", batch) is None
    assert _score("id_detection_rate", batch) is None


def test_a_judge_of_identity_that_returns_nan_is_an_error() -> None:
    vectors = torch.tensor([[torch.nan, 1.0], [1, 0]])
    batch = _batch("identity", vectors, Condition(emotion=torch.eye(1)), source=_pictures(2)[1:])
    with pytest.raises(ValueError, match="sample s0"):
        _score("id_cosine", batch)


def test_presence_of_action_units_begins_at_half_a_step_of_facs() -> None:
    wanted = torch.tensor([[0.0, 0.2, 0.6, 0.0]])
    read = torch.tensor([[0.09, 0.11, 0.05, 0.3]])
    score = _score("au_accuracy", _batch("aus", read, Condition(aus=wanted)))
    assert score is not None
    assert score.value == 50


def _icc_by_anova(a: np.ndarray, b: np.ndarray) -> float:
    """Shrout and Fleiss, case 3: mean squares of a two-way table of targets and raters."""
    table = np.stack([a, b], axis=1)
    n, k = table.shape
    between = k * ((table.mean(1) - table.mean()) ** 2).sum() / (n - 1)
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error))


def test_agreement_is_that_of_the_analysis_of_variance() -> None:
    draw = np.random.default_rng(0)
    a = draw.random((50, 4))
    b = 0.7 * a + 0.3 * draw.random((50, 4)) + 0.1
    expected = [_icc_by_anova(a[:, i], b[:, i]) for i in range(4)]
    assert intraclass_correlation(a, b) == pytest.approx(np.array(expected))
    assert intraclass_correlation(a, a + 0.2) == pytest.approx(np.ones(4))  # a constant is no disagreement
    assert intraclass_correlation(a, 1 - a) == pytest.approx(-np.ones(4))


def test_units_that_never_change_have_no_say() -> None:
    draw = torch.Generator().manual_seed(0)
    wanted = torch.rand(30, 3, generator=draw)
    wanted[:, 1] = 0
    read = wanted.clone()
    read[:, 2] = torch.rand(30, generator=draw)
    spec = ConditionSpec(aus=("AU01", "AU02", "AU04"))
    score = _score("au_icc", _batch("aus", read, Condition(aus=wanted), spec=spec))
    assert score is not None
    assert set(score.parts) == {"AU01", "AU04"}
    assert score.parts["AU01"] == pytest.approx(1)
    assert abs(score.parts["AU04"]) < 0.5
    assert score.value == pytest.approx((score.parts["AU01"] + score.parts["AU04"]) / 2)
    assert score.low < score.value < score.high  # type: ignore[operator]
    still = torch.zeros(30, 3)
    assert _score("au_icc", _batch("aus", still, Condition(aus=still))) is None


def _landmarks() -> tuple[Tensor, Tensor]:
    """Wanted ones whose outer eye corners are 10 pixels apart in pictures of 20 x 40."""
    wanted = torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(1)) - 0.5
    wanted[:, 36] = torch.tensor([-0.5, 0.0])
    wanted[:, 45] = torch.tensor([0.5, 0.0])
    read = wanted.clone()
    read[0, :, 0] += 2 * 3 / 20  # 3 pixels along x
    read[1, :, 1] += 2 * 4 / 40  # 4 pixels along y
    read[2] = 0
    return wanted, read


def test_landmark_error_is_in_percent_of_the_distance_of_the_eyes() -> None:
    wanted, read = _landmarks()
    batch = _batch("landmarks", read.flatten(1), Condition(landmarks=wanted))
    score = _score("landmark_error", batch)
    assert score is not None
    assert score.value == pytest.approx(35, rel=1e-5)
    assert score.n == 2
    rate = _score("landmark_detection_rate", batch)
    assert rate is not None
    assert rate.value == pytest.approx(200 / 3)


def test_other_landmarks_are_refused() -> None:
    wanted, _ = _landmarks()
    with pytest.raises(ValueError, match=r"toy reads \(3, 10\) where the data has \(3, 68, 2\)"):
        _score("landmark_error", _batch("landmarks", torch.zeros(3, 10), Condition(landmarks=wanted)))
