"""PATN's networks and what its converters refuse; its recorded outputs are in test_convert_golden.py."""

import pytest
import torch

from geotrans import Condition, create_discriminator, create_model
from geotrans.models.patn import convert_patn, convert_patn_discriminator


def maps(channels, height=32, width=24):
    return Condition(structure=torch.rand(1, channels, height, width))


def picture(height=32, width=24):
    return torch.rand(1, 3, height, width) * 2 - 1


@torch.no_grad()
def test_attention_is_read_off_the_pose_and_goes_back_into_it():
    model = create_model("patn_64", width=4).eval()
    first, second = model.blocks[0], model.blocks[1]
    image, pose = torch.randn(1, 16, 6, 5), torch.randn(1, 16, 6, 5)
    moved, after = first(image, pose)
    code = first.pose(pose)
    torch.testing.assert_close(moved, image + code.sigmoid() * first.image(image))
    assert torch.equal(after, torch.cat([code, moved], dim=1))
    assert second(moved, after)[1].shape == after.shape


@torch.no_grad()
def test_both_poses_matter_and_any_multiple_of_four_will_do():
    model = create_model("patn_64", width=4).eval()
    image, target, source = picture(36, 20), maps(18, 36, 20), maps(18, 36, 20)
    plain = model(image, target, source).image
    assert plain.shape == image.shape
    assert (model(image, maps(18, 36, 20), source).image - plain).abs().max() > 1e-3
    assert (model(image, target, maps(18, 36, 20)).image - plain).abs().max() > 1e-3


def test_weights_start_as_in_the_official_code():
    """N(0, 0.02) for the generator, PyTorch's own start for the discriminators."""
    model = create_model("patn_fashion_256", width=16, blocks=2)
    judge = create_discriminator("patn_pose_d_256", width=16)
    for layer in (model.image_encoder[2][0], model.blocks[1].pose[2], model.decoder[0][0]):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
    weight = judge.encoder[2][0].weight
    assert weight.std().item() == pytest.approx((3 * weight[0].numel()) ** -0.5, rel=0.05)


def test_dropout_is_off_outside_training():
    model, args = create_model("patn_64", width=4), (picture(), maps(18), maps(18))
    assert torch.equal(model(*args).image, model(*args).image)
    model.train()
    assert not torch.equal(model(*args).image, model(*args).image)


@torch.no_grad()
def test_every_number_of_the_last_map_is_a_score():
    model = create_discriminator("patn_pose_d_256", width=4)
    critique = model(picture(64, 44), maps(18, 64, 44))
    assert critique.scores[0].shape == (1, 1, 16 * 16, 11)
    assert len(critique.features[0]) == 4
    assert torch.equal(critique.scores[0].view(1, 16, 16, 11), critique.features[0][-1])
    with pytest.raises(ValueError, match=r"Condition\.structure: expected shape \(1, 18, H, W\), got None"):
        model(picture())


@torch.no_grad()
def test_both_discriminators_judge_as_two_scales():
    model = create_discriminator("patn_d_64", width=4).eval()
    image, source, pose = picture(64, 44), picture(64, 44), maps(18, 64, 44)
    critique = model(image, Condition(structure=torch.cat([source, pose.structure], dim=1)))
    same, posed = model.appearance(image, Condition(structure=source)), model.shape(image, pose)
    for got, wanted in zip(critique.scores, (same.scores[0], posed.scores[0]), strict=True):
        assert torch.equal(got, wanted)
    assert [len(features) for features in critique.features] == [4, 4]


def test_converters_say_what_does_not_fit(golden):
    state, judge = golden("patn_g_market").state, golden("patn_d_pose").state
    with pytest.raises(ValueError, match=r"missing: model\.att\.2\.conv_block_stream2\.6\.weight"):
        convert_patn({k: v for k, v in state.items() if k != "model.att.2.conv_block_stream2.6.weight"})
    with pytest.raises(ValueError, match=r"unexpected: model\.head\.weight"):
        convert_patn({**state, "model.head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="another family"):
        convert_patn(judge)
    with pytest.raises(ValueError, match="another family"):
        convert_patn_discriminator(state)


def test_statistics_of_old_instance_norms_are_dropped(golden):
    state = golden("patn_g_fashion").state
    old = {
        **state,
        "model.stream1_down.2.running_mean": torch.zeros(4),
        "model.stream1_down.2.running_var": torch.ones(4),
    }
    model = convert_patn({f"module.{key}": value for key, value in old.items()})
    expected = convert_patn(state).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
