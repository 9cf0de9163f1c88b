"""Figures: what they ask of a model, that they show what it answers, and what the command says to mistakes."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from geotrans import figures, save_folder
from geotrans.base import Generator
from geotrans.cli import main
from geotrans.data import _procedural
from geotrans.factory import create_dataset, create_model
from geotrans.figures import conditions, overlays
from geotrans.figures.command import FIGURES, Figure
from geotrans.figures.layout import Rows
from geotrans.ops.images import read_image, to_uint8, write_image
from geotrans.ops.landmarks import draw_landmarks
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec, Sample, Translation
from geotrans.viz import flow_to_rgb, heat

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


class Keep(Generator):
    """Returns its input."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        return Translation(image)


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
    torch.testing.assert_close(sample.image, torch.ones(2, 3, 32, 32))
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
    sample = Sample(torch.rand(1, 3, 64, 64) * 2 - 1)
    small = {"width": 4, "blocks": 1}
    only = figures.sweep(create_model("spm_warp_64", **small), sample, ["Smiling"], steps=2)
    both = figures.sweep(create_model("spm_refine_64", refine_blocks=1, **small), sample, ["Smiling"], steps=2)
    assert 128 <= both.shape[2] - only.shape[2] <= 140


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


def test_attention_shows_the_mask():
    model = create_model("ganimation_base_64", width=4, blocks=1)
    nn.init.zeros_(model.mask.weight)  # a mask of 1/2, twice of which is 1
    sheet = figures.attention(model, Sample(torch.zeros(1, 3, 64, 64)), ["AU12", "AU26"])
    assert area(sheet, (252, 255, 164)) == 2 * CELL
    with pytest.raises(ValueError, match="Toy has no mask: it paints nothing"):
        figures.attention(Toy(ToyConfig()), grey())
    with pytest.raises(ValueError, match="MUNIT paints the whole picture anew"):
        figures.attention(create_model("munit_base_64"), figures.faces(create_model("munit_base_64"), 1))


def test_arrows_go_from_where_content_was_to_where_it_is():
    """A backward flow of -1/2 at the middle takes content a quarter of the picture to the right."""
    flow = torch.zeros(1, 2, 33, 33)
    flow[0, 0, 16, 16] = -0.5
    drawn = overlays.arrows(torch.ones(1, 3, 33, 33), flow, scale=8, count=33)
    red = (drawn[0, 1] < 0).nonzero()
    assert red[:, 1].min().item() == pytest.approx(16.5 * 8 - 66, abs=3)
    assert red[:, 1].max().item() == pytest.approx(16.5 * 8, abs=3)
    assert red[:, 0].float().mean().item() == pytest.approx(16.5 * 8, abs=1.5)
    thin, wide = (red[place, 0].max() - red[place, 0].min() for place in (red[:, 1] < 100, red[:, 1] > 116))
    assert wide > 2 * thin  # the head is on the right
    longer = overlays.arrows(torch.ones(1, 3, 33, 33), flow, scale=8, count=33, stretch=1.5)
    assert (longer[0, 1] < 0).nonzero()[:, 1].max().item() == pytest.approx(16.5 * 8 + 33, abs=3)


def test_no_motion_has_no_arrows():
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    assert torch.equal(to_uint8(overlays.arrows(image, torch.zeros(2, 2, 16, 16))), to_uint8(image))


def test_the_grid_bends_with_the_picture():
    black = -torch.ones(1, 3, 32, 32)
    still = overlays.bent_grid(black, torch.zeros(1, 2, 32, 32), cells=4)[0, 0]
    assert (still[:, 7:9] > -0.6).all()
    assert torch.equal(still[12, 10:14], -torch.ones(4))
    flow = torch.zeros(1, 2, 32, 32)
    flow[:, 0] = -3 * 2 / 32  # content goes 3 pixels to the right
    moved = overlays.bent_grid(black, flow, cells=4)[0, 0]
    torch.testing.assert_close(moved[:, 10:], still[:, 7:-3])


