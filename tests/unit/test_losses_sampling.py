"""The losses that teach a flow without pictures: against the official code, an explicit fit, and each other."""

import pytest
import torch
import torch.nn.functional as F

from geotrans import Condition, create_loss, create_model
from geotrans.losses.affine import affine_residual
from geotrans.losses.base import LossInputs
from geotrans.losses.sampling import best_similarity, place_correctness, sampling_correctness
from geotrans.ops.flow import from_pixels
from geotrans.ops.resample import resample_gaussian
from geotrans.ops.warp import from_corner_units, warp
from geotrans.types import Translation

PUBLISHED = {"gauss": "gaussian", "bilinear": "bilinear_published"}
LAYERS = ("relu4_1", "relu3_1")


def noise(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def inputs(*flows, **more):
    parts = {f"flow_{number}": flow for number, flow in enumerate(flows)}
    picture = torch.zeros(len(flows[0]), 3, 4, 4)
    return LossInputs(picture, output=Translation(picture, flow=flows[-1], intermediates=parts), **more)


def test_affine_regularisation_is_the_official_one(golden):
    case = golden("op_gfla_affine_reg")
    fine, coarse = (case.inputs[name].requires_grad_() for name in ("flow", "flow_coarse"))
    sizes = {size: affine_residual(from_pixels(fine), size).mean() for size in (3, 5)}
    for size, value in sizes.items():
        case.close(f"loss_k{size}", value)
        case.close(f"loss_affine_k{size}", affine_residual(from_pixels(case.inputs["flow_affine"]), size).mean())
    multi = create_loss("flow_affine", sizes=(3, 5))(inputs(from_pixels(coarse), from_pixels(fine))).mean()
    case.close("multi", multi)
    (sizes[3] + sizes[5] + multi).backward()
    case.close("d_flow", fine.grad)
    case.close("d_flow_coarse", coarse.grad)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7])
def test_affine_residual_is_that_of_a_fit_to_every_patch(size):
    pixels = noise(2, 2, 9, 8)
    patches = F.unfold(pixels.flatten(0, 1)[:, None], size).view(2, 2, size * size, -1)
    rows, columns = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    design = torch.stack([rows.flatten(), columns.flatten(), torch.ones(size * size).double()], dim=1)
    fit = design @ torch.linalg.lstsq(design.expand(2, 2, -1, -1), patches).solution
    expected = (patches - fit).square().sum(2).sum(1).mean(1)
    torch.testing.assert_close(affine_residual(from_pixels(pixels), size), expected, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("size", [2, 3, 5, 6])
def test_in_the_papers_direction_the_targets_places_are_fitted(size):
    """Eq. 4 to 6, patch by patch: T = A S, where S are the source's places and T the target's."""
    pixels, residuals = 2 * noise(2, 2, 7, 8), []
    rows, columns = torch.meshgrid(torch.arange(7.0).double(), torch.arange(8.0).double(), indexing="ij")
    lattice = torch.stack([columns, rows]).expand(2, -1, -1, -1)
    for row in range(7 - size + 1):
        for column in range(8 - size + 1):
            window = (..., slice(row, row + size), slice(column, column + size))
            target, moved = (x[window].flatten(2).mT for x in (lattice, lattice + pixels))
            source = torch.cat([moved, torch.ones_like(moved[..., :1])], dim=2)
            left = target - source @ torch.linalg.lstsq(source, target).solution
            residuals.append(left.square().sum((1, 2)))
    ours = affine_residual(from_pixels(pixels), size, direction="paper")
    torch.testing.assert_close(ours, torch.stack(residuals).mean(0), atol=1e-8, rtol=1e-8)
    loss = create_loss("flow_affine", sizes=(size,), direction="paper")
    assert torch.equal(loss(inputs(from_pixels(pixels))), ours)


@pytest.mark.parametrize("direction", ["code", "paper"])
def test_affine_gradcheck(direction):
    flow = noise(1, 2, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: affine_residual(f, 3, direction=direction), (flow,))


def test_where_all_flows_meet_the_target_is_all_that_is_left():
    """The map is then not determined, and the gradient still finite."""
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    flow = from_pixels(-torch.stack([columns, rows])[None]).requires_grad_()
    value = affine_residual(flow, 3, direction="paper")
    torch.testing.assert_close(value, torch.tensor([12.0]))
    value.sum().backward()
    assert flow.grad.isfinite().all()


@pytest.mark.parametrize("direction", ["code", "paper"])
def test_affine_flows_cost_nothing_however_large(direction):
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(9.0), indexing="ij")
    pixels = torch.stack([3 * columns - 40 * rows + 100, 0.5 * rows - 7 * columns])[None]
    assert affine_residual(from_pixels(pixels), 5, direction=direction).abs().max() < 1e-6
    exact = affine_residual(from_pixels(pixels.double()), 5, direction=direction)
    assert exact.abs().max() < 1e-8
    bent = pixels + torch.stack([rows**2, torch.zeros(12, 9)])
    assert affine_residual(from_pixels(bent), 5, direction=direction).min() > (1 if direction == "code" else 1e-3)


