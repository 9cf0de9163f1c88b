"""Parameter counts of the published systems at full size: those of the authors' code, or worked out from their layers.

Nothing is allocated. `pytest -s tests/unit/test_parameter_counts.py` prints the table.

PortraitGAN's code is not public, and its text leaves the number of auxiliary branches open. Here an auxiliary branch is
a 1x1 convolution with bias to three channels for each size below the result's: 1/2, 1/4 and 1/8, on 128, 256 and 512
channels, are 2,697 parameters. With a fourth at full size, beside the head itself, they are 2,892 (`full_branch`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from geotrans import ConditionSpec, count_parameters, create_discriminator, create_model
from geotrans.layers.blocks import Decoder


@dataclass(frozen=True)
class Row:
    network: str
    config: str
    expected: int
    build: Callable[[], nn.Module]

    def __str__(self) -> str:
        return f"{self.network}, {self.config}"


def g(name, **options):
    return lambda: create_model(name, **options)


def d(name, **options):
    return lambda: create_discriminator(name, **options)


def part(name, *path, **options):
    """Some modules of a generator, each named by its path."""
    return lambda: nn.ModuleList([create_model(name, **options).get_submodule(p) for p in path])


def columns(n):
    return ConditionSpec(attributes=tuple(f"a{i}" for i in range(n)))


def spm_of_the_papers_tables():
    """Tables 3 and 4 to the letter, with three channels of motion: StarGAN's generator, to the parameter."""
    encoder = create_model("spm_refine_128", condition=columns(8)).encoder
    return nn.ModuleList([encoder, Decoder(64, 3)])


SMALL_NETS = {"T_w": ("motion", 19_776, 24_896), "T_m": ("mask", 19_200, 21_760), "T_r": ("residual", 20_352, 28_032)}

