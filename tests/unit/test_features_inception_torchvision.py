"""GFLA's Inception against torchvision's own, on the same weights and with its pictures prepared by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import inception_v3

from geotrans.features.inception_torchvision import WEIGHTS, TorchvisionInception, inception_torchvision


@pytest.fixture(scope="module")
def official() -> nn.Module:
    """Random weights with batch norms that are far from the identity."""
    torch.manual_seed(0)
    net = inception_v3(weights=None, aux_logits=True, init_weights=False)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
    net.fc = nn.Identity()
    return net.eval()


def _levels(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_same_features_as_torchvision(official: nn.Module) -> None:
    """In eval mode torchvision returns the pooled features where its classifier is the identity."""
    state = {**official.state_dict(), "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    pictures = _levels(2, 3, 64, 80)
    x = nn.functional.interpolate(pictures / 255, (299, 299), mode="bilinear", align_corners=False)
    for channel, (mean, deviation) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)):
        x[:, channel] = x[:, channel] * (deviation / 0.5) + (mean - 0.5) / 0.5
    with torch.no_grad():
        expected = official(x)
    actual = TorchvisionInception(state)(pictures)
    assert expected.shape == (2, 2048)
    assert expected.std() > 1e-2
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the weights of torchvision's Inception v3") as error:
        TorchvisionInception({"weight": torch.zeros(1)})
    assert "\n" not in str(error.value)


def test_missing_weights_name_file_address_size_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEIGHTS.variable, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        inception_torchvision()
    for part in (str(tmp_path / "checkpoints" / WEIGHTS.name), WEIGHTS.url, "109 MB", WEIGHTS.variable):
        assert part in str(error.value)
