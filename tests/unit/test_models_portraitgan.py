import pytest
import torch
from torch.nn import functional as F

from geotrans import ConditionSpec, create_discriminator, create_model
from geotrans.models.patchgan import receptive_field
from geotrans.ops.images import resize
from geotrans.ops.landmarks import draw_landmarks
from geotrans.types import Condition


def tiny(**options):
    return create_model("portraitgan_base_512", **{"width": 4, "blocks": 1, **options})


def batch(n=2, side=64, modalities=2):
    modality = torch.eye(modalities)[torch.arange(n) % modalities]
    return torch.rand(n, 3, side, side) * 2 - 1, Condition(modality=modality, landmarks=torch.rand(n, 68, 2) - 0.5)


def test_pictures_at_every_level():
    model = tiny(levels=4)
    assert model.stem[0].in_channels == 3 + 1 + 2
    image, target = batch()
    out = model(image, target)
    pictures = [out.image, *(out.intermediates[f"image_{k}"] for k in (1, 2, 3))]
    assert [tuple(p.shape) for p in pictures] == [(2, 3, 64 // 2**k, 64 // 2**k) for k in range(4)]
    assert all(p.abs().max() <= 1 for p in pictures)
    assert set(out.intermediates) == {"image_1", "image_2", "image_3"}
    torch.testing.assert_close(out.image, out.warped + out.mask * out.residual)
    assert set(tiny()(image, target).intermediates) == {"image_1"}


def test_a_branch_at_full_size_is_judged_beside_the_result():
    model = tiny(levels=2, full_branch=True)
    image, target = batch()
    out = model(image, target)
    assert {name: tuple(p.shape) for name, p in out.intermediates.items()} == {
        "image_1": (2, 3, 32, 32),
        "image_full": (2, 3, 64, 64),
    }
    judge = create_discriminator("portraitgan_d_64", width=4)
    with torch.no_grad():
        scores = judge.examine(out).scores
        parts = [(out.image, 0), (out.intermediates["image_full"], 0)]
        parts += [(resize(out.image, 32), 1), (out.intermediates["image_1"], 1)]
        seen = [judge.judge(picture, level).scores[0] for picture, level in parts]
    assert len(scores) == 2
    torch.testing.assert_close(scores[0], torch.cat(seen[:2], dim=3))
    torch.testing.assert_close(scores[1], torch.cat(seen[2:], dim=3))


def test_score_maps_at_512_and_256():
    model = create_discriminator("portraitgan_d_512", width=2)
    critique = model(torch.rand(1, 3, 512, 512))
    assert [tuple(scores.shape) for scores in critique.scores] == [(1, 1, 62, 62), (1, 1, 30, 30)]
    assert [len(maps) for maps in critique.features] == [4, 4]


def test_receptive_field_is_70_pixels():
    cfg = create_discriminator("portraitgan_d_512", width=2).cfg
    assert receptive_field(cfg.layers) == 70
    patch = create_discriminator("portraitgan_d_512", width=2).levels[0]
    for norm in [m for m in patch.modules() if isinstance(m, torch.nn.GroupNorm | torch.nn.InstanceNorm2d)]:
        norm.forward = lambda x: x  # a norm would let every pixel reach every score
    image = torch.rand(1, 3, 256, 256, requires_grad=True)
    patch(image).scores[0][0, 0, 15, 15].backward()
    rows = (image.grad.abs().sum(dim=(0, 1, 3)) > 0).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_only_another_modality_changes_the_picture():
    model = tiny()
    image, target = batch(1)
    other = Condition(modality=1 - target.modality, landmarks=target.landmarks)
    assert (model(image, other).image - model(image, target).image).abs().max() > 1e-3


def test_only_other_landmarks_change_the_picture():
    model = tiny()
    image, target = batch(1)
    other = Condition(modality=target.modality, landmarks=target.landmarks.flip(2))
    assert (model(image, other).image - model(image, target).image).abs().max() > 1e-3


def test_landmarks_enter_as_a_drawing():
    model = tiny(line_width=3.0)
    seen = []
    model.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image, target = batch()
    model(image, target)
    drawn = draw_landmarks(target.landmarks, 64, 64, line_width=3.0)
    modality = target.modality[:, :, None, None].expand(-1, -1, 64, 64)
    assert torch.equal(seen[0], torch.cat([image, drawn, modality], dim=1))


def test_one_generator_serves_both_cycles():
    model = tiny()
    image, target = batch()
    back = Condition(modality=target.modality.flip(1), landmarks=target.landmarks.flip(0))
    for first, second in ((target, back), (back, target)):
        model.zero_grad()
        middle = model(image, first).image
        F.l1_loss(model(middle, second).image, image).backward()
        assert all(p.grad is not None for name, p in model.named_parameters() if "auxiliary" not in name)


def test_discriminators_see_the_picture_made_smaller_or_the_branch():
    model = create_discriminator("portraitgan_d_64")
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    critique = model(image)
    torch.testing.assert_close(critique.scores[0], model.judge(image, 0).scores[0])
    torch.testing.assert_close(critique.scores[1], model.judge(resize(image, 32), 1).scores[0])
    branch = torch.rand(2, 3, 32, 32)
    assert (model.judge(branch, 1).scores[0] - critique.scores[1]).abs().max() > 0


def test_small_variant_translates_four_modalities():
    image, target = batch(4, modalities=4)
    assert create_model("portraitgan_base_64")(image, target).image.shape == image.shape


def test_wrong_arguments_are_named():
    image, target = batch()
    with pytest.raises(ValueError, match=r"Condition\.landmarks: expected shape \(2, 68, 2\)"):
        tiny()(image, Condition(modality=target.modality))
    with pytest.raises(ValueError, match="sides that divide by 16, got 24 x 64"):
        tiny()(image[:, :, :24], target)
    with pytest.raises(ValueError, match="levels: expected 1 to 4"):
        tiny(levels=5)
    with pytest.raises(ValueError, match="landmarks=True"):
        tiny(condition=ConditionSpec(modality=("photo", "sketch")))
