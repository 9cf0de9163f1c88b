"""What was asked of a sample, in words."""

import torch

from eval.protocol import create_protocol
from eval.wanted import told, wanted
from geotrans.types import Condition, ConditionSpec, Sample

SPEC = ConditionSpec(attributes=("Smiling", "Big_Nose"), aus=("AU01", "AU12"), emotion=("neutral", "happy"))


def test_only_what_changes_is_said() -> None:
    source = Condition(torch.tensor([[0.0, 1], [1, 1]]), torch.tensor([[0.0, 0.2], [0, 0]]), torch.eye(2))
    target = Condition(torch.tensor([[1.0, 0], [1, 1]]), torch.tensor([[0.0, 0.8], [0, 0.05]]), torch.eye(2)[[1, 1]])
    sample = Sample(torch.zeros(2, 3, 4, 4), source, target, id=("a", "b"))
    assert wanted(sample, SPEC) == ("Smiling, no Big_Nose, AU12 0.8, happy", "")
    assert (
        wanted(Sample(sample.image, None, target, id=("a", "b")), SPEC)[1]
        == "Smiling, Big_Nose, AU01 0.0, AU12 0.1, happy"
    )
    assert wanted(Sample(sample.image, source, id=("a", "b")), SPEC) == ("", "")


def test_words_are_about_what_a_judge_reads() -> None:
    protocol = create_protocol("synthface_emotion8_64")
    assert told(protocol, SPEC) == ConditionSpec(emotion=("neutral", "happy"))
    assert told(create_protocol("synthface_modality4_64"), SPEC) == SPEC
