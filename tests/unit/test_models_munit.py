from itertools import pairwise

import pytest
import torch
from torch import nn

from geotrans import Condition, convert, create_discriminator, create_model
from geotrans.models.munit import (
    SampleNorm,
    adain,
    convert_munit,
    convert_munit_discriminator,
    style_columns,
)


def test_adain_reproduces_the_official_code(golden):
    case = golden("op_munit_adain")
    x, scale, shift = (case.inputs[name].requires_grad_() for name in ("x", "weight", "bias"))
    y = adain(x, scale, shift)
    case.close("y", y)
    y.backward(case.inputs["grad_y"])
    for name, tensor in (("d_x", x), ("d_weight", scale), ("d_bias", shift)):
        case.close(name, tensor.grad)


def test_sample_norm_reproduces_the_official_code(golden):
    case = golden("op_munit_layernorm")
    norm, x = SampleNorm(5), case.inputs["x"].requires_grad_()
    norm.load_state_dict({"weight": case.inputs["gamma"], "bias": case.inputs["beta"]})
    y = norm(x)
    case.close("y", y)
    case.close("y_first", norm(x[:1]))
    y.backward(case.inputs["grad_y"])
    for name, tensor in (("d_x", x), ("d_gamma", norm.weight), ("d_beta", norm.bias)):
        case.close(name, tensor.grad)


def test_adain_gives_each_channel_its_mean_and_deviation():
    x, scale, shift = torch.rand(2, 3, 9, 8), torch.tensor([[1.0, 2, 3]] * 2), torch.tensor([[4.0, 5, 6]] * 2)
    y = adain(x, scale, shift)
    torch.testing.assert_close(y.mean((2, 3)), shift)
    torch.testing.assert_close(y.std((2, 3), correction=0), scale, atol=1e-3, rtol=1e-3)


def test_shifts_come_before_scales():
    model = create_model("munit_base_64", width=4, blocks=1)
    channels = 16
    nn.init.zeros_(model.mlp[-1].weight)
    shifts, scales = torch.arange(1.0, 17), torch.zeros(channels)
    # With a scale of 0 the last norm gives its shift at every pixel, and the block adds it to its input.
    model.mlp[-1].bias.data = torch.cat([torch.zeros(2 * channels), shifts, scales])
    content = torch.rand(1, channels, 5, 6)
    moved = model.blocks[0](content, model.adain_parameters(torch.zeros(1, 8)))
    torch.testing.assert_close(moved - content, shifts.view(1, -1, 1, 1).expand_as(content))


