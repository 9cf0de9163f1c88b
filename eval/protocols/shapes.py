"""Squares and circles with known motion."""

from eval.protocol import Protocol
from registry import register_protocol


@register_protocol
def shapes_64() -> Protocol:
    """Turn squares into circles and circles into squares."""
    return Protocol(
        name="shapes_64",
        dataset="shapes",
        split="test",
        n=500,
        metrics=(
            "attr_changed_accuracy",
            "flow_epe",
            "l1",
            "psnr",
            "ssim",
            "lpips",
            "frechet",
            "edit_concentration",
            "mask_area",
        ),
        resolution=64,
        judges={"attributes": "shapes_attributes", "features": "shapes_features"},
        builtin=True,
        description="Squares and circles of random colour, size and place, 64 px: turn one into the other.",
    )