def test_affine_sizes_belong_to_the_finest_flows():
    coarse, fine = noise(1, 2, 6, 6), noise(1, 2, 12, 12)
    both = create_loss("flow_affine")(inputs(coarse, fine))
    torch.testing.assert_close(both, affine_residual(coarse, 3) + affine_residual(fine, 5))
    torch.testing.assert_close(create_loss("flow_affine")(inputs(fine)), affine_residual(fine, 5))
    alone = LossInputs(torch.zeros(1, 3, 4, 4), output=Translation(torch.zeros(1, 3, 4, 4), flow=fine))
    torch.testing.assert_close(create_loss("flow_affine")(alone), affine_residual(fine, 5))
    finest_first = create_loss("flow_affine")(inputs(fine, coarse))
    torch.testing.assert_close(finest_first, both)


@pytest.mark.parametrize(
    ("options", "flows", "message"),
    [
        ({"sizes": (3,)}, 2, r"sizes: expected one for each of 2 flows, got \(3,\)"),
        ({"sizes": (9,)}, 1, r"a flow of \(6, 6\) has no patches of 9 x 9"),
    ],
)
def test_affine_says_what_does_not_fit(options, flows, message):
    with pytest.raises(ValueError, match=message):
        create_loss("flow_affine", **options)(inputs(*[noise(1, 2, 6, 6) for _ in range(flows)]))
    with pytest.raises(ValueError, match=r"sizes: expected numbers of at least 2, got \(1, 3\)"):
        create_loss("flow_affine", sizes=(1, 3))
    with pytest.raises(ValueError, match="direction: expected one of code, paper, got 'back'"):
        create_loss("flow_affine", direction="back")


@pytest.mark.parametrize("path", PUBLISHED)
def test_sampling_correctness_is_the_official_one(golden, path):
    case = golden("op_gfla_sampling_correctness")
    sources, targets, flows = (
        {layer: case.inputs[f"{kind}_{layer}"] for layer in LAYERS} for kind in ("source", "target", "flow")
    )
    flows = {layer: flow.requires_grad_() for layer, flow in flows.items()}
    sources["relu3_1"].requires_grad_()
    total = 0
    for layer in LAYERS:
        flow = from_pixels(flows[layer])
        value = sampling_correctness(sources[layer], targets[layer], flow, sampling=PUBLISHED[path]).mean()
        case.close(f"{layer}_{path}", value)
        total = total + value
    case.close(f"total_{path}", total)
    total.backward()
    prefix = "d_flow_" if path == "bilinear" else "dgauss/flow_"
    for layer in LAYERS:
        case.close(f"{prefix}{layer}", flows[layer].grad)
    if path == "bilinear":
        case.close("d_source_relu3_1", sources["relu3_1"].grad)


@pytest.mark.parametrize("path", PUBLISHED)
def test_official_samples_and_small_flows(golden, path):
    case = golden("op_gfla_sampling_correctness")
    source, target = case.inputs["source_relu3_1"], case.inputs["target_relu3_1"]
    flow = from_pixels(case.inputs["flow_relu3_1"])
    sample = resample_gaussian(source, flow) if path == "gauss" else warp(source, from_corner_units(flow))
    case.close(f"sample_{path}", sample)
    # The official code enlarges a flow's pixels as they are; a flow of the library keeps what it means.
    grown = F.interpolate(case.inputs["flow_small"], source.shape[2:], mode="nearest")
    value = sampling_correctness(source, target, from_pixels(grown), sampling=PUBLISHED[path])
    case.close(f"small_flow_{path}", value.mean())


@pytest.mark.parametrize("path", PUBLISHED)
def test_official_masks_are_weights_of_places(golden, path):
    case = golden("op_gfla_sampling_correctness")
    source, target = case.inputs["source_relu3_1"], case.inputs["target_relu3_1"]
    flow, mask = from_pixels(case.inputs["flow_relu3_1"]), case.inputs["mask"]
    terms = place_correctness(source, target, flow, sampling=PUBLISHED[path])
    case.close(f"masked_{path}", (mask[:, 0] * terms).sum() / mask.sum())


