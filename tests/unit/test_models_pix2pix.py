import pytest
import torch
from torch import nn

from geotrans import Condition, ConditionSpec, create_model
from geotrans.models.pix2pix import convert_pix2pix


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("width", "stages", "channels"), [(8, 5, 3), (3, 6, 7), (2, 7, 3), (2, 8, 1)])
def test_other_sizes_convert_and_compute_the_same(width, stages, channels, norm):
    official = Official(width, stages, channels, norm)
    _without_dropout(official)
    side = 2**stages
    official(torch.rand(2, channels, side, side))  # fills the running statistics
    model = convert_pix2pix(official.state_dict()).eval()
    assert (model.cfg.width, model.cfg.resolution, model.cfg.norm) == (width, side, norm)
    assert model.cfg.condition.structure == (0 if channels == 3 else channels)
    image, structure = torch.rand(1, 3, side, side), torch.rand(1, channels, side, side)
    out = model(structure if channels == 3 else image, Condition(structure=structure))
    torch.testing.assert_close(out.image, official.eval()(structure), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("resolution", "stages"), [(256, [4, 5, 6]), (128, [4, 5]), (64, [4]), (32, [])])
def test_dropout_sits_in_the_widest_stages_but_the_innermost(resolution, stages):
    model = create_model("pix2pix_unet_256", width=2, resolution=resolution)
    assert [stage for stage, up in enumerate(model.ups) if isinstance(up[-1], nn.Dropout)] == stages
    assert sum(isinstance(module, nn.Dropout) for module in model.modules()) == len(stages)
    assert not any(isinstance(m, nn.Dropout) for m in create_model("pix2pix_unet_64", dropout=False).modules())


def test_dropout_is_active_in_training_and_only_there():
    model = create_model("pix2pix_unet_64", width=4, norm="instance")
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(model(image, Condition()).image, model(image, Condition()).image)
    model.train()
    assert not torch.equal(model(image, Condition()).image, model(image, Condition()).image)


def test_dropout_is_an_option_of_the_converter(golden):
    assert not convert_pix2pix(golden("pix2pix_g_unet").state, dropout=False).cfg.dropout


def test_structure_is_read_in_place_of_the_image():
    model = create_model("pix2pix_unet_64", width=4, condition=ConditionSpec(structure=2))
    target = Condition(structure=torch.rand(2, 2, 64, 64))
    first, second = (model(torch.rand(2, 3, 64, 64), target) for _ in range(2))
    assert torch.equal(first.image, second.image)
    torch.testing.assert_close(first.image, first.warped + first.residual)
    with pytest.raises(ValueError, match=r"Condition\.structure: expected shape \(2, 2, H, W\), got None"):
        model(torch.rand(2, 3, 64, 64), Condition())
    with pytest.raises(ValueError, match=r"expected the image's size \(64, 64\), got \(32, 32\)"):
        model(torch.rand(2, 3, 64, 64), Condition(structure=torch.rand(2, 2, 32, 32)))


def test_sizes_are_checked():
    model = create_model("pix2pix_unet_64", width=2)
    assert model(torch.zeros(1, 3, 64, 128), Condition()).image.shape == (1, 3, 64, 128)
    with pytest.raises(ValueError, match=r"multiples of 64, got \(64, 96\)"):
        model(torch.zeros(1, 3, 64, 96), Condition())
    for resolution in (16, 96):
        with pytest.raises(ValueError, match=f"power of two of at least 32, got {resolution}"):
            create_model("pix2pix_unet_64", resolution=resolution)


def test_converter_says_what_does_not_fit(golden):
    state = golden("pix2pix_g_unet").state
    with pytest.raises(ValueError, match=r"missing: model\.model\.3\.bias"):
        convert_pix2pix({k: v for k, v in state.items() if k != "model.model.3.bias"})
    with pytest.raises(ValueError, match="unexpected: head"):
        convert_pix2pix({**state, "head": torch.zeros(1)})
    with pytest.raises(ValueError, match="another family"):
        convert_pix2pix(golden("cyclegan_g_resnet").state)


def _without_dropout(model):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()


class Official(nn.Module):
    """The layout of the official code: each stage holds the next one; the names follow from it."""

    def __init__(self, width, stages, channels, norm):
        super().__init__()
        inner = Stage(8 * width, 8 * width, norm, None)
        for _ in range(stages - 5):
            inner = Stage(8 * width, 8 * width, norm, inner, dropout=True)
        for factor in (4, 2, 1):
            inner = Stage(factor * width, 2 * factor * width, norm, inner)
        bias = norm == "instance"
        outer = [nn.Conv2d(channels, width, 4, 2, 1, bias=bias), inner, nn.ReLU()]
        self.model = nn.Module()
        self.model.model = nn.Sequential(*outer, nn.ConvTranspose2d(2 * width, 3, 4, 2, 1), nn.Tanh())

    def forward(self, x):
        return self.model.model(x)


class Stage(nn.Module):
    def __init__(self, outer, inner, norm, submodule, dropout=False):
        super().__init__()
        bias = norm == "instance"
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)]
        up = nn.ConvTranspose2d(inner if submodule is None else 2 * inner, outer, 4, 2, 1, bias=bias)
        middle = [] if submodule is None else [make_norm(norm, inner), submodule]
        end = [make_norm(norm, outer), *([nn.Dropout(0.5)] if dropout else [])]
        self.model = nn.Sequential(*down, *middle, nn.ReLU(), up, *end)

    def forward(self, x):
        return torch.cat([x, self.model(x)], dim=1)


def make_norm(norm, channels):
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.BatchNorm2d(channels)
