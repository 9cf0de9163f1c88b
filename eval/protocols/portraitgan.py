"""PortraitGAN's evaluation of modality manipulation.

Paper: Duan et al., "PortraitGAN for Simultaneous Emotion and Modality Manipulation", arXiv 1807.01826, Table 1.
Differences from the paper: its 368 pictures come from 20 videos that are not handed out; the folder is yours.
"""

from eval.protocol import Protocol, Reported
from registry import register_protocol


@register_protocol
def portraitgan_modality() -> Protocol:
    """Natural to one stylised modality at 512 pixels, landmarks unchanged; the truths are made by style transfer."""
    return Protocol(
        name="portraitgan_modality",
        dataset="paired_folder",
        split="test",
        n=368,
        metrics=("mse", "ssim", "psnr", "lpips", "id_cosine"),
        resolution=512,
        dataset_options={"domains": ["natural", "stylised"], "landmarks": "landmarks"},
        judges={"identity": "facenet_vggface2"},
        description="368 portraits, 512 px: natural to stylised, against the style transfer's result.",
        reported=(
            Reported(
                "PortraitGAN, Table 1",
                ("MSE", "SSIM", "s/image"),
                {
                    "CycleGAN": (0.028, 0.473, 0.365),
                    "StarGAN": (0.029, 0.483, 0.277),
                    "PortraitGAN": (0.025, 0.517, 0.290),
                },
                "On 368 pictures of HRY, which is not public; the window of the SSIM is not told.",
            ),
        ),
    )
