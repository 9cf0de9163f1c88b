"""GFLA's networks: what moves, what is painted, and the variants for clips and views."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from geotrans import Condition, create_discriminator, create_model
from geotrans.layers.attention import BilinearSampling, GlobalAttention, LocalAttention
from geotrans.models.gfla import (
    GFLA,
    GFLAConfig,
    convert_gfla,
    encoder_rules,
    flow_rules,
    renderer_rules,
)
from geotrans.models.gfla_d import SpectralConv, convert_gfla_discriminator
from geotrans.ops.flow import resize
from geotrans.ops.warp import warp

SMALL = {"width": 4, "max_width": 16, "flow_width": 4, "flow_max_width": 16}


def maps(channels, height=64, width=64, batch=1):
    return Condition(structure=torch.rand(batch, channels, height, width))


def picture(height=64, width=64, batch=1):
    return torch.rand(batch, 3, height, width) * 2 - 1


def clip_maps(channels, side=64):
    return Condition(structure=torch.rand(1, 2, channels, side, side))


@torch.no_grad()
def test_shapes_at_256_pixels():
    out = create_model("gfla_fashion_256", **SMALL)(picture(256, 256), maps(18, 256, 256), maps(18, 256, 256))
    shapes = {name: tuple(value.shape[1:]) for name, value in out.intermediates.items()}
    assert shapes == {
        "source_0": (16, 32, 32),
        "source_1": (8, 64, 64),
        "source_2": (4, 128, 128),
        "flow_0": (2, 32, 32),
        "mask_0": (1, 32, 32),
        "attended_0": (16, 32, 32),
        "kernels_0": (9, 32, 32),
        "flow_1": (2, 64, 64),
        "mask_1": (1, 64, 64),
        "attended_1": (8, 64, 64),
        "kernels_1": (25, 64, 64),
    }
    assert out.image.shape == (1, 3, 256, 256)
    assert out.flow.shape == (1, 2, 256, 256)
    assert out.image.abs().max() < 1


@torch.no_grad()
def test_shapes_for_market():
    out = create_model("gfla_market_128", **SMALL)(picture(128, 64), maps(18, 128, 64), maps(18, 128, 64))
    assert out.intermediates["flow_0"].shape == (1, 2, 32, 16)
    assert out.intermediates["mask_0"].shape == (1, 1, 32, 16)
    assert out.intermediates["kernels_0"].shape == (1, 9, 32, 16)
    assert "flow_1" not in out.intermediates
    assert out.image.shape == (1, 3, 128, 64)


def spread_out(model):
    """The model with weights as large as PyTorch's own, so that its flows and masks differ from place to place."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.reset_parameters()
    return model


@torch.no_grad()
def test_kernels_add_up_to_one_and_masks_are_shares():
    model = spread_out(create_model("gfla_fashion_256", **SMALL))
    parts = model(picture(), maps(18), maps(18)).intermediates
    for scale in range(2):
        kernels, mask = parts[f"kernels_{scale}"], parts[f"mask_{scale}"]
        torch.testing.assert_close(kernels.sum(1), torch.ones_like(kernels[:, 0]))
        assert kernels.min() > 0
        assert 0 < mask.min() < mask.max() < 1


@torch.no_grad()
@pytest.mark.parametrize("scale", [0, 1])
def test_a_mask_of_one_paints_and_of_zero_takes_what_was_attended(scale):
    model, poses = spread_out(create_model("gfla_fashion_256", **SMALL)), (maps(18), maps(18))
    seen = []
    model.renderer.stages[scale].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for visible in model.flow_net.visibilities[: scale + 1]:  # up to this scale, nothing comes from the source
        nn.init.zeros_(visible.weight)
        visible.bias.fill_(-1e4)
    painted = model(picture(), *poses).intermediates
    assert (painted[f"mask_{scale}"] == 1).all()
    model(picture(), *poses)
    assert torch.equal(seen[0], seen[1])
    visible.bias.fill_(1e4)
    taken = model(picture(), *poses).intermediates
    assert (taken[f"mask_{scale}"] == 0).all()
    torch.testing.assert_close(seen[2], taken[f"attended_{scale}"])


def test_flows_start_near_zero_and_the_finest_is_shown():
    model = create_model("gfla_64")
    image = picture()
    out = model(image, maps(18), maps(18))
    pixels = out.intermediates["flow_1"] * 8
    assert pixels.abs().max() < 0.1
    assert torch.equal(out.flow, resize(out.intermediates["flow_1"], (64, 64)))
    assert torch.equal(out.warped, warp(image, out.flow, padding="border"))
    assert (out.mask == 1).all()


