"""A judge in a folder in place of a registered one: the same readings, by name of column, signed with its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval.judges import judge_features, parse_judges
from eval.networks import network_digest
from eval.protocol import create_protocol
from geotrans.factory import create_feature
from geotrans.types import ConditionSpec
from hub import files
from hub.folder import bundled_folder
from tests.eval_kit import fails, run

ATTRIBUTES = ("Smiling", "Arched_Eyebrows", "Big_Nose", "Pointy_Nose")
FACES, PEOPLE = bundled_folder("judge_synthface_64"), bundled_folder("judge_identity_64")


def _pictures() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)


def test_columns_are_found_by_name() -> None:
    spec = ConditionSpec(attributes=("Big_Nose", "Smiling"))
    judges = parse_judges(
        [f"attributes=local-dir:{FACES}", f"identity={PEOPLE}", f"features={FACES}", "aus=synthface_aus"]
    )
    found = judge_features(judges, spec)
    assert len(found) == 3
    pictures, registered = (
        _pictures(),
        {name: create_feature(f"synthface_{name}") for name in ("attributes", "identity")},
    )
    places = [ATTRIBUTES.index(name) for name in spec.attributes]
    assert torch.equal(found[judges["attributes"]](pictures), registered["attributes"](pictures)[:, places])
    assert torch.equal(found[judges["identity"]](pictures), registered["identity"](pictures))
    assert found[judges["features"]](pictures).shape == (2, 128)
    assert network_digest(judges["attributes"]) == files.sha256(FACES / "model.safetensors")[:12]
    assert network_digest("local-dir:nowhere#aus") == "absent"


@pytest.mark.parametrize(
    ("texts", "spec", "text"),
    [
        ([f"attributes={PEOPLE}"], ConditionSpec(), "holds a judge of identity, which cannot play attributes"),
        ([f"view={FACES}"], ConditionSpec(view=("left",)), "does not read view left; it reads Smiling, "),
        ([f"emotion={FACES}"], ConditionSpec(emotion=("bored",)), "does not read emotion bored"),
        ([f"aus={bundled_folder('spm_refine_64.synthface')}"], ConditionSpec(), "holds spm_refine_64, not a judge"),
    ],
)
def test_a_judge_that_cannot_play_its_role_is_refused(texts: list[str], spec: ConditionSpec, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        judge_features(parse_judges(texts), spec)


def test_the_command_takes_a_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--protocol", "synthface_attr4_64", "--models", "identity", "--limit", 4, "--metrics", "attr_accuracy"]
    run(*argv, "--output", tmp_path / "one")
    run(*argv, "--output", tmp_path / "two", "--judge", f"attributes={FACES}")
    capsys.readouterr()
    one, two = (files.read_json(tmp_path / name / "results.json")["boards"][0] for name in ("one", "two"))
    assert one["rows"][0]["scores"]["attr_accuracy"]["value"] == two["rows"][0]["scores"]["attr_accuracy"]["value"]
    assert one["protocol"]["hash"] != two["protocol"]["hash"]
    assert "net:judge_synthface_64#attributes@29f979fe16dc" in two["rows"][0]["scores"]["attr_accuracy"]["signature"]
    for judge, text in (
        ("attributes", "--judge attributes: expected ROLE=FEATURE or ROLE=FOLDER"),
        ("attributes=synthface_attribute", "no feature is named 'synthface_attribute'; did you mean"),
        (
            "mood=synthface_aus",
            "synthface_attr4_64 has no judge of mood; it has judges of: attributes, features, identity",
        ),
        ("attributes=local-dir:nowhere", "nowhere"),
    ):
        assert text in fails(capsys, *argv, "--judge", judge, "--output", tmp_path / "three")


def test_asked_judges_are_no_part_of_the_standard() -> None:
    protocol = create_protocol("spm_rafd_acc")
    assert replace(protocol, judges={**protocol.judges, "emotion": "local-dir:x#emotion"}).digest() == protocol.digest()
    assert replace(protocol, judges={"identity": "other"}).digest() != protocol.digest()