ROWS = [
    Row("StarGAN G", "c=5", 8_430_528, g("stargan_base_128")),
    Row("StarGAN G", "c=8", 8_439_936, g("stargan_base_128", condition=columns(8))),
    Row("StarGAN G", "both, c=5+8+2", 8_461_888, g("stargan_both_128")),
    Row("StarGAN G", "both, 256 px", 8_461_888, g("stargan_both_256")),
    Row("StarGAN D", "128 px, c=5", 44_762_048, d("star_d_128")),
    Row("StarGAN D", "128 px, c=8", 44_786_624, d("star_d_128", condition=columns(8))),
    Row("StarGAN D", "256 px, c=5", 44_884_928, d("star_d_256")),
    Row("StarGAN D", "256 px, both, c=13", 45_147_072, d("star_both_d_256")),
    Row("StarGAN D", "512 px, c=5", 45_376_448, d("star_d_128", resolution=512)),
    Row("GANimation G", "c=17", 8_471_296, g("ganimation_base_128")),
    Row("GANimation D", "128 px, c=17", 44_860_352, d("ganimation_d_128")),
    Row("ganimation_replicate G", "c=17", 8_467_584, g("ganimation_replicate_128")),
    Row("CycleGAN ResNet-9", "instance norm", 11_378_179, g("cyclegan_resnet9_256")),
    Row("CycleGAN ResNet-9", "batch norm", 11_383_427, g("cyclegan_resnet9_256", norm="batch")),
    Row("CycleGAN ResNet-6", "instance norm", 7_837_699, g("cyclegan_resnet6_128")),
    Row("pix2pix U-Net-256", "batch norm", 54_413_955, g("pix2pix_unet_256")),
    Row("pix2pix U-Net-256", "instance norm", 54_409_603, g("pix2pix_unet_256", norm="instance")),
    Row("pix2pix U-Net-128", "batch norm", 41_828_995, g("pix2pix_unet_128")),
    Row("PatchGAN", "3 channels, instance norm", 2_764_737, d("patchgan_70")),
    Row("PatchGAN", "6 channels, batch norm", 2_768_705, d("pix2pix_d_256")),
    Row("PatchGAN", "single pixels", 8_705, d("pixelgan_256")),
    Row("MUNIT G", "one domain", 15_026_187, g("munit_base_256")),
    Row("MUNIT G", "style encoder", 2_764_936, part("munit_base_256", "style_encoder")),
    Row("MUNIT G", "content encoder", 5_385_856, part("munit_base_256", "content_encoder")),
    Row("MUNIT G", "decoder", 5_754_627, part("munit_base_256", "blocks", "upsample")),
    Row("MUNIT G", "mlp", 1_120_768, part("munit_base_256", "mlp")),
    Row("MUNIT D", "one domain", 8_271_171, d("munit_d_256")),
    Row("GANimorph G", "one direction", 53_017_728, g("ganimorph_base_128")),
    Row("GANimorph D", "one direction", 16_798_208, d("ganimorph_d_128")),
    *[
        Row("SPM 256, authors'", f"c={n}", count, g("spm_official_256", condition=columns(n)))
        for n, count in ((1, 10_037_248), (4, 10_046_656), (8, 10_059_200))
    ],
    Row("SPM 256, authors'", "encoder", 7_752_832, part("spm_official_256", "low.encoder")),
    Row("SPM 256, authors'", "motion", 662_016, part("spm_official_256", "low.motion")),
    Row("SPM 256, authors'", "mask", 656_320, part("spm_official_256", "low.mask")),
    Row("SPM 256, authors'", "refinement", 906_752, part("spm_official_256", "low.refine")),
    *[Row("SPM 256, authors'", n, count, part("spm_official_256", key)) for n, (key, count, _) in SMALL_NETS.items()],
    Row("SPM 512, authors'", "c=1", 10_111_936, g("spm_official_512")),
    *[
        Row("SPM 512, authors'", f"{n} to 512", count, part("spm_official_512", f"{key}.1"))
        for n, (key, _, count) in SMALL_NETS.items()
    ],
    *[
        Row("SPM 128, the paper's", f"c={n}", count, g("spm_refine_128", condition=columns(n)))
        for n, count in ((1, 9_980_480), (4, 9_989_888), (8, 10_002_432))
    ],
    Row("SPM 128, the paper's", "tables, 3-channel motion, c=8", 8_439_936, spm_of_the_papers_tables),
    *[
        Row("SPM D_w", f"c={n}", count, d("spm_motion_d_128", condition=columns(n), reads_condition=True))
        for n, count in ((1, 727_488), (4, 927_168), (8, 1_193_408))
    ],
    Row("SPM D_h", "256 px, 7 layers", 111_840_192, d("spm_d_256", condition=columns(1))),
    Row("SPM D_h", "512 px, 8 layers", 178_951_104, d("spm_d_512", condition=columns(1))),
    Row("SPM D_h", "256 px, 6 layers", 27_950_016, d("spm_d_256", condition=columns(1), layers=6)),
    Row("SPM D_h", "512 px, 6 layers", 11_183_552, d("spm_d_512", condition=columns(1), layers=6)),
    Row("DefGAN G_Texture", "c=17", 8_471_296, part("defgan_base_128", "texture")),
    Row("DefGAN G_Def", "convolutions", 8_231_616, part("defgan_base_128", "deformation")),
    Row("DefGAN G_Def", "bilinear", 7_860_930, part("defgan_base_128", "deformation", upsampling="bilinear")),
    Row("DefGAN D", "c=17", 44_860_352, d("defgan_d_128")),
    Row("PortraitGAN G", "n=2, one size", 182_452_675, g("portraitgan_base_512", levels=1)),
    Row("PortraitGAN G", "n=2, at most 512 wide", 50_322_371, g("portraitgan_base_512", levels=1, max_width=512)),
    Row("PortraitGAN G", "branch at 1/2", 387, part("portraitgan_base_512", "auxiliary")),
    Row("PortraitGAN G", "branches at 1/2, 1/4, 1/8", 2_697, part("portraitgan_base_512", "auxiliary", levels=4)),
    Row(
        "PortraitGAN G",
        "branches at all four sizes",
        182_452_675 + 2_892,
        g("portraitgan_base_512", levels=4, full_branch=True),
    ),
    Row("GFLA G", "fashion", 14_047_395, g("gfla_fashion_256")),
    Row("GFLA G", "fashion, source", 1_434_758, part("gfla_fashion_256", "source")),
    Row("GFLA G", "fashion, target", 6_004_425, part("gfla_fashion_256", "target", "renderer")),
    Row("GFLA G", "fashion, flow", 6_608_212, part("gfla_fashion_256", "flow_net")),
    Row("GFLA G", "market", 12_926_471, g("gfla_market_128")),
    Row("GFLA G", "market, source", 1_434_758, part("gfla_market_128", "source")),
    Row("GFLA G", "market, target", 4_886_960, part("gfla_market_128", "target", "renderer")),
    Row("GFLA G", "market, flow", 6_604_753, part("gfla_market_128", "flow_net")),
    Row("GFLA G", "face", 16_906_667, g("gfla_face_256")),
    Row("GFLA G", "dance", 23_510_195, g("gfla_dance_256")),
    Row("GFLA G", "view", 14_341_323, g("gfla_view_256")),
    Row("GFLA D", "4 layers", 664_577, d("gfla_d_256")),
    Row("GFLA D", "market, 3 layers", 238_209, d("gfla_market_d_128")),
    Row("GFLA D", "video, 3 frames", 665_537, d("gfla_video_d_256")),
    Row("PATN G", "fashion, instance norm", 41_358_019, g("patn_fashion_256")),
    Row("PATN G", "market, batch norm", 41_365_763, g("patn_market_128")),
    Row("PATN D", "beside the pose", 3_975_424, d("patn_pose_d_256")),
    Row("PATN D", "beside the source", 3_928_384, d("patn_image_d_256")),
    Row("PATN D", "beside the pose, batch norm", 3_975_424 + 1_984, d("patn_pose_d_128")),
    Row("PATN D", "beside the source, batch norm", 3_928_384 + 1_984, d("patn_image_d_128")),
    Row("PATN D", "both", 3_975_424 + 3_928_384, d("patn_d_256")),
    Row("Intr-Flow", "fashion, all three nets", 49_577_745, g("intrflow_fashion_256")),
    Row("Intr-Flow", "generator", 11_881_539, part("intrflow_fashion_256", "renderer", "head")),
    Row("Intr-Flow", "blending mask", 8_358_017, part("intrflow_fashion_256", "mask")),
    Row("Intr-Flow", "flow net", 29_338_189, part("intrflow_fashion_256", "flow_net")),
    Row("Intr-Flow", "market, generator", 7_255_107, part("intrflow_market_128", "renderer", "head")),
    Row("Intr-Flow D", "24 channels, batch norm", 2_787_137, d("intrflow_d_256")),
    Row("Def-GAN G", "fashion", 82_080_611, g("posedefgan_fashion_256")),
    Row("Def-GAN G", "market", 61_109_085, g("posedefgan_market_128")),
    Row("Def-GAN D", "fashion", 2_803_782, d("posedefgan_d_256")),
    Row("Appearance Flow", "car", 93_035_844, g("appflow_car_224")),
    Row("Appearance Flow", "encoder", 51_948_320, part("appflow_car_224", "encoder", "turn")),
    Row("Appearance Flow", "flow", 35_151_122, part("appflow_car_224", "flow")),
    Row("Appearance Flow", "mask", 5_936_402, part("appflow_car_224", "foreground")),
    Row("VU-Net", "fashion", 47_272_966, g("vunet_fashion_256")),
    Row("VU-Net", "market", 47_419_270, g("vunet_market_128")),
    Row("PortraitGAN D", "512 and 256 px", 2 * 2_764_737, d("portraitgan_d_512")),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_count_is_the_published_one(row):
    with torch.device("meta"):
        ours = count_parameters(row.build())
    sys.stdout.write(f"\n{row.network:24}{row.config:32}{row.expected:>13,}{ours:>13,}")
    assert ours == row.expected


def test_stargan_of_the_paper_is_its_generator_and_discriminator():
    with torch.device("meta"):
        both = [create_model("stargan_base_128", condition=columns(8)), create_discriminator("star_d_128")]
        both[1] = create_discriminator("star_d_128", condition=columns(8))
    assert sum(map(count_parameters, both)) == 53_226_560


def test_a_portraitgan_branch_is_a_1x1_convolution_to_rgb():
    with torch.device("meta"):
        widths = [head.in_channels for head in create_model("portraitgan_base_512", levels=4).auxiliary]
    assert widths == [128, 256, 512]
    assert sum(3 * width + 3 for width in widths) == 2_697


def test_shared_tensors_count_once_and_frozen_ones_do_not():
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    second.weight = first.weight
    assert count_parameters(nn.ModuleList([first, second])) == 6 + 2 + 2
    first.bias.requires_grad_(False)
    assert count_parameters(nn.ModuleList([first, second])) == 6 + 2
