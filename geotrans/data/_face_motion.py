"""How a drawn face moves: local muscles that displace the picture and its landmarks together.

Every muscle pulls a patch of the face, at full strength in its middle and not at all at its rim, after K. Waters, "A
Muscle Model for Animating Three-Dimensional Facial Expression", SIGGRAPH 1987. A patch is a product of a profile in x
and one in y, so that the displacement of a whole pixel grid is one matrix product.

Convention: the picture at p is the picture at rest at p - D(p); so D is a backward displacement, (x, y), in the face
frame (see `_face_identity`), and a landmark at rest r is displaced to the point p with p - D(p) = r.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geotrans.data._face_identity import Face, rest_landmarks

ATTRIBUTES = ("Smiling", "Arched_Eyebrows", "Big_Nose", "Pointy_Nose")
AUS = (
    *("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12"),
    *("AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU45"),
)

# Muscle: middle, as (anchor x, anchor y, offset x, offset y), and radii in x and y. "side" muscles come in pairs.
_PAIRED = {
    "brow_in": ("brow", "brow", -0.115, -0.07, 0.19, 0.24),
    "brow_mid": ("brow", "brow", 0.05, -0.075, 0.23, 0.24),
    "brow_out": ("brow", "brow", 0.16, -0.07, 0.19, 0.24),
    "eye": ("eye", "eye", 0.0, 0.0, 0.23, 0.21),
    "lid_low": ("eye", "eye", 0.0, 0.085, 0.21, 0.14),
    "cheek": ("eye", "nose", 0.06, 0.02, 0.27, 0.25),
    "corner": ("mouth", "mouth", 0.07, 0.0, 0.28, 0.26),
}
_CENTRAL = {
    "bridge": (0.0, 0.06, 0.22, 0.24),  # offset from the eyes; the next two from the nose's base
    "wings": (0.0, -0.02, 0.36, 0.26),
    "tip": (0.0, 0.0, 0.20, 0.24),
    "lip_up": (0.0, -0.05, 0.24, 0.18),  # these from the mouth
    "lip_low": (0.0, 0.09, 0.34, 0.25),
    "mouth": (0.0, 0.0, 0.36, 0.28),
    "chin": (0.0, 0.20, 0.52, 0.255),
    "head": (0.0, -0.50, 0.74, 0.72),
}
_CENTRAL_ANCHOR = {"bridge": "eye", "wings": "nose", "tip": "nose", "head": "mouth"}
MUSCLES = (*(f"{name}_{side}" for name in _PAIRED for side in ("left", "right")), *_CENTRAL)

# Action: muscle -> (outward, down, widen, heighten) at strength 1; left and right are sides of the image.
_ACTIONS: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "AU01": {"brow_in": (0.0, -0.085, 0, 0), "brow_mid": (0.0, -0.012, 0, 0)},
    "AU02": {"brow_out": (0.0, -0.080, 0, 0), "brow_mid": (0.0, -0.038, 0, 0)},
    "AU04": {"brow_in": (-0.030, 0.060, 0, 0), "brow_mid": (-0.012, 0.035, 0, 0)},
    "AU05": {"eye": (0.0, -0.006, 0.0, 0.36)},
    "AU06": {"cheek": (0.0, -0.050, 0, 0), "lid_low": (0.0, -0.024, 0, 0)},
    "AU07": {"eye": (0.0, 0.006, 0.0, -0.34)},
    "AU09": {"wings": (0.0, -0.032, 0.18, 0.0), "bridge": (0.0, -0.012, 0, 0), "brow_in": (-0.01, 0.035, 0, 0),
             "lip_up": (0.0, -0.018, 0, 0)},
    "AU10": {"lip_up": (0.0, -0.048, 0, 0), "wings": (0.0, -0.012, 0.06, 0.0)},
    "AU12": {"corner": (0.060, -0.104, 0, 0), "cheek": (0.006, -0.012, 0, 0), "lip_low": (0.0, 0.008, 0, 0)},
    "AU14": {"corner_right": (0.055, -0.045, 0, 0), "corner_left": (0.012, 0.0, 0, 0)},
    "AU15": {"corner": (0.005, 0.075, 0, 0)},
    "AU17": {"chin": (0.0, -0.055, 0, 0), "lip_low": (0.0, -0.026, 0, 0)},
    "AU20": {"corner": (0.075, 0.015, 0, 0)},
    "AU23": {"corner": (-0.030, 0.0, 0, 0), "mouth": (0.0, 0.0, -0.08, -0.40)},
    "AU25": {"lip_low": (0.0, 0.046, 0, 0), "lip_up": (0.0, -0.016, 0, 0)},
    "AU26": {"lip_low": (0.0, 0.056, 0, 0), "chin": (0.0, 0.080, 0, 0), "corner": (-0.040, 0.018, 0, 0),
             "lip_up": (0.0, -0.012, 0, 0)},
    "Arched_Eyebrows": {"brow_mid": (0.0, -0.108, 0, 0), "brow_in": (0.0, 0.014, 0, 0), "brow_out": (0.0, 0.020, 0, 0)},
    "Big_Nose": {"wings": (0.0, 0.035, 1.10, 0.0), "tip": (0.0, 0.030, 0, 0)},
    "Pointy_Nose": {"tip": (0.0, 0.080, -0.45, 0.0)},
    "both_noses": {"tip": (0.0, -0.035, 0, 0), "wings": (0.0, -0.015, 0, 0)},
    "cartoon": {"eye": (0.0, 0.0, 0.34, 0.34), "wings": (0.0, 0.0, -0.28, -0.18), "mouth": (0.0, 0.0, -0.24, -0.18),
                "head": (0.0, 0.0, 0.28, 0.18)},
}  # fmt: skip
_INPUTS = (*AUS, *ATTRIBUTES, "both_noses", "cartoon")
_STRONGEST = 0.42
_STEEPEST = 0.88
_NEWTON_STEPS = 6
_PROBE = (torch.linspace(-0.72, 0.72, 49)[None], torch.linspace(-0.72, 0.96, 57)[None])


@dataclass(frozen=True, slots=True)
class Expression:
    """What a face does: aus (B, 17), attributes (B, 4) and cartoon proportions (B, 1), all in [0, 1]."""

    aus: Tensor
    attributes: Tensor
    cartoon: Tensor

    def au(self, name: str) -> Tensor:
        """One action unit, (B, 1, 1)."""
        return self.aus[:, AUS.index(name), None, None]


@dataclass(frozen=True, slots=True)
class Motion:
    """The muscles of a batch of faces, contracted: D(p) = sum over k of patch_k(p) (pull_k + stretch_k (p - middle_k)).

    Attributes:
        middle: (B, K, 2).
        radius: (K, 2).
        pull: (B, K, 2).
        stretch: (B, K, 2).
    """

    middle: Tensor
    radius: Tensor
    pull: Tensor
    stretch: Tensor

    def on_grid(self, x: Tensor, y: Tensor) -> Tensor:
        """D at the grid of columns `x` (B, W) and rows `y` (B, H), as (B, 2, H, W)."""
        along_x, along_y = x[:, None] - self.middle[:, :, :1], y[:, None] - self.middle[:, :, 1:]
        patch_x, patch_y = _profile(along_x / self.radius[:, :1]), _profile(along_y / self.radius[:, 1:])
        pull_x = patch_x * (self.pull[:, :, :1] + self.stretch[:, :, :1] * along_x)
        pull_y = patch_y * (self.pull[:, :, 1:] + self.stretch[:, :, 1:] * along_y)
        return torch.stack([patch_y.mT @ pull_x, pull_y.mT @ patch_x], dim=1)

    def at(self, points: Tensor) -> Tensor:
        """D at `points` (B, N, 2), as (B, N, 2)."""
        along = points[:, :, None] - self.middle[:, None]
        patch = _profile(along / self.radius).prod(dim=-1, keepdim=True)
        return (patch * (self.pull[:, None] + self.stretch[:, None] * along)).sum(dim=2)

    def displaced(self, rest: Tensor) -> Tensor:
        """Where the points `rest` (B, N, 2) go: the solution p of p - D(p) = rest, by Newton's method."""
        point = rest + 0.5 * self.at(rest)
        for _ in range(_NEWTON_STEPS):
            moved, slope = self._with_slope(point)
            error = point - moved - rest
            a, b, c, d = (torch.eye(2) - slope).flatten(2).unbind(2)
            step = torch.stack([d * error[..., 0] - b * error[..., 1], a * error[..., 1] - c * error[..., 0]], dim=2)
            point = point - step / (a * d - b * c).clamp_min(0.05)[..., None]
        return point

    def _with_slope(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """D at `points` (B, N, 2), and its Jacobian (B, N, 2, 2), rows D_x and D_y."""
        along = points[:, :, None] - self.middle[:, None]
        t = along / self.radius
        base = (1 - t * t).clamp_min(0)
        profile, fall = base**3, -6 * t * base**2 / self.radius
        patch = profile.prod(dim=-1, keepdim=True)
        gradient = fall * profile.flip(-1)
        push = self.pull[:, None] + self.stretch[:, None] * along
        slope = torch.einsum("bnkc,bnkd->bncd", push, gradient)
        own = (patch * self.stretch[:, None]).sum(dim=2)
        return (patch * push).sum(dim=2), slope + torch.diag_embed(own)


def _profile(t: Tensor) -> Tensor:
    """1 at 0, 0 from |t| = 1 on, twice continuously differentiable."""
    return (1 - t * t).clamp_min(0) ** 3


def _muscle_table() -> tuple[Tensor, Tensor]:
    """Pull and stretch of every muscle by every input: (inputs, K, 2) each."""
    table = torch.zeros(len(_INPUTS), len(MUSCLES), 4)
    for action, effects in _ACTIONS.items():
        for target, (outward, down, widen, heighten) in effects.items():
            for k, muscle in enumerate(MUSCLES):
                if muscle in (target, f"{target}_left", f"{target}_right"):
                    across = -outward if muscle.endswith("_left") else outward
                    table[_INPUTS.index(action), k] += torch.tensor([across, down, widen, heighten])
    return table[:, :, :2], table[:, :, 2:]


_PULL, _STRETCH = _muscle_table()
_RADIUS = torch.tensor([spec[-2:] for spec in _PAIRED.values() for _ in "lr"] + [s[-2:] for s in _CENTRAL.values()])


def contract(face: Face, expression: Expression) -> Motion:
    """The motion of `face` under `expression`."""
    nose = expression.attributes[:, 2:3] * expression.attributes[:, 3:4]
    inputs = torch.cat([expression.aus, expression.attributes, nose, expression.cartoon], dim=1)
    pull = torch.einsum("bi,ikc->bkc", inputs, _PULL)
    stretch = torch.einsum("bi,ikc->bkc", inputs, _STRETCH)
    limit = _STRONGEST * _RADIUS
    pull = pull / (1 + (pull / limit) ** 4) ** 0.25  # muscles saturate, or strong ones together would fold the picture
    motion = Motion(_middles(face), _RADIUS, pull, 1 - 1 / (1 + stretch).clamp_min(0.5))
    weaken = (_STEEPEST / _steepness(motion)).clamp_max(1)[:, None, None]
    return replace(motion, pull=weaken * motion.pull, stretch=weaken * motion.stretch)


def _steepness(motion: Motion) -> Tensor:
    """Largest stretch (B,) of D in any direction. Below 1 nothing folds, for (p - q) . (Dp - Dq) < |p - q|^2."""
    (x, y), step = _PROBE, _PROBE[0][0, 1] - _PROBE[0][0, 0]
    moved = motion.on_grid(x, y)
    along_x = (moved[:, :, :-1, 1:] - moved[:, :, :-1, :-1]) / step
    along_y = (moved[:, :, 1:, :-1] - moved[:, :, :-1, :-1]) / step
    mean, half = 0.5 * (along_x[:, 0] + along_y[:, 1]), 0.5 * (along_x[:, 0] - along_y[:, 1])
    shear = 0.5 * (along_x[:, 1] + along_y[:, 0])
    return (mean + torch.sqrt(half * half + shear * shear)).flatten(1).amax(1).clamp_min(1e-6)


def _middles(face: Face) -> Tensor:
    anchors = {
        "brow": (face.eye_x, face.brow_y),
        "eye": (face.eye_x, face.eye_y),
        "nose": (face.nose_width, face.nose_y),
        "mouth": (face.mouth_width, face.mouth_y),
    }
    middles = []
    for anchor_x, anchor_y, offset_x, offset_y, *_ in _PAIRED.values():
        x, y = anchors[anchor_x][0] + offset_x, anchors[anchor_y][1] + offset_y
        middles += [torch.cat([-x, y], dim=2), torch.cat([x, y], dim=2)]
    for name, (offset_x, offset_y, *_) in _CENTRAL.items():
        y = anchors[_CENTRAL_ANCHOR.get(name, "mouth")][1] + offset_y
        middles.append(torch.cat([torch.full_like(y, offset_x), y], dim=2))
    return torch.cat(middles, dim=1)


@dataclass(frozen=True, slots=True)
class Paint:
    """What is painted because motion cannot show it; every entry (B, 1, 1), in the face at rest.

    Attributes:
        closure: how far the upper lid is drawn down, 0 to 1.
        gap_up: from the seam of the lips up to the upper inner lip.
        gap_low: from the seam down to the lower inner lip.
        smile: folds beside nose and mouth.
        raise_fold: lines across the forehead.
        frown: lines between the brows.
        squint: crow's feet.
        wrinkle: lines on the bridge of the nose.
        dimple: beside the mouth, on the right.
        pout: on the chin.
    """

    closure: Tensor
    gap_up: Tensor
    gap_low: Tensor
    smile: Tensor
    raise_fold: Tensor
    frown: Tensor
    squint: Tensor
    wrinkle: Tensor
    dimple: Tensor
    pout: Tensor


def make_paint(face: Face, expression: Expression, motion: Motion) -> Paint:
    """What to paint for an expression, and where the lips' inner rims are once the lips have kept their thickness."""
    au = expression.au
    parting = (1.6 * au("AU25") + au("AU26")).clamp(0, 1)
    zero = torch.zeros_like(face.mouth_y)
    rest = torch.cat(
        [torch.cat([zero, face.mouth_y - face.lip_up], 2), torch.cat([zero, face.mouth_y + face.lip_low], 2)], 1
    )
    rims = motion.displaced(rest) + torch.cat(
        [torch.cat([zero, face.lip_up], 2), torch.cat([zero, -face.lip_low], 2)], 1
    )
    rims = rims - motion.at(rims)
    return Paint(
        closure=au("AU45"),
        gap_up=parting * (face.mouth_y - rims[:, :1, 1:]).clamp(0.0, 0.03),
        gap_low=parting * (rims[:, 1:, 1:] - face.mouth_y).clamp(0.0, 0.06),
        smile=_shown(0.75 * au("AU12") + 0.5 * au("AU10") + 0.25 * au("AU20")),
        raise_fold=_shown(0.5 * (au("AU01") + au("AU02"))),
        frown=_shown(au("AU04")),
        squint=_shown(au("AU06")),
        wrinkle=_shown(au("AU09")),
        dimple=_shown(au("AU14")),
        pout=_shown(au("AU17")),
    )


def _shown(strength: Tensor) -> Tensor:
    """A fold shows from some strength on: a face at rest has none."""
    return ((strength - 0.1) / 0.9).clamp(0, 1)


def displaced_landmarks(face: Face, motion: Motion, paint: Paint) -> Tensor:
    """iBUG-68 points (B, 68, 2) of the moved face, in image coordinates."""
    points = motion.displaced(rest_landmarks(face, paint.closure, paint.gap_up, paint.gap_low))
    return points * face.scale + face.shift
