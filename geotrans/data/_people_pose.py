"""How a drawn person stands: joint angles, where they put each part, and the 18 joints of OpenPose.

Convention: angles are in radians from straight down, positive away from the body's middle. A part's point (u, v) is at
origin + u * along + v * across in the picture, (x, y) in [-1, 1], x right and y down. Head and torso also turn about
their own axis: what is at the angle t around them shows at v = R sin(t + turn).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geotrans.data._counter import Draws
from geotrans.data._people_body import ARMS, LEGS, PARTS, Body

POSE_DRAWS = 48
PLACE_DRAWS = 4
EYES, EARS = 0.36, 1.35  # angles around the head at which they sit

_EYES_DOWN, _NOSE_DOWN, _EARS_DOWN = 0.02, 0.26, 0.12  # in half-heights of the head
_ABOVE_NECK = 0.022  # from the neck's joint to the chin, in heights

# Upper arm, elbow, and how far each may differ (degrees); how often behind the body; how short it may look.
_ARM = torch.tensor(
    [
        [14, 6, 9, 12, 0.35, 0.9],  # down
        [14, 6, 9, 12, 0.35, 0.9],
        [34, 14, 10, 16, 0.25, 0.85],  # held off
        [50, -98, 8, 10, 0.10, 0.9],  # hand on the hip
        [84, 0, 16, 14, 0.15, 0.85],  # out
        [148, 12, 14, 16, 0.30, 0.85],  # up
        [74, 78, 14, 18, 0.10, 0.85],  # waving
        [24, -78, 8, 14, 0.00, 0.85],  # across the body
        [38, 108, 10, 12, 0.00, 0.8],  # hand at the shoulder
    ]
)
# Right thigh and knee, left thigh and knee, how far each may differ (degrees); how short the right one may look.
_LEG = torch.tensor(
    [
        [4, -1, 4, -1, 3, 1.0],  # standing
        [4, -1, 4, -1, 3, 1.0],
        [15, -3, 15, -3, 5, 0.95],  # apart
        [24, -20, 10, -6, 6, 0.9],  # weight on one leg
        [52, -62, 3, -2, 7, 0.75],  # knee up
        [42, -40, 28, 2, 6, 0.9],  # lunge
        [44, -56, 44, -56, 6, 0.85],  # squat
        [26, 0, 26, 0, 5, 1.0],  # star jump
        [-9, 4, 12, 0, 4, 0.9],  # crossed
        [48, -6, 2, -1, 8, 0.9],  # kick
    ]
)
_JUMP = 7  # the star jump's row


@dataclass(frozen=True, slots=True)
class Pose:
    """Frames of the parts and where the joints are.

    Attributes:
        origin: (B, 18, 2), as are along and across.
        along: a unit of u in the picture.
        across: a unit of v in the picture, orthogonal to `along`.
        turn: (B, 18) in radians.
        behind: (B, 2), 1 where the right, left arm is behind the body.
        joints: (B, 18, 2).
        scale: (B, 1, 1), a unit of the figure in the picture.
    """

    origin: Tensor
    along: Tensor
    across: Tensor
    turn: Tensor
    behind: Tensor
    joints: Tensor
    scale: Tensor


@dataclass(frozen=True, slots=True)
class _Frame:
    """A part in the figure: origin (B, 2), angle, stretch of u and of v, and turn (B, 1) each."""

    origin: Tensor
    angle: Tensor
    stretch: Tensor
    squash: Tensor
    turn: Tensor

    def at(self, u: Tensor | float, v: Tensor | float) -> Tensor:
        sine, cosine = self.angle.sin(), self.angle.cos()
        u, v = u * self.stretch, v * self.squash
        return self.origin + torch.cat([u * sine + v * cosine, u * cosine - v * sine], dim=1)


def radius(body: Body, part: str) -> Tensor:
    """R of a part that turns, (B, 1, 1): a little more than its half-width, so that its rim can be seen."""
    return 1.12 * (body.head_width if part == "head" else body.shoulder)


def make_pose(body: Body, draws: Tensor, place: Tensor) -> Pose:
    """Poses from uniforms (B, POSE_DRAWS), and from those that both pictures of a pair share (B, PLACE_DRAWS)."""
    hand, shared = Draws(draws), Draws(place)
    frames, behind, ground = _figure(body, hand)
    face, torso = frames["head"], frames["torso"]
    scale = shared.between(1.58, 1.72) * hand.between(0.95, 1.03)
    ends = torch.stack([frames[part].origin[:, 0] for part in ("foot_right", "foot_left", "torso", "head")], dim=1)
    x = shared.between(-0.06, 0.06) + hand.between(-0.08, 0.08) - 0.5 * scale * ends.mean(1)[:, None, None]
    y = shared.between(0.84, 0.90) + hand.between(-0.02, 0.02) - scale * ground
    root = torch.cat([x, y], dim=2)
    joints = {
        **{0: _around(body, face, 0.0, _NOSE_DOWN), 1: torso.origin},
        **{14: _around(body, face, -EYES, _EYES_DOWN), 15: _around(body, face, EYES, _EYES_DOWN)},
        **{16: _around(body, face, -EARS, _EARS_DOWN), 17: _around(body, face, EARS, _EARS_DOWN)},
    }
    for first, limbs in ((2, ARMS[0]), (5, ARMS[1]), (8, LEGS[0]), (11, LEGS[1])):
        joints |= {first + step: frames[part].origin for step, part in enumerate(limbs)}
    ordered = [frames[part] for part in PARTS]
    angle = torch.stack([frame.angle for frame in ordered], dim=1)  # (B, 18, 1)
    sine, cosine = angle.sin() * scale, angle.cos() * scale
    return Pose(
        origin=root + scale * torch.stack([frame.origin for frame in ordered], dim=1),
        along=torch.cat([sine, cosine], dim=2) * torch.stack([frame.stretch for frame in ordered], dim=1),
        across=torch.cat([cosine, -sine], dim=2) * torch.stack([frame.squash for frame in ordered], dim=1),
        turn=torch.cat([frame.turn for frame in ordered], dim=1),
        behind=behind,
        joints=root + scale * torch.stack([joints[number] for number in range(18)], dim=1),
        scale=scale,
    )


def _around(body: Body, face: _Frame, angle: float, down: float) -> Tensor:
    """A point of the head's surface, (B, 2)."""
    return face.at(down * body.head_height[:, 0], radius(body, "head")[:, 0] * (angle + face.turn).sin())


