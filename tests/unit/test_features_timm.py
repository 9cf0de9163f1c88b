"""Networks of timm by name: from files on this machine, with timm's own numbers, and what is said where they lack."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from eval.networks import Networks
from geotrans import create_feature
from geotrans.features import timm as features
from geotrans.losses.base import LossInputs
from geotrans.losses.perceptual import perc_vgg19, style_vgg19
from geotrans.types import Translation

NAME = "resnet10t.c3_in1k"


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, name: None)


def _stored(tmp_path: Path) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = timm.create_model(NAME.partition(".")[0], pretrained=False).state_dict()
    (tmp_path / "checkpoints").mkdir()
    save_file(state, tmp_path / "checkpoints" / f"{NAME}.safetensors")
    return state


def _levels(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_same_features_as_timm(tmp_path: Path) -> None:
    state = _stored(tmp_path)
    net = timm.create_model(NAME.partition(".")[0], pretrained=False).eval()
    net.load_state_dict(state)
    feature = create_feature(f"timm/{NAME}")
    config = net.pretrained_cfg
    pictures = _levels(2, *config["input_size"])
    mean, deviation = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = net.forward_head(net.forward_features((pictures / 255 - mean) / deviation), pre_logits=True)
    torch.testing.assert_close(feature(pictures), expected, rtol=1e-4, atol=1e-5)
    assert feature(_levels(1, 3, 40, 60)).shape == expected[:1].shape
    assert not any(parameter.requires_grad for parameter in feature.parameters())  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="expected uint8"):
        feature(pictures.float())


def test_metrics_find_it_by_name(tmp_path: Path) -> None:
    _stored(tmp_path)
    assert Networks().feature(f"timm/{NAME}")(_levels(1, 3, 64, 64)).shape == (1, 512)
    assert Networks().missing(f"timm/{NAME}") is None


def test_missing_weights_name_file_address_and_place(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        create_feature(f"timm/{NAME}")
    message = str(error.value)
    assert "\n" not in message
    url = f"https://huggingface.co/timm/{NAME}/resolve/main/model.safetensors"
    for part in (str(tmp_path / "checkpoints" / f"{NAME}.safetensors"), url, f"hf download timm/{NAME}"):
        assert part in message
    assert Networks().missing(f"timm/{NAME}") == message


def test_only_download_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def download(repo: str, name: str) -> str:
        asked.append((repo, name))
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert Networks(download=False).missing(f"timm/{NAME}")
    assert asked == []
    assert Networks(download=True).missing(f"timm/{NAME}") == "no network"
    assert asked == [(f"timm/{NAME}", "model.safetensors")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet18.nothing_like_it", r"Invalid pretrained tag .* did you mean 'resnet18\."),
        ("resnet18x", "no such weights on the Hub; did you mean 'resnet18"),
    ],
)
def test_names_that_timm_does_not_know(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as error:
        create_feature(f"timm/{name}")
    assert f"timm/{name}" in str(error.value)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    save_file({"weight": torch.zeros(3)}, tmp_path / "checkpoints" / f"{NAME}.safetensors")
    with pytest.raises(ValueError, match="not the weights of timm's resnet10t") as error:
        create_feature(f"timm/{NAME}")
    assert "\n" not in str(error.value)


def test_a_cached_file_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, name: f"/cache/{repo}/{name}")
    assert features.find_timm(NAME) == Path(f"/cache/timm/{NAME}/model.safetensors")


def test_losses_take_it_by_name(tmp_path: Path) -> None:
    """Its inner layers are timm's, and a gradient comes through."""
    _stored(tmp_path)
    output, truth = (2 * torch.rand(2, 2, 3, 64, 64) - 1).unbind()
    output.requires_grad_()
    step = LossInputs(truth, output=Translation(output), truth=truth)
    loss = perc_vgg19(feature=f"timm/{NAME}", layers=("1", "3"))(step)
    network = create_feature(f"timm/{NAME}")
    seen = [network._seen(image) for image in (output, truth)]  # type: ignore[attr-defined]
    ours, theirs = (network.net.forward_intermediates(x, intermediates_only=True) for x in seen)  # type: ignore[attr-defined]
    expected = sum((ours[i] - theirs[i]).abs().flatten(1).mean(1) for i in (1, 3))
    torch.testing.assert_close(loss, expected)
    loss.sum().backward()
    assert output.grad is not None
    assert output.grad.any()
    with pytest.raises(ValueError, match=r"layers of ResNet: expected some of 0, 1, 2, 3, 4, got relu1_1"):
        style_vgg19(feature=f"timm/{NAME}", layers=("relu1_1",))(step)
