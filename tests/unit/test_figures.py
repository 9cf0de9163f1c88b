"""Figures: what they ask of a model, that they show what it answers, and what the command says to mistakes."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from geotrans import figures
from geotrans.base import Generator
from geotrans.cli import main
from geotrans.factory import create_dataset, create_model, save_folder
from geotrans.figures import conditions, overlays
from geotrans.figures.command import FIGURES, Figure
from geotrans.figures.layout import Rows
from geotrans.ops.images import read_image, to_uint8, write_image
from geotrans.ops.landmarks import draw_landmarks
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec, Sample, Translation
from geotrans.viz import heat

TWO = ConditionSpec(attributes=("dark", "light"))
AUS = ConditionSpec(aus=("AU04", "AU06", "AU12", "AU25"))
EMOTIONS = ConditionSpec(emotion=("neutral", "happy", "sad"))
FACES = ConditionSpec(modality=("photo", "sketch"), landmarks=True)


@dataclass(frozen=True)
class ToyConfig:
    resolution: int = 32
    width: int = 1
    condition: ConditionSpec = TWO


class Toy(Generator):
    """A grey picture: half of `light`, minus half of `dark`."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        vector = self.cfg.condition.vector(target, len(image))
        level = 0.5 * (vector[:, 1] - vector[:, 0])
        return Translation(level[:, None, None, None].expand_as(image).contiguous())


class Drawer(Generator):
    """Draws the target's landmarks."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        assert target.landmarks is not None
        assert target.modality is not None
        drawn = draw_landmarks(target.landmarks, *image.shape[2:], line_width=1.0).expand_as(image)
        return Translation(torch.where(target.modality[:, 1].view(-1, 1, 1, 1) > 0.5, -drawn, drawn))


class Shift(Generator):
    """Moves the picture to the right by a quarter, times the first column."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        vector = self.cfg.condition.vector(target, len(image))
        flow = torch.zeros(len(image), 2, *image.shape[2:])
        flow[:, 0] = -0.5 * vector[:, :1, None]
        warped = warp(image, flow)
        return Translation(warped, flow, warped)


def grey(count: int = 1, side: int = 32) -> Sample:
    return Sample(torch.zeros(count, 3, side, side), source=Condition(attributes=torch.zeros(count, 2)))


def area(sheet: Tensor, colour: tuple[int, int, int]) -> int:
    """How many pixels have the colour, give or take one level."""
    far = (to_uint8(sheet)[0].int() - torch.tensor(colour)[:, None, None]).abs().amax(0)
    return int((far <= 1).sum())


def level(value: float) -> tuple[int, int, int]:
    return (round((value + 1) * 127.5),) * 3


CELL = 128 * 128  # pictures of 32 px are enlarged to this


# What is asked of a model


def test_a_column_is_set_and_the_others_stay():
    sample = Sample(torch.zeros(2, 3, 8, 8), source=Condition(aus=torch.full((2, 4), 0.25)))
    aus = conditions.edited(AUS, sample, "AU12").aus
    assert aus.tolist() == [[0.25, 0.25, 1.0, 0.25]] * 2
    assert conditions.edited(AUS, sample, "AU04=0.5 + AU25").aus.tolist() == [[0.5, 0.25, 0.25, 1.0]] * 2
    assert sample.source.aus.tolist() == [[0.25] * 4] * 2


def test_an_expression_is_the_whole_of_the_action_units():
    sample = Sample(torch.zeros(2, 3, 8, 8), source=Condition(aus=torch.full((2, 4), 0.25)))
    torch.testing.assert_close(conditions.edited(AUS, sample, "happy").aus, torch.tensor([[0.0, 0.9, 1.0, 0.8]] * 2))


def test_emotions_exclude_each_other():
    sample = Sample(torch.zeros(1, 3, 8, 8), source=Condition(emotion=torch.tensor([[0.0, 1.0, 0.0]])))
    assert conditions.edited(EMOTIONS, sample, "sad").emotion.tolist() == [[0.0, 0.0, 1.0]]
    torch.testing.assert_close(
        conditions.edited(EMOTIONS, sample, "sad=0.25").emotion, torch.tensor([[0.0, 0.75, 0.25]])
    )


def test_a_picture_is_taken_to_be_at_rest():
    sample = Sample(torch.zeros(2, 3, 8, 8))
    assert conditions.known_source(EMOTIONS, sample).emotion.tolist() == [[1.0, 0.0, 0.0]] * 2
    assert conditions.known_source(AUS, sample).aus.tolist() == [[0.0] * 4] * 2
    with pytest.raises(ValueError, match="reads landmarks, which a picture alone does not tell"):
        conditions.known_source(FACES, sample)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("AU13", "the model has no column 'AU13'; did you mean"),
        ("AU12=2", "AU12: expected a value from 0 to 1, got 2"),
        ("AU12=nan", "AU12: expected a value from 0 to 1, got nan"),
        ("AU12=much", "AU12=much: expected COLUMN or COLUMN=VALUE"),
        ("AU12+", "no column ''"),
        ("surprised", "no column 'surprised'"),  # it has AUs that this model does not read
        ("target", "nobody knows a target of these pictures; name columns instead: AU04"),
    ],
)
def test_what_cannot_be_asked(edit, message):
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        conditions.edited(AUS, Sample(torch.zeros(1, 3, 8, 8)), edit)


def test_the_way_between_two_conditions_takes_the_landmarks_along():
    source = Condition(modality=torch.tensor([[1.0, 0.0]]), landmarks=torch.zeros(1, 68, 2))
    target = Condition(modality=torch.tensor([[0.0, 1.0]]), landmarks=torch.ones(1, 68, 2))
    middle = conditions.blend(source, target, 0.25)
    assert middle.modality.tolist() == [[0.75, 0.25]]
    assert torch.equal(middle.landmarks, torch.full((1, 68, 2), 0.25))
    assert middle.aus is None