def test_motion_is_drawn_on_one_scale_with_the_true_flow():
    spec = ConditionSpec(("Smiling",))
    model = Shift(ToyConfig(condition=spec))
    sample = figures.faces(model, 1)
    sheet = figures.motion(model, sample, ["Smiling", "Smiling=0.5"])
    flow = torch.tensor([-0.5, 0.0]).view(1, 2, 1, 1)
    for part in (1.0, 0.5):
        colour = to_uint8(flow_to_rgb(part * flow, 0.5))[0, :, 0, 0].tolist()
        assert area(sheet, tuple(colour)) > 0.99 * 256 * 256
    more = figures.motion(model, sample, ["Smiling", "target"])
    assert more.shape[2] - sheet.shape[2] in range(256, 270)
    with pytest.raises(ValueError, match="Toy moves nothing"):
        figures.motion(Toy(ToyConfig()), grey())


def test_a_basis_shows_each_field_and_their_sums():
    model = create_model("spm_warp_64", width=4, blocks=1)
    sample = Sample(torch.rand(1, 3, 64, 64) * 2 - 1)
    two, three, four = (
        figures.basis(model, sample, model.cfg.condition.attributes[:count]).shape[3] for count in (2, 3, 4)
    )
    assert three - two == 4 * 132  # one, two of the pairs, and the sum of three
    assert three - four == 2 * 132
    with pytest.raises(ValueError, match="expected a weight for each edit, got 1 weights for 2 edits"):
        figures.basis(model, sample, ["Smiling", "Big_Nose"], [1.0])
    with pytest.raises(ValueError, match="a sum needs two edits or more, got Smiling"):
        figures.basis(model, sample, ["Smiling"])
    with pytest.raises(TypeError, match="Toy has no motion fields to combine"):
        figures.basis(Toy(ToyConfig()), grey())


def test_weights_scale_the_fields():
    model = create_model("spm_warp_64", width=4, blocks=1)
    sample = Sample(torch.rand(1, 3, 64, 64) * 2 - 1)
    picture = figures.basis(model, sample, ["Smiling", "Big_Nose"], [1.0, 0.0])
    columns = [picture[..., -16 - 128 - 132 * k : -16 - 132 * k] for k in (2, 0)]  # Smiling, Smiling + 0 Big_Nose
    rows = slice(80, 300)
    torch.testing.assert_close(columns[0][:, :, rows], columns[1][:, :, rows])


def test_a_pyramid_has_a_row_for_each_level():
    sample = Sample(torch.rand(1, 3, 64, 64) * 2 - 1)
    small = {"width": 4, "blocks": 1, "refine_blocks": 1}
    two = figures.pyramid(create_model("spm_pyramid_64", **small), sample, ["Smiling"])
    three = figures.pyramid(create_model("spm_pyramid_64", kernels=(3, 3), **small), sample, ["Smiling"])
    assert three.shape[2] - two.shape[2] == 132
    with pytest.raises(ValueError, match="SPM shows one resolution only"):
        figures.pyramid(create_model("spm_refine_64", **small), sample)


def test_a_pyramid_shows_what_the_levels_made():
    model = create_model("portraitgan_base_64", width=4, max_width=8, blocks=1)
    nn.init.zeros_(model.auxiliary[0].weight)
    nn.init.constant_(model.auxiliary[0].bias, 0.5)
    sheet = figures.pyramid(model, figures.faces(model, 1), ["sketch"])
    assert area(sheet, level(float(torch.tensor(0.5).tanh()))) == CELL


def test_landmarks_are_interpolated():
    model = Drawer(ToyConfig(condition=FACES))
    sample = figures.faces(model, 1, task="emotion", at_rest=False)
    sheet = figures.landmark_interpolation(model, sample, steps=3)
    middle = torch.lerp(sample.source.landmarks, sample.target.landmarks, 0.5)
    cell = Rows(["x"], ["x"], [[draw_landmarks(middle, 32, 32, line_width=1.0)[0].expand(3, -1, -1)]]).drawn("", "")
    drawn = cell[..., -16 - 128 : -16, -16 - 128 : -16]
    column = sheet[..., -16 - 3 * 132 - 128 + 132 : -16 - 3 * 132 + 132]
    places = column.unfold(2, 128, 1).permute(0, 2, 1, 4, 3)[0]
    assert ((places - drawn).abs().amax((1, 2, 3)) < 0.02).sum() == 2  # the landmarks, and the result
    twice = figures.landmark_interpolation(model, sample, ["sketch"], steps=3)
    assert twice.shape[2] - sheet.shape[2] == 132
    with pytest.raises(ValueError, match="Toy reads no landmarks"):
        figures.landmark_interpolation(Toy(ToyConfig()), grey())


# Distances


