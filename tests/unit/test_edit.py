import pytest
import torch

from geotrans import Condition, create_model
from geotrans.data.synthface import synthface
from geotrans.edit import combine, condition_from, translate
from geotrans.faces import Region, find_face


@pytest.fixture
def spm():
    torch.manual_seed(0)
    return create_model("spm_refine_64", width=4, blocks=1, refine_blocks=1)


def smile(batch=1):
    return Condition(attributes=torch.tensor([[1.0, 0, 0, 0]]).expand(batch, -1))


def test_at_the_models_own_size_it_is_the_model(spm):
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(translate(spm, image, smile(2)).image, spm(image, smile(2)).image)


@pytest.mark.parametrize("size", [(50, 71), (200, 130), (64, 65)])
def test_any_size_comes_back_with_the_equation_intact(spm, size):
    image = torch.rand(1, 3, *size) * 2 - 1
    out = translate(spm, image, smile())
    assert out.image.shape == image.shape
    assert out.flow.shape[2:] == size
    torch.testing.assert_close(out.image, (out.warped + out.mask * out.residual).clamp(-1, 1), atol=1e-5, rtol=0)


def test_a_model_that_changes_nothing_keeps_every_pixel_of_a_large_picture(spm):
    torch.nn.init.zeros_(spm.motion[-1].weight)
    torch.nn.init.zeros_(spm.refine[-2].weight)
    image = torch.rand(1, 3, 150, 90) * 2 - 1
    torch.testing.assert_close(translate(spm, image, smile()).image, image, atol=1e-4, rtol=0)


def test_models_without_motion_or_paint_work_too():
    image = torch.rand(1, 3, 90, 40) * 2 - 1
    for name in ("spm_warp_64", "spm_paint_64", "stargan_base_64"):
        assert translate(create_model(name, width=4, blocks=1), image, smile()).image.shape == image.shape


def test_condition_from_settings(spm):
    condition = condition_from(spm, {"Big_Nose": 0.5}, torch.zeros(2, 3, 4, 4))
    assert condition.attributes.tolist() == [[0, 0, 0.5, 0]] * 2
    with pytest.raises(ValueError, match="has no column 'Nose'; it has: Smiling"):
        condition_from(spm, {"Nose": 1}, torch.zeros(1, 3, 4, 4))


def test_combine_refuses_what_has_no_motion(spm):
    image = torch.rand(1, 3, 64, 64)
    assert combine(spm, image, [smile(), smile()], [0.5, 0.5]).image.shape == image.shape
    for name in ("stargan_base_64", "spm_paint_64"):
        with pytest.raises(TypeError, match="no motion fields to combine"):
            combine(create_model(name, width=4), image, [smile()])
    with pytest.raises(ValueError, match="2 weights for 1 targets"):
        combine(spm, image, [smile()], [1, 1])


@pytest.mark.parametrize("region", [Region(5, 3, 20), Region(-6, -4, 30), Region(30, 40, 25)])
def test_pasting_what_was_cut_changes_nothing(region):
    image = torch.rand(1, 3, 50, 60)
    patch = region.cut(image)
    assert patch.shape == (1, 3, region.side, region.side)
    torch.testing.assert_close(region.paste(image, patch), image)


def test_pasting_changes_the_inside_only():
    image = torch.zeros(1, 3, 40, 40)
    out = Region(10, 12, 16).paste(image, torch.ones(1, 3, 16, 16))
    assert out[0, 0, 20, 18] == 1
    outside = out.clone()
    outside[:, :, 12:28, 10:26] = 0
    assert outside.abs().max() == 0


@pytest.mark.parametrize(
    ("region", "size", "inside"),
    [
        (Region(3, 4, 10), (20, 30), Region(3, 4, 10)),
        (Region(-6, -2, 30), (20, 26), Region(0, 0, 20)),
        (Region(18, 9, 14), (20, 30), Region(16, 6, 14)),
        (Region(10, -8, 40), (20, 60), Region(20, 0, 20)),
    ],
)
def test_a_region_is_brought_inside_its_image(region, size, inside):
    assert region.inside(*size) == inside


def test_the_face_of_a_drawn_picture_is_cut_as_models_saw_it():
    drawn = synthface("test", 128).batch(range(4)).image
    found = [find_face(image[None]) for image in drawn]
    assert [region for region in found if region is not None] == [Region(0, 0, 128)] * 4
