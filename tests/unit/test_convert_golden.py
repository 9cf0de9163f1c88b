"""Recorded outputs of official code, reached as a user does: by `geotrans.convert`, and by the command's folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import nn

from geotrans import GENERATORS, Condition, convert, create_discriminator, create_loss, create_model
from geotrans.cli import main
from geotrans.losses.base import LossInputs
from geotrans.models.spm import authors_unit
from geotrans.ops.flow import to_pixels
from geotrans.ops.warp import from_corner_units


def stargan(case, model):
    image, target = case.inputs["image"], Condition(attributes=case.inputs["cond"])
    out = model(image, target)
    case.close("image", out.image)
    assert torch.equal(out.warped, image)
    torch.testing.assert_close(out.warped + out.mask * out.residual, out.image)


def star_critic(case, model):
    critique = model(case.inputs["image"])
    case.close("src", critique.scores[0].reshape(case.outputs["src"].shape))
    label = model.cfg.condition.vector(critique.condition, len(case.inputs["image"]))
    case.close("cls", label.view_as(case.outputs["cls"]))


def motion_critic(case, model):
    flow = from_corner_units(2 * case.args["lambda_w"] * case.inputs["w"])
    critique = model(case.inputs["image"], Condition(attributes=case.inputs["cond"]), flow)
    case.close("cls", critique.condition.attributes.view_as(case.outputs["cls"]))


def ganimation(case, model):
    image, target = case.inputs["image"], Condition(aus=case.inputs["cond"])
    out = model(image, target)
    case.close("image", out.image)
    case.close("color", out.warped + out.residual)
    case.close("attention", 1 - out.mask)
    if "features" in case.outputs:
        case.close("features", model.features(image, target))


def spm_level(case, model, got, number, name):
    case.close(f"w_{name}", authors_unit(got[f"flow_{number}"]) / model.cfg.max_motion)
    case.close(f"m_{name}", got[f"mask_{number}"])
    case.close(f"r_{name}", got[f"residual_{number}"])
    case.close(f"Id_{name}", got[f"warped_{number}"])
    case.close(f"It_{name}", got[f"image_{number}"])


def spm_top(case, out, name):
    case.close(f"w_{name}", authors_unit(out.flow))
    case.close(f"m_{name}", out.mask)
    case.close(f"r_{name}", out.mask * out.residual)
    case.close(f"Id_{name}", out.warped)
    case.close(f"It_{name}", out.image)


def spm_low(case, model):
    """The low-resolution stage on its own input."""
    out = model(case.inputs["image_lr"], Condition(attributes=case.inputs["cond"]))
    case.close("lr_It", out.image)
    case.close("lr_Id", out.warped)
    case.close("lr_w", authors_unit(out.flow) / model.cfg.max_motion)
    case.close("lr_m", out.mask)
    if "lr_r" in case.outputs:
        case.close("lr_r", out.residual)


def spm_256(case, model):
    out = model(case.inputs["image"], Condition(attributes=case.inputs["cond"]))
    case.close("image_l", out.intermediates["source_0"])
    spm_level(case, model, out.intermediates, 0, "l")
    spm_top(case, out, "h")
    spm_low(case, model.low)


def spm_512(case, model):
    out = model(case.inputs["image"], Condition(attributes=case.inputs["cond"]))
    spm_level(case, model, out.intermediates, 0, "l")
    case.close("w_h", authors_unit(out.intermediates["flow_1"]))
    case.close("Id_h", out.intermediates["warped_1"])
    case.close("It_h", out.intermediates["image_1"])
    spm_top(case, out, "512")
    spm_low(case, model.low)


def spm_middle(case, model):
    out = model(case.inputs["image_mid"], Condition(attributes=case.inputs["cond"]))
    case.close("mid_It_h", out.image)
    case.close("mid_Id_h", out.warped)
    case.close("mid_w_h", authors_unit(out.flow))
    case.close("mid_m_h", out.mask)


def painter(case, model):
    case.close("image", model(case.inputs["image"], Condition()).image)


def pix2pix(case, model):
    painter(case, model)
    for module in model.train().modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    case.close("image_train_bn_stride2", model(case.inputs["image"], Condition()).image[..., ::2, ::2])


def patchgan(case, model):
    structure, image = case.inputs["image"][:, :-3], case.inputs["image"][:, -3:]
    condition = Condition(structure=structure) if structure.shape[1] else None
    case.close("src", model(image, condition).scores[0])


def munit(case, model):
    image, style = case.inputs["image"], case.inputs["style"].flatten(1)
    out = model(image, Condition(style=style))
    content, own = out.intermediates["content"], out.intermediates["style"]
    case.close("content", content)
    case.close("style_code", own[:, :, None, None])
    case.close("adain_params", model.adain_parameters(style))
    case.close("translated", out.image)
    case.close("reconstruction", model.decode(content, own))
    case.close("decoded_given_content", model.decode(case.inputs["content"], style))


def munit_critic(case, model):
    real, fake = model(case.inputs["image"]), model(case.inputs["fake"])
    for scale, scores in enumerate(real.scores):
        case.close(f"scale_{scale}", scores)
    # The library takes the mean over the scales, the official code the sum, and no half of it.
    inputs = LossInputs(case.inputs["image"], None, Condition(), real=real, fake=fake)
    case.close("d_loss", 3 * create_loss("adv_lsgan_d")(inputs).mean())
    case.close("g_loss", 3 * create_loss("adv_lsgan_g")(inputs).mean())


def posed(case):
    """The recorded picture and poses, as a generator's arguments."""
    poses = [Condition(structure=case.inputs[name]) for name in ("pose_target", "pose_source")]
    return case.inputs["image"], *poses


