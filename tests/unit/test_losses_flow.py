import pytest
import torch

from geotrans.losses.base import LossInputs
from geotrans.losses.flow import (
    flow_compose,
    flow_fold,
    flow_identity,
    flow_identity_cycle,
    flow_tv,
    flow_tv_cycle,
)
from geotrans.ops.flow import compose
from geotrans.types import Translation


def moved(flow):
    image = torch.zeros(len(flow), 3, *flow.shape[2:])
    return LossInputs(image, output=Translation(image, flow=flow))


def affine(matrix, height, width):
    """The flow of x -> matrix x in normalised coordinates of pixel centres."""
    x = (torch.arange(width) + 0.5) * 2 / width - 1
    y = (torch.arange(height) + 0.5) * 2 / height - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"))
    return (torch.einsum("ij,jhw->ihw", torch.tensor(matrix), grid) - grid)[None]


def test_total_variation_of_a_ramp():
    flow = torch.zeros(2, 2, 4, 5)
    flow[:, 0] = 0.1 * torch.arange(5)
    flow[:, 1] = -0.2 * torch.arange(4)[:, None]
    torch.testing.assert_close(flow_tv()(moved(flow)), torch.full((2,), (0.1 + 0.2) / 2))  # each in one of two channels
    torch.testing.assert_close(flow_tv(squared=True)(moved(flow)), torch.full((2,), (0.01 + 0.04) / 2))


@pytest.mark.parametrize("squared", [False, True])
def test_total_variation_ignores_a_translation(squared):
    flow = torch.tensor([0.3, -0.7]).view(1, 2, 1, 1).expand(2, 2, 6, 6)
    torch.testing.assert_close(flow_tv(squared=squared)(moved(flow)), torch.zeros(2))


def test_identity_is_the_mean_power():
    flow = torch.tensor([[0.5, -0.5], [0.0, 2.0]]).view(2, 2, 1, 1).expand(2, 2, 3, 3)
    torch.testing.assert_close(flow_identity()(moved(flow)), torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(flow_identity(p=2)(moved(flow)), torch.tensor([0.25, 2.0]))


@pytest.mark.parametrize("p", [1, 1.5, 2])
def test_identity_has_a_finite_gradient_at_no_motion(p):
    flow = torch.zeros(1, 2, 3, 3, requires_grad=True)
    flow_identity(p=p)(moved(flow)).sum().backward()
    assert not flow.grad.any()


@pytest.mark.parametrize(
    "matrix",
    [[[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.2], [-0.3, 1.4]], [[-1.0, 0.0], [0.0, 1.0]], [[0.0, -1.0], [1.0, 0.0]]],
)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 11)])
def test_fold_of_an_affine_flow_is_the_hinge_on_the_determinant_of_its_matrix(matrix, height, width):
    expected = (0.9 - torch.linalg.det(torch.tensor(matrix))).clamp(min=0)[None]
    found = flow_fold(margin=0.9)(moved(affine(matrix, height, width)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_folds_cost_and_moves_do_not():
    mirror = affine([[-1.0, 0.0], [0.0, 1.0]], 6, 8)
    shrink = affine([[0.3, 0.0], [0.0, 0.5]], 6, 8)
    flow = torch.cat([mirror, shrink, torch.full_like(mirror, 0.4)])
    torch.testing.assert_close(flow_fold()(moved(flow)), torch.tensor([1.0, 0.0, 0.0]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(flow_fold(margin=0.2)(moved(flow)), torch.tensor([1.2, 0.05, 0.0]), atol=1e-5, rtol=1e-5)


def there_and_back(flow, back):
    return LossInputs(flow, output=Translation(flow, flow=flow), cycle=Translation(flow, flow=back))


@pytest.mark.parametrize(("there", "back"), [(flow_tv, flow_tv_cycle), (flow_identity, flow_identity_cycle)])
def test_flows_of_the_way_back_are_charged_alike(there, back):
    flow, other = torch.randn(2, 3, 2, 5, 4)
    inputs = there_and_back(flow, other)
    assert torch.equal(back()(inputs), there()(moved(other)))
    assert (back()(inputs) != there()(inputs)).all()
    with pytest.raises(ValueError, match=r"needs cycle\.flow"):
        back()(there_and_back(flow, None))


def test_composition_is_charged_by_its_mean_square_and_teaches_both_passes():
    flow, back = (0.2 * torch.randn(2, 2, 2, 6, 6)).requires_grad_().unbind()
    value = flow_compose()(there_and_back(flow, back))
    torch.testing.assert_close(value, compose(flow, back).square().mean((1, 2, 3)))
    assert all(gradient.any() for gradient in torch.autograd.grad(value.sum(), (flow, back)))


def test_composition_of_the_identity_with_a_flow_is_the_flow():
    flow, still = 0.2 * torch.randn(2, 2, 6, 6), torch.zeros(2, 2, 6, 6)
    for inputs in (there_and_back(flow, still), there_and_back(still, flow)):
        torch.testing.assert_close(flow_compose()(inputs), flow.square().mean((1, 2, 3)))


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"p: expected at least 1, got 0\.5"):
        flow_identity(p=0.5)
    with pytest.raises(ValueError, match=r"margin: expected a number in \[0, 1\), got 1"):
        flow_fold(margin=1)
    with pytest.raises(ValueError, match=r"needs output\.flow"):
        flow_tv()(LossInputs(torch.zeros(1, 3, 4, 4), output=Translation(torch.zeros(1, 3, 4, 4))))
