"""GFLA's evaluation of person images, on folders of results and of true pictures.

Paper: Ren et al., "Deep Image Spatial Transformation for Person Image Generation", CVPR 2020, Table 1.
Differences from the paper: its FID is pytorch-fid's of 2019, with torchvision's Inception, against all pictures of the
training set; here it is today's, against the true pictures of the test pairs. Its mask LPIPS needs poses, which folders
do not tell.
"""

from __future__ import annotations

from eval.protocol import FOLDERS, Protocol, Reported
from registry import register_protocol

_METRICS = ("fid", "kid", "lpips", "ssim_patn", "ssim_gfla51", "mae_gfla", "l1", "psnr")
_NOTE = "FID there: torchvision's Inception, against the whole training set; it does not compare with fid here."


def _pairs(name: str, n: int, what: str, *columns: str, **rows: tuple[float, ...]) -> Protocol:
    reported = Reported(
        "GFLA, Ren et al. 2020, Table 1", columns, {k.replace("_", "-"): v for k, v in rows.items()}, _NOTE
    )
    return Protocol(
        name=name,
        dataset=FOLDERS,
        split="test",
        n=n,
        metrics=_METRICS,
        resolution=0,
        description=f"{what}: results against the true pictures of the {n:,} test pairs of PATN's list, by file name.",
        reported=(reported,),
    )


@register_protocol
def gfla_fashion() -> Protocol:
    """DeepFashion In-shop, 256 x 256: 8,570 test pairs."""
    return _pairs(
        "gfla_fashion",
        8570,
        "DeepFashion, 256 x 256",
        *("FID", "LPIPS", "JND %"),
        Def_GAN=(18.457, 0.2330, 9.12),
        VU_Net=(23.667, 0.2637, 2.96),
        Pose_Attn=(20.739, 0.2533, 6.11),
        Intr_Flow=(16.314, 0.2131, 12.61),
        GFLA=(10.573, 0.2341, 24.80),
    )


@register_protocol
def gfla_market() -> Protocol:
    """Market-1501, 128 x 64: 12,000 test pairs."""
    return _pairs(
        "gfla_market",
        12000,
        "Market-1501, 128 x 64",
        *("FID", "LPIPS", "mask LPIPS", "JND %"),
        Def_GAN=(25.364, 0.2994, 0.1496, 23.33),
        VU_Net=(20.144, 0.3211, 0.1747, 24.48),
        Pose_Attn=(22.657, 0.3196, 0.1590, 16.56),
        Intr_Flow=(27.163, 0.2888, 0.1403, 30.85),
        GFLA=(19.751, 0.2817, 0.1482, 27.81),
    )