def gfla(case, model):
    out = model(*posed(case))
    parts = out.intermediates
    case.close("image", out.image)
    for scale in range(sum(name.startswith("flow_") for name in parts)):
        case.close(f"flow_{scale}", to_pixels(parts[f"flow_{scale}"]))
        case.close(f"mask_{scale}", 1 - parts[f"mask_{scale}"])
        case.close(f"attention_out_{scale}", parts[f"attended_{scale}"])
        case.close(f"attention_weights_{scale}", parts[f"kernels_{scale}"])
    for size in range(case.args["n_layers"]):
        case.close(f"source_feature_{size}", parts[f"source_{size}"])


def patn(case, model):
    seen = {}
    watched = {"stream1_down": model.image_encoder, "stream2_down": model.pose_encoder}
    watched |= {f"block{i}": model.blocks[i] for i in (0, len(model.blocks) - 1)}
    for name, module in watched.items():
        module.register_forward_hook(lambda module, args, out, name=name: seen.update({name: out}))
    case.close("image", model(*posed(case)).image)
    for name, out in seen.items():
        if name.startswith("stream"):
            case.close(name, out)
        else:
            case.close(f"{name}_image", out[0])
            case.close(f"{name}_pose", out[1])


def patn_critic(case, model):
    beside = Condition(structure=case.inputs["image"][:, 3:])
    score = model(case.inputs["image"][:, :3], beside).scores[0].view_as(case.outputs["score"])
    case.close("score", score.sigmoid() if case.args["sigmoid"] else score)


def intrflow_critic(case, model):
    source, image, pose = case.inputs["image"].split([3, 3, 18], dim=1)
    beside = Condition(structure=torch.cat([source, pose], dim=1))
    case.close("src", model(image, beside).scores[0].sigmoid())


@dataclass(frozen=True)
class Case:
    """Attributes:
    told: fields of the config that the shapes tell.
    without: a part of the recorded keys that the checkpoint of an earlier stage does not have.
    """

    family: str
    compare: Callable[[Any, Any], None]
    told: dict[str, Any]
    options: dict[str, int] = field(default_factory=dict)
    without: str = ""

    def state(self, case):
        return {key: value for key, value in case.state.items() if not self.without or self.without not in key}


