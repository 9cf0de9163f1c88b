"""Intrinsic Flow against the official code's numbers, and how its parts come together."""

import pytest
import torch
import torch.nn.functional as F

from geotrans import Condition, convert, create_model, save_folder
from geotrans.models.intrflow import (
    _flow_rules,
    _generator_rules,
    convert_intrflow,
    convert_intrflow_discriminator,
)
from geotrans.ops.flow import from_pixels, to_pixels
from geotrans.ops.warp import warp


def official(golden):
    """Both recorded networks, as one file would hold them."""
    return {"flow": golden("intrflow_flow").state, "generator": golden("intrflow_g").state}


def flat(states):
    return {f"{part}.{key}": value for part, state in states.items() for key, value in state.items()}


def maps(batch=1, side=64):
    return Condition(structure=torch.rand(batch, 18, side, side))


def picture(batch=1, side=64):
    return torch.rand(batch, 3, side, side) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("way", ["at once", "by a folder"])
def test_networks_reproduce_the_official_code(golden, tmp_path, way):
    model = convert("intrflow", official(golden), resolution=64)
    if way == "by a folder":
        save_folder(model, tmp_path / "out", arch="intrflow_fashion_256", tag="converted")
        model = create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    cfg = model.cfg
    assert (cfg.width, cfg.max_width, cfg.scales, cfg.warped_scales, cfg.blocks) == (4, 12, 4, 3, 2)
    assert (cfg.flow_width, cfg.flow_max_width, cfg.flow_levels, cfg.auxiliary, cfg.blend) == (3, 24, 5, (1,), False)
    case = golden("intrflow_flow")
    poses = [Condition(structure=case.inputs[name]) for name in ("pose_target", "pose_source")]
    case.close("feature", model.flow_net.features(torch.cat([poses[1].structure, poses[0].structure], dim=1))[0])
    out = model(picture(), *poses)
    case.close("flow", to_pixels(out.flow) / 20)
    case.close("visibility", out.intermediates["visibility"])
    for scale in range(5):
        unit = 20 / 2 ** (scale + 1)  # pixels of its own map
        case.close(f"flow_scale_{scale}", to_pixels(out.intermediates[f"flow_{scale}"]) / unit)
    case = golden("intrflow_g")
    image, flow = case.inputs["image"], from_pixels(case.inputs["flow"])
    seen = F.one_hot(case.inputs["visibility"][:, 0].long(), 3).permute(0, 3, 1, 2).float()
    features = model.renderer(case.inputs["pose"], image, flow, seen)
    case.close("out", model.head(features))
    case.close("image", model.head(features).tanh())
    case.close("aux", model.auxiliary[0](features))
    case.close("warped_image", warp(image, flow))


@pytest.mark.parametrize(
    "options",
    [
        {"width": 4, "max_width": 64, "scales": 4, "warped_scales": 3},  # no size is as wide as that
        {"width": 4, "max_width": 10, "scales": 3, "warped_scales": 2, "blocks": 1, "flow_max_width": 500},
        {"width": 4, "max_width": 4, "scales": 5, "warped_scales": 5, "flow_max_width": 6, "auxiliary": (1, 7)},
        {"width": 5, "scales": 1, "warped_scales": 1, "blocks": 3, "flow_levels": 2},
    ],
)
@torch.no_grad()
def test_other_sizes_convert_and_compute_the_same(options):
    model = create_model("intrflow_64", blend=False, **{"flow_width": 4, **options}).eval()
    back = {ours: theirs for theirs, ours in (_flow_rules(model.cfg) | _generator_rules(model.cfg)).items()}
    state = {}
    for key, value in model.state_dict().items():
        prefix = max((p for p in back if key.startswith(f"{p}.")), key=len)
        state[f"{back[prefix]}{key.removeprefix(prefix)}"] = value
    twins = {key.replace("encp_", "enca_"): value for key, value in state.items() if "_downsample" in key}
    args = picture(), maps(), maps()
    again = convert_intrflow({**state, **twins}, resolution=64).eval()
    assert torch.equal(again(*args).image, model(*args).image)


