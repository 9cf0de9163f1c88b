"""Recipes that animate drawn faces at 64 pixels: GFLA for clips, in two stages, in minutes on a CPU core.

The second stage comes in two: frame by frame, and as the authors' code goes through clips.

The numbers, and where they part from the paper's:

- Clips have 13 frames. Frame by frame, 12 of them are samples: 20,000 samples show 1,667 people. A sample is a step of
  a clip by itself, with the first frame as reference. In half of the samples the frame before is what the generator
  makes of the reference, so that it gets used to frames of its own; in the others it is the true one, or in a quarter
  of these the reference itself, as at the start. One discriminator judges single frames.
- In order, a sample is a run of 12 frames. It starts with the true frame before, or in half of the samples with the
  reference, from which it is then up to seven frames away; in the authors' code always with the reference, next to it.
  The optimisers step every 3 frames (6 in the code), which are painted one after the other, and a second discriminator
  judges how they differ. Where the code takes a frame and a run of frames by chance for its discriminators, here they
  judge all, and losses are means over the frames. On 40 unseen clips of 25 frames, at as many steps and 1.5 times the
  frames, faces at rest flicker a tenth as much as frame by frame and what changes from frame to frame is 11 % closer to
  the truth; the frames themselves, whose colours are a little off, are 9 % further from it.
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


@register_recipe
def gfla_face_64_clips_rollout() -> Recipe:
    """The second stage as in the authors' code: clip by clip, with a discriminator of motion. 2,000 steps of 4 x 3."""
    recipe = gfla_face_64_clips()
    return replace(
        recipe,
        video_discriminator="gfla_video_d_64",
        dataset_options={"resolution": 64, "frames": 19, "run": 12, "starts": 0.5},
        fed_back=0.0,
        rollout=3,
        through_time=True,
        batch_size=4,
        total_images=2_000,
        g_optim=Optim(lr=5e-4, ramp_images=100, decay_images=1_000),
        d_optim=Optim(lr=1e-4, decay_images=1_000),
        ema_halflife=64,
        tag="clips_rollout",
    )