def _figure(body: Body, hand: Draws) -> tuple[dict[str, _Frame], Tensor, Tensor]:
    """Every part, with the hips' middle at 0; which arms are behind (B, 2); and where the ground is (B, 1, 1)."""
    lean = torch.deg2rad(_flat(hand.between(-9, 9)))
    turn = torch.deg2rad(_flat(hand.between(-32, 32)))
    nod = torch.deg2rad(_flat(hand.between(-13, 13)))
    look = (0.5 * turn + torch.deg2rad(_flat(hand.between(-32, 32)))).clamp(-0.7, 0.7)
    zero, one = torch.zeros_like(lean), torch.ones_like(lean)
    slim = 1 - 0.35 * (1 - turn.cos())
    spine = _Frame(zero.expand(-1, 2), lean, one, slim, turn)
    torso = _Frame(spine.at(-_flat(body.torso), zero), lean, one, slim, turn)
    tilt = lean + nod
    neck = _Frame(torso.at(0.012, zero), tilt + torch.pi, one, one, zero)
    head = _Frame(neck.at(0.012 + _ABOVE_NECK + _flat(body.head_height), zero), tilt, one, one, look)
    frames = {"torso": torso, "neck": neck, "head": head, "hair": head}
    frames["pelvis"] = _Frame(zero.expand(-1, 2), 0.5 * lean, one, slim, zero)
    legs, ground = _legs(body, hand, frames["pelvis"])
    frames |= legs
    spread = 0.5 * (legs["thigh_left"].angle - legs["thigh_right"].angle)
    swing = 0.5 * (legs["thigh_left"].angle + legs["thigh_right"].angle)
    wide = 1 + 0.9 * spread.clamp_min(0)
    frames["skirt"] = _Frame(zero.expand(-1, 2), 0.5 * lean + 0.5 * swing, one, wide, zero)
    arms, behind = _arms(body, hand, torso)
    return frames | arms, behind, ground