@torch.no_grad()
def test_a_flow_of_one_pixel_is_one_pixel_of_its_own_map():
    model = create_model("gfla_fashion_256", **SMALL)
    for head, pixels in zip(model.flow_net.flows, (1.0, -2.0), strict=True):
        nn.init.zeros_(head.weight)
        head.bias.copy_(torch.tensor([pixels, 0.5]))
    parts = model(picture(64, 96), maps(18, 64, 96), maps(18, 64, 96)).intermediates
    assert parts["flow_0"][0, :, 3, 4].tolist() == pytest.approx([2 / 12, 0.5 * 2 / 8])  # of a map of 12 x 8
    assert parts["flow_1"][0, :, 3, 4].tolist() == pytest.approx([-2 * 2 / 24, 0.5 * 2 / 16])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gfla_fashion_256", LocalAttention),
        ("gfla_bisample_256", BilinearSampling),
        ("gfla_globalattn_256", GlobalAttention),
    ],
)
def test_ablations_sample_differently(name, kind):
    model = create_model(name, **SMALL)
    found = [type(module) for stage in model.renderer.samplers for module in stage]
    assert found == [kind, kind]
    out = model(picture(), maps(18), maps(18))
    assert (out.flow is None) == (kind is GlobalAttention)
    assert ("kernels_0" in out.intermediates) == (kind is LocalAttention)


def test_the_baseline_reads_everything_in_one_encoder():
    model = create_model("gfla_baseline_256", **SMALL)
    assert model.target[0][2].in_channels == 3 + 18 + 18
    assert [key for key, _ in model.named_children()] == ["target", "renderer"]
    out = model(picture(), maps(18), maps(18))
    assert out.flow is None


@torch.no_grad()
def test_bilinear_features_are_those_of_the_warp():
    model = spread_out(create_model("gfla_bisample_256", **SMALL))
    parts = model(picture(), maps(18), maps(18)).intermediates
    for scale in range(2):
        expected = warp(parts[f"source_{scale}"], parts[f"flow_{scale}"], padding="border")
        torch.testing.assert_close(parts[f"attended_{scale}"], expected)


@torch.no_grad()
def test_global_attention_is_a_softmax_over_all_places():
    layer = GlobalAttention(16)
    source, target = torch.randn(2, 16, 5, 6), torch.randn(2, 16, 3, 4)
    assert torch.equal(layer(source, target), target)  # its factor starts at 0
    layer.gain.fill_(0.7)
    query, key = layer.query(target).flatten(2), layer.key(source).flatten(2)
    weights = torch.einsum("bcq,bck->bqk", query, key).softmax(-1)
    seen = torch.einsum("bqk,bck->bcq", weights, source.flatten(2)).view_as(target)
    torch.testing.assert_close(layer(source, target), target + 0.7 * seen)


def test_attended_features_keep_their_size_if_wanted():
    image, poses = picture(), (maps(18), maps(18))
    mean = create_model("gfla_64", attention_scale="mean")
    total = create_model("gfla_64", attention_scale="sum")
    total.load_state_dict(mean.state_dict())
    attended = [model(image, *poses).intermediates["attended_0"] for model in (mean, total)]
    torch.testing.assert_close(9 * attended[0], attended[1])


def test_poses_of_source_and_target_matter():
    model, image = spread_out(create_model("gfla_64")), picture()
    target, source = maps(18), maps(18)
    plain = model(image, target, source).image
    assert (model(image, maps(18), source).image - plain).abs().max() > 1e-3
    assert (model(image, target, maps(18)).image - plain).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(picture(), maps(18)), r"source: this model also reads the source's structure; pass source="),
        (lambda m: m(picture(), maps(18), Condition()), r"expected shape \(1, 18, H, W\), got None"),
        (lambda m: m(picture(), maps(17), maps(18)), r"expected shape \(1, 18, H, W\), got \(1, 17, 64, 64\)"),
        (lambda m: m(picture(), maps(18, 32, 32), maps(18)), r"expected the image's size \(64, 64\), got \(32, 32\)"),
        (lambda m: m(picture(64, 48), maps(18), maps(18)), r"multiples of 32, got \(64, 48\)"),
    ],
)
def test_wrong_inputs_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(create_model("gfla_fashion_256", **SMALL))


@pytest.mark.parametrize("kernels", [(), (0, 0), (3, 5, 3, 3)])
def test_impossible_stages_are_named(kernels):
    with pytest.raises(ValueError, match="kernels"):
        create_model("gfla_64", kernels=kernels)


