"""Drawn faces with known motion."""

from __future__ import annotations

from typing import Any

from eval.protocol import Protocol
from registry import register_protocol

_PICTURES = ("flow_epe", "l1", "psnr", "ssim", "lpips", "frechet", "id_cosine", "edit_concentration", "mask_area")
_ATTRIBUTES = ("attr_changed_accuracy", "attr_accuracy")


def _faces(
    name: str, what: str, *metrics: str, judges: dict[str, str] | None = None, n: int = 1000, **options: Any
) -> Protocol:
    return Protocol(
        name=name,
        dataset="synthface",
        split="test",
        n=n,
        metrics=(*metrics, *_PICTURES),
        resolution=64,
        dataset_options=options,
        judges={**(judges or {}), "identity": "synthface_identity", "features": "synthface_features"},
        builtin=True,
        description=f"Drawn faces of unseen identities, 64 px: {what}.",
    )


@register_protocol
def synthface_attr4_64() -> Protocol:
    """Turn attributes of unseen drawn faces on and off: Smiling, Arched_Eyebrows, Big_Nose, Pointy_Nose."""
    judges = {"attributes": "synthface_attributes"}
    what = "turn four attributes on and off"
    return _faces("synthface_attr4_64", what, *_ATTRIBUTES, judges=judges, task="attributes")


@register_protocol
def synthface_smile_64() -> Protocol:
    """Make unseen drawn faces smile: one attribute, for models that know two domains and no more."""
    judges, domains = {"attributes": "synthface_attributes"}, ["no_Smiling", "Smiling"]
    what = "make them smile"
    return _faces("synthface_smile_64", what, *_ATTRIBUTES, judges=judges, n=500, task="attributes", domains=domains)


@register_protocol
def synthface_au17_64() -> Protocol:
    """Move unseen drawn faces to given intensities of 17 action units."""
    what = "set the intensity of 17 action units"
    return _faces("synthface_au17_64", what, "au_mae", judges={"aus": "synthface_aus"}, task="aus")


@register_protocol
def synthface_emotion8_64() -> Protocol:
    """Give unseen drawn faces one of eight expressions."""
    judges = {"emotion": "synthface_emotion"}
    return _faces(
        "synthface_emotion8_64", "show one of eight emotions", "emotion_accuracy", judges=judges, task="emotion"
    )


@register_protocol
def synthface_modality4_64() -> Protocol:
    """Draw unseen faces as photo, sketch, ink or cartoon."""
    return _faces("synthface_modality4_64", "photo, sketch, ink and cartoon into one another", task="modality")


@register_protocol
def synthface_cartoon_64() -> Protocol:
    """Turn photos of unseen drawn faces into cartoons, where both shape and texture change."""
    what, domains = "photo to cartoon, with a cartoon's proportions", ["photo", "cartoon"]
    return _faces("synthface_cartoon_64", what, task="modality", domains=domains)
