"""VGG against torchvision's, its layer names, and its weights file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from geotrans.features.vgg import LAYERS, VGG, WEIGHTS, Depth, vgg16, vgg19, vgg19_plain
from geotrans.ops.images import from_uint8

FACTORIES = {16: vgg16, 19: vgg19}
# Positions in torchvision's `features` of what the papers call relu1_1, relu2_1, ...
RELUS = {16: (1, 6, 11, 18, 25), 19: (1, 6, 11, 20, 29)}


def images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def official(depth: Depth) -> nn.Sequential:
    """Torchvision's convolutions with random weights that keep a signal's size."""
    from torchvision.models import vgg

    torch.manual_seed(0)
    net: nn.Sequential = vgg.make_layers(vgg.cfgs[{16: "D", 19: "E"}[depth]])
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.normal_(layer.bias, std=0.1)
    return net.eval()


def state(net: nn.Sequential) -> dict[str, Tensor]:
    return {f"features.{key}": value for key, value in net.state_dict().items()}


@pytest.mark.parametrize("depth", [16, 19])
def test_same_maps_as_torchvision_from_the_named_file(
    depth: Depth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    net = official(depth)
    torch.save(state(net) | {"classifier.0.bias": torch.zeros(4096)}, tmp_path / "weights.pth")
    monkeypatch.setenv(f"GEOTRANS_VGG{depth}", str(tmp_path / "weights.pth"))
    feature = FACTORIES[depth]()
    assert "not the published file" in caplog.text
    image = from_uint8(images(2, 3, 32, 48))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((image + 1) / 2 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    with torch.no_grad():
        for found, position in zip(feature.maps(image), RELUS[depth], strict=True):
            torch.testing.assert_close(found, net[: position + 1](x), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(feature(images(2, 3, 32, 48)), net[:-1](x).mean((2, 3)), rtol=1e-4, atol=1e-4)
        raw = FACTORIES[depth](normalise=False)
        torch.testing.assert_close(raw.maps(image, ["relu1_1"])[0], net[:2](image), rtol=1e-4, atol=1e-4)
        if depth == 19:
            assert torch.equal(vgg19_plain().maps(image)[4], raw.maps(image)[4])


@pytest.fixture(scope="module")
def feature() -> VGG:
    return VGG(19, state(official(19)))


def test_layers_come_in_the_order_asked_for(feature: VGG) -> None:
    image = from_uint8(images(1, 3, 32, 32))
    last, first, again = feature.maps(image, ["relu3_1", "conv1_2", "relu3_1"])
    assert last.shape == (1, 256, 8, 8)
    assert first.shape == (1, 64, 32, 32)
    assert first.min() < 0  # before its ReLU
    assert torch.equal(last, again)
    assert torch.equal(feature.maps(image, ["relu1_2"])[0], first.relu())
    assert torch.equal(feature.maps(image, ["pool1"])[0], torch.nn.functional.max_pool2d(first.relu(), 2))
    assert [found.shape[1] for found in feature.maps(image)] == [64, 128, 256, 512, 512]
    assert LAYERS == tuple(f"relu{stage}_1" for stage in range(1, 6))


def test_deeper_layers_are_not_computed(feature: VGG, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Tensor) -> Tensor:
        raise AssertionError("computed a layer that nobody asked for")

    position = feature.names.index("conv2_1")
    monkeypatch.setattr(feature.features[position], "forward", refuse)
    assert feature.maps(from_uint8(images(1, 3, 16, 16)), ["relu1_1", "relu1_2"])[1].shape == (1, 64, 16, 16)


def test_says_what_it_cannot_do(feature: VGG) -> None:
    image = from_uint8(images(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"layers of VGG-19: expected some of conv1_1, .*, got relu3_5, relu6_1"):
        feature.maps(image, ["relu3_5", "relu1_1", "relu6_1"])
    with pytest.raises(ValueError, match="got none"):
        feature.maps(image, [])
    with pytest.raises(ValueError, match=r"at least \(16, 16\) pixels, got \(32, 15\)"):
        feature.maps(image[..., :15])


def test_weights_of_another_network_are_refused(feature: VGG) -> None:
    with pytest.raises(ValueError, match="expected the weights of torchvision's VGG-16") as error:
        VGG(16, {f"features.{key}": value for key, value in feature.features.state_dict().items()})
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"VGG-19: .*Missing key"):
        VGG(19, {})


@pytest.mark.parametrize("depth", [16, 19])
def test_missing_weights_name_file_address_size_and_place(
    depth: Depth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"GEOTRANS_VGG{depth}", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        FACTORIES[depth]()
    message, file = str(error.value), WEIGHTS[depth]
    assert "\n" not in message
    for part in (str(tmp_path / "checkpoints" / file.name), file.url, f"{file.size / 1e6:.0f} MB", file.variable):
        assert part in message
    assert file.name.removesuffix(".pth").endswith(file.sha256[:8])


@pytest.mark.weights
def test_published_weights_give_the_maps_that_lpips_compares() -> None:
    """Its scaling of pictures in [-1, 1] is ImageNet's normalisation."""
    path = WEIGHTS[16].path
    if "TORCH_HOME" not in os.environ or not path.is_file():
        pytest.skip(f"needs {path}; set TORCH_HOME to a torch cache that has it")
    from geotrans.features.lpips import LpipsDistance

    lpips, image = LpipsDistance("vgg").distance, from_uint8(images(2, 3, 48, 64))
    expected = lpips.net(lpips.scaling_layer(image))
    found = vgg16().maps(image, ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.weights
def test_published_weights_of_vgg19_fit() -> None:
    path = WEIGHTS[19].path
    if "TORCH_HOME" not in os.environ or not path.is_file():
        pytest.skip(f"needs {path}; set TORCH_HOME to a torch cache that has it")
    net, image = official(19), from_uint8(images(1, 3, 32, 32))
    published = {key.removeprefix("features."): value for key, value in WEIGHTS[19].load().items()}
    net.load_state_dict({key: value for key, value in published.items() if not key.startswith("classifier")})
    with torch.no_grad():
        torch.testing.assert_close(
            vgg19(normalise=False).maps(image, ["relu5_4"])[0], net[:-1](image), rtol=1e-4, atol=1e-4
        )
