"""The papers' recipes for clips: GFLA animates faces on FaceForensics, and dancers on iPER.

VGG-19's weights must be on the machine. None of these has been run at full length, so no scores stand behind them yet.

The authors go through pieces of 30 frames, six frames a step of 2 clips, and add up the losses of the six, of which the
discriminator judges one. Here a step has as many frames, 12, each by itself, and means in place of sums: so the
discriminator counts a sixth of its 2. The frame before is what the generator makes of the reference, and in one sample
of 30 the reference itself, as at the start of a piece.
"""

from __future__ import annotations

from geotrans.recipes.papers_pose import VGG_PLAIN
from geotrans.train.recipe import LossTerm, Optim, Recipe
from registry import register_recipe

_FRAMES, _AT_ONCE = 30, 6


def _clips(generator: str, dataset: str) -> Recipe:
    """Everything at once: the authors train no flow beforehand."""
    return Recipe(
        generator=generator,
        discriminator="gfla_d_256",
        dataset=dataset,
        dataset_options={
            **{"resolution": 256, "fit": "stretch", "flip": False},
            **{"frames": _FRAMES, "starts": 1 / _FRAMES},
        },
        g_losses=(
            LossTerm("rec_l1", 5.0),
            LossTerm("adv_lsgan_g", 2.0 / _AT_ONCE),
            LossTerm("perc_vgg19", 0.5, VGG_PLAIN),
            LossTerm("style_vgg19", 500.0, VGG_PLAIN),
            LossTerm("flow_sampling", 5.0, VGG_PLAIN),
            LossTerm("flow_affine", 0.0025, {"sizes": (3, 5)}),
        ),
        d_losses=(LossTerm("adv_lsgan_d", 0.5),),
        real="truth",
        g_optim=Optim(lr=1e-4, betas=(0.0, 0.999)),
        d_optim=Optim(lr=1e-5, betas=(0.0, 0.999)),
        batch_size=2 * _AT_ONCE,
        total_images=200_000 * 2 * _AT_ONCE,
        fed_back=1.0,
        tag=dataset,
    )


@register_recipe
def gfla_face_256_faceforensics() -> Recipe:
    """GFLA on clips of faces: the weights as for persons, for each of the two references.

    200,000 steps; the authors name no length. Their discriminator of motion, which compares three frames, is left out.
    """
    return _clips("gfla_face_256", "faceforensics")


@register_recipe
def gfla_dance_256_iper() -> Recipe:
    """GFLA on clips of dancers, as on faces.

    Left out: the authors' discriminator of six frames, their masks, inside of which alone they look for the flow (with
    a weight of 2), and their turns by up to 5 degrees. Their references are of a clip's first 20 frames.
    """
    return _clips("gfla_dance_256", "iper")
