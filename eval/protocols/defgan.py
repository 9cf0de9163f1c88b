"""DefGAN's evaluation: seven expressions on faces in the wild.

Paper: DefGAN, facial expression editing in a motion-editing and a texture-editing step, Sec. 4.2, Table 1.
Differences from the paper: it takes the action units of a random person's peak frames in MUG, and prints neither them
nor the list of its about 170 people of CelebA-HQ. Here the expressions are the units that EMFACS names for them, each
at 0.6, FACS's third step; and the pictures are those of your folder.
"""

from eval.protocol import Protocol, Reported
from registry import register_protocol

_UNITS = {
    "anger": ("AU04", "AU05", "AU07", "AU23"),
    "disgust": ("AU09", "AU10", "AU15"),
    "fear": ("AU01", "AU02", "AU04", "AU05", "AU07", "AU20", "AU26"),
    "neutral": (),
    "happy": ("AU06", "AU12", "AU25"),
    "sad": ("AU01", "AU04", "AU15"),
    "surprise": ("AU01", "AU02", "AU05", "AU26"),
}
_STEP = 0.6


@register_protocol
def defgan_celebahq_7expr() -> Protocol:
    """Seven expressions as action units on CelebA-HQ faces, measured by OpenFace beforehand."""
    return Protocol(
        name="defgan_celebahq_7expr",
        dataset="emotionnet",
        split="test",
        n=0,
        metrics=("fid", "kid", "id_distance", "id_detection_rate", "au_mae", "au_icc", "mask_area"),
        resolution=128,
        judges={"identity": "facenet_vggface2"},
        description="CelebA-HQ faces with OpenFace's action units, 128 px: seven expressions out of each.",
        targets={name: dict.fromkeys(units, _STEP) for name, units in _UNITS.items()},
        asks=("aus",),
        reported=(
            Reported(
                "DefGAN, Table 1",
                ("FID",),
                {"GANimation": (4.75,), "DefGAN": (3.82,)},
                "The network behind the FID, the faces and the expressions' action units are not told.",
            ),
        ),
    )