def test_distances_are_those_of_the_judge():
    toy = Toy(ToyConfig(64, condition=EMOTIONS))
    found = figures.embedding_distances({"toy": toy, "same": Keep(ToyConfig(64, condition=EMOTIONS))}, 3)
    assert list(found.moved) == ["true picture", "toy", "same"]
    assert {len(values) for own in found.moved.values() for values in own.values()} == {3}
    assert all(values.abs().max() < 1e-5 for values in found.moved["same"].values())
    assert float(found.strangers.mean()) > 0.5
    assert all(0 < values.mean() < 0.2 for values in found.moved["true picture"].values())


def test_distances_of_attributes_are_of_faces_that_lack_them():
    seen = []

    class Spy(Keep):
        def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
            seen.append(target.attributes)
            return super().forward(image, target, source)

    spec = ConditionSpec(("Smiling", "Big_Nose"))
    found = figures.embedding_distances({"spy": Spy(ToyConfig(64, condition=spec))}, 4)
    assert list(found.moved) == ["spy"]
    assert list(found.moved["spy"]) == ["Smiling", "Big_Nose"]
    assert [attributes[:, k].tolist() for k, attributes in enumerate(seen)] == [[1.0] * 4] * 2


def test_what_distances_need(monkeypatch):
    with pytest.raises(ValueError, match=r"all read action units or emotions, or all the same attributes; got a \("):
        figures.embedding_distances(
            {"a": Toy(ToyConfig(condition=AUS)), "b": Toy(ToyConfig(condition=ConditionSpec(("Smiling",))))}
        )
    with pytest.raises(ValueError, match="a reads dark, light, which the built-in faces do not have"):
        figures.embedding_distances({"a": Toy(ToyConfig())})
    with pytest.raises(ValueError, match="expected at least 2 faces"):
        figures.embedding_distances({"a": Toy(ToyConfig(condition=AUS))}, 1)
    monkeypatch.setitem(_procedural.SPLITS, "test", 64)
    with pytest.raises(ValueError, match=r"the test split has \d faces for each expression, got 20"):
        figures.embedding_distances({"a": Toy(ToyConfig(condition=EMOTIONS))}, 20)


def test_the_chart_has_a_bar_for_each_mean():
    chart = figures.embedding_distance({"toy": Toy(ToyConfig(64, condition=EMOTIONS))}, 2)
    assert chart.shape[:2] == (1, 3)
    assert area(chart, (59, 111, 182)) > 1000


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "geotrans-gan\[docs\]"'):
        figures.embedding_distance({"toy": Toy(ToyConfig(64, condition=EMOTIONS))}, 2)


# The command


@pytest.fixture
def folder(tmp_path):
    """Names of tiny published models."""

    def publish(arch: str, **options: object) -> str:
        path = save_folder(create_model(arch, **options), tmp_path / arch, arch=arch, tag="test")
        return f"local-dir:{path}"

    return publish


def fails(capsys, *arguments):
    """A user's mistake: exit code 2 and one line on stderr, which is returned."""
    with pytest.raises(SystemExit) as stop:
        main(["figure", *map(str, arguments)])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("geotrans figure: ")
    return lines[0]


SMALL = {"width": 4, "blocks": 1}