@torch.no_grad()
def test_pixels_that_can_be_seen_may_be_kept():
    model = create_model("intrflow_64", width=4, flow_width=4)
    image, target, source = picture(), maps(), maps()
    out = model(image, target, source)
    painted = out.intermediates["painted"]
    torch.testing.assert_close(out.image, (1 - out.mask) * out.warped + out.mask * painted)
    assert torch.equal(out.warped, warp(image, out.flow))
    assert 0 < out.mask.min() < out.mask.max() < 1
    plain = create_model("intrflow_64", width=4, flow_width=4, blend=False)
    assert (plain(image, target, source).mask == 1).all()


@torch.no_grad()
def test_what_is_hidden_is_black_among_the_moved_pixels():
    model = create_model("intrflow_64", width=4, flow_width=4, black=True)
    image = picture() * 0.5
    out = model(image, maps(), maps())
    seen = out.intermediates["visibility"].argmax(1, keepdim=True) == 0
    assert 0 < seen.float().mean() < 1
    assert torch.equal(out.warped, torch.where(seen, warp(image, out.flow), -torch.ones(())))
    torch.testing.assert_close(out.image, out.warped + out.mask * out.residual)
    assert create_model("intrflow_fashion_256", width=4, flow_width=4).cfg.black
    assert create_model("intrflow_market_128", width=4, flow_width=4).cfg.black


@torch.no_grad()
def test_hidden_features_come_in_another_way_than_seen_ones():
    renderer = create_model("intrflow_64", width=4).eval().renderer
    pose, image, flow = maps().structure, picture(), torch.zeros(1, 2, 64, 64)
    outs = [
        renderer(pose, image, flow, F.one_hot(torch.full((1, 64, 64), c), 3).permute(0, 3, 1, 2).float())
        for c in range(3)
    ]
    assert (outs[0] - outs[1]).abs().max() > 1e-4
    assert (outs[1] - outs[2]).abs().max() > 1e-4


@torch.no_grad()
def test_features_move_by_the_flow_at_every_size():
    """A flow of 16 pixels is a whole pixel of the features of every warped size: what stands there moves with it."""
    model = create_model("intrflow_64", width=4, warped_scales=5).eval()
    pose, image = torch.zeros(1, 18, 128, 128), torch.zeros(1, 3, 128, 128)
    image[:, :, 32:96, 48:80] = picture(side=64)[:, :, :, :32]
    flow = from_pixels(torch.tensor([16.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 128, 128))
    seen = F.one_hot(torch.zeros(1, 128, 128, dtype=torch.long), 3).permute(0, 3, 1, 2).float()
    blocks = model.renderer.seen
    got = {name: [] for name in ("still", "moved")}
    for name, motion in (("still", torch.zeros_like(flow)), ("moved", flow)):
        hooks = [
            block.register_forward_pre_hook(lambda module, args, name=name: got[name].append(args[0]))
            for scale in blocks
            for block in scale
        ]
        model.renderer(pose, image, motion, seen)
        for hook in hooks:
            hook.remove()
    for still, moved in zip(got["still"], got["moved"], strict=True):
        step = still.shape[3] * 16 // 128
        torch.testing.assert_close(moved[..., :-step], still[..., step:], atol=1e-5, rtol=1e-4)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"multiples of 128, got \(64, 64\)"):
        create_model("intrflow_fashion_256", width=4, flow_width=4)(picture(), maps(), maps())


def test_converters_say_what_does_not_fit(golden):
    state = flat(official(golden))
    with pytest.raises(ValueError, match=r"missing: flow\.predict_vis\.1\.bias"):
        convert_intrflow({k: v for k, v in state.items() if k != "flow.predict_vis.1.bias"})
    with pytest.raises(ValueError, match=r"unexpected: generator\.dec_extra\.weight"):
        convert_intrflow({**state, "generator.dec_extra.weight": torch.zeros(1)})
    with pytest.raises(
        ValueError, match=r"enca_0_downsample\.1\.weight and generator\.encp_0_downsample\.1\.weight differ"
    ):
        convert_intrflow({**state, "generator.enca_0_downsample.1.weight": torch.zeros(8, 4, 3, 3)})
    with pytest.raises(ValueError, match="another family"):
        convert_intrflow({"x": torch.zeros(1)})
    with pytest.raises(ValueError, match="is missing"):
        convert_intrflow_discriminator(golden("intrflow_g").state)


@pytest.mark.parametrize("one", ["flow", "generator"])
def test_one_of_the_two_official_files_asks_for_the_other(golden, one):
    with pytest.raises(ValueError, match="expected both state dicts in one"):
        convert("intrflow", official(golden)[one])
