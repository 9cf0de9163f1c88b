import pytest
import torch

from geotrans import ConditionSpec, create_discriminator, create_model
from geotrans.models.stargan import convert_star_discriminator, convert_stargan
from geotrans.types import Condition


def test_generator_reproduces_the_official_code(golden):
    case = golden("stargan_g")
    model = convert_stargan(case.state)
    assert (model.cfg.width, model.cfg.blocks, model.cfg.condition.size) == (8, 6, 5)
    out = model(case.inputs["image"], Condition(attributes=case.inputs["cond"]))
    case.close("image", out.image)


@pytest.mark.parametrize("name", ["stargan_d", "adspm_d"])
def test_discriminator_reproduces_the_official_code(golden, name):
    case = golden(name)
    model = convert_star_discriminator(case.state)
    critique = model(case.inputs["image"])
    case.close("src", critique.scores[0])
    case.close("cls", critique.condition.attributes.reshape(case.outputs["cls"].shape))


def test_converted_weights_ignore_stale_running_statistics(golden):
    case = golden("stargan_g")
    stale = {k: v + 100 if "running" in k else v for k, v in case.state.items()}
    image, target = case.inputs["image"], Condition(attributes=case.inputs["cond"])
    assert torch.equal(convert_stargan(stale)(image, target).image, convert_stargan(case.state)(image, target).image)


@pytest.mark.parametrize(("width", "blocks", "columns"), [(4, 3, 2), (6, 9, 13)])
def test_converter_infers_sizes(width, blocks, columns):
    state = _official_names(create_model("stargan_base_128", width=width, blocks=blocks, condition=_columns(columns)))
    model = convert_stargan(state)
    assert (model.cfg.width, model.cfg.blocks, model.cfg.condition.size) == (width, blocks, columns)


def test_converter_says_what_does_not_fit(golden):
    state = golden("stargan_g").state
    without = {k: v for k, v in state.items() if k != "main.3.weight"}
    with pytest.raises(ValueError, match=r"missing: main\.3\.weight"):
        convert_stargan(without)
    with pytest.raises(ValueError, match=r"unexpected: head\.weight"):
        convert_stargan({**state, "head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"shapes: main\.3\.weight \(expected"):
        convert_stargan({**state, "main.3.weight": state["main.3.weight"].mT[:, :, :3]})
    with pytest.raises(ValueError, match="another family"):
        convert_stargan({"a": torch.zeros(1)})


def test_condition_reaches_the_image():
    model = create_model("stargan_base_64", width=8)
    image = torch.rand(1, 3, 32, 32)
    off, on = (model(image, Condition(attributes=torch.full((1, 4), v))).image for v in (0.0, 1.0))
    assert (on - off).abs().max() > 1e-3


def test_discriminator_refuses_another_size():
    with pytest.raises(ValueError, match=r"expected \(B, 3, 64, 64\), got \(1, 3, 32, 32\)"):
        create_discriminator("star_d_64")(torch.zeros(1, 3, 32, 32))


def _columns(n):
    return ConditionSpec(attributes=tuple(f"a{i}" for i in range(n)))


def _official_names(model):
    """Our keys under the official names, by hand for each part of the network."""
    blocks, names = model.cfg.blocks, {}
    for key, value in model.state_dict().items():
        part, index, *rest = key.split(".")
        index = int(index)
        if part == "encoder" and index < 3:
            new = f"main.{3 * index + int(rest[0])}.{rest[1]}"
        elif part == "encoder":
            layer = {"first": 0, "second": 3}[rest[0]] + int(rest[1])
            new = f"main.{9 + index - 3}.main.{layer}.{rest[2]}"
        elif index < 2:
            new = f"main.{9 + blocks + 3 * index + int(rest[0])}.{rest[1]}"
        else:
            new = f"main.{9 + blocks + 6}.{rest[0]}"
        names[new] = value
    return names
