"""LPIPS against the `lpips` package on the same backbone."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import get_args

import pytest
import torch

from geotrans.features.lpips import BACKBONES, MINIMUM_SIDE, LpipsDistance, Net, lpips_distance

NETS = get_args(Net)


def images(seed: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def check_against_package(net: Net) -> None:
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision deprecates the arguments that lpips 0.1.4 passes
        official = lpips.LPIPS(net=net, verbose=False)  # reads its backbone from the torch hub cache
    a, b = images(0, 2, 3, 64, 64), images(1, 2, 3, 64, 64)
    expected = official(a / 127.5 - 1, b / 127.5 - 1).flatten()
    torch.testing.assert_close(lpips_distance(net)(a, b), expected, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def alex() -> LpipsDistance:
    torch.manual_seed(0)
    return LpipsDistance("alex", untrained=True)


def test_zero_for_equal_symmetric_and_positive(alex: LpipsDistance) -> None:
    a, b = images(0, 3, 3, 40, 48), images(1, 3, 3, 40, 48)
    assert torch.equal(alex(a, a), torch.zeros(3))
    torch.testing.assert_close(alex(a, b), alex(b, a))
    assert (alex(a, b) > 0).all()


def test_one_value_a_pair_whatever_the_batch(alex: LpipsDistance, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = images(0, 5, 3, 32, 32), images(1, 5, 3, 32, 32)
    whole = alex(a, b)
    assert whole.shape == (5,)
    monkeypatch.setattr("geotrans.features.lpips.SUB_BATCH", 2)
    torch.testing.assert_close(alex(a, b), whole)
    torch.testing.assert_close(alex(a[4:], b[4:]), whole[4:])


def test_frozen(alex: LpipsDistance) -> None:
    assert not alex.training
    assert not any(parameter.requires_grad for parameter in alex.parameters())


@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_backbone_file_gives_the_package_score(net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    torch.manual_seed(3)
    model = {"alex": torchvision.models.alexnet, "squeeze": torchvision.models.squeezenet1_1}[net](weights=None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    BACKBONES[net].path.parent.mkdir(parents=True)
    torch.save(model.state_dict(), BACKBONES[net].path)
    check_against_package(net)


@pytest.mark.parametrize("net", NETS)
def test_smallest_side_works_and_below_is_refused(net: Net) -> None:
    distance, side = LpipsDistance(net, untrained=True), MINIMUM_SIDE[net]
    assert distance(images(0, 1, 3, side, side), images(1, 1, 3, side, side)).isfinite().all()
    with pytest.raises(ValueError, match=rf"LPIPS {net} needs pictures of at least \({side}, {side}\)"):
        distance(images(0, 1, 3, side, side - 1), images(1, 1, 3, side, side - 1))


def test_shapes_must_agree(alex: LpipsDistance) -> None:
    with pytest.raises(ValueError, match=r"got \(2, 3, 40, 40\) and \(1, 3, 40, 40\)"):
        alex(images(0, 2, 3, 40, 40), images(0, 1, 3, 40, 40))


def test_unknown_net() -> None:
    with pytest.raises(ValueError, match="expected alex, vgg, squeeze, got 'resnet'"):
        LpipsDistance("resnet")  # type: ignore[arg-type]


@pytest.mark.parametrize("net", NETS)
def test_missing_backbone_names_file_address_size_and_place(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        lpips_distance(net)
    message = str(error.value)
    assert "\n" not in message
    for part in (str(tmp_path / "checkpoints" / BACKBONES[net].name), BACKBONES[net].url, "MB"):
        assert part in message


@pytest.mark.weights
@pytest.mark.parametrize("net", NETS)
def test_published_backbone_gives_the_package_score(net: Net) -> None:
    path = BACKBONES[net].path
    if "TORCH_HOME" not in os.environ or not path.is_file():
        pytest.skip(f"needs {path}; set TORCH_HOME to a torch cache that has it")
    check_against_package(net)
