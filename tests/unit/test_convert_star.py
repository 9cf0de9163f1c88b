"""The StarGAN family at other sizes than the recorded ones, against its official layout, written down anew.

StarGAN's and ADSPM's instance norms track statistics that their code never uses: it stays in training mode. Both sides
compute in float64, where nothing but another formula makes a difference.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from geotrans import Condition, ConditionSpec, convert
from geotrans.models.spm import authors_unit
from geotrans.ops.warp import from_corner_units


def columns(n):
    return ConditionSpec(attributes=tuple(f"a{i}" for i in range(n)))


@pytest.mark.parametrize(("width", "blocks", "n"), [(4, 3, 1), (8, 6, 8), (5, 9, 3), (3, 0, 13)])
def test_stargan(width, blocks, n):
    official = used(StarGAN(width, blocks, n), n)
    model = converted("stargan", official.state_dict(), condition=columns(n))
    assert (model.cfg.width, model.cfg.blocks, model.cfg.condition) == (width, blocks, columns(n))
    image, label = batch(n, 20, 28)
    close(model(image, Condition(attributes=label)).image, official(image, label))


@pytest.mark.parametrize(
    ("side", "width", "layers", "constant", "n"),
    [(32, 3, 3, 0, 1), (48, 4, 4, 1, 3), (64, 2, 6, 2, 5), (8, 8, 2, 0, 2)],
)
def test_discriminators(side, width, layers, constant, n):
    official, image = Critic(side, width, layers, constant, n).double(), batch(n, side, side)[0]
    scores, label = official(image)
    model = converted("star_discriminator", official.state_dict())
    cfg = model.cfg
    assert (cfg.resolution, cfg.width, cfg.layers, cfg.constant) == (side, width, layers, constant)
    close(model(image).scores[0], scores)
    close(model(image).condition.attributes, label)
    replicate = official.names("model", "dis_top", "aus_top")
    for code, state in {"ganimation": official.state_dict(), "ganimation_replicate": replicate}.items():
        critique = converted(f"{code}_discriminator", state)(image)
        close(critique.scores[0], scores)
        close(critique.condition.aus, label)


@pytest.mark.parametrize(("side", "width", "layers", "n"), [(32, 3, 3, 1), (64, 4, 2, 5)])
def test_motion_discriminator(side, width, layers, n):
    official = MotionCritic(side, width, layers, n).double()
    model = converted("motion_discriminator", official.state_dict())
    cfg = model.cfg
    assert (cfg.resolution, cfg.width, cfg.layers, cfg.condition.size) == (side, width, layers, n)
    (image, label), motion = batch(n, side, side), 0.1 * batch(n, side, side)[0][:, :2]
    critique = model(image, Condition(attributes=label), from_corner_units(2 * motion))
    close(critique.condition.attributes, official(motion, image, label))


@pytest.mark.parametrize(
    ("width", "blocks", "refine_blocks", "n", "kernels", "motion"),
    [
        (6, 2, 3, 1, (), 0.1),
        (4, 6, 1, 5, (), 0.2),
        (6, 2, 3, 3, (3,), 0.1),
        (4, 1, 12, 5, (5,), 0.15),
        (8, 3, 2, 4, (3, 7), 0.1),
        (4, 2, 1, 3, (3, 3), 0.2),
    ],
)
def test_adspm(width, blocks, refine_blocks, n, kernels, motion):
    official = used(ADSPM(width, blocks, refine_blocks, n, kernels, motion), n)
    side = 16 * 2 ** len(kernels)
    model = converted("adspm", official.state_dict(), resolution=side, max_motion=motion, condition=columns(n))
    cfg = model.cfg
    assert (cfg.width, cfg.blocks, cfg.refine_blocks, cfg.condition.size) == (width, blocks, refine_blocks, n)
    assert getattr(cfg, "kernels", ()) == kernels
    image, label = batch(n, side, side)
    expected, out = official(image, label), model(image, Condition(attributes=label))
    for name, value in {"image": out.image, "warped": out.warped, "mask": out.mask}.items():
        close(value, expected[name])
    close(authors_unit(out.flow), expected["motion"])


def test_the_layouts_have_as_many_keys_as_the_official_files():
    networks = [
        StarGAN(2, 6, 5),
        Critic(64, 1, 6, 0, 5),
        ADSPM(2, 6, 12, 1, (3,), 0.1),
        ADSPM(2, 6, 12, 1, (3, 7), 0.1),
    ]
    assert [len(network.state_dict()) for network in networks] == [103, 14, 324, 381]


def test_adspm_of_the_first_stage_is_an_spm_of_128_pixels():
    model = convert("adspm", ADSPM(4, 1, 1, 1, (), 0.1).state_dict())
    assert type(model).__name__ == "SPM"
    assert (model.cfg.resolution, model.cfg.mask_kernel, model.cfg.condition.attributes) == (128, 3, ("Smiling",))


def converted(family, state, **options):
    return convert(family, state, **options).double()


def used(network, n):
    """In float64, with statistics as training leaves them, so that using them by mistake shows."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        network.double()(*batch(n, 32, 32))
    return network


def batch(n, height, width):
    return torch.rand(2, 3, height, width).double() * 2 - 1, torch.rand(2, n).double()


def close(ours, official):
    torch.testing.assert_close(ours, official, atol=1e-8, rtol=1e-8)


def planes(label, image):
    return label[:, :, None, None].expand(-1, -1, *image.shape[2:])


