import pytest
import torch

from geotrans import ConditionSpec, create_discriminator, create_model
from geotrans.models.stargan import convert_stargan
from geotrans.types import Condition


def test_converted_weights_ignore_stale_running_statistics(golden):
    case = golden("stargan_g")
    stale = {k: v + 100 if "running" in k else v for k, v in case.state.items()}
    image, target = case.inputs["image"], Condition(attributes=case.inputs["cond"])
    assert torch.equal(convert_stargan(stale)(image, target).image, convert_stargan(case.state)(image, target).image)


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
