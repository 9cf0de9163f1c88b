"""The papers' recipes for clips: GFLA animates faces on FaceForensics, and dancers on iPER.

VGG-19's weights must be on the machine. None of these has been run at full length, so no scores stand behind them yet.

As the authors do, two clips a step are gone through in pieces of 30 frames, and the networks learn after every six,
each painted from the one before; a piece starts from its reference. The authors add up the losses of the six frames,
of which the discriminators judge one, and one run of frames. Here all are judged, and losses are means: so the
discriminators count a sixth of the authors' 2.
"""

from __future__ import annotations

from dataclasses import replace

from geotrans.recipes.papers_pose import VGG_PLAIN
from geotrans.train.recipe import LossTerm, Optim, Recipe
from registry import register_recipe

_PIECE, _AT_ONCE = 30, 6


def _clips(generator: str, dataset: str) -> Recipe:
    """Everything at once: the authors train no flow beforehand."""
    return Recipe(
        generator=generator,
        discriminator="gfla_d_256",
        dataset=dataset,
        dataset_options={"resolution": 256, "fit": "stretch", "flip": False, "run": _PIECE, "frames": 2},
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
        rollout=_AT_ONCE,
        through_time=True,
        g_optim=Optim(lr=1e-4, betas=(0.0, 0.999)),
        d_optim=Optim(lr=1e-5, betas=(0.0, 0.999)),
        batch_size=2,
        total_images=40_000 * 2,
        tag=dataset,
    )


@register_recipe
def gfla_face_256_faceforensics() -> Recipe:
    """GFLA on clips of faces: the weights as for persons, for each of the two references.

    40,000 pairs of clips, 200,000 steps; the authors name no length. A discriminator of motion compares three frames.
    """
    return replace(_clips("gfla_face_256", "faceforensics"), video_discriminator="gfla_video_d_256")


@register_recipe
def gfla_dance_256_iper() -> Recipe:
    """GFLA on clips of dancers, as on faces; the reference is the clip's first frame (theirs: one of the first 20).

    A discriminator of motion judges all six frames. Left out: the authors' masks, inside of which alone they look for
    the flow (with a weight of 2), and their turns by up to 5 degrees.
    """
    recipe = _clips("gfla_dance_256", "iper")
    options = {**recipe.dataset_options, "frames": 0, "starts": 1.0}
    return replace(recipe, video_discriminator="gfla_dance_d_256", dataset_options=options)
