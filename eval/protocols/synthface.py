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


@register_protocol
def synthface_modality4_64() -> Protocol:
    """Draw unseen faces as photo, sketch, ink or cartoon."""
    return Protocol(
        name="synthface_modality4_64",
        dataset="synthface",
        split="test",
        n=1000,
        metrics=_PICTURES,
        resolution=64,
        dataset_options={"task": "modality"},
        judges=_JUDGES,
        builtin=True,
        description="Drawn faces of unseen identities, 64 px: photo, sketch, ink and cartoon into one another.",
    )


@register_protocol
def synthface_cartoon_64() -> Protocol:
    """Turn photos of unseen drawn faces into cartoons, where both shape and texture change."""
    return Protocol(
        name="synthface_cartoon_64",
        dataset="synthface",
        split="test",
        n=1000,
        metrics=_PICTURES,
        resolution=64,
        dataset_options={"task": "modality", "domains": ["photo", "cartoon"]},
        judges=_JUDGES,
        builtin=True,
        description="Drawn faces of unseen identities, 64 px: photo to cartoon, with a cartoon's proportions.",
    )


@register_protocol
def synthface_smile_64() -> Protocol:
    """Make unseen drawn faces smile: one attribute, for models that know two domains and no more."""
    return Protocol(
        name="synthface_smile_64",
        dataset="synthface",
        split="test",
        n=500,
        metrics=("attr_changed_accuracy", "attr_accuracy", *_PICTURES),
        resolution=64,
        dataset_options={"task": "attributes", "domains": ["no_Smiling", "Smiling"]},
        judges={"attributes": "synthface_attributes", **_JUDGES},
        builtin=True,
        description="Drawn faces of unseen identities, 64 px: make them smile.",
    )
