"""Two pictures of one drawn person, and the true motion between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geotrans.data._face_canvas import Canvas
from geotrans.data._face_identity import take
from geotrans.data._people_body import PART, Body, Look
from geotrans.data._people_draw import paint
from geotrans.data._people_parts import layers, local
from geotrans.data._people_pose import Pose, radius
from geotrans.ops.poses import pose_maps
from geotrans.ops.warp import identity_grid
from geotrans.types import Condition, Sample

SIGMA = 6 / 256  # of the joints' maps, in widths of the picture
_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Person:
    """Who is drawn."""

    body: Body
    look: Look


def draw_pair(person: Person, scene: Canvas, source: Pose, target: Pose, names: tuple[str, ...]) -> Sample:
    """The samples of persons in two poses each, before scenes that are drawn already."""
    image, shown = _picture(person, scene, source)
    truth, wanted = _picture(person, scene, target)
    flow, visible = _motion(person.body, source, target, shown, wanted)
    side = image.shape[3]
    maps = [pose_maps(pose.joints, side, side, size=SIGMA * side) for pose in (source, target)]
    return Sample(image, Condition(structure=maps[0]), Condition(structure=maps[1]), truth, flow, visible, names)


def _picture(person: Person, scene: Canvas, pose: Pose) -> tuple[Tensor, Tensor]:
    """The picture (B, 3, H, W) in [-1, 1], and the part that each pixel's centre shows, (B, H, W)."""
    canvas = Canvas(scene.x, scene.y, scene.pixel / pose.scale)
    canvas.rgb.copy_(scene.rgb)
    shown = torch.full(scene.x.shape, _NOWHERE)
    for layer in layers(person.body, pose, scene.x, scene.y, windows=True):
        paint(canvas, person.body, person.look, pose, layer)
        shown[:, layer.area.rows, layer.area.columns].masked_fill_(layer.distance < 0, PART[layer.part])
    return canvas.rgb.mul_(2).sub_(1).clamp_(-1, 1), shown


def _motion(body: Body, source: Pose, target: Pose, shown: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The flow and where it is true, from the parts that both pictures show.

    A pixel's point of a part is looked up in the other pose, and is visible there if that part is what is in front.
    """
    batch, height, width = wanted.shape
    flow = torch.zeros(batch, 2, height, width)
    visible = ((wanted == _NOWHERE) & (shown == _NOWHERE)).float()
    row, down, right = (wanted != _NOWHERE).nonzero().unbind(1)
    part = wanted[row, down, right]
    here = identity_grid(height, width)[0, down, right]  # (N, 2)
    before, after = (_chosen(pose, row, part) for pose in (target, source))
    u, v = (value[:, 0, 0] for value in local(before, 0, here[:, :1, None], here[:, 1:, None]))
    v, facing = _turned(body, part, row, v, after.turn[:, 0] - before.turn[:, 0])
    there = after.origin[:, 0] + u[:, None] * after.along[:, 0] + v[:, None] * after.across[:, 0]
    flow[row, :, down, right] = there - here
    front = torch.full((len(row), 1, 1), _NOWHERE)
    bodies, poses = take(body, row), take(source, row)
    for layer in layers(bodies, poses, there[:, :1, None], there[:, 1:, None], windows=False):
        front.masked_fill_(layer.distance < 0, PART[layer.part])
    seen = (front[:, 0, 0] == part) & facing & (there.abs() <= 1).all(1)
    visible[row, down, right] = seen.float()
    return flow, visible[:, None]


def _chosen(pose: Pose, row: Tensor, part: Tensor) -> Pose:
    """Poses with one part each, the given one of the given row."""
    origin, along, across, turn = (x[row, part][:, None] for x in (pose.origin, pose.along, pose.across, pose.turn))
    return Pose(origin, along, across, turn, pose.behind[row], pose.joints[row], pose.scale[row])


def _turned(body: Body, part: Tensor, row: Tensor, v: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Where a point of a turning part comes to when it turns on, and whether it still faces us."""
    moved, facing = v.clone(), torch.ones_like(v, dtype=torch.bool)
    for name in ("head", "torso"):
        own = part == PART[name]
        reach = radius(body, name)[row[own], 0, 0]
        angle = (v[own] / reach).clamp(-1, 1).asin() + turn[own]
        moved[own] = torch.where(turn[own] == 0, v[own], reach * angle.sin())
        facing[own] = angle.abs() < torch.pi / 2
    return moved, facing
