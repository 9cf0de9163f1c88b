import pytest
import torch

from geotrans.types import Condition, ConditionSpec, Critique, Sample, Translation, cat

SPEC = ConditionSpec(attributes=("a", "b"), aus=("AU01",), emotion=("happy", "sad"))


def condition(n=2):
    return Condition(attributes=torch.rand(n, 2), aus=torch.rand(n, 1), emotion=torch.rand(n, 2))


def test_vector_and_split_are_inverse():
    c = condition()
    vector = SPEC.vector(c, 2)
    assert vector.shape == (2, SPEC.size) == (2, 5)
    back = SPEC.split(vector)
    assert torch.equal(back.attributes, c.attributes)
    assert torch.equal(back.emotion, c.emotion)
    assert back.landmarks is None


def test_select_picks_columns_by_name():
    wanted = ConditionSpec(attributes=("b",), emotion=("sad", "happy"))
    c = condition()
    picked = wanted.select(c, SPEC)
    assert torch.equal(picked.attributes, c.attributes[:, 1:])
    assert torch.equal(picked.emotion, c.emotion.flip(1))
    assert picked.aus is None
    with pytest.raises(ValueError, match=r"attributes Big_Nose, which are not in the data; it has: a, b"):
        ConditionSpec(attributes=("Big_Nose",)).select(c, SPEC)


@pytest.mark.parametrize(
    ("spec", "given", "message"),
    [
        (ConditionSpec(aus=("AU01",)), Condition(), r"Condition\.aus: expected shape \(2, 1\) \(AU01\), got None"),
        (SPEC, Condition(attributes=torch.zeros(2, 3)), r"attributes: expected shape \(2, 2\) \(a, b\), got \(2, 3\)"),
        (ConditionSpec(landmarks=True), Condition(landmarks=torch.zeros(2, 5, 2)), r"landmarks: .*\(2, 68, 2\)"),
        (ConditionSpec(structure=9), Condition(structure=torch.zeros(2, 3, 8, 8)), r"structure: .*\(2, 9, H, W\)"),
    ],
)
def test_wrong_conditions_give_expected_and_actual_shape(spec, given, message):
    with pytest.raises(ValueError, match=message):
        spec.check(given, 2)


def test_records_move_slice_and_concatenate():
    sample = Sample(torch.rand(3, 3, 4, 4), condition(3), None, id=("x", "y", "z"))
    part = sample.rows([2, 0])
    assert part.id == ("z", "x")
    assert torch.equal(part.source.aus, sample.source.aus[[2, 0]])
    assert part.target is None
    again = cat([sample.rows(slice(0, 1)), sample.rows(slice(1, 3))])
    assert again.id == sample.id
    assert torch.equal(again.image, sample.image)
    assert sample.to("meta").image.device.type == "meta"
    assert sample.apply(torch.Tensor.double).source.attributes.dtype == torch.float64


def test_nested_tuples_are_handled():
    critique = Critique((torch.rand(4, 1, 2, 2),), ((torch.rand(4, 8), torch.rand(4, 9)),), condition(4))
    half = critique.rows(slice(0, 2))
    assert half.scores[0].shape[0] == half.features[0][1].shape[0] == half.condition.aus.shape[0] == 2
    assert cat([half, half]).features[0][0].shape == (4, 8)
    detached = Translation(torch.rand(1, 3, 2, 2), intermediates={"low": torch.rand(1, requires_grad=True)}).apply(
        torch.Tensor.detach
    )
    assert not detached.intermediates["low"].requires_grad


def test_concatenating_unlike_records_is_refused():
    with pytest.raises(ValueError, match="some records have it"):
        cat([Condition(aus=torch.zeros(1, 1)), Condition()])
    with pytest.raises(ValueError, match="nothing to concatenate"):
        cat([])
