"""The nearest-neighbour loss against its definition, place by place."""

import pytest
import torch

from geotrans.losses.base import LossInputs
from geotrans.losses.neighbours import nearest_distance, nn_l1
from geotrans.losses.reconstruction import rec_l1
from geotrans.types import Translation


def compared(output, truth):
    return LossInputs(truth, output=Translation(output), truth=truth)


def pictures(*shape, seed=0):
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).unbind()


def slowly(maps, reference, size):
    """Eq. 7, one place after another."""
    batch, _, height, width = maps.shape
    found = torch.zeros(batch, height, width, dtype=maps.dtype)
    around = range(-(size // 2), size // 2 + 1)
    for sample in range(batch):
        for row in range(height):
            for column in range(width):
                found[sample, row, column] = min(
                    (maps[sample, :, row, column] - reference[sample, :, row + down, column + right]).abs().sum()
                    for down in around
                    for right in around
                    if 0 <= row + down < height and 0 <= column + right < width
                )
    return found


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_same_as_place_by_place(size):
    maps, reference = pictures(2, 4, 6, 7)
    torch.testing.assert_close(nearest_distance(maps, reference, size), slowly(maps, reference, size))


def test_the_gradient_is_that_of_the_smallest_distance():
    maps, reference = (value.requires_grad_() for value in pictures(1, 3, 5, 6))
    slowly(maps, reference, 3).sum().backward()
    expected, maps.grad, reference.grad = maps.grad, None, None
    nearest_distance(maps, reference, 3).sum().backward()
    assert torch.equal(maps.grad, expected)
    assert reference.grad is None


def test_a_small_shift_costs_nothing_and_a_larger_one_does():
    (truth, _) = pictures(1, 3, 16, 16)
    values = [nearest_distance(truth.roll((2, by), (2, 3)), truth, 5)[:, 4:-4, 4:-4].max().item() for by in (-2, 3)]
    assert values[0] == 0
    assert values[1] > 0.01


def test_alone_a_place_costs_its_absolute_differences():
    output, truth = pictures(2, 3, 8, 8)
    inputs = compared(output, truth)
    torch.testing.assert_close(nn_l1(size=1)(inputs), 3 * rec_l1()(inputs))
    assert (nn_l1(size=3)(inputs) < nn_l1(size=1)(inputs)).all()
    assert (nn_l1()(inputs) < nn_l1(size=3)(inputs)).all()


def test_layers_of_a_feature_add_up():
    output, truth = pictures(2, 3, 8, 8)

    def maps(image, layers):
        assert layers == ("a", "b")
        return image.mean(1, keepdim=True), image[..., ::2, ::2]

    inputs = compared(output, truth)
    sides = (maps(picture, ("a", "b")) for picture in (output, truth))
    parts = [nearest_distance(*pair, 3).mean((1, 2)) for pair in zip(*sides, strict=True)]
    torch.testing.assert_close(nn_l1(3, maps, ("a", "b"))(inputs), parts[0] + parts[1])


def test_runs_on_the_built_in_feature_by_name():
    output, truth = (torch.rand(2, 1, 3, 64, 64) * 2 - 1).unbind()
    output.requires_grad_()
    nn_l1(3, "synthface_features", ("half",))(compared(output, truth)).sum().backward()
    assert output.grad.any()


@pytest.mark.parametrize("size", [0, 2, -1])
def test_sizes_are_odd(size):
    with pytest.raises(ValueError, match=f"size: expected an odd number of at least 1, got {size}"):
        nn_l1(size)
