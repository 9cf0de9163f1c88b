"""Official checkpoints of the pose networks as older versions of PyTorch wrote them: the recorded outputs all the same.

`module.` before the names, statistics that instance norms kept, batch norms that did not count.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm

from geotrans import Condition, convert, create_discriminator, create_model
from geotrans.models.gfla import convert_gfla
from geotrans.models.gfla_d import SpectralConv
from geotrans.ops.flow import to_pixels


def posed(case):
    return case.inputs["image"], *(Condition(structure=case.inputs[f"pose_{name}"]) for name in ("target", "source"))


def painted(family, case, state, **options):
    case.close("image", convert(family, state, **options)(*posed(case)).image)


def judged(family, case, state, name="src", sigmoid=False, **options):
    image, beside = case.inputs["image"][:, :3], case.inputs["image"][:, 3:]
    condition = Condition(structure=beside) if beside.shape[1] else None
    score = convert(family, state, **options)(image, condition).scores[0].view_as(case.outputs[name])
    case.close(name, score.sigmoid() if sigmoid else score)


def moved(case, state):
    """Intrinsic Flow's two networks, a file each."""
    parts = {part: {} for part in ("flow", "generator")}
    for key, value in state.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    image, target, source = torch.zeros(1, 3, 64, 64), *posed(case)[1:]
    case.close("flow", to_pixels(convert("intrflow", parts, resolution=64)(image, target, source).flow) / 20)


def intrflow(golden):
    case = golden("intrflow_flow")
    flow = {f"flow.{key}": value for key, value in case.state.items()}
    both = flow | {f"generator.{key}": value for key, value in golden("intrflow_g").state.items()}
    inputs = {**case.inputs, "image": torch.zeros(1, 3, 64, 64)}
    return replace(case, state=both, inputs=inputs)


CASES = {
    "gfla_g_fashion": partial(painted, "gfla", resolution=64),
    "gfla_g_market": partial(painted, "gfla", resolution=96),
    "gfla_d": partial(judged, "gfla_discriminator", resolution=64),
    "patn_g_fashion": partial(painted, "patn"),
    "patn_g_market": partial(painted, "patn"),
    "patn_d_pose": partial(judged, "patn_discriminator", name="score"),
    "patn_d_image_market": partial(judged, "patn_discriminator", name="score", sigmoid=True),
    "intrflow": moved,
}
BATCH_NORMS = ("patn_g_market", "patn_d_image_market", "intrflow")


def read(golden, name):
    return intrflow(golden) if name == "intrflow" else golden(name)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_names_of_a_parallel_network(golden, name):
    case = read(golden, name)
    if name == "intrflow":
        state = {key.replace(".", ".module.", 1): value for key, value in case.state.items()}
    else:
        state = {f"module.{key}": value for key, value in case.state.items()}
    CASES[name](case, state)


@pytest.mark.parametrize("name", [name for name in CASES if name not in (*BATCH_NORMS, "gfla_d")])
@torch.no_grad()
def test_statistics_of_instance_norms_do_not_count(golden, name):
    """PyTorch 0.3 kept them for every instance norm, whether it has a scale or not, and did not use them."""
    case = read(golden, name)
    layers = {key.rpartition(".")[0] for key in case.state}
    kept = {f"{layer}.running_{kind}": torch.full((3,), 9.0) for layer in layers for kind in ("mean", "var")}
    CASES[name](case, {**case.state, **kept})


@pytest.mark.parametrize("name", BATCH_NORMS)
@torch.no_grad()
def test_batch_norms_of_before_they_counted(golden, name):
    case = read(golden, name)
    state = {key: value for key, value in case.state.items() if not key.endswith("num_batches_tracked")}
    assert len(state) < len(case.state)
    CASES[name](case, state)


def test_training_goes_on_as_with_pytorchs_spectral_norm():
    """A step of the power method at each pass in training, none outside; and the gradient of the divided weight."""
    theirs = spectral_norm(nn.Conv2d(3, 5, 4, 2, 1))
    ours = SpectralConv(3, 5, 4, 2, 1)
    names = {"weight_orig": "weight", "bias": "bias", "weight_u": "left", "weight_v": "right"}
    ours.load_state_dict({names[key]: value for key, value in theirs.state_dict().items()})
    image = torch.randn(2, 3, 8, 8)
    for _ in range(3):
        same = [layer(image) for layer in (ours, theirs)]
        torch.testing.assert_close(*same)
    for out in same:
        out.square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight_orig.grad)
    for key, name in names.items():
        torch.testing.assert_close(ours.state_dict()[name], theirs.state_dict()[key])
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image))
    torch.testing.assert_close(ours.state_dict()["left"], theirs.state_dict()["weight_u"])


@pytest.mark.parametrize(
    ("name", "tensors"),
    [
        ("gfla_fashion_256", 204 - 8),  # the official file holds the last layer and three jumps twice
        ("gfla_market_128", 196 - 8),
        ("gfla_d_256", 52),
        ("patn_fashion_256", 90),
        ("patn_market_128", 221),
    ],
)
def test_as_many_tensors_as_the_official_files_hold(name, tensors):
    with torch.device("meta"):
        model = create_discriminator(name) if name == "gfla_d_256" else create_model(name)
    assert len(model.state_dict()) == tensors


def test_half_of_a_spectral_norm_is_not_guessed(golden):
    state = dict(golden("gfla_g_fashion").state)
    state["source.block0.model.2.weight_u"] = torch.ones(4)
    with pytest.raises(ValueError, match=r"unexpected: source\.block0\.model\.2\.weight_u"):
        convert_gfla(state)