def test_an_unknown_sampling_is_named():
    with pytest.raises(ValueError, match="sampling: expected one of attention, bilinear, global, none, got 'locl'"):
        GFLA(GFLAConfig(sampling="locl"))
    with pytest.raises(ValueError, match="'attention' or 'bilinear', got 'none'"):
        create_model("gfla_face_256", sampling="none")


def official(model):
    """The state of a model under the official names, layers that the official code holds twice included."""
    rules = flow_rules("flow_net", "flow_net", model.cfg) | renderer_rules(model.cfg)
    for part in ("source", "target"):
        rules |= encoder_rules(part, part, model.cfg.layers)
    back = {ours: theirs for theirs, ours in rules.items()}
    state = {}
    for key, value in model.state_dict().items():
        prefix = max((p for p in back if key.startswith(f"{p}.")), key=len)
        name = f"{back[prefix]}{key.removeprefix(prefix)}"
        state[name] = value
        if ".model.2." in name and ("jump" in name or "outconv" in name):
            state[name.replace(".model.2.", ".conv1.")] = value
    return state


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 4, "flow_layers": 5, "kernels": (3, 5, 2), "blocks": 2},
        {"layers": 2, "flow_layers": 4, "kernels": (7,), "blocks": 1},
        {"layers": 3, "flow_layers": 4, "kernels": (5, 0, 3), "blocks": 3, "max_width": 8},
    ],
)
@torch.no_grad()
def test_sizes_are_read_off_official_checkpoints(options):
    model = create_model("gfla_fashion_256", resolution=64, **{**SMALL, **options})
    again = convert_gfla(official(model), resolution=64)
    assert replace(again.cfg, flow_max_width=16, max_width=model.cfg.max_width) == model.cfg
    args = picture(), maps(18), maps(18)
    assert torch.equal(again(*args).image, model(*args).image)


