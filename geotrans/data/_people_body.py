"""Who a drawn person is: measures of eighteen parts, hair, clothes and their colours.

Convention: a part's own frame is (u, v): u along it from its joint, v across it, in heights of an average person. A
measure has shape (B, 1, 1), one for each part (B, 18, 1, 1), and a colour (B, 3, 1, 1), in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.data._counter import Draws
from geotrans.data._face_identity import HAIR_COLOURS, SKIN

PERSON_DRAWS = 96

# The person's right leg and arm come first; they are on the left of the picture.
LEGS = (("thigh_right", "shin_right", "foot_right"), ("thigh_left", "shin_left", "foot_left"))
ARMS = (("arm_right", "forearm_right", "hand_right"), ("arm_left", "forearm_left", "hand_left"))
PARTS = ("hair", "pelvis", "skirt", "torso", "neck", "head", *LEGS[0], *LEGS[1], *ARMS[0], *ARMS[1])
PART = {name: number for number, name in enumerate(PARTS)}

# Length, radius at the joint and radius at the far end, of the parts that are tapered capsules.
_LIMBS = {
    "neck": (0.075, 0.029, 0.029),
    "thigh": (0.225, 0.058, 0.043),
    "shin": (0.235, 0.042, 0.029),
    "foot": (0.052, 0.030, 0.021),
    "arm": (0.155, 0.037, 0.031),
    "forearm": (0.148, 0.031, 0.023),
    "hand": (0.028, 0.025, 0.021),
}

# Thickness on the skull, hairline and how far it slants (a parting), length at the sides, half-width and lower end at
# the back, radius and height of a bun, curl; widths in half-widths of the head, the rest in its half-heights.
_HAIR = torch.tensor(
    [
        [0.10, -0.52, 0.00, -0.05, 0.00, 0.0, 0.00, 0.0, 0.0],  # crop
        [0.18, -0.46, 0.30, 0.02, 0.00, 0.0, 0.00, 0.0, 0.0],  # side parting
        [0.16, -0.36, 0.00, 0.62, 1.26, 0.8, 0.00, 0.0, 0.0],  # bob with a fringe
        [0.15, -0.52, 0.10, 0.55, 1.26, 1.9, 0.00, 0.0, 0.0],  # long
        [0.14, -0.50, -0.30, 0.50, 1.22, 1.5, 0.00, 0.0, 0.0],  # long, side parting
        [0.10, -0.55, 0.00, 0.02, 0.00, 0.0, 0.42, -1.3, 0.0],  # bun
        [0.24, -0.46, 0.00, 0.05, 1.45, 0.4, 0.00, 0.0, 1.0],  # curls
        [0.04, -0.58, 0.00, -0.02, 0.00, 0.0, 0.00, 0.0, 0.0],  # buzz cut
        [0.16, -0.46, 0.20, 0.05, 0.00, 0.0, 0.00, 0.0, 1.0],  # short curls
    ]
)
_BRIGHT = torch.tensor(
    [
        [0.84, 0.25, 0.24],
        [0.95, 0.61, 0.19],
        [0.98, 0.82, 0.32],
        [0.30, 0.62, 0.38],
        [0.17, 0.55, 0.60],
        [0.20, 0.40, 0.74],
        [0.46, 0.31, 0.64],
        [0.88, 0.45, 0.58],
        [0.97, 0.95, 0.91],
        [0.16, 0.18, 0.24],
    ]
)
_DARK = torch.tensor(
    [
        [0.17, 0.24, 0.40],
        [0.30, 0.42, 0.60],
        [0.16, 0.17, 0.20],
        [0.46, 0.36, 0.27],
        [0.72, 0.62, 0.47],
        [0.36, 0.41, 0.30],
        [0.48, 0.19, 0.24],
        [0.88, 0.86, 0.82],
    ]
)
# Weights of: stripes around, stripes along, checks, dots, lower part of another colour, logo, open jacket.
_PATTERNS = torch.tensor(
    [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]
).float()


@dataclass(frozen=True, slots=True)
class Body:
    """The measures that decide where each part of a batch of persons lies."""

    length: Tensor
    start: Tensor
    end: Tensor
    torso: Tensor
    shoulder: Tensor
    waist: Tensor
    hip: Tensor
    hem: Tensor
    skirt: Tensor
    flare: Tensor
    skirted: Tensor
    head_width: Tensor
    head_height: Tensor
    hair: Tensor


@dataclass(frozen=True, slots=True)
class Look:
    """Colours and clothes."""

    skin: Tensor
    hair: Tensor
    iris: Tensor
    lips: Tensor
    blush: Tensor
    shirt: Tensor
    accent: Tensor
    trousers: Tensor
    shoes: Tensor
    skirt: Tensor
    pattern: Tensor
    dress: Tensor
    period: Tensor
    sleeve: Tensor
    leg: Tensor
    collar: Tensor
    band: Tensor
    hat: Tensor


def make_person(draws: Tensor) -> tuple[Body, Look]:
    """A batch of persons from uniforms (B, PERSON_DRAWS)."""
    hand = Draws(draws)
    skirted, dress = hand.chance(0.27), hand.chance(0.4)
    return _body(hand, skirted), _look(hand, skirted, dress)


def _body(hand: Draws, skirted: Tensor) -> Body:
    build, legs, arms = hand.between(0.88, 1.16), hand.between(0.95, 1.04), hand.between(0.94, 1.05)
    stature, head = hand.between(0.95, 1.03), hand.between(0.95, 1.06)
    longer = {"thigh": legs, "shin": legs, "arm": arms, "forearm": arms}
    table = torch.tensor([_LIMBS.get(part.partition("_")[0], (0.0, 0.0, 0.0)) for part in PARTS])
    factors = [longer.get(part.partition("_")[0], torch.ones_like(legs)) * stature for part in PARTS]
    length, start, end = table[None, :, :, None, None].unbind(2)
    return Body(
        length=length * torch.stack(factors, dim=1),
        start=start * build[:, None],
        end=end * build[:, None],
        torso=0.272 * stature,
        shoulder=hand.between(0.097, 0.117) * (0.5 + 0.5 * build),
        waist=hand.between(0.072, 0.088) * build,
        hip=hand.between(0.078, 0.090) * (0.3 + 0.7 * build),
        hem=hand.between(-0.035, 0.045),
        skirt=hand.between(0.13, 0.25),
        flare=hand.between(0.15, 0.55),
        skirted=skirted,
        head_width=0.076 * head * hand.between(0.96, 1.05),
        head_height=0.095 * head,
        hair=hand.pick(_HAIR)[:, :, None, None],
    )


def _look(hand: Draws, skirted: Tensor, dress: Tensor) -> Look:
    skin = hand.jitter(hand.along(SKIN), 0.02)
    shirt, accent = hand.jitter(hand.pick(_BRIGHT), 0.06), hand.jitter(hand.pick(_BRIGHT), 0.06)
    accent = _apart(accent, shirt)
    trousers = _apart(hand.jitter(hand.pick(_DARK), 0.04), shirt, 0.12)
    dress = skirted * dress
    skirt = torch.where(dress[:, 0] > 0, shirt, _apart(hand.jitter(hand.pick(_BRIGHT), 0.05), shirt))
    pattern = torch.where(dress[:, 0] > 0, hand.pick(_PATTERNS[:5]), hand.pick(_PATTERNS))
    shorts = hand.chance(0.25)
    long, short, none = hand.between(3.0, 4.0), hand.between(0.45, 0.75), hand.between(-0.3, -0.25)
    kind = hand.between(0, 1)
    bare = torch.where(hand.chance(0.6) > 0, -1.0, 3.0)  # legs under a skirt: bare, or in tights
    trouser = torch.where(shorts > 0, hand.between(0.55, 0.9), hand.between(1.82, 1.95))
    return Look(
        skin=_colour(skin),
        hair=_colour(hand.jitter(hand.pick(HAIR_COLOURS), 0.035)),
        iris=_colour(hand.jitter(torch.tensor([[0.22, 0.17, 0.16]]), 0.08)),
        lips=_colour((skin * torch.tensor([0.90, 0.52, 0.52])).clamp(0, 1)),
        blush=hand.between(0.2, 0.6),
        shirt=_colour(shirt),
        accent=_colour(accent),
        trousers=_colour(trousers),
        shoes=_colour(_apart(hand.jitter(hand.pick(_BRIGHT), 0.05), trousers)),
        skirt=_colour(skirt),
        pattern=pattern[:, :, None, None],
        dress=dress,
        period=hand.between(0.068, 0.098),
        sleeve=torch.where(kind < 0.5, long, torch.where(kind < 0.88, short, none)),
        leg=torch.where(skirted > 0, bare, trouser),
        collar=hand.between(0.7, 1.5),
        band=hand.chance(0.22),
        hat=hand.chance(0.13),
    )


def _apart(colour: Tensor, other: Tensor, distance: float = 0.25) -> Tensor:
    """The colour, or one much darker or lighter where it is too near to the other."""
    near = (colour - other).abs().mean(1, keepdim=True) < distance
    light = other.mean(1, keepdim=True) > 0.5
    return torch.where(near, torch.where(light, 0.38 * colour, 1 - 0.30 * (1 - colour)), colour)


def _colour(value: Tensor) -> Tensor:
    return value[:, :, None, None]
