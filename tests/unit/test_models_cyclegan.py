import pytest
import torch
from torch import nn

from geotrans import Condition, create_model
from geotrans.models.cyclegan import convert_cyclegan


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("width", "blocks"), [(3, 9), (8, 6), (5, 3), (4, 1)])
def test_other_sizes_convert_and_compute_the_same(width, blocks, norm, dropout):
    official = Official(width, blocks, norm, dropout)
    official(torch.rand(4, 3, 16, 16))  # fills the running statistics
    model = convert_cyclegan({f"module.{key}": value for key, value in official.state_dict().items()}).eval()
    cfg = model.cfg
    assert (cfg.width, cfg.blocks, cfg.norm, cfg.dropout) == (width, blocks, norm, dropout)
    image = torch.rand(2, 3, 20, 28) * 2 - 1
    torch.testing.assert_close(model(image, Condition()).image, official.eval()(image), atol=2e-5, rtol=1e-4)


def test_weights_from_before_batches_were_counted_load(golden):
    case = golden("cyclegan_g_resnet_bn")
    old = {key: value for key, value in case.state.items() if "num_batches" not in key}
    case.close("image", convert_cyclegan(old).eval()(case.inputs["image"], Condition()).image)


def test_converted_weights_ignore_stale_running_statistics(golden):
    case = golden("cyclegan_g_resnet")
    stale = {f"model.2.{name}": torch.full((8,), 9.0) for name in ("running_mean", "running_var")}
    assert convert_cyclegan({**case.state, **stale}).cfg.norm == "instance"


def test_batch_statistics_are_kept(golden):
    case = golden("cyclegan_g_resnet_bn")
    moved = {key: value + 1 if key.endswith("running_mean") else value for key, value in case.state.items()}
    image = convert_cyclegan(moved).eval()(case.inputs["image"], Condition()).image
    assert (image - case.outputs["image"]).abs().max() > 1e-2


def test_converter_says_what_does_not_fit(golden):
    state = golden("cyclegan_g_resnet").state
    with pytest.raises(ValueError, match=r"missing: model\.10\.conv_block\.5\.bias"):
        convert_cyclegan({k: v for k, v in state.items() if k != "model.10.conv_block.5.bias"})
    with pytest.raises(ValueError, match="unexpected: head"):
        convert_cyclegan({**state, "head": torch.zeros(1)})
    with pytest.raises(ValueError, match="another family"):
        convert_cyclegan(golden("stargan_g").state)
    with pytest.raises(ValueError, match=r"model\.1\.weight \(expected \(8, 3, 7, 7\), got \(8, 1, 7, 7\)\)"):
        convert_cyclegan({**state, "model.1.weight": state["model.1.weight"][:, :1]})


def test_the_whole_image_is_painted():
    model = create_model("cyclegan_resnet6_64", width=8, blocks=1)
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    out = model(image, Condition())
    assert out.flow is None
    assert torch.equal(out.warped, image)
    assert torch.equal(out.mask, torch.ones(2, 1, 32, 32))
    torch.testing.assert_close(out.image, out.warped + out.mask * out.residual)


def test_a_sample_does_not_depend_on_its_batch():
    model = create_model("cyclegan_resnet6_64", width=8, blocks=1).train()
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    together, alone = model(images, Condition()).image, model(images[1:2], Condition()).image
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


def test_unknown_norm_is_named():
    with pytest.raises(ValueError, match="norm: expected 'instance' or 'batch', got 'layer'"):
        create_model("cyclegan_resnet6_64", norm="layer")


class Official(nn.Module):
    """The layout of the official code, written down layer by layer; the names follow from it."""

    def __init__(self, width, blocks, norm, dropout):
        super().__init__()
        bias, deep = norm == "instance", 4 * width

        def normed(conv, channels):
            return [conv, make_norm(norm, channels), nn.ReLU()]

        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normed(nn.Conv2d(3, width, 7, bias=bias), width),
            *normed(nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), 2 * width),
            *normed(nn.Conv2d(2 * width, deep, 3, 2, 1, bias=bias), deep),
            *[Residual(deep, norm, dropout) for _ in range(blocks)],
            *normed(nn.ConvTranspose2d(deep, 2 * width, 3, 2, 1, 1, bias=bias), 2 * width),
            *normed(nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1, bias=bias), width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.model(x)


class Residual(nn.Module):
    def __init__(self, channels, norm, dropout):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=norm == "instance")]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=norm == "instance")]
        middle = [nn.ReLU(), *([nn.Dropout(0.5)] if dropout else [])]
        self.conv_block = nn.Sequential(*half, make_norm(norm, channels), *middle, *other, make_norm(norm, channels))

    def forward(self, x):
        return x + self.conv_block(x)


def make_norm(norm, channels):
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.BatchNorm2d(channels)