# Which pictures


def test_faces_are_other_people_at_rest_in_the_models_columns():
    model = create_model("spm_warp_64", width=4, blocks=1)
    sample = figures.faces(model, 6)
    assert sample.image.shape == (6, 3, 64, 64)
    assert sample.source.attributes.sum() <= 6  # two in three faces of the split have two attributes or more
    indices = [int(name.rpartition("-")[2]) for name in sample.id]
    assert len({index // 4 for index in indices}) == 6
    again = figures.faces(model, index=indices)
    torch.testing.assert_close(again.image, sample.image)
    truth = create_dataset("synthface", split="test").batch(indices).source.attributes
    assert torch.equal(sample.source.attributes, truth)
    assert figures.faces(model, 6, seed=1).id != sample.id


def test_each_model_gets_the_pairs_that_it_changes():
    for spec, part in ((EMOTIONS, "emotion"), (AUS, "aus")):
        sample = figures.faces(Toy(ToyConfig(condition=spec)), 3, index=[0, 1, 2])
        truth = create_dataset("synthface", split="test", task="emotion").batch([0, 1, 2])
        columns = [getattr(create_dataset("synthface").spec, part).index(name) for name in getattr(spec, part)]
        assert torch.equal(getattr(sample.target, part), getattr(truth.target, part)[:, columns])
    shapes = figures.faces(create_model("spm_warp_64", width=4, blocks=1, condition=ConditionSpec(("circle",))), 2)
    assert [name.split("-")[0] for name in shapes.id] == ["shapes", "shapes"]
    style = figures.faces(create_model("munit_base_64"), 2)
    assert style.target.style.shape == (2, 8)
    assert not torch.equal(style.target.style, style.source.style)


def test_columns_that_no_built_in_data_has():
    with pytest.raises(ValueError, match=r"no built-in dataset has all that the model reads \(Hat\)"):
        figures.faces(Toy(ToyConfig(condition=ConditionSpec(("Hat",)))))
    with pytest.raises(ValueError, match="which shapes does not have"):
        figures.faces(Toy(ToyConfig(condition=AUS)), data="shapes")
    with pytest.raises(ValueError, match="the test split has 500 people, got 501"):
        figures.faces(Toy(ToyConfig(condition=AUS)), 501)


def test_pictures_are_cut_square(tmp_path):
    wide = torch.zeros(1, 3, 40, 80)
    wide[..., 20:60] = 1
    write_image(tmp_path / "wide.png", wide)
    sample = figures.pictures(Toy(ToyConfig()), [tmp_path / "wide.png"] * 2, "whole")
    assert torch.equal(sample.image, torch.ones(2, 3, 32, 32))
    assert sample.id == ("wide.png", "wide.png")
    assert sample.source is None


# What they show


def test_a_sweep_goes_from_the_source_to_the_edit():
    sheet = figures.sweep(Toy(ToyConfig()), grey(), ["light"], steps=3)
    assert area(sheet, level(0.25)) == CELL
    assert area(sheet, level(0.5)) == CELL
    assert area(sheet, level(0)) >= 2 * CELL  # the source, and alpha 0
    both = figures.sweep(Toy(ToyConfig()), grey(2), ["light", "dark"], steps=3)
    assert area(both, level(-0.5)) == area(both, level(0.5)) == 2 * CELL


def test_a_sweep_starts_at_the_sources_own_value():
    sample = Sample(torch.zeros(1, 3, 32, 32), source=Condition(attributes=torch.tensor([[0.0, 0.6]])))
    sheet = figures.sweep(Toy(ToyConfig()), sample, ["light"], steps=2)
    assert area(sheet, level(0.3)) == CELL
    assert area(sheet, level(0.5)) == CELL


def test_a_sweep_of_a_model_that_moves_and_paints_shows_both():
    model = create_model("spm_refine_64", width=4, blocks=1, refine_blocks=1)
    sample = Sample(torch.rand(1, 3, 64, 64) * 2 - 1)
    one, both = (figures.sweep(m, sample, ["Smiling"], steps=2) for m in (Toy(ToyConfig()), model))
    assert both.shape[2] - one.shape[2] > 128 if one.shape[2] else False


def test_sweeps_that_make_no_sense():
    with pytest.raises(ValueError, match="Identity reads no condition, so there is nothing to sweep"):
        figures.sweep(create_model("identity"), grey())
    with pytest.raises(ValueError, match="steps: expected at least 2, got 1"):
        figures.sweep(Toy(ToyConfig()), grey(), steps=1)


def test_a_difference_is_scaled_by_a_round_number():
    """`light=0.4` moves grey by a tenth of the range: times 8, the largest round number below 10."""
    sheet = figures.difference({"toy": Toy(ToyConfig())}, grey(), ["light=0.4", "light=0"])
    shade = to_uint8(heat(torch.full((1, 1, 1, 1), 0.8)))[0, :, 0, 0].tolist()
    assert area(sheet, tuple(shade)) == CELL
    assert area(sheet, (0, 0, 4)) == CELL


def test_models_on_one_figure_read_the_same():
    others = {"a": Toy(ToyConfig()), "b": Toy(ToyConfig(condition=AUS))}
    with pytest.raises(ValueError, match="must be alike: a reads dark, light, b reads AU04, AU06, AU12, AU25"):
        figures.difference(others, grey())
    with pytest.raises(ValueError, match="must be alike: a works at 32 pixels, b works at 64 pixels"):
        figures.difference({"a": Toy(ToyConfig()), "b": Toy(ToyConfig(64))}, grey())