CASES = {
    "stargan_g": Case("stargan", stargan, {"width": 8, "blocks": 6}),
    "stargan_d": Case("star_discriminator", star_critic, {"resolution": 128, "width": 2, "layers": 6}),
    "ganimation_g": Case("ganimation", ganimation, {"width": 6, "blocks": 6, "affine": True}),
    "ganimation_d": Case("ganimation_discriminator", star_critic, {"resolution": 128, "width": 2}),
    "ganimation_replicate_g": Case("ganimation_replicate", ganimation, {"width": 6, "affine": False}),
    "ganimation_replicate_d": Case("ganimation_replicate_discriminator", star_critic, {"resolution": 64}),
    "adspm_d": Case("star_discriminator", star_critic, {"layers": 5, "constant": 0}),
    "adspm_d_deep": Case("star_discriminator", star_critic, {"layers": 6, "constant": 1}),
    "adspm_d_deep512": Case("star_discriminator", star_critic, {"layers": 7, "constant": 2}),
    "adspm_d_motion": Case("motion_discriminator", motion_critic, {"resolution": 32, "width": 8, "layers": 3}),
    "adspm_g256": Case("adspm", spm_256, {"width": 6, "blocks": 6, "kernels": (3,)}, {"resolution": 64}),
    "adspm_g512": Case("adspm", spm_512, {"width": 5, "kernels": (3, 7)}, {"resolution": 96}),
    "adspm_g512, two levels": Case("adspm", spm_middle, {"kernels": (3,)}, {"resolution": 48}, "_refine512"),
    "adspm_g256, one level": Case("adspm", spm_low, {"refine_blocks": 12}, {"resolution": 32}, "_refine"),
    "adspm_g512, one level": Case("adspm", spm_low, {"refine_blocks": 12}, {"resolution": 24}, "_refine"),
    "cyclegan_g_resnet": Case("cyclegan", painter, {"width": 8, "blocks": 6, "norm": "instance"}),
    "cyclegan_g_resnet_bn": Case("cyclegan", painter, {"blocks": 3, "norm": "batch", "dropout": True}),
    "cyclegan_d_patch_in": Case("patchgan", patchgan, {"layers": 3, "norm": "instance"}),
    "cyclegan_d_patch_bn": Case("patchgan", patchgan, {"layers": 3, "norm": "batch"}),
    "cyclegan_d_pixel": Case("patchgan", patchgan, {"layers": 0, "width": 8}),
    "pix2pix_g_unet": Case("pix2pix", pix2pix, {"resolution": 128, "width": 4, "norm": "batch"}),
    "munit_g": Case("munit", munit, {"width": 6, "blocks": 4, "mlp_width": 16}),
    "munit_d": Case("munit_discriminator", munit_critic, {"width": 6, "layers": 4, "scales": 3}),
    "gfla_g_fashion": Case("gfla", gfla, {"width": 4, "flow_width": 3, "kernels": (3, 5)}, {"resolution": 64}),
    "gfla_g_market": Case("gfla", gfla, {"width": 5, "flow_layers": 5, "kernels": (0, 3)}, {"resolution": 96}),
    "gfla_d": Case("gfla_discriminator", patchgan, {"width": 6, "max_width": 24, "layers": 4}, {"resolution": 64}),
    "patn_g_fashion": Case("patn", patn, {"width": 4, "blocks": 9, "norm": "instance", "dropout": True}),
    "patn_g_market": Case("patn", patn, {"width": 4, "blocks": 5, "norm": "batch", "dropout": True}),
    "patn_d_pose": Case("patn_discriminator", patn_critic, {"width": 5, "blocks": 3, "norm": "instance"}),
    "intrflow_d": Case("intrflow_discriminator", intrflow_critic, {"width": 4, "layers": 3, "norm": "batch"}),
    "patn_d_image_market": Case("patn_discriminator", patn_critic, {"width": 5, "blocks": 3, "norm": "batch"}),
}


class Watched(dict):
    """Recorded outputs that know which of them were looked at."""

    def __init__(self, *args):
        super().__init__(*args)
        self.seen = set()

    def __getitem__(self, key):
        self.seen.add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_a_state_dict_gives_the_recorded_outputs(golden, name):
    recorded, case = golden(name.partition(",")[0]), CASES[name]
    model = convert(case.family, case.state(recorded), **case.options)
    assert not model.training
    assert {key: getattr(model.cfg, key) for key in case.told} == case.told
    outputs = Watched(recorded.outputs)
    case.compare(replace(recorded, outputs=outputs), model)
    whole_file, of_an_earlier_stage = "," not in name, {key for key in outputs if key.startswith("mid_")}
    assert not whole_file or outputs.seen == set(outputs) - of_an_earlier_stage


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_commands_folder_gives_the_recorded_outputs(golden, name, tmp_path):
    recorded, case = golden(name.partition(",")[0]), CASES[name]
    torch.save(case.state(recorded), tmp_path / "official.pth")
    settings = [f"--set={option}={value}" for option, value in case.options.items()]
    main(["convert", case.family, str(tmp_path / "official.pth"), str(tmp_path / "out"), *settings])
    arch = json.loads((tmp_path / "out" / "config.json").read_text())["arch"]
    create = create_model if arch in GENERATORS else create_discriminator
    case.compare(recorded, create(f"local-dir:{tmp_path / 'out'}", pretrained=True))
