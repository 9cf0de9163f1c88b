"""GFLA's evaluation of person images: on folders of results, and of models on PATN's test pairs.

Paper: Ren et al., "Deep Image Spatial Transformation for Person Image Generation", CVPR 2020, Table 1.
Differences from the paper: its FID, `fid_gfla` here, leaves out the last pictures where 64 do not divide their number.
Where a model is run, real pictures are those of the training list, as there. Of folders, they are those of the
reference: for the paper's number, give the training pictures as reference, and --metrics fid_gfla. The mask LPIPS needs
poses, which folders do not tell.
"""

from __future__ import annotations

from dataclasses import replace

from eval.protocol import FOLDERS, Protocol, Reported
from registry import register_protocol

_METRICS = ("fid_gfla", "fid", "kid", "lpips", "ssim_patn", "ssim_gfla51", "mae_gfla", "l1", "psnr")
_NOTE = (
    "FID there is fid_gfla here, against the whole training set; on folders, where that is the reference. It does not "
    "compare with fid."
)


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


def _models(folders: Protocol, name: str, dataset: str, resolution: int) -> Protocol:
    """The same pairs, with models that are run on them."""
    first, *rest = folders.metrics
    return replace(
        folders,
        name=name,
        dataset=dataset,
        metrics=(first, "mask_lpips", *rest),
        resolution=resolution,
        real_split="train",
        description=f"The {folders.n:,} test pairs of PATN's list; sets are compared with the pictures for training.",
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


@register_protocol
def deepfashion_pose_256() -> Protocol:
    """DeepFashion In-shop, 256 x 256, with the data: models on the 8,570 test pairs."""
    return _models(gfla_fashion(), "deepfashion_pose_256", "deepfashion", 256)


@register_protocol
def market1501_pose_128() -> Protocol:
    """Market-1501, 128 x 64, with the data: models on the 12,000 test pairs."""
    return _models(gfla_market(), "market1501_pose_128", "market1501", 128)
