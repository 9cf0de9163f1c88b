"""What holds for every registered feature: uint8 in, (B, dim) float32 out, frozen, one row a picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import skimage.data
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geotrans import create_feature, list_features
from registry import FEATURES

Feature = Callable[[Tensor], Tensor]


def images(count: int, channels: int, height: int, width: int) -> Tensor:
    """Smaller and smaller crops around the face of a photograph: some features look for one."""
    photograph = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None].float()
    crops = [photograph[..., 9 * i : 256 - 9 * i, 96 + 9 * i : 352 - 9 * i] for i in range(count)]
    size = (height, width)
    return torch.cat([F.interpolate(crop, size, mode="bilinear", antialias=True) for crop in crops]).to(torch.uint8)


@pytest.fixture(params=list_features())
def named(request: pytest.FixtureRequest) -> tuple[str, Feature]:
    try:
        return request.param, create_feature(request.param)
    except (FileNotFoundError, ImportError) as error:
        pytest.skip(f"{request.param}: {error}")


def test_shape_type_and_dimension(named: tuple[str, Feature]) -> None:
    name, feature = named
    values = feature(images(2, 3, 64, 64))
    assert values.shape == (2, FEATURES.get(name).info.dim)
    assert values.dtype == torch.float32
    assert values.isfinite().all()


def test_a_row_is_one_picture(named: tuple[str, Feature]) -> None:
    _, feature = named
    batch = images(3, 3, 64, 64)
    whole = feature(batch)
    torch.testing.assert_close(feature(batch[1:2]), whole[1:2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole[0], whole[1], rtol=1e-6, atol=1e-7)


def test_other_sizes(named: tuple[str, Feature]) -> None:
    _, feature = named
    assert feature(images(1, 3, 48, 80)).isfinite().all()


def test_frozen(named: tuple[str, Feature]) -> None:
    _, feature = named
    assert isinstance(feature, nn.Module)
    assert not feature.training
    assert not any(parameter.requires_grad for parameter in feature.parameters())
    assert not feature(images(1, 3, 64, 64)).requires_grad


def test_refuses_floats(named: tuple[str, Feature]) -> None:
    _, feature = named
    with pytest.raises(TypeError, match=r"expected uint8, got torch\.float32"):
        feature(torch.zeros(1, 3, 64, 64))


def test_two_of_one_name_are_independent(named: tuple[str, Feature]) -> None:
    """Moving one to another device must not move the other."""
    name, feature = named
    assert isinstance(feature, nn.Module)
    other = create_feature(name)
    assert isinstance(other, nn.Module)
    first = {parameter.data_ptr() for parameter in feature.parameters()}
    assert first.isdisjoint(parameter.data_ptr() for parameter in other.parameters())


def test_inner_layers_and_embeddings_let_gradients_through_row_by_row(named: tuple[str, Feature]) -> None:
    _, feature = named
    methods = [method for method in ("maps", "embed") if hasattr(feature, method)]
    if not methods:
        pytest.skip("takes bytes only")
    for method in methods:
        image = (torch.rand(2, 3, 64, 64) * 2 - 1).requires_grad_()
        found = getattr(feature, method)(image)
        for values in [found] if isinstance(found, Tensor) else found:
            (gradient,) = torch.autograd.grad(values[1].sum(), image, retain_graph=True)
            assert gradient[1].abs().max() > 0
            assert gradient[0].abs().max() == 0


def test_inner_layers_are_picked_by_name(named: tuple[str, Feature]) -> None:
    _, feature = named
    if not hasattr(feature, "maps"):
        pytest.skip("has no maps")
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    every = feature.maps(image)
    assert len({values.shape for values in every}) == len(every) > 1
    with pytest.raises(ValueError, match=r"layers.*: expected some of .*, got nothing_like_it"):
        feature.maps(image, ["nothing_like_it"])
