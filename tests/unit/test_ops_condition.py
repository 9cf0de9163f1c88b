"""Conditions: columns are picked by name, and style codes are drawn where data has none."""

from __future__ import annotations

import pytest
import torch

from geotrans.ops.condition import draw_style, pick, view_of_source
from geotrans.types import Condition, ConditionSpec

HAVE = ConditionSpec(attributes=("a", "b", "c"))


def test_columns_are_picked_by_name() -> None:
    condition = Condition(attributes=torch.tensor([[1.0, 2.0, 3.0]]))
    picked = pick(ConditionSpec(attributes=("c", "a")), condition, HAVE, None)
    assert picked.attributes is not None
    assert picked.attributes.tolist() == [[3.0, 1.0]]
    assert picked.style is None


def test_a_style_that_the_data_lacks_is_the_one_given() -> None:
    spec = ConditionSpec(attributes=("b",), style=("s0", "s1"))
    style = draw_style(spec, 2, torch.Generator().manual_seed(3))
    assert style is not None
    assert style.shape == (2, 2)
    picked = pick(spec, Condition(attributes=torch.zeros(2, 3)), HAVE, style)
    assert picked.style is style
    assert torch.equal(style, torch.randn(2, 2, generator=torch.Generator().manual_seed(3)))


def test_a_style_that_the_data_has_is_kept() -> None:
    spec = ConditionSpec(style=("s1",))
    condition = Condition(style=torch.tensor([[5.0, 6.0]]))
    picked = pick(spec, condition, ConditionSpec(style=("s0", "s1")), torch.zeros(1, 1))
    assert picked.style is not None
    assert picked.style.tolist() == [[6.0]]


def test_another_column_that_is_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match="b2"):
        pick(ConditionSpec(attributes=("b2",), style=("s",)), Condition(), HAVE, torch.zeros(1, 1))


def test_a_model_without_style_draws_none() -> None:
    assert draw_style(HAVE, 4) is None


def test_the_view_of_the_source_is_asked_for_as_such() -> None:
    spec, image = ConditionSpec(view=("front", "back"), needs_source=True), torch.zeros(1, 3, 4, 4)
    shown = Condition(view=torch.tensor([[0.0, 1.0]]))
    assert view_of_source(spec, shown, image).tolist() == [[0.0, 1.0]]
    with pytest.raises(ValueError, match=r"also reads the source's view; pass source=Condition\(view="):
        view_of_source(spec, None, image)