def _legs(body: Body, hand: Draws, pelvis: _Frame) -> tuple[dict[str, _Frame], Tensor]:
    row = (_flat(hand.between(0, 1)) * len(_LEG)).long()[:, 0]
    table, swap = _LEG[row], _flat(hand.chance(0.5)) > 0
    frames: dict[str, _Frame] = {}
    calm = 1 - 0.45 * _flat(body.skirted)  # skirts do not kick
    for side, names in enumerate(LEGS):
        sign = -1.0 if side == 0 else 1.0
        first = swap == bool(side)  # whether this leg is the table's first
        own = torch.where(first, table[:, 0:2], table[:, 2:4])
        thigh, knee = (calm * (own[:, i : i + 1] + table[:, 4:5] * _flat(hand.between(-1, 1))) for i in range(2))
        short = torch.where(first, torch.lerp(table[:, 5:6], torch.ones_like(thigh), _flat(hand.between(0, 1))), 1.0)
        joint = pelvis.at(0.0, sign * 0.62 * _flat(body.hip))
        angle = sign * torch.deg2rad(thigh) + 0.5 * pelvis.angle
        frames |= _chain(body, names, joint, angle, sign * torch.deg2rad(knee), short)
        outward = sign * torch.deg2rad(_flat(hand.between(48, 74)))
        frames[names[2]] = replace(frames[names[2]], angle=outward)
    low = [frames[names[2]].origin[:, 1:] for names in LEGS]
    ground = torch.maximum(low[0], low[1]) + 0.03
    leap = torch.where(row[:, None] == _JUMP, 0.06, 0.0) * _flat(hand.between(0, 1))
    return frames, (ground + leap)[:, :, None]


def _arms(body: Body, hand: Draws, torso: _Frame) -> tuple[dict[str, _Frame], Tensor]:
    frames: dict[str, _Frame] = {}
    behind: list[Tensor] = []
    for side, names in enumerate(ARMS):
        table, sign = hand.pick(_ARM), -1.0 if side == 0 else 1.0
        arm, elbow = (table[:, i : i + 1] + table[:, i + 2 : i + 3] * _flat(hand.between(-1, 1)) for i in range(2))
        short = torch.lerp(table[:, 5:6], torch.ones_like(arm), _flat(hand.between(0, 1)))
        raised = 0.16 * torch.deg2rad((arm - 60).clamp_min(0))  # a raised arm lifts its shoulder
        shoulder = torso.at(0.030 - 0.05 * raised, sign * (_flat(body.shoulder) - 0.020))
        angle = sign * torch.deg2rad(arm) + 0.7 * torso.angle
        frames |= _chain(body, names, shoulder, angle, sign * torch.deg2rad(elbow), short)
        behind.append((_flat(hand.between(0, 1)) < table[:, 4:5]).float())
    return frames, torch.cat(behind, dim=1)


def _chain(
    body: Body, names: tuple[str, str, str], origin: Tensor, angle: Tensor, bend: Tensor, stretch: Tensor
) -> dict[str, _Frame]:
    """Three parts that hang on each other; the second is bent, the third goes on straight."""
    one, zero = torch.ones_like(angle), torch.zeros_like(angle)
    lengths = [_flat(body.length[:, PARTS.index(name)]) for name in names]
    first = _Frame(origin, angle, stretch, one, zero)
    second = _Frame(first.at(lengths[0], zero), angle + bend, stretch, one, zero)
    third = _Frame(second.at(lengths[1], zero), angle + bend, one, one, zero)
    return dict(zip(names, (first, second, third), strict=True))


def _flat(value: Tensor) -> Tensor:
    """(B, 1, 1) to (B, 1)."""
    return value[:, :, 0]
