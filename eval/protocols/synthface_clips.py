"""Drawn faces that move: one picture is brought to what another frame of its clip shows."""

from __future__ import annotations

from eval.protocol import Protocol
from registry import register_protocol


@register_protocol
def synthface_clips_64() -> Protocol:
    """Bring the first frame of a clip of an unseen drawn face to any of the next twelve: 40 people.

    One picture stands for all references of a model of clips; no frame of its own is fed back to it. Distances between
    sets and action units are left out: the recipes of such models learn from the network that would judge them.
    """
    return Protocol(
        name="synthface_clips_64",
        dataset="synthface_clips",
        split="test",
        n=480,
        metrics=("flow_epe", "l1", "psnr", "ssim", "lpips", "id_cosine", "edit_concentration"),
        resolution=64,
        dataset_options={"references": 1, "frames": 13},
        judges={"identity": "synthface_identity"},
        builtin=True,
        description="Drawn faces of unseen identities, 64 px: one picture brought to a later frame of its clip.",
    )
