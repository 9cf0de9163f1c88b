import pytest
import torch

from geotrans import ConditionSpec, create_model
from geotrans.types import Condition


def columns(n):
    return ConditionSpec(attributes=tuple(f"a{i}" for i in range(n)))


def tiny(name, **options):
    return create_model(name, **{"width": 8, "blocks": 1, "refine_blocks": 1, **options})


def batch(n=2, side=32, attributes=4):
    return torch.rand(n, 3, side, side) * 2 - 1, Condition(attributes=torch.rand(n, attributes))


def test_shapes_and_ranges():
    image, target = batch()
    out = tiny("spm_refine_128")(image, target)
    assert out.image.shape == image.shape
    assert out.flow.shape == (2, 2, 32, 32)
    assert out.mask.shape == (2, 1, 32, 32)
    assert out.image.abs().max() <= 1
    assert 0 <= out.mask.min() <= out.mask.max() <= 1


def test_largest_motion_is_a_fraction_of_the_image():
    model = tiny("spm_refine_128", max_motion=0.1)
    torch.nn.init.constant_(model.motion[-1].weight, 1e3)
    image, target = batch()
    pixels = model(image, target).flow.detach() * 32 / 2
    assert float(pixels.abs().max()) == pytest.approx(0.1 * 31, rel=1e-5)


def test_zero_motion_returns_the_source_and_zero_mask_paints_nothing():
    model = tiny("spm_refine_128")
    image, target = batch()
    torch.nn.init.zeros_(model.motion[-1].weight)
    out = model(image, target)
    torch.testing.assert_close(out.warped, image, atol=1e-6, rtol=0)
    torch.nn.init.zeros_(model.refine[-2].weight)
    torch.testing.assert_close(model(image, target).image, image, atol=1e-6, rtol=0)


def test_ablations_have_no_motion_or_no_paint():
    image, target = batch()
    paint, motion = tiny("spm_paint_128")(image, target), tiny("spm_warp_128")(image, target)
    assert paint.flow is None
    assert torch.equal(paint.warped, image)
    assert motion.mask is None
    assert torch.equal(motion.image, motion.warped)
    with pytest.raises(ValueError, match="motion or refine"):
        tiny("spm_refine_128", motion=False, refine=False)


def test_the_paint_ablation_still_hears_the_condition():
    model = tiny("spm_paint_128")
    image, _ = batch(1)
    off, on = (model(image, Condition(attributes=torch.full((1, 4), v))).residual for v in (0.0, 1.0))
    assert (on - off).abs().max() > 1e-3


def test_basis_of_one_condition_is_the_plain_forward():
    model = tiny("spm_refine_128")
    image, target = batch()
    torch.testing.assert_close(model.combine(image, [target], [1.0]).image, model(image, target).image)


def test_basis_sums_flows():
    model = tiny("spm_refine_128")
    image, first = batch()
    second = Condition(attributes=1 - first.attributes)
    flow = 0.5 * model(image, first).flow + 2 * model(image, second).flow
    torch.testing.assert_close(model.combine(image, [first, second], [0.5, 2.0]).flow, flow)


def test_missing_condition_is_named():
    with pytest.raises(ValueError, match=r"Condition\.attributes: expected shape \(2, 4\) \(Smiling, .*\), got None"):
        tiny("spm_refine_128")(batch()[0], Condition())
