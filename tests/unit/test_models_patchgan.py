import pytest
import torch
from torch import nn

from geotrans import Condition, create_discriminator
from geotrans.models.patchgan import convert_patchgan, receptive_field


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("layers", "width", "c_in"), [(0, 3, 6), (1, 4, 3), (2, 3, 5), (3, 8, 6), (5, 2, 4)])
def test_other_sizes_convert_and_compute_the_same(layers, width, c_in, norm):
    official = Official(c_in, width, layers, norm)
    side = 2 ** (layers + 2)
    official(torch.rand(4, c_in, side, side))  # fills the running statistics
    model = convert_patchgan({f"module.{key}": value for key, value in official.state_dict().items()}).eval()
    cfg = model.cfg
    assert (cfg.layers, cfg.width, cfg.condition.structure + 3, cfg.norm) == (layers, width, c_in, norm)
    image = torch.rand(2, c_in, side, side + 9)
    torch.testing.assert_close(judge(model, image).scores[0], official.eval()(image), atol=2e-5, rtol=1e-4)


def test_converter_says_what_does_not_fit(golden):
    state = golden("cyclegan_d_patch_in").state
    with pytest.raises(ValueError, match=r"missing: model\.2\.bias"):
        convert_patchgan({k: v for k, v in state.items() if k != "model.2.bias"})
    with pytest.raises(ValueError, match="unexpected: head"):
        convert_patchgan({**state, "head": torch.zeros(1)})
    with pytest.raises(ValueError, match="another family"):
        convert_patchgan(golden("stargan_d").state)
    with pytest.raises(ValueError, match="three channels of an RGB image, got a network that reads 1"):
        convert_patchgan(Official(1, 2, 2, "instance").state_dict())


def judge(model, stack):
    """The critique of an official input, whose last three channels are the image."""
    structure, image = stack[:, :-3], stack[:, -3:]
    return model(image, Condition(structure=structure) if structure.shape[1] else None)


def test_a_structure_is_seen_beside_the_image():
    model = create_discriminator("pix2pix_d_64", width=2)
    image, first, second = (torch.rand(2, 3, 64, 64) for _ in range(3))
    scores = [model(image, Condition(structure=s)).scores[0] for s in (first, second)]
    assert not torch.equal(*scores)
    with pytest.raises(ValueError, match=r"Condition\.structure: expected shape \(2, 3, H, W\), got None"):
        model(image)
    with pytest.raises(ValueError, match=r"expected the image's size \(64, 64\), got \(32, 32\)"):
        model(image, Condition(structure=first[..., ::2, ::2]))


@pytest.mark.parametrize(("side", "map_side"), [(128, 14), (256, 30)])
def test_map_sizes(side, map_side):
    model = create_discriminator("patchgan_70", width=2)
    critique = model(torch.zeros(1, 3, side, side))
    assert critique.scores[0].shape == (1, 1, map_side, map_side)
    assert [len(features) for features in critique.features] == [4]


@pytest.mark.parametrize(("layers", "side"), [(0, 1), (1, 16), (2, 34), (3, 70)])
def test_receptive_field_is_what_the_gradient_sees(layers, side):
    assert receptive_field(layers) == side
    # Norms see the whole image, so only the convolutions count here.
    model = create_discriminator("patchgan_70", width=2, layers=layers, norm="batch").eval()
    image = torch.rand(1, 3, 160, 160, requires_grad=True)
    scores = model(image).scores[0]
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    seen = image.grad.abs().sum(dim=(0, 1)) > 0
    assert int(seen.any(0).sum()) == int(seen.any(1).sum()) == side


class Official(nn.Module):
    """The layout of the official code, written down layer by layer; the names follow from it."""

    def __init__(self, c_in, width, layers, norm):
        super().__init__()
        bias = norm == "instance"

        def normed(conv):
            channels = conv.out_channels
            return [
                conv,
                nn.InstanceNorm2d(channels) if norm == "instance" else nn.BatchNorm2d(channels),
                nn.LeakyReLU(0.2),
            ]

        if layers == 0:
            middle = normed(nn.Conv2d(width, 2 * width, 1, bias=bias))
            last = nn.Conv2d(2 * width, 1, 1, bias=bias)
            self.net = nn.Sequential(nn.Conv2d(c_in, width, 1), nn.LeakyReLU(0.2), *middle, last)
            return
        modules, before = [nn.Conv2d(c_in, width, 4, 2, 1), nn.LeakyReLU(0.2)], width
        for n in range(1, layers + 1):
            after = width * min(2**n, 8)
            modules += normed(nn.Conv2d(before, after, 4, 2 if n < layers else 1, 1, bias=bias))
            before = after
        self.model = nn.Sequential(*modules, nn.Conv2d(before, 1, 4, 1, 1))

    def forward(self, x):
        return (self.net if hasattr(self, "net") else self.model)(x)
