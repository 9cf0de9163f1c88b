"""SPM's evaluation on CelebA and RaFD.

Paper: Wu et al., "Attribute-Driven Spontaneous Motion in Unpaired Image Translation", ICCV 2019, Sec. 4.2, Table 1.
Differences from the paper: it does not say which pictures it translates to an attribute, nor at which size. Here it is
those of the 2000 test pictures that do not show the attribute, at 128 pixels. RaFD is split by people, a tenth for
testing, as StarGAN does; every frontal test picture is turned into each of the seven expressions it does not show.
"""

from __future__ import annotations

from eval.protocol import Protocol, Reported
from registry import register_protocol

_SOURCE = "SPM, Wu et al. 2019, Table 1"
_ATTRIBUTES = ("Smiling", "Arched_Eyebrows", "Big_Nose", "Pointy_Nose")
_EMOTIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
_METHODS = ("StarGAN", "CycleGAN", "GANimorph", "MUNIT", "SPM")


def _reported(column: str, note: str, *values: float, **further: float) -> tuple[Reported, ...]:
    rows = dict(zip(_METHODS, values, strict=True)) | further
    return (Reported(_SOURCE, (column,), {name: (value,) for name, value in rows.items()}, note),)


def _celeba(attribute: str, *fid: float) -> Protocol:
    note = "Under (x 1e3) in the table's head; features of another network trained on VGGFace2."
    return Protocol(
        name=f"spm_celeba_{attribute.lower()}",
        dataset="celeba",
        split="test",
        n=0,
        metrics=("fid_vggface2", "fid", "kid", "attr_changed_accuracy", "id_cosine", "mask_area"),
        resolution=128,
        dataset_options={"rule": "spm", "attributes": list(_ATTRIBUTES)},
        judges={"identity": "facenet_vggface2"},
        description=f"CelebA, 128 px: give {attribute} to the test faces without it, against those that have it.",
        targets={attribute: {attribute: 1.0}},
        asks=("attributes",),
        reported=_reported("FID (VGGFace2)", note, *fid),
    )


@register_protocol
def spm_celeba_smiling() -> Protocol:
    """SPM's Table 1, Smiling."""
    return _celeba("Smiling", 3.676, 4.011, 4.689, 5.189, 2.907)


@register_protocol
def spm_celeba_big_nose() -> Protocol:
    """SPM's Table 1, Big Nose."""
    return _celeba("Big_Nose", 7.875, 5.262, 5.645, 5.551, 5.137)


@register_protocol
def spm_celeba_pointy_nose() -> Protocol:
    """SPM's Table 1, Pointy Nose."""
    return _celeba("Pointy_Nose", 6.933, 4.886, 5.129, 4.761, 4.704)


@register_protocol
def spm_celeba_arched_eyebrows() -> Protocol:
    """SPM's Table 1, Arched Eyebrows."""
    return _celeba("Arched_Eyebrows", 3.751, 4.171, 5.570, 5.271, 3.678)


@register_protocol
def spm_rafd_acc() -> Protocol:
    """SPM's Table 1, accuracy of expressions; the judge is yours: the paper's is a ResNet-18 trained on RaFD."""
    note = "The classifier is a ResNet-18 trained on RaFD's training pictures."
    return Protocol(
        name="spm_rafd_acc",
        dataset="rafd",
        split="test",
        n=0,
        metrics=("emotion_accuracy", "fid", "kid", "id_cosine", "mask_area"),
        resolution=128,
        judges={"identity": "facenet_vggface2"},
        description="RaFD, frontal, unseen people, 128 px: every other expression out of each.",
        targets={emotion: {emotion: 1.0} for emotion in _EMOTIONS},
        asks=("emotion",),
        reported=_reported("accuracy %", note, 95.67, 91.23, 86.25, 81.43, 97.85, **{"real pictures": 98.75}),
    )
