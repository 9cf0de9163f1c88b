"""Official generators of GFLA's other tasks: their names, listed from the published layout, and what they compute.

The forward passes here are plain ones over the official names, in pixels, and share no code with the models.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from geotrans import Condition, create_model
from geotrans.convert import convert

TASKS = ("view", "face", "dance")
PAPER = {"width": 64, "flow": (32, 64, 128, 256, 256)}
SMALL = {"width": 4, "flow": (4, 8, 16, 16, 16)}
STRUCTURE = {"view": 21, "face": 16, "dance": 20}
PAIRS = ("_p", "_r")


class Names(dict):
    """Official names -> shapes, block by block."""

    def norm(self, name, channels):
        self[f"{name}.weight"] = self[f"{name}.bias"] = (channels,)

    def conv(self, name, c_in, c_out, side=3):
        self[f"{name}.weight"], self[f"{name}.bias"] = (c_out, c_in, side, side), (c_out,)

    def double(self, name, c_in, c_out):
        self[f"{name}.weight"], self[f"{name}.bias"] = (c_in, c_out, 3, 3), (c_out,)

    def block(self, name, c_in, hidden, side=3):
        self.norm(f"{name}.model.0", c_in)
        self.conv(f"{name}.model.2", c_in, hidden, side)
        self.norm(f"{name}.model.3", hidden)

    def residual(self, name, c_in, c_out):
        self.block(name, c_in, c_in)
        self.conv(f"{name}.model.5", c_in, c_out)
        if c_in != c_out:
            self.conv(f"{name}.shortcut.0", c_in, c_out, 1)

    def decoder(self, name, c_in, hidden, c_out):
        self.block(name, c_in, hidden)
        self.double(f"{name}.model.5", hidden, c_out)
        self.double(f"{name}.shortcut.0", c_in, c_out)

    def edge(self, name, c_in, c_out):
        self.conv(f"{name}.conv1", c_in, c_out)
        self.conv(f"{name}.model.2", c_in, c_out)

    def encoder(self, name, c_in, widths):
        for number, c_out in enumerate(widths):
            part = f"{name}.encoder{number - 1}" if number else f"{name}.block0"
            self.block(part, c_in, c_out, 4)
            self.conv(f"{part}.model.5", c_out, c_out)
            c_in = c_out

    def flow(self, name, c_in, widths, references=1, joined=0):
        self.encoder(name, c_in, widths)
        if joined:
            self.residual(f"{name}.cat.model.0", widths[-1] + joined, widths[-1])
        for number in range(3):
            before, after = widths[4 - number], widths[3 - number]
            self.decoder(f"{name}.decoder{number}", before, after, after)
            self.edge(f"{name}.jump{number}", after, after)
            if number:
                self.conv(f"{name}.output{number}", after, 2 * references)
                self.conv(f"{name}.mask{number}.0", after, references)

    def painter(self, width, attentions):
        for stage, (before, after) in enumerate(((4, 2), (2, 1), (1, 1))):
            before, after = before * width, after * width
            self.residual(f"target.decoder{stage}.0.model.0", before, before)
            self.decoder(f"target.decoder{stage}.1", before, before, after)
            for attention in attentions if stage < 2 else ():
                layers, side = f"target.attn{attention}{stage}.fully_connect_layer", (3, 5)[stage]
                self.conv(f"{layers}.0", 2 * before, 128, side)
                self.conv(f"{layers}.2", 128, side**2, 1)
        self.edge("target.outconv", width, 3)


def names(task, width, flow):
    found, widths, channels = Names(), [width, 2 * width, 4 * width], STRUCTURE[task]
    if task == "view":
        found.encoder("source", 3, widths)
        found.decoder("target.block0", channels, channels, width)
        found.decoder("target.block1", width, width, 4 * width)
        found.painter(width, ("",))
        found.flow("flow_net", 3, flow, joined=channels)
        return found
    found.encoder("source_previous", 3, widths)
    found.encoder("source_reference", 3, widths)
    found.encoder("target", channels, widths)
    found.painter(width, PAIRS)
    if task == "face":
        found.flow("flow_net", 3 * channels + 6, flow, references=2)
    else:
        found.flow("flow_net_previous", 2 * channels + 3, flow)
        found.flow("flow_net_reference", 2 * channels + 3, flow)
    return found


def weights(task):
    """Random weights of a small network, of a size at which pictures and flows are far from 0."""
    state = {}
    for name, shape in names(task, **SMALL).items():
        if len(shape) == 1:
            scales = name.endswith(("model.0.weight", "model.3.weight"))
            state[name] = torch.randn(shape) / 10 + scales
        else:
            state[name] = torch.randn(shape) * (2 if "output" in name else 1.2) / math.sqrt(math.prod(shape[1:]))
    for name in state:
        if ".conv1." in name:
            state[name] = state[name.replace(".conv1.", ".model.2.")]
    return state


class Plain:
    """The official networks, as their layout says."""

    def __init__(self, state):
        self.state = state

    def conv(self, name, x, stride=1, padding=1):
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], stride, padding)

    def active(self, name, x):
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.leaky_relu(F.instance_norm(x, weight=weight, bias=bias), 0.1)

    def double(self, name, x):
        return F.conv_transpose2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], 2, 1, 1)

    def inner(self, name, x, stride=1):
        return self.active(f"{name}.model.3", self.conv(f"{name}.model.2", self.active(f"{name}.model.0", x), stride))

    def residual(self, name, x):
        short = self.conv(f"{name}.shortcut.0", x, 1, 0) if f"{name}.shortcut.0.weight" in self.state else x
        return self.conv(f"{name}.model.5", self.inner(name, x)) + short

    def decoder(self, name, x):
        return self.double(f"{name}.model.5", self.inner(name, x)) + self.double(f"{name}.shortcut.0", x)

    def edge(self, name, x):
        return self.conv(f"{name}.model.2", F.pad(F.leaky_relu(x, 0.1), (1, 1, 1, 1), mode="reflect"), 1, 0)

    def encoder(self, name, x, blocks):
        features = []
        for number in range(blocks):
            part = f"{name}.encoder{number - 1}" if number else f"{name}.block0"
            x = self.conv(f"{part}.model.5", self.inner(part, x, 2))
            features.append(x)
        return features

    def flow(self, name, x, references=1, joined=None):
        """Flows in pixels and masks: of each scale one a reference."""
        features, flows, masks = self.encoder(name, x, 5), [], []
        x = features[-1]
        if joined is not None:
            x = self.residual(f"{name}.cat.model.0", torch.cat([x, joined.expand(-1, -1, *x.shape[2:])], 1))
        for number in range(3):
            x = self.decoder(f"{name}.decoder{number}", x) + self.edge(f"{name}.jump{number}", features[3 - number])
            if number:
                flows.append(self.conv(f"{name}.output{number}", x).chunk(references, 1))
                masks.append(self.conv(f"{name}.mask{number}.0", x).sigmoid().chunk(references, 1))
        return flows, masks

    def attend(self, name, source, target, flow, side):
        moved, own = patches(source, flow, side), patches(target, torch.zeros_like(flow), side)
        hidden = F.leaky_relu(self.conv(f"{name}.0", torch.cat([own, moved], 1), side, 0), 0.1)
        kernels = self.conv(f"{name}.2", hidden, 1, 0).softmax(1)
        return F.avg_pool2d(F.pixel_shuffle(kernels, side) * moved, side)

    def paint(self, x, sources, flows, masks, attentions):
        for stage in range(3):
            if stage < 2:
                parts = []
                for source, flow, mask, attention in zip(sources, flows[stage], masks[stage], attentions, strict=True):
                    layers = f"target.attn{attention}{stage}.fully_connect_layer"
                    attended = self.attend(layers, source[2 - stage], x, flow, (3, 5)[stage])
                    parts.append(x * (1 - mask) + attended * mask)
                x = sum(parts)
            x = self.decoder(f"target.decoder{stage}.1", self.residual(f"target.decoder{stage}.0.model.0", x))
        return self.edge("target.outconv", x).tanh()


def patches(image, flow, side):
    """Flowed patches side by side; the edge pixels go on outside."""
    batch, channels, height, width = image.shape
    rows, columns = (torch.arange(side * count) for count in flow.shape[2:])
    moved = flow[:, :, rows // side][..., columns // side]
    y = moved[:, 1] + (rows // side + rows % side - side // 2)[:, None]
    x = moved[:, 0] + (columns // side + columns % side - side // 2)
    total = 0
    for below in (0, 1):
        for right in (0, 1):
            row, column = (y.floor() + below).clamp(0, height - 1), (x.floor() + right).clamp(0, width - 1)
            share = (1 - (y - y.floor() - below).abs()) * (1 - (x - x.floor() - right).abs())
            index = (row * width + column).long().flatten(1)[:, None].expand(-1, channels, -1)
            total = total + share[:, None] * image.flatten(2).gather(2, index).view(batch, channels, *y.shape[1:])
    return total


@pytest.mark.parametrize(
    ("task", "keys", "parameters"), [("view", 210, 14_341_323), ("face", 236, 16_906_667), ("dance", 326, 23_510_195)]
)
def test_the_paper_networks_have_the_official_layout(task, keys, parameters):
    official = names(task, **PAPER)
    assert len(official) == keys
    with torch.device("meta"):
        model = create_model(f"gfla_{task}_256")
    own = sorted(tuple(p.shape) for p in model.parameters())
    assert own == sorted(shape for name, shape in official.items() if ".conv1." not in name)
    assert sum(math.prod(shape) for shape in own) == parameters


@torch.no_grad()
def test_views_are_the_official_ones():
    state = weights("view")
    plain, model = Plain(state), convert("gfla_view", state)
    image, views = torch.rand(2, 3, 256, 256) * 2 - 1, torch.zeros(2, 2, 21)
    for place, columns in enumerate((((3, 18), (10, 20)), ((7, 19), (0, 18)))):
        for row, pair in enumerate(columns):
            views[place, row, list(pair)] = 1
    shown, wanted = views
    flows, masks = plain.flow("flow_net", image, joined=(shown - wanted)[:, :, None, None])
    seed = plain.decoder("target.block0", wanted[:, :, None, None].expand(-1, -1, 8, 8))
    sources = [plain.encoder("source", image, 3)]
    painted = plain.paint(plain.decoder("target.block1", seed), sources, flows, masks, ("",))
    out = model(image, Condition(view=wanted), Condition(view=shown))
    torch.testing.assert_close(out.image, painted, atol=1e-4, rtol=0)
    assert painted.std() > 0.1
    assert flows[1][0].std() > 0.3


@pytest.mark.parametrize("task", ["face", "dance"])
@torch.no_grad()
def test_clips_are_the_official_ones(task):
    state, channels = weights(task), STRUCTURE[task]
    plain, model = Plain(state), convert("gfla_video", {f"module.{name}": value for name, value in state.items()})
    pictures, shown = torch.rand(1, 2, 3, 64, 64) * 2 - 1, torch.rand(1, 2, channels, 64, 64)
    wanted = torch.rand(1, channels, 64, 64)
    (before, reference), (was, pose) = pictures.unbind(1), shown.unbind(1)
    if task == "face":
        flows, masks = plain.flow("flow_net", torch.cat([wanted, before, was, reference, pose], 1), references=2)
    else:
        first = plain.flow("flow_net_previous", torch.cat([before, was, wanted], 1))
        second = plain.flow("flow_net_reference", torch.cat([reference, pose, wanted], 1))
        flows, masks = ([a + b for a, b in zip(*pair, strict=True)] for pair in zip(first, second, strict=True))
    sources = [plain.encoder("source_previous", before, 3), plain.encoder("source_reference", reference, 3)]
    painted = plain.paint(plain.encoder("target", wanted, 3)[-1], sources, flows, masks, PAIRS)
    out = model(pictures, Condition(structure=wanted), Condition(structure=shown)).image
    torch.testing.assert_close(out, painted, atol=1e-4, rtol=0)
    turned = model(pictures.flip(1), Condition(structure=wanted), Condition(structure=shown.flip(1))).image
    assert (turned - painted).abs().max() > 0.1


def test_what_does_not_fit_is_named():
    state = weights("view")
    with pytest.raises(ValueError, match=r"missing: flow_net\.cat\.model\.0\.model\.2\.bias"):
        convert("gfla_view", {k: v for k, v in state.items() if k != "flow_net.cat.model.0.model.2.bias"})
    with pytest.raises(ValueError, match=r"target\.block0 reads 20 columns; expected 21"):
        convert("gfla_view", state | {"target.block0.model.0.weight": torch.zeros(20)})
    with pytest.raises(ValueError, match="another family"):
        convert("gfla_video", state)
    with pytest.raises(ValueError, match="another family"):
        convert("gfla_view", weights("face"))
    with pytest.raises(ValueError, match="does not fit GFLA: missing: target"):
        convert("gfla", state)
