"""Pictures that are there already, whatever made them: `--generated DIR --reference DIR`."""

from eval.protocol import FOLDERS, Protocol
from registry import register_protocol


@register_protocol
def folder_pairs() -> Protocol:
    """Results and what they should have been, matched by file name."""
    return Protocol(
        name="folder_pairs",
        dataset=FOLDERS,
        split="all",
        n=0,
        metrics=("lpips", "psnr", "ssim", "l1", "mse"),
        resolution=0,
        description="Two folders, matched by file name: results and what they should have been.",
    )


@register_protocol
def folder_distribution() -> Protocol:
    """Results and real pictures as sets; names and numbers may differ."""
    return Protocol(
        name="folder_distribution",
        dataset=FOLDERS,
        split="all",
        n=0,
        metrics=("fid", "kid", "precision", "recall"),
        resolution=0,
        description="Two folders as sets: results, and real pictures of the kind they should be.",
    )
