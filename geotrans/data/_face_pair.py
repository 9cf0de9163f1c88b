"""A pair of pictures of one drawn face, and everything that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from geotrans.data import _face_draw as draw
from geotrans.data._face_canvas import Canvas
from geotrans.data._face_identity import Face, make_face, take
from geotrans.data._face_modality import MODALITIES, finish, make_canvas, toned
from geotrans.data._face_motion import Expression, Motion, Paint, contract, displaced_landmarks, make_paint
from geotrans.ops.warp import identity_grid, warp
from geotrans.types import Condition, Sample

EMOTIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised", "contemptuous")

_FLOW_STEPS = 4
_PAINTED = 0.02  # a pixel is painted from this share on


@dataclass(frozen=True, slots=True)
class State:
    """What one picture of a face shows: its expression, emotion (B,) and modality (B,)."""

    expression: Expression
    emotion: Tensor
    modality: Tensor


@dataclass(frozen=True, slots=True)
class _Grid:
    """Pixel centres in the face frame: columns x (B, W), rows y (B, H), and a pixel's size (B, 1, 1)."""

    x: Tensor
    y: Tensor
    pixel: Tensor

    def points(self) -> Tensor:
        """(B, 2, H, W)."""
        batch, height, width = len(self.x), self.y.shape[1], self.x.shape[1]
        x, y = self.x[:, None].expand(batch, height, width), self.y[:, :, None].expand(batch, height, width)
        return torch.stack([x, y], dim=1)

    def rest(self, motion: Motion) -> Tensor:
        """Where each pixel's content is in the face at rest, (B, 2, H, W)."""
        return self.points() - motion.on_grid(self.x, self.y)


def _grid(face: Face, resolution: int) -> _Grid:
    centres = (2 * torch.arange(resolution) + 1) / resolution - 1
    x, y = ((centres - face.shift[:, :, i]) / face.scale[:, 0] for i in (0, 1))
    return _Grid(x, y, 2 / resolution / face.scale)


def draw_pair(
    person: Tensor, scene: Tensor, source: State, target: State, resolution: int, names: tuple[str, ...]
) -> Sample:
    """The samples of two states each, from the uniforms that `make_face` reads."""
    shots = draw_shots(person, scene, (source, target), resolution)
    (image, truth), (before, after) = shots.pictures, shots.conditions
    return Sample(image, before, after, truth, shots.flow, shots.visible, names)


@dataclass(frozen=True, slots=True)
class Shots:
    """Pictures of the same faces in several states, and their conditions; flow and visible lead from last to first."""

    pictures: tuple[Tensor, ...]
    conditions: tuple[Condition, ...]
    flow: Tensor
    visible: Tensor


def draw_shots(person: Tensor, scene: Tensor, states: Sequence[State], resolution: int) -> Shots:
    """Faces in two or more states, from the uniforms that `make_face` reads."""
    face = make_face(person, scene)
    grid = _grid(face, resolution)
    poses = [_pose(face, state.expression) for state in states]
    places = [grid.rest(pose.motion) for pose in poses]
    pictures = [
        _picture(face, pose.paint, state.modality, place, grid.pixel)
        for state, pose, place in zip(states, poses, places, strict=True)
    ]
    flow = _true_flow(face, poses[0].motion, grid, places[-1])
    visible = _visible(face, [poses[0], poses[-1]], places[-1], grid.pixel, flow)
    conditions = [_condition(face, state, pose) for state, pose in zip(states, poses, strict=True)]
    return Shots(tuple(pictures), tuple(conditions), flow, visible)


@dataclass(frozen=True, slots=True)
class _Pose:
    motion: Motion
    paint: Paint


def _pose(face: Face, expression: Expression) -> _Pose:
    motion = contract(face, expression)
    return _Pose(motion, make_paint(face, expression, motion))


def _picture(face: Face, paint: Paint, modality: Tensor, place: Tensor, pixel: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1]; `place` (B, 2, H, W) says where each pixel is in the face at rest."""
    picture = place.new_empty(len(place), 3, *place.shape[2:])
    for kind in sorted(set(modality.tolist())):
        rows = (modality == kind).nonzero()[:, 0]
        canvas = make_canvas(MODALITIES[kind], place[rows, 0], place[rows, 1], pixel[rows])
        draw.draw(canvas, toned(MODALITIES[kind], take(face, rows)), take(paint, rows))
        picture[rows] = finish(MODALITIES[kind], canvas)
    return picture


def _table_sides(resolution: int) -> tuple[int, int]:
    """Sides of the tables of D and of its slope."""
    return resolution * (2 * (128 // resolution) + 1), max(64, resolution)


def _true_flow(face: Face, source: Motion, grid: _Grid, place: Tensor) -> Tensor:
    """The flow q - p with q - D(q) = place(p), D of the source, by Newton's method on a fine table of D.

    The table has an odd multiple of the picture's side, so that the pixels' centres are among its points.
    """
    fine, coarse = (_grid(face, side) for side in _table_sides(grid.x.shape[1]))
    moved = source.on_grid(fine.x, fine.y) * face.scale[..., None]
    slope = torch.gradient(source.on_grid(coarse.x, coarse.y), dim=(2, 3), spacing=2 / coarse.x.shape[1])
    slopes = torch.cat([slope[1], slope[0]], dim=1) * face.scale[..., None]
    start = (place - grid.points()) * face.scale[..., None]
    flow = start + warp(moved, start, padding="border")
    for _ in range(_FLOW_STEPS):
        x, y = (flow - start - warp(moved, flow, padding="border")).unbind(1)
        x_x, y_x, x_y, y_y = warp(slopes, flow, padding="border").unbind(1)
        step = torch.stack([(1 - y_y) * x + x_y * y, (1 - x_x) * y + y_x * x], dim=1)
        flow = flow - step / ((1 - x_x) * (1 - y_y) - x_y * y_x).clamp_min(0.05)[:, None]
    return flow


def _visible(face: Face, poses: list[_Pose], place: Tensor, pixel: Tensor, flow: Tensor) -> Tensor:
    """(B, 1, H, W): 1 where neither picture is painted; both paint in the face at rest, so one look-up does."""
    canvas = Canvas(place[:, 0], place[:, 1], pixel)
    seen = torch.ones_like(flow[:, :1])
    for pose in poses:
        for area, amount in draw.painted(canvas, face, pose.paint):
            seen[:, 0, area.rows, area.columns].mul_(amount < _PAINTED)
    height, width = flow.shape[2:]
    end = identity_grid(height, width)[0].permute(2, 0, 1) + flow
    return seen * (end.abs() <= 1).all(dim=1, keepdim=True)


def _condition(face: Face, state: State, pose: _Pose) -> Condition:
    return Condition(
        attributes=state.expression.attributes,
        aus=state.expression.aus,
        emotion=one_hot(state.emotion, len(EMOTIONS)).float(),
        modality=one_hot(state.modality, len(MODALITIES)).float(),
        landmarks=displaced_landmarks(face, pose.motion, pose.paint),
    )