def test_the_right_flow_costs_nothing_bilinearly():
    features = noise(2, 6, 9, 8).abs()
    still = torch.zeros(2, 2, 9, 8, dtype=torch.float64)
    right = sampling_correctness(features, features, still, sampling="bilinear")
    torch.testing.assert_close(right, torch.zeros_like(right), atol=1e-7, rtol=0)
    assert (sampling_correctness(features, features, still) > 1e-3).all()  # the Gaussian blurs
    shifted, flow = features.roll(-2, dims=3), still.clone()
    flow[:, 0] = 2 * 2 / 8
    flow[:, 0, :, -2:] -= 2  # what left at one side came in at the other
    found = sampling_correctness(features, shifted, flow, sampling="bilinear")
    torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-7, rtol=0)
    assert (sampling_correctness(features, shifted, still, sampling="bilinear") > 0.05).all()


def test_the_best_match_may_be_anywhere(monkeypatch):
    source, target = noise(2, 5, 4, 7), noise(2, 5, 4, 7)
    pairs = F.cosine_similarity(target.flatten(2)[:, :, :, None], source.flatten(2)[:, :, None], dim=1)
    torch.testing.assert_close(best_similarity(source, target), pairs.amax(2).view(2, 4, 7))
    monkeypatch.setattr("geotrans.losses.sampling.AT_ONCE", 5)
    torch.testing.assert_close(best_similarity(source, target), pairs.amax(2).view(2, 4, 7))


def tiny_maps(image, layers):
    """A stand-in for VGG: a map at an eighth and one at a quarter of the size."""
    weight = torch.linspace(0, 40, 8 * 3 * 9).sin().view(8, 3, 3, 3).to(image)
    seen = F.conv2d(image, weight, padding=1).relu()
    pooled = {"relu4_1": 8, "relu3_1": 4}
    return [F.avg_pool2d(seen, pooled[layer]) for layer in layers]


def test_flow_losses_teach_the_flow_estimator_only():
    model = create_model("gfla_64", width=4, max_width=16, flow_width=4, flow_max_width=16)
    image, truth = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in range(2))
    poses = [Condition(structure=torch.rand(2, 18, 64, 64)) for _ in range(2)]
    seen = LossInputs(image, output=model(image, *poses), truth=truth)
    sampling = create_loss("flow_sampling", feature=tiny_maps)(seen)
    assert sampling.shape == (2,)
    (20 * sampling + 0.01 * create_loss("flow_affine")(seen)).mean().backward()
    learnt = {name.partition(".")[0] for name, value in model.named_parameters() if value.grad is not None}
    assert learnt == {"flow_net"}
    head = model.flow_net.flows[0].weight.grad
    assert head.abs().max() > 0


def test_flow_sampling_leads_a_flow_to_its_place():
    """Gradient descent on a constant flow finds the shift between two pictures."""
    draw = F.interpolate(torch.rand(1, 3, 8, 8), (64, 64), mode="bicubic") * 2 - 1
    truth = draw.roll(-8, dims=3)  # 2 pixels of the map at a quarter of the size
    shift = torch.zeros(1, 2, 1, 1, requires_grad=True)
    optimiser = torch.optim.Adam([shift], 0.02)
    loss = create_loss("flow_sampling", feature=tiny_maps)
    for _ in range(60):
        optimiser.zero_grad()
        value = loss(inputs_of(draw, truth, shift.expand(1, 2, 16, 16)))
        value.sum().backward()
        optimiser.step()
    assert shift[0, 0].item() == pytest.approx(2 * 8 / 64, abs=0.06)
    assert shift[0, 1].item() == pytest.approx(0, abs=0.06)


def inputs_of(image, truth, flow):
    return LossInputs(image, output=Translation(image, flow=flow), truth=truth)


def test_flow_sampling_says_what_does_not_fit():
    with pytest.raises(ValueError, match="expected one of gaussian, bilinear, bilinear_published, got 'nearest'"):
        create_loss("flow_sampling", sampling="nearest")
    image = torch.zeros(1, 3, 64, 64)
    flows = {f"flow_{n}": torch.zeros(1, 2, 8, 8) for n in range(3)}
    seen = LossInputs(image, output=Translation(image, intermediates=flows), truth=image)
    with pytest.raises(ValueError, match="layers: expected one for each of 3 flows, got relu4_1, relu3_1"):
        create_loss("flow_sampling", feature=tiny_maps)(seen)
    with pytest.raises(ValueError, match=r"needs output\.flow"):
        create_loss("flow_sampling", feature=tiny_maps)(LossInputs(image, output=Translation(image), truth=image))
