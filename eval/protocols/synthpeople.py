"""Drawn persons in another pose, with known motion. The columns of GFLA's Table 1, and true flow beside them."""

from __future__ import annotations

from eval.protocol import Protocol
from registry import register_protocol


@register_protocol
def synthpeople_64() -> Protocol:
    """Bring unseen drawn persons into a given pose: 18 joints."""
    return Protocol(
        name="synthpeople_64",
        dataset="synthpeople",
        split="test",
        n=1000,
        metrics=(
            *("flow_epe", "l1", "psnr", "ssim", "lpips", "perceptual"),
            *("mask_l1", "mask_lpips", "mask_perceptual", "frechet", "id_cosine", "joint_error"),
        ),
        resolution=64,
        judges={"identity": "synthpeople_identity", "features": "synthpeople_features", "joints": "synthpeople_joints"},
        builtin=True,
        description="Drawn persons of unseen identities, 64 px: bring them into another pose.",
    )
