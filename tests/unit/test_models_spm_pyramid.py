import pytest
import torch
from torch.nn import functional as F

from geotrans import ConditionSpec, create_model
from geotrans.models.spm import authors_unit
from geotrans.models.spm_pyramid import convert_adspm
from geotrans.types import Condition


def columns(n):
    return ConditionSpec(attributes=tuple(f"a{i}" for i in range(n)))


def tiny(name="spm_refine_256", **options):
    return create_model(name, **{"width": 8, "blocks": 1, "refine_blocks": 1, **options})


def batch(n=2, side=32, attributes=4):
    return torch.rand(n, 3, side, side) * 2 - 1, Condition(attributes=torch.rand(n, attributes))


def silence(model, *names):
    """Zero the last convolution of the small nets, so that their corrections are 0."""
    for name in names:
        for net in getattr(model, name):
            torch.nn.init.zeros_(net[2].weight)


@pytest.mark.parametrize(("size", "side"), [(256, 64), (512, 96)])
def test_the_registered_layout_is_that_of_the_authors_files(golden, size, side):
    case = golden(f"adspm_g{size}")
    converted = convert_adspm(case.state, resolution=side)
    model = create_model(f"spm_official_{size}", width=converted.cfg.width, resolution=side)
    assert model.cfg == converted.cfg
    model.load_state_dict(converted.state_dict())
    out = model(case.inputs["image"], Condition(attributes=case.inputs["cond"]))
    case.close("It_512" if size == 512 else "It_h", out.image)


def test_converter_says_what_does_not_fit(golden):
    state = golden("adspm_g256").state
    with pytest.raises(ValueError, match=r"missing: refine\.0\.weight"):
        convert_adspm({k: v for k, v in state.items() if k != "refine.0.weight"})
    with pytest.raises(ValueError, match=r"unexpected: head\.weight"):
        convert_adspm({**state, "head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"'flow_refine\.0\.weight' is missing.*another family"):
        convert_adspm({k: v for k, v in state.items() if "flow_refine" not in k})


@pytest.mark.parametrize(("name", "levels"), [("spm_refine_256", 1), ("spm_refine_512", 2), ("spm_official_256", 1)])
def test_equation_shapes_and_ranges_hold_at_every_level(name, levels):
    image, target = batch(attributes=1 if "official" in name else 4)
    out = tiny(name)(image, target)
    got = out.intermediates
    assert len(got) == 6 * levels
    for k in range(levels):
        side = 32 // 2 ** (levels - k)
        assert got[f"flow_{k}"].shape == (2, 2, side, side)
        painted = (got[f"warped_{k}"] + got[f"mask_{k}"] * got[f"residual_{k}"]).clamp(-1, 1)
        torch.testing.assert_close(got[f"image_{k}"], painted)
    torch.testing.assert_close(out.image, (out.warped + out.mask * out.residual).clamp(-1, 1))
    assert 0 <= out.mask.min() <= out.mask.max() <= 1
    assert (out.flow.shape, out.mask.shape) == ((2, 2, 32, 32), (2, 1, 32, 32))


@pytest.mark.parametrize("align_corners", [False, True])
def test_without_corrections_everything_is_enlarged_bilinearly(align_corners):
    model = tiny(align_corners=align_corners)
    silence(model, "motion", "mask", "residual")
    out = model(*batch())
    low = {k: v for k, v in out.intermediates.items() if k.endswith("_0")}

    def enlarge(x):
        return F.interpolate(x, (32, 32), mode="bilinear", align_corners=align_corners)

    unit = authors_unit if align_corners else lambda flow: flow
    torch.testing.assert_close(unit(out.flow), enlarge(unit(low["flow_0"])))
    torch.testing.assert_close(out.mask, enlarge(low["mask_0"]))
    torch.testing.assert_close(out.residual, enlarge(low["residual_0"]))


def test_masking_twice_masks_before_enlarging():
    model = tiny(mask_twice=True)
    silence(model, "residual")
    out = model(*batch())
    masked = out.intermediates["residual_0"] * out.intermediates["mask_0"]
    torch.testing.assert_close(out.residual, F.interpolate(masked, (32, 32), mode="bilinear"))


def test_motion_of_a_level_corrects_by_at_most_max_motion():
    model = tiny(max_motion=0.2)
    torch.nn.init.zeros_(model.low.motion[-1].weight)
    torch.nn.init.constant_(model.motion[0][2].weight, 1e3)
    model.motion[0][0][1].bias.data.fill_(1.0)  # a constant input would otherwise be normalised to zero
    pixels = model(*batch()).flow.detach() * 32 / 2
    assert float(pixels.abs().max()) == pytest.approx(0.2 * 31, rel=1e-4)


def test_the_small_low_stage_takes_the_weights_of_spm_refine_64():
    create_model("spm_pyramid_64").low.load_state_dict(create_model("spm_refine_64").state_dict())


def test_a_trained_low_stage_fits_in():
    low, pyramid = create_model("spm_refine_128", width=8, blocks=1, refine_blocks=1), tiny()
    pyramid.low.load_state_dict(low.state_dict())
    image, target = batch()
    out = pyramid(image, target).intermediates
    torch.testing.assert_close(out["image_0"], low(out["source_0"], target).image)


def test_basis_of_one_condition_is_the_plain_forward():
    model = tiny("spm_refine_512")
    image, target = batch()
    torch.testing.assert_close(model.combine(image, [target], [1.0]).image, model(image, target).image)


def test_basis_sums_flows_at_every_level_and_takes_the_largest_mask():
    model = tiny("spm_refine_512")
    image, first = batch()
    second = Condition(attributes=1 - first.attributes)
    one, two, both = model(image, first), model(image, second), model.combine(image, [first, second], [0.5, 2.0])
    torch.testing.assert_close(both.flow, 0.5 * one.flow + 2 * two.flow)
    torch.testing.assert_close(both.mask, torch.maximum(one.mask, two.mask))
    parts = [t.intermediates["flow_1"] for t in (one, two, both)]
    torch.testing.assert_close(parts[2], 0.5 * parts[0] + 2 * parts[1])


def test_condition_reaches_the_image():
    model = tiny("spm_pyramid_64")
    image, _ = batch(1, 64)
    off, on = (model(image, Condition(attributes=torch.full((1, 4), v))).image for v in (0.0, 1.0))
    assert (on - off).abs().max() > 1e-4


def test_any_rectangle_that_divides():
    image = torch.rand(1, 3, 24, 40)
    assert tiny()(image, Condition(attributes=torch.rand(1, 4))).image.shape == image.shape
    with pytest.raises(ValueError, match=r"sides that divide by 8, got 24 x 36"):
        tiny()(torch.rand(1, 3, 24, 36), Condition(attributes=torch.rand(1, 4)))
    with pytest.raises(ValueError, match="at least one kernel"):
        tiny(kernels=())


def test_512_pixels_in_one_call():
    image = torch.rand(1, 3, 512, 512) * 2 - 1
    with torch.inference_mode():
        out = tiny("spm_refine_512", width=4)(image, Condition(attributes=torch.rand(1, 4)))
    assert out.image.shape == image.shape
    assert out.intermediates["image_0"].shape == (1, 3, 128, 128)


@pytest.mark.slow
def test_512_pixels_at_full_width():
    image = torch.rand(1, 3, 512, 512) * 2 - 1
    with torch.inference_mode():
        out = create_model("spm_refine_512")(image, Condition(attributes=torch.rand(1, 4)))
    assert out.image.isfinite().all()
