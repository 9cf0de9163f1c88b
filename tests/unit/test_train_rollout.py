"""Training on clips, frame after frame: what a rollout sees, whom its gradient reaches, and who judges its motion."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from geotrans import create_discriminator, create_model
from geotrans.animate import animate
from geotrans.base import Discriminator, Generator
from geotrans.data.synthface_clips import synthface_clips
from geotrans.losses.adversarial import gradient_penalty
from geotrans.losses.base import LossInputs
from geotrans.recipes.clips import gfla_face_64_clips_flow, gfla_face_64_clips_rollout
from geotrans.train.clips import roll_out, video_stage
from geotrans.train.loop import Trainer
from geotrans.train.recipe import LossTerm, Warmup, check_recipe
from geotrans.train.session import Session, train
from geotrans.train.step import Networks, discriminator_inputs, generator_inputs, make_batch
from geotrans.types import Condition, ConditionSpec, Critique, Translation
from tests.tiny_recipes import tiny

SIDE, RUN = 16, 4
READS, HAS = ConditionSpec(structure=16, needs_source=True), ConditionSpec(structure=16)
CLIPS = {"resolution": 32, "size": 8, "frames": 13}
SMALL = {"width": 4, "max_width": 8, "flow_width": 4, "flow_max_width": 8}


@pytest.fixture(scope="module", autouse=True)
def _plain_kernels():
    """For networks this small, oneDNN's preparations take longer than the convolutions."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    (enabled, *_) = torch.backends.mkldnn.set_flags(False)
    yield
    torch.backends.mkldnn.set_flags(enabled)
    torch.set_num_threads(before)


class Times(Generator):
    """The frame before, times a number that is learned."""

    references = 2

    def __init__(self):
        super().__init__(None)
        self.factor = nn.Parameter(torch.tensor(1.5))

    def forward(self, image, target, source=None):
        return Translation(self.factor * image[:, 0])


class Sum(Discriminator):
    """<1, clip>, times a number; of two frames."""

    def __init__(self):
        super().__init__(create_discriminator("gfla_video_d_64", width=2, frames=2).cfg)

    def forward(self, image, condition=None, flow=None):
        return Critique(((0.01 * image).sum((1, 2, 3, 4)).view(-1, 1, 1, 1),))


def clips(size=2, run=RUN):
    return make_batch(synthface_clips("train", SIDE, frames=run + 2, run=run).batch(range(size)), READS, HAS, "truth")


def small(**changes):
    return replace(tiny(gfla_face_64_clips_rollout(), 2), **changes)


def started(**changes):
    return Trainer(small(**changes), Accelerator(cpu=True))


def test_a_rollout_paints_what_an_animation_paints():
    torch.manual_seed(0)
    model = create_model("gfla_face_64", resolution=32, **SMALL).eval()
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.1)  # as it starts, it paints next to nothing
    sample = synthface_clips("test", 32, frames=6, run=5).batch([0])
    wanted = [Condition(structure=each) for each in sample.target.structure.unbind(1)]
    frames = list(animate(model, sample.image[:, 1], wanted, Condition(structure=sample.source.structure[:, 1])))
    for part in (1, 5):
        parts = roll_out(Networks(model), make_batch(sample, READS, HAS), part, learns=False)
        torch.testing.assert_close(torch.cat([output.image for _, output in parts]), torch.cat(frames))
    assert (frames[-1] - frames[0]).abs().max() > 0.01


def test_one_frame_is_the_step_that_there_was():
    torch.manual_seed(0)
    networks = Networks(create_model("gfla_face_64", resolution=SIDE, **SMALL))
    (single, output), _ = roll_out(networks, clips(run=2), 1)
    plain = make_batch(synthface_clips("train", SIDE, frames=4).batch([0, 1]), READS, HAS, "truth")
    expected = networks.translate(plain.image, plain.target, plain.source)
    assert torch.equal(output.image, expected.image)
    assert all(torch.equal(output.intermediates[key], value) for key, value in expected.intermediates.items())
    for name in ("image", "truth", "other"):
        assert torch.equal(getattr(single, name), getattr(plain, name))
    assert torch.equal(single.source.structure, plain.source.structure)
    assert torch.equal(single.target.structure, plain.target.structure)
    assert single.frames == plain.frames == 1