@pytest.mark.parametrize(
    ("width", "blocks", "mlp_width", "downsamples", "style_downsamples", "style"),
    [(4, 1, 5, 1, 3, 2), (3, 3, 7, 3, 5, 16), (2, 6, 9, 2, 2, 8)],
)
def test_other_sizes_convert_and_compute_the_same(width, blocks, mlp_width, downsamples, style_downsamples, style):
    official = Official(width, blocks, mlp_width, downsamples, style_downsamples, style)
    model = convert_munit(official.state_dict())
    cfg = model.cfg
    assert (cfg.width, cfg.blocks, cfg.mlp_width, cfg.downsamples) == (width, blocks, mlp_width, downsamples)
    assert (cfg.style_downsamples, cfg.condition.size) == (style_downsamples, style)
    image, code = torch.rand(2, 3, 64, 72) * 2 - 1, torch.randn(2, style)
    expected_style, expected_image = official(image, code)
    out = model(image, Condition(style=code))
    torch.testing.assert_close(out.intermediates["style"], expected_style, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(out.image, expected_image, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("width", "layers", "scales"), [(4, 1, 4), (3, 2, 1), (2, 5, 2)])
def test_discriminators_of_other_sizes_convert_and_compute_the_same(width, layers, scales):
    official = OfficialDiscriminator(width, layers, scales)
    model = convert_munit_discriminator(official.state_dict())
    assert (model.cfg.width, model.cfg.layers, model.cfg.scales) == (width, layers, scales)
    image = torch.rand(2, 3, 64, 72) * 2 - 1
    for ours, theirs in zip(model(image).scores, official(image), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def two_domains():
    """Auto-encoders of two domains as in `gen_*.pt`, and a picture and a style code for them."""
    a, b = (Official(4, 1, 5, 2, 3, 2) for _ in range(2))
    return a, b, torch.rand(2, 3, 32, 40) * 2 - 1, torch.randn(2, 2)


def test_a_file_of_two_domains_gives_a_translator():
    a, b, image, style = two_domains()
    state = {"a": a.state_dict(), "b": b.state_dict()}
    flat = {f"{domain}.{key}": value for domain, network in state.items() for key, value in network.items()}
    content = a.enc_content.model(image)
    for checkpoint in (state, flat):
        out = convert("munit", checkpoint, source="a", target="b")(image, Condition(style=style))
        torch.testing.assert_close(out.intermediates["content"], content, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(out.intermediates["style"], a(image, style)[0], atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(out.image, b.decode(content, style), atol=1e-4, rtol=1e-3)


def test_without_a_target_the_domain_is_its_own():
    a, b, image, style = two_domains()
    model = convert("munit", {"a": a.state_dict(), "b": b.state_dict()}, source="b")
    torch.testing.assert_close(model(image, Condition(style=style)).image, b(image, style)[1], atol=1e-4, rtol=1e-3)


def test_the_domain_must_be_named_if_and_only_if_there_are_several():
    a = two_domains()[0].state_dict()
    both = {"a": a, "b": a}
    with pytest.raises(ValueError, match=r"source: expected one of a, b, the domains in the checkpoint; got ''"):
        convert("munit", both)
    with pytest.raises(ValueError, match=r"target: expected one of a, b, .*; got 'c'"):
        convert("munit", both, source="a", target="c")
    with pytest.raises(ValueError, match=r"source: expected one of a, b, .*; got ''"):
        convert("munit", both, target="a")
    with pytest.raises(ValueError, match=r"source: the checkpoint is of one domain, which has no name; got 'a'"):
        convert("munit", a, source="a")


def test_a_discriminator_is_picked_by_its_domain():
    a, b = (OfficialDiscriminator(4, 2, 2) for _ in range(2))
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    model = convert("munit_discriminator", {"a": a.state_dict(), "b": b.state_dict()}, domain="b")
    torch.testing.assert_close(model(image).scores[1], b(image)[1], atol=2e-5, rtol=1e-4)
    with pytest.raises(ValueError, match=r"domain: expected one of a, b"):
        convert("munit_discriminator", {"a": a.state_dict(), "b": b.state_dict()})


def test_dummy_statistics_are_ignored(golden):
    case = golden("munit_g")
    dummies = [key for key in case.state if "running" in key]
    assert len(dummies) == 16
    without = convert_munit({k: v for k, v in case.state.items() if k not in dummies}).state_dict()
    assert all(torch.equal(v, without[k]) for k, v in convert_munit(case.state).state_dict().items())


def test_converter_says_what_does_not_fit(golden):
    state, judge = golden("munit_g").state, golden("munit_d").state
    with pytest.raises(ValueError, match=r"missing: dec\.model\.2\.norm\.gamma"):
        convert_munit({k: v for k, v in state.items() if k != "dec.model.2.norm.gamma"})
    with pytest.raises(ValueError, match=r"unexpected: head\.weight"):
        convert_munit({**state, "head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="another family"):
        convert_munit(judge)
    with pytest.raises(ValueError, match="another family"):
        convert_munit_discriminator(state)
    with pytest.raises(ValueError, match=r"missing: cnns\.2\.4\.bias"):
        convert_munit_discriminator({k: v for k, v in judge.items() if k != "cnns.2.4.bias"})


def test_style_changes_the_picture_and_not_the_content():
    model = create_model("munit_base_64", width=4)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    first, second = (model(image, Condition(style=torch.randn(1, 8))) for _ in range(2))
    assert (first.image - second.image).abs().max() > 1e-2
    assert torch.equal(first.intermediates["content"], second.intermediates["content"])
    torch.testing.assert_close(first.image, first.warped + first.mask * first.residual)
    with pytest.raises(ValueError, match=r"Condition\.style: expected shape \(1, 8\)"):
        model(image, Condition())


def test_code_sizes():
    model = create_model("munit_base_64", width=4, condition=style_columns(3))
    image = torch.rand(2, 3, 40, 48)
    assert model.content(image).shape == (2, 16, 10, 12)
    assert model.style(image).shape == (2, 3)
    assert model.adain_parameters(torch.randn(2, 3)).shape == (2, 4 * 4 * 16)


def test_adaptive_scales_start_near_one():
    parameters = create_model("munit_base_64").adain_parameters(torch.randn(64, 8))
    assert 0.5 < parameters.std() < 4


@pytest.mark.parametrize(("layers", "scales"), [(4, 3), (2, 4), (3, 1)])
def test_smallest_image_of_the_discriminator(layers, scales):
    model = create_discriminator("munit_d_64", width=2, layers=layers, scales=scales)
    least = (2**layers - 1) * 2 ** (scales - 1) + 1
    critique = model(torch.rand(1, 3, least, least + 1))
    assert len(critique.scores) == len(critique.features) == scales
    with pytest.raises(ValueError, match=f"at least {least} pixels a side"):
        model(torch.rand(1, 3, least + 1, least - 1))


class Official(nn.Module):
    """The layout of the official code; the names follow from it."""

    def __init__(self, width, blocks, mlp_width, downsamples, style_downsamples, style):
        super().__init__()
        deep = width * 2**downsamples
        self.blocks, self.deep = blocks, deep
        content = [Conv(3, width, 7, 1, 3, nn.InstanceNorm2d(width))]
        for i in range(downsamples):
            wide = width * 2 ** (i + 1)
            content.append(Conv(wide // 2, wide, 4, 2, 1, nn.InstanceNorm2d(wide)))
        content.append(wrap(Residual(deep, plain=True) for _ in range(blocks)))
        self.enc_content = wrap(content)
        styles, wide = [Conv(3, width, 7, 1, 3)], width
        for i in range(style_downsamples):
            styles.append(Conv(wide, wide * (2 if i < 2 else 1), 4, 2, 1))
            wide *= 2 if i < 2 else 1
        self.enc_style = wrap([*styles, nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, style, 1)])
        decoder = [wrap(Residual(deep, plain=False) for _ in range(blocks))]
        for i in range(downsamples):
            narrow = deep // 2 ** (i + 1)
            decoder += [nn.Upsample(scale_factor=2), Conv(2 * narrow, narrow, 5, 1, 2, SampleMoments(narrow))]
        self.dec = wrap([*decoder, Conv(width, 3, 7, 1, 3, activation=nn.Tanh())])
        sizes = [style, mlp_width, mlp_width, blocks * 4 * deep]
        self.mlp = wrap(Linear(a, b, last=b == sizes[-1]) for a, b in pairwise(sizes))

    def forward(self, image, code):
        return self.enc_style.model(image).flatten(1), self.decode(self.enc_content.model(image), code)

    def decode(self, content, code):
        parameters = self.mlp.model(code).reshape(len(content), self.blocks, 2, 2, self.deep)
        for i, block in enumerate(self.dec.model[0].model):
            for j, conv in enumerate(block.model):
                conv.norm.shift, conv.norm.scale = parameters[:, i, j, 0], parameters[:, i, j, 1]
        return self.dec.model(content)


class OfficialDiscriminator(nn.Module):
    def __init__(self, width, layers, scales):
        super().__init__()
        widths = [3, *(width * 2**layer for layer in range(layers))]

        def critic():
            convs = [Conv(c_in, c_out, 4, 2, 1, activation=nn.LeakyReLU(0.2)) for c_in, c_out in pairwise(widths)]
            return nn.Sequential(*convs, nn.Conv2d(widths[-1], 1, 1))

        self.cnns = nn.ModuleList(critic() for _ in range(scales))

    def forward(self, image):
        scores = []
        for critic in self.cnns:
            scores.append(critic(image))
            image = nn.functional.avg_pool2d(image, 3, 2, padding=1, count_include_pad=False)
        return scores


def wrap(modules):
    """An official sub-network: a sequence in the attribute `model`."""
    outer = Wrapped()
    outer.model = nn.Sequential(*modules)
    return outer


class Wrapped(nn.Module):
    def forward(self, x):
        return self.model(x)


class Conv(nn.Module):
    def __init__(self, c_in, c_out, kernel, stride, padding, norm=None, activation=None):
        super().__init__()
        self.pad, self.conv = nn.ReflectionPad2d(padding), nn.Conv2d(c_in, c_out, kernel, stride)
        self.norm, self.activation = norm, activation or nn.ReLU()

    def forward(self, x):
        x = self.conv(self.pad(x))
        return self.activation(x if self.norm is None else self.norm(x))


class Residual(nn.Module):
    def __init__(self, channels, plain):
        super().__init__()
        norms = [nn.InstanceNorm2d(channels) if plain else Adaptive() for _ in range(2)]
        activations = (nn.ReLU(), nn.Identity())
        self.model = nn.Sequential(
            *[Conv(channels, channels, 3, 1, 1, n, a) for n, a in zip(norms, activations, strict=True)]
        )

    def forward(self, x):
        return x + self.model(x)


class Adaptive(nn.Module):
    def forward(self, x):
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5).sqrt() * self.scale[..., None, None] + self.shift[..., None, None]


class SampleMoments(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.rand(channels)), nn.Parameter(torch.randn(channels))

    def forward(self, x):
        flat = x.flatten(1)
        mean, std = flat.mean(1).view(-1, 1, 1, 1), flat.std(1).view(-1, 1, 1, 1)
        return (x - mean) / (std + 1e-5) * self.gamma.view(1, -1, 1, 1) + self.beta.view(1, -1, 1, 1)


class Linear(nn.Module):
    def __init__(self, c_in, c_out, last):
        super().__init__()
        self.fc, self.last = nn.Linear(c_in, c_out), last

    def forward(self, x):
        return self.fc(x) if self.last else self.fc(x).relu()