def test_converter_says_what_does_not_fit(golden):
    state, judge = golden("gfla_g_fashion").state, golden("gfla_d").state
    with pytest.raises(ValueError, match=r"missing: flow_net\.output1\.bias"):
        convert_gfla({k: v for k, v in state.items() if k != "flow_net.output1.bias"})
    with pytest.raises(ValueError, match=r"unexpected: head\.weight"):
        convert_gfla({**state, "head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"target\.outconv\.conv1\.bias and target\.outconv\.model\.2\.bias differ"):
        convert_gfla({**state, "target.outconv.conv1.bias": torch.zeros(3)})
    with pytest.raises(ValueError, match="another family"):
        convert_gfla(judge)
    with pytest.raises(ValueError, match="another family"):
        convert_gfla_discriminator(state)
    with pytest.raises(ValueError, match=r"missing: encoder1\.model\.1\.weight_u"):
        convert_gfla_discriminator({k: v for k, v in judge.items() if k != "encoder1.model.1.weight_u"})


def test_convolutions_of_the_discriminator_have_spectral_norm_one():
    layer = SpectralConv(3, 6, 3)
    nn.init.normal_(layer.weight)
    with torch.no_grad():
        for _ in range(50):
            layer(picture())
    basis = torch.eye(27).view(27, 3, 3, 3)
    matrix = layer.eval()(basis).flatten(1) - layer.bias
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-3)


def test_spectral_norms_step_in_training_only_and_survive_two_passes():
    layer = SpectralConv(3, 6, 3)
    nn.init.normal_(layer.weight)
    before = layer.left.clone()
    layer.eval()(picture())
    assert torch.equal(layer.left, before)
    layer.train()
    (layer(picture()).sum() + layer(picture()).sum()).backward()
    assert layer.weight.grad.isfinite().all()
    assert (layer.left - before).abs().max() > 1e-3


def test_score_maps_of_the_discriminators():
    with torch.no_grad():
        assert create_discriminator("gfla_d_256", width=2)(picture(256, 256)).scores[0].shape == (1, 1, 16, 16)
        assert create_discriminator("gfla_market_d_128", width=2)(picture(128, 64)).scores[0].shape == (1, 1, 16, 8)


@torch.no_grad()
def test_the_video_discriminator_sees_motion_only():
    model = create_discriminator("gfla_video_d_256", width=4).eval()
    clip = torch.rand(1, 3, 3, 64, 64)
    score = model(clip).scores[0]
    torch.testing.assert_close(model(clip + 0.25).scores[0], score)
    still = model(clip[:, 0]).scores[0]
    torch.testing.assert_close(still, model(clip[:, :1].expand(-1, 3, -1, -1, -1)).scores[0])
    assert (score - still).abs().max() > 1e-3
    with pytest.raises(ValueError, match=r"expected shape \(B, 3, 3, H, W\), got \(1, 2, 3, 64, 64\)"):
        model(clip[:, :2])


@pytest.mark.parametrize(("name", "channels"), [("gfla_face_256", 16), ("gfla_dance_256", 20)])
@torch.no_grad()
def test_a_frame_comes_from_the_frame_before_and_the_reference(name, channels):
    model = spread_out(create_model(name, **SMALL))
    frames, shown, wanted = torch.stack([picture(), picture()], dim=1), clip_maps(channels), maps(channels)
    out = model(frames, wanted, shown)
    assert out.image.shape == (1, 3, 64, 64)
    assert {f"flow_{scale}_{number}" for scale in range(2) for number in range(2)} <= set(out.intermediates)
    for number in range(2):
        other = frames.clone()
        other[:, number] = picture()
        assert (model(other, wanted, shown).image - out.image).abs().max() > 1e-4
    one = model(frames[:, 0], wanted, Condition(structure=shown.structure[:, 0]))
    first = Condition(structure=shown.structure[:, :1].expand(-1, 2, -1, -1, -1))
    assert torch.equal(one.image, model(frames[:, :1].expand(-1, 2, -1, -1, -1), wanted, first).image)


@torch.no_grad()
def test_what_both_references_give_is_added():
    model = spread_out(create_model("gfla_face_256", **SMALL))
    seen = []
    model.renderer.stages[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    wanted = maps(16)
    parts = model(torch.stack([picture(), picture()], dim=1), wanted, clip_maps(16)).intermediates
    painted = model.target(wanted.structure)[-1]
    both = [torch.lerp(parts[f"attended_0_{n}"], painted, parts[f"mask_0_{n}"]) for n in range(2)]
    torch.testing.assert_close(seen[0], both[0] + both[1])


def test_clips_of_another_shape_are_named():
    model = create_model("gfla_face_256", **SMALL)
    with pytest.raises(ValueError, match=r"expected shape \(B, 2, 3, H, W\).*got \(1, 3, 3, 64, 64\)"):
        model(torch.zeros(1, 3, 3, 64, 64), maps(16), clip_maps(16))
    with pytest.raises(
        ValueError, match=r"expected shape \(1, 2, 16, 64, 64\), one map a reference, got \(1, 16, 64, 64\)"
    ):
        model(torch.zeros(1, 2, 3, 64, 64), maps(16), maps(16))


@torch.no_grad()
def test_a_view_starts_from_the_wanted_side():
    model = spread_out(create_model("gfla_view_256", **SMALL))
    image, views = picture(), torch.eye(21)
    out = model(image, Condition(view=views[:1]), Condition(view=views[1:2]))
    assert out.image.shape == image.shape
    other = model(image, Condition(view=views[4:5]), Condition(view=views[1:2]))
    assert (other.image - out.image).abs().max() > 1e-3
    flow = [model.flow_net(image, torch.zeros(1, 21, 2, 2) + turn)[0][0].flow for turn in (0, 1)]
    assert (flow[0] - flow[1]).abs().max() > 1e-4
    with pytest.raises(ValueError, match="also reads the source's view"):
        model(image, Condition(view=views[:1]))
    with pytest.raises(ValueError, match=r"Condition\.view: expected shape \(1, 21\)"):
        model(image, Condition(view=views[:1]), Condition())


@torch.no_grad()
def test_views_as_maps_add_up_over_columns_and_vary_from_place_to_place():
    """Instance normalisation takes a plane away, and so what the authors' code knows of a view; not these."""
    model, views = create_model("gfla_view_64"), torch.eye(21)
    both = model.turn(views[:1] - views[4:5], 4, 4)
    assert both.shape == (1, 32, 4, 4)
    torch.testing.assert_close(both, model.turn(views[:1], 4, 4) - model.turn(views[4:5], 4, 4))
    assert both.std(dim=(2, 3)).min() > 0.3
    assert model.turn(views[:1], 8, 6).shape == (1, 32, 8, 6)
    planes = create_model("gfla_view_256", **SMALL).turn(views[:2], 4, 4)
    assert planes.shape == (2, 21, 4, 4)
    assert planes.std(dim=(2, 3)).max() == 0


@pytest.mark.parametrize("name", ["gfla_fashion_256", "gfla_bisample_256", "gfla_globalattn_256"])
def test_trains_in_mixed_precision(name):
    model, args = create_model(name, **SMALL), (picture(), maps(18), maps(18))
    with torch.autocast("cpu", torch.bfloat16):
        out = model(*args)
    (out.image.float().square().mean() + out.image.float().mean()).backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    torch.testing.assert_close(out.image.float(), model(*args).image, atol=0.05, rtol=0.05)