def test_each_frame_is_seen_with_the_one_painted_before_it_and_the_reference():
    batch = clips()
    wanted, (shown_before, shown) = batch.target.structure, batch.source.structure.unbind(1)
    for (seen, output), start in zip(roll_out(Networks(Times()), batch, 2), (0, 2), strict=True):
        first, second = seen.image[:2], seen.image[2:]
        torch.testing.assert_close(first[:, 0], 1.5**start * batch.image[:, 0])
        assert torch.equal(second[:, 0], output.image[:2])
        was, first_shown = seen.source.structure.unbind(1)
        assert torch.equal(was, torch.cat([wanted[:, start - 1] if start else shown_before, wanted[:, start]]))
        for part, whole in ((seen.image[:, 1], batch.image[:, 1]), (first_shown, shown)):
            assert torch.equal(part, torch.cat([whole, whole]))
        for part, whole in ((seen.target.structure, wanted), (seen.truth, batch.truth), (seen.other, batch.truth)):
            assert torch.equal(part, torch.cat([whole[:, start], whole[:, start + 1]]))
        assert seen.frames == 2
        assert not seen.image.requires_grad


@pytest.mark.parametrize(("through_time", "passes"), [(False, (1, 1, 1, 1)), (True, (1, 2, 1, 2))])
def test_the_gradient_stops_at_the_frame_before_or_where_the_rollout_starts(through_time, passes):
    """Frame t is w^t x: its slope is w^(t - 1) x by its own pass, and as much by each earlier one that it reaches."""
    model, batch = Times(), clips(1)
    parts = roll_out(Networks(model), batch, 2, through_time=through_time)
    frames = torch.cat([output.image for _, output in parts])
    for time, count in enumerate(passes):
        (slope,) = torch.autograd.grad(frames[time].sum(), model.factor, retain_graph=True)
        torch.testing.assert_close(slope, count * 1.5**time * batch.image[:, 0].sum(), rtol=1e-4, atol=1e-3)


def test_no_gradient_is_kept_where_nobody_learns():
    ((_, output),) = roll_out(Networks(Times()), clips(), RUN, learns=False, through_time=True)
    assert not output.image.requires_grad


def test_the_video_discriminator_sees_every_run_of_frames():
    batch = clips()
    networks = Networks(Times(), video=Sum(), real="truth")
    ((seen, output),) = roll_out(networks, batch, RUN)
    view, true, painted = video_stage(networks, seen, output)
    assert view.discriminator is networks.video
    made = output.image.unflatten(0, (RUN, -1)).transpose(0, 1)
    assert len(true.image) == len(painted.image) == 6
    for row, (start, clip) in enumerate((start, clip) for start in (0, 1, 2) for clip in (0, 1)):
        assert torch.equal(true.image[row], batch.truth[clip, start : start + 2])
        assert torch.equal(painted.image[row], made[clip, start : start + 2])
    needs = frozenset({"real", "fake"})
    learns, teaches = (see(view, needs, true, painted) for see in (discriminator_inputs, generator_inputs))
    for critique, pictures in ((learns.real, true.image), (learns.fake, painted.image), (teaches.fake, painted.image)):
        torch.testing.assert_close(critique.scores[0].flatten(), 0.01 * pictures.sum((1, 2, 3, 4)))
    assert not learns.fake.scores[0].requires_grad
    assert teaches.fake.scores[0].requires_grad


def test_a_gradient_penalty_takes_clips():
    real, fake = torch.zeros(3, 2, 3, 4, 4), torch.ones(3, 2, 3, 4, 4)
    value = gradient_penalty()(LossInputs(real, output=Translation(fake), critic=Sum()))
    torch.testing.assert_close(value, torch.full((3,), (0.01 * 96**0.5 - 1) ** 2))


def test_both_discriminators_learn_and_teach_and_stand_in_the_log():
    trainer = started()
    before = {name: value.clone() for name, value in trainer.tensors().items()}
    list(trainer.run(1))
    means = trainer.means.take()
    assert {"d/adv_lsgan_d", "d_video/adv_lsgan_d", "g/adv_lsgan_g", "g_video/adv_lsgan_g", "g/rec_l1"} <= means.keys()
    assert "g_video/rec_l1" not in means
    trainer.check_finite(means)
    after = trainer.tensors()
    changed = {name.partition("/")[0] for name, value in before.items() if not torch.equal(value, after[name])}
    assert {"generator", "discriminator", "video", "ema"} <= changed
    shared = {id(parameter) for parameter in trainer.d_parameters}  # whose gradients processes average
    assert {id(parameter) for parameter in trainer.networks.video.parameters()} <= shared


