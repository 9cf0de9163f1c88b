"""Drawn faces with known motion."""

from eval.protocol import Protocol
from registry import register_protocol

_PICTURES = ("flow_epe", "l1", "psnr", "ssim", "lpips", "frechet", "id_cosine", "edit_concentration", "mask_area")
_JUDGES = {"identity": "synthface_identity", "features": "synthface_features"}


@register_protocol
def synthface_attr4_64() -> Protocol:
    """Turn attributes of unseen drawn faces on and off: Smiling, Arched_Eyebrows, Big_Nose, Pointy_Nose."""
    return Protocol(
        name="synthface_attr4_64",
        dataset="synthface",
        split="test",
        n=1000,
        metrics=("attr_changed_accuracy", "attr_accuracy", *_PICTURES),
        resolution=64,
        dataset_options={"task": "attributes"},
        judges={"attributes": "synthface_attributes", **_JUDGES},
        builtin=True,
        description="Drawn faces of unseen identities, 64 px: turn four attributes on and off.",
    )


@register_protocol
def synthface_au17_64() -> Protocol:
    """Move unseen drawn faces to given intensities of 17 action units."""
    return Protocol(
        name="synthface_au17_64",
        dataset="synthface",
        split="test",
        n=1000,
        metrics=("au_mae", *_PICTURES),
        resolution=64,
        dataset_options={"task": "aus"},
        judges={"aus": "synthface_aus", **_JUDGES},
        builtin=True,
        description="Drawn faces of unseen identities, 64 px: set the intensity of 17 action units.",
    )


@register_protocol
def synthface_emotion8_64() -> Protocol:
    """Give unseen drawn faces one of eight expressions."""
    return Protocol(
        name="synthface_emotion8_64",
        dataset="synthface",
        split="test",
        n=1000,
        metrics=("emotion_accuracy", *_PICTURES),
        resolution=64,
        dataset_options={"task": "emotion"},
        judges={"emotion": "synthface_emotion", **_JUDGES},
        builtin=True,
        description="Drawn faces of unseen identities, 64 px: show one of eight emotions.",
    )
