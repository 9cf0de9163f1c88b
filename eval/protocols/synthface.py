"""Drawn faces with known motion."""

from eval.protocol import Protocol
from registry import register_protocol


@register_protocol
def synthface_attr4_64() -> Protocol:
    """Turn attributes of unseen drawn faces on and off: Smiling, Arched_Eyebrows, Big_Nose, Pointy_Nose."""
    return Protocol(
        name="synthface_attr4_64",
        dataset="synthface",
        split="test",
        n=1000,
        metrics=(
            "attr_changed_accuracy",
            "attr_accuracy",
            "flow_epe",
            "l1",
            "psnr",
            "ssim",
            "lpips",
            "frechet",
            "id_cosine",
            "edit_concentration",
            "mask_area",
        ),
        resolution=64,
        dataset_options={"task": "attributes"},
        judges={
            "attributes": "synthface_attributes",
            "identity": "synthface_identity",
            "features": "synthface_features",
        },
        builtin=True,
        description="Drawn faces of unseen identities, 64 px: turn four attributes on and off.",
    )
