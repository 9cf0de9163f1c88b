"""Recipes that animate drawn faces at 64 pixels: GFLA for clips, in two stages, in minutes on a CPU core.

The numbers, and where they part from the paper's:

- Clips have 13 frames, 12 of which are samples: 20,000 samples show 1,667 people. A sample is a step of a clip by
  itself, with the first frame as reference. In half of the samples the frame before is what the generator makes of the
  reference, so that it gets used to frames of its own; in the others it is the true one, or in a quarter of these the
  reference itself, as at the start. The authors' code goes through each clip in order instead, and a discriminator of
  motion compares every frame with those before; here one discriminator judges single frames.
- The features compared are the built-in judge's. Its maps at half, a quarter and an eighth of the size differ by 0.07,
  0.18 and 1.27 between a frame and the same frame blurred, so their weights are 1, 0.5 and 0.1.
- Weights of motion are the paper's: 20 and 0.01 for the flow alone, then 5 and 0.0025; L1 counts 5.
- Motions are small, so the flow's loss samples one place and not the mean of 16, which hid them: with it, 500 steps
  taught the flow nothing but the maps' rims.
- Rates are 1e-3 and 5e-4, ten and five times the paper's, and fall to 0 over the second half.
"""

from __future__ import annotations

from dataclasses import replace

from geotrans.train.recipe import LossTerm, Optim, Recipe
from registry import register_recipe

_JUDGE = "synthface_features"
_FINEST = ("quarter", "half")  # maps of the sizes of the two flows


def _motion(sampling: float, affine: float) -> tuple[LossTerm, ...]:
    return (
        LossTerm("flow_sampling", sampling, {"feature": _JUDGE, "layers": _FINEST, "sampling": "bilinear"}),
        LossTerm("flow_affine", affine),
    )


@register_recipe
def gfla_face_64_clips_flow() -> Recipe:
    """The first stage: the flow alone learns where the references look like the wanted frame. 1,000 steps of 8."""
    return Recipe(
        generator="gfla_face_64",
        dataset="synthface_clips",
        dataset_options={"resolution": 64, "frames": 13, "starts": 0.25},
        g_losses=_motion(20.0, 0.01),
        g_optim=Optim(lr=1e-3, ramp_images=400, decay_images=4_000),
        batch_size=8,
        total_images=8_000,
        ema_halflife=100,
        tag="clips_flow",
    )


@register_recipe
def gfla_face_64_clips() -> Recipe:
    """The second stage: everything, from the weights that `gfla_face_64_clips_flow` publishes. 2,000 steps of 8."""
    recipe = gfla_face_64_clips_flow()
    pictures = (
        LossTerm("rec_l1", 5.0),
        LossTerm("perc_vgg19", 0.5, {"feature": _JUDGE, "weights": (1.0, 0.5, 0.1)}),
        LossTerm("style_vgg19", 50.0, {"feature": _JUDGE, "layers": ("half", "quarter")}),
        LossTerm("adv_lsgan_g", 0.2),
    )
    return replace(
        recipe,
        discriminator="gfla_d_64",
        g_losses=(*pictures, *_motion(5.0, 0.0025)),
        d_losses=(LossTerm("adv_lsgan_d", 0.5),),
        real="truth",
        start="local-dir:runs/gfla_face_64_clips_flow/published/gfla_face_64.clips_flow",
        g_optim=Optim(lr=5e-4, ramp_images=800, decay_images=8_000),
        d_optim=Optim(lr=1e-4, decay_images=8_000),
        total_images=16_000,
        fed_back=0.5,
        ema_halflife=500,
        tag="clips",
    )