def test_the_weight_is_that_of_the_video_discriminator():
    """At 0, and without it, a generator learns the same, to the bit; at 1 it does not."""
    weights = []
    for changes in ({"video_discriminator": None, "video_options": {}}, {"video_weight": 0.0}, {"video_weight": 1.0}):
        trainer = started(**changes)
        list(trainer.run(1))
        weights.append(trainer.networks.generator.state_dict())
    without, off, on = weights
    assert all(torch.equal(value, off[name]) for name, value in without.items())
    assert not all(torch.equal(value, on[name]) for name, value in without.items())


def test_the_optimisers_step_once_for_each_part_of_a_clip():
    trainer = started(dataset_options={**CLIPS, "run": 9})
    list(trainer.run(2))
    assert (trainer.step, trainer.images) == (2, 4)
    assert [trainer.tensors()[f"{name}/0.step"].item() for name in ("g_optim", "d_optim")] == [6, 6]


def test_further_steps_of_the_discriminators_take_whole_clips_too():
    trainer = started(n_critic=2, dataset_options={**CLIPS, "run": 6})
    list(trainer.run(1))
    assert [trainer.tensors()[f"{name}/0.step"].item() for name in ("g_optim", "d_optim")] == [2, 4]


def test_a_run_draws_the_last_frames_and_publishes(tmp_path):
    [folder] = train(small(), Session(tmp_path, sample_every=2, log_every=1), Accelerator(cpu=True))
    assert create_model(f"local-dir:{folder}", pretrained=True).cfg.width == 4
    assert [path.name for path in sorted((tmp_path / "samples").iterdir())] == ["00000002.png", "00000004.png"]
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["images"] == 4
    assert last["d_video/adv_lsgan_d"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rollout": 0}, "rollout: expected at least 1, got 0"),
        ({"video_weight": -1.0}, "video_weight: expected 0 or more, got -1"),
        ({"rollout": 2}, "rollout: gfla_video_d_64 judges 3 frames, so expected 3 or more, got 2"),
        ({"rollout": 1, "through_time": False}, "rollout: gfla_video_d_64 judges 3 frames, .* got 1"),
        ({"rollout": 4, "video_options": {"frames": 5}}, "judges 5 frames, so expected 5 or more, got 4"),
        ({"video_discriminator": "gfla_d_64"}, "video_discriminator: gfla_d_64 judges pictures; expected one of clips"),
        ({"video_discriminator": "gfla_video_64"}, "no discriminator is named 'gfla_video_64'; did you mean"),
        ({"rollout": 1, "video_discriminator": None}, "through_time: there is no time in single frames"),
        ({"directions": "both"}, 'directions: a rollout goes one way, got "both"'),
        ({"fed_back": 0.5}, "fed_back: a rollout feeds every frame back; leave it at 0"),
        ({"real": "target"}, 'real: the real frames of a rollout are its true ones; expected "truth", got "target"'),
        (
            {"warmup": Warmup(8), "d_losses": (LossTerm("adv_lsgan_d"), LossTerm("cls_bce_real"))},
            "warmup.images: a warm-up learns from single pictures",
        ),
        ({"g_losses": (LossTerm("rec_l1"),)}, "g_losses: none is of critiques"),
        ({"d_losses": ()}, "d_losses: none is of critiques"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_in_a_line(changes, message):
    recipe = gfla_face_64_clips_rollout()
    check_recipe(recipe)
    with pytest.raises((LookupError, ValueError), match=message) as caught:
        check_recipe(replace(recipe, **changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_options": {**CLIPS, "run": 5}}, "rollout: 5 wanted frames are no multiple of 3"),
        ({"dataset_options": {"resolution": 32}}, r"rollout: expected samples of clips with 3 .*dataset_options\.run$"),
        (
            {"generator": "gfla_view_64", "generator_options": {}},
            "rollout: gfla_view_64 does not read the frame before",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        list(started(**changes).run(1))


def test_clips_are_refused_where_a_step_paints_single_frames():
    recipe = tiny(gfla_face_64_clips_flow(), 1)
    recipe = replace(recipe, dataset_options={**recipe.dataset_options, "run": 4})
    with pytest.raises(ValueError, match="rollout: samples want 4 frames each, and a step paints 1"):
        list(Trainer(recipe, Accelerator(cpu=True)).run(1))