@pytest.mark.parametrize(
    ("name", "arch", "options"),
    [
        ("attention", "spm_refine_64", {**SMALL, "refine_blocks": 1}),
        ("basis", "spm_warp_64", SMALL),
        ("difference", "ganimation_base_64", SMALL),
        ("embedding_distance", "spm_warp_64", SMALL),
        ("landmark_interpolation", "portraitgan_base_64", {"width": 4, "max_width": 8, "blocks": 1}),
        ("motion", "defgan_base_64", SMALL),
        ("pyramid", "spm_pyramid_64", {**SMALL, "refine_blocks": 1}),
        ("sweep", "defgan_base_64", SMALL),
    ],
)
def test_every_figure_is_written(name, arch, options, folder, tmp_path):
    out = tmp_path / f"{name}.png"
    main(["figure", name, "--model", folder(arch, **options), "--rows", "2", "-o", str(out)])
    assert min(read_image(out).shape[2:]) > 128
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_every_figure_is_tested_and_listed(capsys):
    cases = next(mark for mark in test_every_figure_is_written.pytestmark if mark.name == "parametrize").args[1]
    assert {case[0] for case in cases} == set(FIGURES)
    with pytest.raises(SystemExit):
        main(["figure", "--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and figure.line in shown for name, figure in FIGURES.items())


def test_pictures_and_several_models(folder, tmp_path):
    write_image(tmp_path / "photo.jpg", torch.rand(1, 3, 50, 70) * 2 - 1)
    one, two = folder("spm_warp_64", **SMALL), folder("spm_refine_64", refine_blocks=1, **SMALL)
    own = ["--image", str(tmp_path / "photo.jpg"), "--crop", "whole", "--columns", "Smiling", "Big_Nose"]
    main(["figure", "difference", "--model", one, "--model", two, *own, "-o", str(tmp_path / "out.jpg")])
    assert read_image(tmp_path / "out.jpg").shape[2] > 4 * 128


def seen_by(monkeypatch, *arguments, **fields):
    """The job that a figure gets."""
    jobs = []

    def draw(job):
        jobs.append(job)
        return torch.zeros(1, 3, 8, 8)

    monkeypatch.setitem(FIGURES, "spy", Figure("", draw, rows=1, **fields))
    main(["figure", "spy", *map(str, arguments)])
    return jobs[0]


def test_untrained_weights_do_not_pass_for_trained_ones(monkeypatch, tmp_path, capsys):
    out = tmp_path / "out.png"
    assert "identity has no weights" in fails(capsys, "difference", "--model", "identity", "-o", out)
    assert not out.exists()
    job = seen_by(monkeypatch, "--model", "identity", "--untrained", "-o", out)
    assert job.title == "identity (untrained)"
    assert out.exists()
    trained = seen_by(monkeypatch, "--model", "spm_warp_64.synthface", "-o", out)
    assert trained.title == "spm_warp_64.synthface"


def test_a_model_without_columns_is_shown_what_it_was_trained_on(monkeypatch, tmp_path):
    trained = {"name": "synthface", "options": {"task": "modality", "domains": ["sketch", "photo"], "size": 8}}
    model = create_model("identity")
    path = save_folder(model, tmp_path / "model", arch="identity", tag="test", dataset=trained)
    job = seen_by(monkeypatch, "--model", f"local-dir:{path}", "--index", 5, "-o", tmp_path / "out.png")
    options = {"task": "modality", "domains": ("sketch", "photo"), "resolution": model.cfg.resolution}
    expected = create_dataset("synthface", split="test", **options)
    torch.testing.assert_close(job.sample.image, expected.batch([5]).image)


def test_mistakes_are_one_line(folder, tmp_path, capsys):
    out, model = tmp_path / "out.png", folder("spm_warp_64", **SMALL)

    def line(name, *arguments, to=out):
        return fails(capsys, name, "--model", model, *arguments, "-o", to)

    assert "no figure is named 'sweeep'; did you mean 'sweep'?" in line("sweeep")
    assert "there is no folder" in line("sweep", to=tmp_path / "none" / "out.png")
    assert "no image format has the suffix '.xyz'" in line("sweep", to=tmp_path / "out.xyz")
    (tmp_path / "folder.png").mkdir()
    assert "folder.png is a folder; name a file" in line("sweep", to=tmp_path / "folder.png")
    assert "SPM shows one resolution only" in line("pyramid")
    assert "SPM has no mask" in line("attention")
    assert "motion has no use for --steps" in line("motion", "--steps", "3")
    assert "embedding_distance has no use for --columns" in line("embedding_distance", "--columns", "Smiling")
    assert "motion takes one --model, got 2; several fit on: difference" in line("motion", "--model", model)
    assert "did you mean 'Smiling'?" in line("sweep", "--columns", "Smilling")
    assert "--rows: expected at least 1, got 0" in line("sweep", "--rows", "0")
    assert "index 5000 is outside" in line("sweep", "--index", "5000")
    assert "--index picks faces of a dataset; leave out --image" in line("sweep", "--image", "a.png", "--index", "1")
    assert "a.png: no such file" in line("sweep", "--image", "a.png")
    assert "--crop cuts your own pictures" in line("sweep", "--crop", "face")
    assert "--device nonsense:" in line("sweep", "--device", "nonsense")
    assert "embedding_distance takes faces of the test split" in line("embedding_distance", "--image", "a.png")
    assert "no dataset is named 'synthfaec'" in line("sweep", "--data", "synthfaec")
    assert not out.exists()