def normed(conv):
    return [conv, nn.InstanceNorm2d(conv.out_channels, affine=True, track_running_stats=True), nn.ReLU()]


def conv(c_in, c_out, kernel, stride=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, bias=False)


def up(c_in):
    return nn.ConvTranspose2d(c_in, c_in // 2, 4, 2, 1, bias=False)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.main = nn.Sequential(*normed(conv(channels, channels, 3)), *normed(conv(channels, channels, 3))[:2])

    def forward(self, x):
        return x + self.main(x)


def encoding(c_in, width, blocks):
    convs = [conv(c_in, width, 7), conv(width, 2 * width, 4, 2), conv(2 * width, 4 * width, 4, 2)]
    return [*(layer for c in convs for layer in normed(c)), *[Residual(4 * width) for _ in range(blocks)]]


def decoding(width, c_out, kernel):
    return [*normed(up(4 * width)), *normed(up(2 * width)), conv(width, c_out, kernel)]


class StarGAN(nn.Module):
    def __init__(self, width, blocks, n):
        super().__init__()
        self.main = nn.Sequential(*encoding(3 + n, width, blocks), *decoding(width, 3, 7), nn.Tanh())

    def forward(self, image, label):
        return self.main(torch.cat([image, planes(label, image)], dim=1))


class Critic(nn.Module):
    def __init__(self, side, width, layers, constant, n):
        super().__init__()
        modules, c_in = [], 3
        for layer in range(layers):
            c_out = width * 2 ** min(layer, layers - 1 - constant)
            modules += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.LeakyReLU(0.01)]
            c_in = c_out
        self.main = nn.Sequential(*modules)
        self.conv1 = nn.Conv2d(c_in, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(c_in, n, side // 2**layers, bias=False)

    def forward(self, image):
        hidden = self.main(image)
        return self.conv1(hidden), self.conv2(hidden).flatten(1)

    def names(self, trunk, score, label):
        """The state dict under the names of another code."""
        other = {"main": trunk, "conv1": score, "conv2": label}
        return {".".join([other[k.split(".")[0]], *k.split(".")[1:]]): v for k, v in self.state_dict().items()}


class MotionCritic(nn.Module):
    def __init__(self, side, width, layers, n):
        super().__init__()
        modules, c_in = [], 5 + n
        for layer in range(layers):
            modules += [nn.Conv2d(c_in, width * 2**layer, 4, 2, 1), nn.LeakyReLU(0.01)]
            c_in = width * 2**layer
        self.main = nn.Sequential(*modules, nn.Conv2d(c_in, n, side // 2**layers, bias=False))

    def forward(self, motion, image, label):
        return self.main(torch.cat([motion, image, planes(label, image)], dim=1)).flatten(1)


class Correction(nn.Sequential):
    def __init__(self, channels, width, kernel):
        head = conv(width, channels, kernel)
        super().__init__(*normed(conv(channels, width, kernel)), Residual(width), head, nn.Tanh())


class ADSPM(nn.Module):
    def __init__(self, width, blocks, refine_blocks, n, kernels, motion):
        super().__init__()
        self.motion, self.suffixes = motion, ("", "512")[: len(kernels)]
        self.encoding = nn.Sequential(*encoding(3 + n, width, blocks))
        self.flow_pred = nn.Sequential(*decoding(width, 2, 7), nn.Tanh())
        self.att_mask = nn.Sequential(*decoding(width, 1, 3), nn.Sigmoid())
        body = [Residual(width) for _ in range(refine_blocks)]
        self.refine = nn.Sequential(*normed(conv(3, width, 7)), *body, conv(width, 3, 7), nn.Tanh())
        for suffix, kernel in zip(self.suffixes, kernels, strict=True):
            for name, channels in {"flow": 2, "mask": 1, "app": 3}.items():
                self.add_module(f"{name}_refine{suffix}", Correction(channels, width // 2, kernel))

    def forward(self, image, label):
        sizes = [image.shape[2] // 2**k for k in range(len(self.suffixes), -1, -1)]
        low = enlarge(image, sizes[0])
        features = self.encoding(torch.cat([low, planes(label, low)], dim=1))
        motion, mask = self.motion * self.flow_pred(features), self.att_mask(features)
        residual = self.refine(shift(low, motion)) * mask
        for suffix, size in zip(self.suffixes, sizes[1:], strict=True):
            motion, mask, residual = (enlarge(x, size) for x in (motion, mask, residual))
            motion = motion + self.motion * self.get_submodule(f"flow_refine{suffix}")(motion)
            mask = (mask + self.get_submodule(f"mask_refine{suffix}")(mask)).clamp(0, 1)
            residual = (residual + self.get_submodule(f"app_refine{suffix}")(residual)) * mask
        warped = shift(image, motion)
        return {"image": (warped + residual).clamp(-1, 1), "warped": warped, "mask": mask, "motion": motion}


def enlarge(x, size):
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=True)


def shift(image, motion):
    """Sample at corner-aligned positions, moved by a fraction of the picture; outside of it is 0."""
    rows, cols = (torch.linspace(-1, 1, n, dtype=image.dtype) for n in image.shape[2:])
    grid = torch.stack(torch.meshgrid(cols, rows, indexing="xy"), dim=2)
    return F.grid_sample(image, grid + 2 * motion.permute(0, 2, 3, 1), align_corners=True)
