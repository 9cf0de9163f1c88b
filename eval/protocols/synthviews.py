"""Toy cars from other sides, with known motion."""

from __future__ import annotations

from eval.protocol import Protocol
from registry import register_protocol


@register_protocol
def synthviews_64() -> Protocol:
    """Turn unseen toy cars to any other of 54 views."""
    return Protocol(
        name="synthviews_64",
        dataset="synthviews",
        split="test",
        n=1000,
        metrics=("flow_epe", "l1", "psnr", "ssim", "lpips", "perceptual", "frechet", "id_cosine"),
        resolution=64,
        judges={"identity": "synthviews_identity", "features": "synthviews_features"},
        builtin=True,
        description="Toy cars that no model has seen, 64 px: turn them to another of 18 azimuths and 3 elevations.",
    )
