"""What every registered generator promises. Registering one is enough to be tested here."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from geotrans import GENERATORS, create_model, save_folder, verify_folder
from geotrans.base import config_from_dict, config_to_dict
from geotrans.recorded import random_condition

SIDE = 64
# Fields that make a network small, where its config has them.
SMALL = {
    "resolution": SIDE,
    "width": 4,
    "flow_width": 4,
    "scales": 4,
    "units": 128,
    "mask_units": 64,
    "blocks": 1,
    "refine_blocks": 1,
    "hr_blocks": 1,
}


def tiny(name, **more):
    """The variant `name` with little width and depth."""
    fields = {field.name for field in dataclasses.fields(GENERATORS.get(name).factory())}
    options = {key: value for key, value in SMALL.items() if key in fields}
    torch.manual_seed(0)
    return create_model(name, **{**options, **more})


def example(model, batch=2, side=SIDE):
    image = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    spec = model.cfg.condition
    target = random_condition(spec, batch, side, side, seed=2)
    source = random_condition(spec, batch, side, side, seed=3) if spec.needs_source else None
    return image, target, source


def names():
    return GENERATORS.names()


@pytest.mark.parametrize("name", names())
def test_translation_equation_and_range(name):
    model = tiny(name)
    image, target, source = example(model)
    with torch.no_grad():
        out = model(image, target, source)
    assert out.image.shape == image.shape
    assert out.image.abs().max() <= 1
    if out.flow is not None:
        assert out.flow.shape == (2, 2, SIDE, SIDE)
    if out.mask is not None:
        assert out.mask.shape == (2, 1, SIDE, SIDE)
        assert 0 <= out.mask.min() <= out.mask.max() <= 1
        torch.testing.assert_close(out.image, (out.warped + out.mask * out.residual).clamp(-1, 1), atol=1e-5, rtol=0)
    else:
        torch.testing.assert_close(out.image, out.warped.clamp(-1, 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", names())
def test_a_sample_does_not_depend_on_its_batch(name):
    model = tiny(name).eval()
    image, target, source = example(model)
    with torch.no_grad():
        both = model(image, target, source).image
        alone = model(image[:1], target.rows(slice(0, 1)), None if source is None else source.rows(slice(0, 1))).image
    torch.testing.assert_close(both[:1], alone, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("name", names())
def test_every_parameter_gets_a_gradient(name):
    model = tiny(name).train()
    image, target, source = example(model)
    out = model(image, target, source)
    loss = sum(
        value.square().mean()
        for value in (out.image, out.flow, out.warped, out.residual, out.mask, *out.intermediates.values())
        if value is not None and value.requires_grad
    )
    if not list(model.parameters()):
        return
    loss.backward()
    without = [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


@pytest.mark.parametrize("name", names())
def test_published_folder_gives_the_same_picture_to_the_bit(name, tmp_path):
    model = tiny(name).eval()
    save_folder(model, tmp_path / "folder", arch=name, tag="test")
    again = create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True)
    image, target, source = example(model)
    with torch.no_grad():
        assert torch.equal(model(image, target, source).image, again(image, target, source).image)
    assert verify_folder(tmp_path / "folder") < 1e-5


@pytest.mark.parametrize("name", names())
def test_config_survives_json(name):
    cfg = GENERATORS.get(name).factory()
    assert config_from_dict(type(cfg), config_to_dict(cfg)) == cfg


@pytest.mark.parametrize("name", names())
def test_name_and_resolution_agree(name):
    digits = [part for part in name.split("_") if part.isdigit()]
    assert not digits or int(digits[-1]) == GENERATORS.get(name).factory().resolution
