"""The FID network against pytorch-fid's own, on the same weights."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from geotrans.features import inception
from geotrans.features.inception import InceptionFID, fetch_inception, inception_fid


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights with batch norms that are far from the identity, scaled so that activations stay alive."""
    torch.manual_seed(0)
    net = inception._architecture()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
    return net.state_dict()


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_same_features_as_pytorch_fid(state: dict[str, torch.Tensor]) -> None:
    import pytorch_fid.inception as official

    with mock.patch.object(official, "load_state_dict_from_url", return_value=state):
        reference = official.InceptionV3([3]).eval()
    pictures = images(2, 3, 40, 56)
    expected = reference(pictures.float() / 255)[0].flatten(1)
    actual = InceptionFID(state)(pictures)
    assert actual.shape == (2, 2048)
    assert actual.dtype == torch.float32
    assert expected.std() > 1e-2
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_picture_does_not_depend_on_its_batch(
    state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inception, "SUB_BATCH", 2)
    net, pictures = InceptionFID(state), images(3, 3, 16, 16)
    whole = net(pictures)
    torch.testing.assert_close(whole[2:], net(pictures[2:]), rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


def test_frozen(state: dict[str, torch.Tensor]) -> None:
    net = InceptionFID(state)
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def test_missing_weights_name_file_address_size_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEOTRANS_INCEPTION", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        inception_fid()
    message = str(error.value)
    assert "\n" not in message
    for part in (str(tmp_path / "checkpoints"), inception.WEIGHTS.url, "96 MB", "GEOTRANS_INCEPTION"):
        assert part in message


def test_weights_from_the_named_path(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    monkeypatch.setenv("GEOTRANS_INCEPTION", str(path))
    pictures = images(1, 3, 16, 16)
    torch.testing.assert_close(inception_fid()(pictures), InceptionFID(state)(pictures))
    assert "not the published file" in caplog.text


def test_a_pickle_or_a_cut_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    monkeypatch.setenv("GEOTRANS_INCEPTION", str(path))
    torch.save(Path("harmless"), path)
    with pytest.raises(ValueError, match=r"weights\.pth cannot be read"):
        inception_fid()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"weights\.pth cannot be read"):
        inception_fid()


def test_fetch_checks_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "hub" / "weights.pth"
    source.write_bytes(b"something else")
    monkeypatch.setenv("GEOTRANS_INCEPTION", str(target))
    monkeypatch.setattr(inception, "WEIGHTS", replace(inception.WEIGHTS, url=source.as_uri()))
    with pytest.raises(ValueError, match="not the file expected"):
        fetch_inception()
    assert list(target.parent.iterdir()) == []


def test_fetch_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"mine")
    monkeypatch.setenv("GEOTRANS_INCEPTION", str(path))
    monkeypatch.setattr(inception, "WEIGHTS", replace(inception.WEIGHTS, url="http://localhost:9/nothing"))
    assert fetch_inception() == path
    assert path.read_bytes() == b"mine"


@pytest.mark.weights
def test_published_weights_give_pytorch_fid_features() -> None:
    path = inception.WEIGHTS.path
    if "TORCH_HOME" not in os.environ or not path.is_file():
        pytest.skip(f"needs {path}; set TORCH_HOME to a torch cache that has it")
    import pytorch_fid.inception as official

    reference = official.InceptionV3([3]).eval()
    pictures = images(2, 3, 64, 64)
    expected = reference(pictures.float() / 255)[0].flatten(1)
    torch.testing.assert_close(inception_fid()(pictures), expected, rtol=1e-4, atol=1e-5)
