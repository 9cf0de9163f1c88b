import pytest
import torch
from torch import nn

from geotrans import create_model
from geotrans.models.ganimation import (
    convert_ganimation,
    convert_ganimation_discriminator,
    convert_ganimation_replicate,
    convert_ganimation_replicate_discriminator,
)
from geotrans.types import Condition

GENERATORS = {"ganimation_g": convert_ganimation, "ganimation_replicate_g": convert_ganimation_replicate}
DISCRIMINATORS = {
    "ganimation_d": convert_ganimation_discriminator,
    "ganimation_replicate_d": convert_ganimation_replicate_discriminator,
}


def test_converted_weights_ignore_stale_running_statistics(golden):
    case = golden("ganimation_g")
    stale = {f"{k.removesuffix('bias')}running_mean": v + 9 for k, v in case.state.items() if k.endswith("bias")}
    image, target = case.inputs["image"], Condition(aus=case.inputs["cond"])
    plain, loaded = convert_ganimation(case.state), convert_ganimation({**case.state, **stale})
    assert torch.equal(plain(image, target).image, loaded(image, target).image)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("width", "blocks", "columns"), [(4, 1, 3), (3, 9, 17), (5, 2, 20)])
def test_other_sizes_convert_and_compute_the_same(affine, width, blocks, columns):
    official = Official(width, blocks, columns, affine).eval()
    model = (convert_ganimation if affine else convert_ganimation_replicate)(official.state_dict())
    assert (model.cfg.width, model.cfg.blocks, model.cfg.condition.size) == (width, blocks, columns)
    image, aus = torch.rand(2, 3, 20, 28) * 2 - 1, torch.rand(2, columns)
    torch.testing.assert_close(model(image, Condition(aus=aus)).image, official(image, aus), atol=2e-5, rtol=1e-4)


def test_converter_says_what_does_not_fit(golden):
    state = golden("ganimation_g").state
    with pytest.raises(ValueError, match=r"attetion_reg\.0\.weight' is missing"):
        convert_ganimation({k: v for k, v in state.items() if "attetion" not in k})
    with pytest.raises(ValueError, match=r"unexpected: head\.weight"):
        convert_ganimation({**state, "head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match="another family"):
        convert_ganimation_replicate(state)
    with pytest.raises(ValueError, match="another family"):
        convert_ganimation_replicate_discriminator(golden("ganimation_d").state)


@pytest.mark.parametrize("name", ["ganimation_base_64", "ganimation_replicate_128"])
def test_mask_one_is_painted(name):
    model = create_model(name, width=8, blocks=1)
    image, target = torch.rand(2, 3, 32, 32) * 2 - 1, Condition(aus=torch.rand(2, 17))
    out = model(image, target)
    torch.testing.assert_close(out.image, (image + out.mask * out.residual).clamp(-1, 1))
    nn.init.zeros_(model.mask.weight)
    assert torch.equal(model(image, target).mask, torch.full((2, 1, 32, 32), 0.5))
    model.mask.weight.data = 1e6 * torch.ones_like(model.mask.weight)
    model.trunk[-1][1].register_forward_hook(lambda *_: torch.ones(2, 8, 32, 32))
    painted = model(image, target)
    torch.testing.assert_close(painted.image, painted.warped + painted.residual)
    model.mask.weight.data *= -1
    assert torch.equal(model(image, target).image, image)


@pytest.mark.parametrize("name", ["ganimation_base_64", "ganimation_replicate_128"])
def test_condition_reaches_the_image(name):
    model = create_model(name, width=8, blocks=2)
    image = torch.rand(1, 3, 32, 32)
    off, on = (model(image, Condition(aus=torch.full((1, 17), v))).residual for v in (0.0, 1.0))
    assert (on - off).abs().max() > 1e-3


def test_missing_action_units_are_named():
    with pytest.raises(ValueError, match=r"Condition\.aus: expected shape \(1, 17\) \(AU01, .*, got None"):
        create_model("ganimation_base_64")(torch.zeros(1, 3, 32, 32), Condition())


class Official(nn.Module):
    """The layout of either code, written down layer by layer; the names follow from it."""

    def __init__(self, width, blocks, columns, affine):
        super().__init__()

        def normed(conv, channels):
            return [conv, nn.InstanceNorm2d(channels, affine=affine), nn.ReLU()]

        bias, deep = not affine, 4 * width
        layers = [
            *normed(nn.Conv2d(3 + columns, width, 7, 1, 3, bias=bias), width),
            *normed(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=bias), 2 * width),
            *normed(nn.Conv2d(2 * width, deep, 4, 2, 1, bias=bias), deep),
            *[Residual("main" if affine else "conv_block", deep, affine) for _ in range(blocks)],
            *normed(nn.ConvTranspose2d(deep, 2 * width, 4, 2, 1, bias=bias), 2 * width),
            *normed(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=bias), width),
        ]
        self.names = ("main", "img_reg", "attetion_reg") if affine else ("model", "color_top", "au_top")
        heads = [nn.Conv2d(width, n, 7, 1, 3, bias=False) for n in (3, 1)]
        parts = (nn.Sequential(*layers), nn.Sequential(heads[0], nn.Tanh()), nn.Sequential(heads[1], nn.Sigmoid()))
        for name, part in zip(self.names, parts, strict=True):
            self.add_module(name, part)

    def forward(self, image, aus):
        trunk, colour, attention = (getattr(self, name) for name in self.names)
        planes = aus[:, :, None, None].expand(-1, -1, *image.shape[2:])
        features = trunk(torch.cat([image, planes], dim=1))
        keep = attention(features)
        return keep * image + (1 - keep) * colour(features)


class Residual(nn.Module):
    def __init__(self, name, channels, affine):
        super().__init__()
        self.name = name
        convs = [nn.Conv2d(channels, channels, 3, 1, 1, bias=not affine) for _ in range(2)]
        norms = [nn.InstanceNorm2d(channels, affine=affine) for _ in range(2)]
        self.add_module(name, nn.Sequential(convs[0], norms[0], nn.ReLU(), convs[1], norms[1]))

    def forward(self, x):
        return x + getattr(self, self.name)(x)
