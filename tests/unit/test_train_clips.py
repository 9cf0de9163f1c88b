"""Training on frames of clips: own frames fed back, losses over several references, pictures of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from geotrans import create_loss, create_model, viz
from geotrans.data.synthface_clips import synthface_clips
from geotrans.losses.base import LossInputs
from geotrans.recipes.clips import gfla_face_64_clips, gfla_face_64_clips_flow
from geotrans.train.clips import fed_back
from geotrans.train.loop import Trainer
from geotrans.train.recipe import check_recipe
from geotrans.train.step import Networks, make_batch
from geotrans.types import Condition, ConditionSpec, Translation
from tests.tiny_recipes import tiny


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("gfla_face_64", width=4, max_width=8, flow_width=4, flow_max_width=8)


@pytest.fixture(scope="module")
def sample():
    return synthface_clips("train", 32, frames=9).batch([2, 5, 11, 14])


def batch_of(model, sample):
    return make_batch(sample, model.cfg.condition, ConditionSpec(structure=16), "truth")


def test_the_frame_before_is_what_the_generator_makes_of_the_reference(model, sample):
    batch = batch_of(model, sample)
    fed = fed_back(Networks(model), batch, 0.5)
    assert torch.equal(fed.image[2:], batch.image[2:])
    assert torch.equal(fed.image[:, 1], batch.image[:, 1])
    before, reference = sample.source.structure[:2].unbind(1)
    with torch.no_grad():
        made = model(batch.image[:2, 1], Condition(structure=before), Condition(structure=reference)).image
    torch.testing.assert_close(fed.image[:2, 0], made)
    assert not fed.image.requires_grad
    assert fed.source is batch.source
    assert torch.equal(batch.image, sample.image)  # the batch itself is as it was
    assert fed_back(Networks(model), batch, 0.1) is batch  # less than half a sample


def test_pictures_that_are_no_frames_of_clips_are_refused(model):
    single = synthface_clips("train", 32, references=1).batch([0, 1])
    batch = make_batch(single, model.cfg.condition, ConditionSpec(structure=16), "truth")
    with pytest.raises(ValueError, match="fed_back: samples are no frames of clips"):
        fed_back(Networks(model), batch, 1.0)
    with pytest.raises(ValueError, match=r"fed_back: expected a share in \[0, 1\], got 2"):
        check_recipe(replace(gfla_face_64_clips(), fed_back=2.0))


def test_fed_back_frames_reach_the_weights():
    weights = []
    for share in (0.0, 1.0):
        recipe = replace(tiny(gfla_face_64_clips(), 2), fed_back=share)
        trainer = Trainer(recipe, Accelerator(cpu=True))
        list(trainer.run(2))
        trainer.check_finite(trainer.means.take())
        weights.append(trainer.networks.generator.get_parameter("sources.0.0.2.weight").detach().clone())
    assert not torch.equal(*weights)


def inputs(sample, flows):
    names = [f"flow_{scale}_{reference}" for reference in (0, 1) for scale in (0, 1)]
    output = Translation(sample.truth, intermediates=dict(zip(names, flows, strict=True)))
    return LossInputs(sample.image, truth=sample.truth, output=output)


def test_losses_of_motion_add_up_over_references(sample):
    torch.manual_seed(0)
    flows = [0.1 * torch.randn(4, 2, side, side) for side in (8, 16, 8, 16)]
    options = {"feature": "synthface_features", "layers": ("quarter", "half"), "sampling": "bilinear"}
    for loss in (create_loss("flow_sampling", **options), create_loss("flow_affine")):
        both = loss(inputs(sample, flows))
        alone = 0
        for reference in (0, 1):
            parts = dict(zip(("flow_0", "flow_1"), flows[2 * reference : 2 * reference + 2], strict=True))
            output = Translation(sample.truth, intermediates=parts)
            alone = alone + loss(LossInputs(sample.image[:, reference], truth=sample.truth, output=output))
        torch.testing.assert_close(both, alone)


def test_the_true_flow_of_each_reference_has_a_lower_loss_than_none():
    """The features tell where a reference looks like the wanted frame, or the flow could not learn from them."""
    loss = create_loss("flow_sampling", feature="synthface_features", layers=("quarter", "half"), sampling="bilinear")
    data = synthface_clips("train", 64, frames=9, starts=1.0)
    sample = data.batch(range(3, 48, 8))
    losses = []
    for flow in (sample.flow, 0 * sample.flow, -sample.flow):
        coarse, fine = (torch.nn.functional.avg_pool2d(flow, size) for size in (4, 2))
        losses.append(float(loss(inputs(sample, [coarse, fine, coarse, fine])).mean()))
    assert losses[0] < 0.8 * losses[1] < losses[2]


def test_nothing_blows_up_where_features_have_signs():
    """Of a picture of noise no feature is like the target's; the best similarity may then be next to nothing."""
    loss = create_loss("flow_sampling", feature=lambda image, layers: [image], layers=("any",), sampling="bilinear")
    image = torch.full((1, 3, 8, 8), -1.0)
    image[..., 0, 0] = 1e-6
    output = Translation(image, flow=torch.zeros(1, 2, 8, 8))
    value = loss(LossInputs(image, truth=torch.ones(1, 3, 8, 8), output=output))
    assert value.isfinite().all()
    assert value.max() <= 1


def test_colours_are_those_of_the_reference(model, sample):
    batch = batch_of(model, sample)
    model.eval()
    with torch.no_grad():
        out = model(batch.image, batch.target, batch.source).image
        plain = create_model("gfla_face_64", width=4, flow_width=4, restore_colours=False).eval()
        grey = plain(batch.image, batch.target, batch.source).image
    means = sample.image[:, 1].mean((2, 3))
    torch.testing.assert_close(out.mean((2, 3)), means, atol=0.05, rtol=0)  # untrained, it paints next to nothing
    assert (grey.mean((2, 3)) - means).abs().max() > 0.2


def test_a_sheet_shows_the_reference_that_the_motion_is_told_from(model, sample):
    batch = batch_of(model, sample)
    with torch.no_grad():
        out = model.eval()(batch.image, batch.target, batch.source)
    assert torch.equal(sample.reference, sample.image[:, 0])
    single = replace(sample, image=sample.image[:, 0])
    assert torch.equal(viz.sheet(sample, out), viz.sheet(single, out))


def test_structures_of_several_references_are_checked():
    spec = ConditionSpec(structure=16)
    spec.check(Condition(structure=torch.zeros(2, 3, 16, 8, 8)), 2)
    for shape in ((2, 16, 8), (2, 16, 3, 8, 8), (1, 3, 16, 8, 8), (2, 15, 8, 8)):
        with pytest.raises(ValueError, match=r"Condition.structure: expected shape \(2, 16, H, W\)"):
            spec.check(Condition(structure=torch.zeros(*shape)), 2)


def test_the_second_stage_starts_where_the_first_one_ends():
    first, second = gfla_face_64_clips_flow(), gfla_face_64_clips()
    name = f"{first.generator}_{first.tag}"
    assert second.start == f"local-dir:runs/{name}/published/{first.generator}.{first.tag}"
    assert first.generator == second.generator
