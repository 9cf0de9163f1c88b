"""GFLA for clips: a frame is rendered from the frame before and from a reference picture, each with motions of its own.

Paper: Ren et al., "Deep Image Spatial Transformation for Person Image Generation", CVPR 2020, Sec. 4.4.
Differences from the paper: none known; the text leaves the networks out, and sizes here are those of the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.layers.convert import build, shape_of
from geotrans.layers.preactivation import FeatureEncoder, initialise
from geotrans.models.gfla import (
    PAPER,
    FlowEstimator,
    GFLAConfig,
    Motion,
    Renderer,
    check_sides,
    encoder_rules,
    flow_rules,
    official_state,
    paint,
    renderer_rules,
    sized,
)
from geotrans.ops.condition import structure_map
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_generator

REFERENCES = 2  # the frame before, and the reference picture
SPREADS = 6.0  # of a colour: how far from its mean restored colours reach
FACE = ConditionSpec(structure=16, needs_source=True)  # an edge map, distances to 14 of its curves, a label map
BODY = ConditionSpec(structure=20, needs_source=True)  # heat-maps of 17 joints, a skeleton drawn in colour


@dataclass(frozen=True)
class GFLAVideoConfig(GFLAConfig):
    """Attributes, beside those of `GFLAConfig`:
    shared_flow: one flow estimator reads both references, as for faces; otherwise each has one, as for dance.
    restore_colours: what is painted gets the mean and the spread of each of the reference picture's colours. The norm
        that every encoder starts with takes them away, and a short training does not find out what they were.
    """

    shared_flow: bool = True
    restore_colours: bool = False
    condition: ConditionSpec = FACE


class GFLAVideo(Generator):
    """The next frame of a clip.

    `image` is (B, 2, 3, H, W): the frame before, which in a clip is what the model painted last, and the reference
    picture; the source's `Condition.structure` is (B, 2, S, H, W) likewise. At a clip's start one picture stands for
    both: (B, 3, H, W) and (B, S, H, W). What each gives is blended with what is painted, and the two are added.

    `flow` and `warped` show the motion of the frame before. `intermediates` are those of `GFLA`, with the number of the
    reference after that of the scale: "flow_0_1" is the coarsest motion of the reference picture.
    """

    paper = PAPER
    references = REFERENCES

    def __init__(self, cfg: GFLAVideoConfig) -> None:
        super().__init__(cfg)
        if cfg.sampling not in ("attention", "bilinear"):
            raise ValueError(f"sampling: a clip's frames move by 'attention' or 'bilinear', got {cfg.sampling!r}")
        structure = cfg.condition.structure
        readers, each = (1, REFERENCES) if cfg.shared_flow else (REFERENCES, 1)
        self.sources = nn.ModuleList(FeatureEncoder(3, cfg.width, cfg.max_width, cfg.layers) for _ in range(REFERENCES))
        self.flow_nets = nn.ModuleList(
            FlowEstimator(cfg, each * (3 + structure) + structure, references=each) for _ in range(readers)
        )
        self.target = FeatureEncoder(structure, cfg.width, cfg.max_width, cfg.layers)
        self.renderer = Renderer(cfg, REFERENCES)
        self.apply(initialise)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        check_sides(image, self.cfg.flow_layers)
        pictures, shown = self._references(image, source)
        wanted = structure_map(self.cfg.condition, target, pictures[0])
        motions = self._motions(pictures, shown, wanted)
        features = [encoder(picture)[::-1] for encoder, picture in zip(self.sources, pictures, strict=True)]
        painted, parts = self.renderer(self.target(wanted)[-1], features, motions)
        if self.cfg.restore_colours:
            painted = _restored(painted, pictures[1])
        return paint(pictures[0], painted, motions[0], parts)

    def _motions(self, pictures: list[Tensor], shown: list[Tensor], wanted: Tensor) -> list[list[Motion]]:
        """The motions of each reference, coarsest first."""
        pairs = [torch.cat(pair, dim=1) for pair in zip(pictures, shown, strict=True)]
        if self.cfg.shared_flow:
            scales = self.flow_nets[0](torch.cat([wanted, *pairs], dim=1))
            return [[motions[number] for motions in scales] for number in range(REFERENCES)]
        return [
            [motion for (motion,) in net(torch.cat([pair, wanted], dim=1))]
            for net, pair in zip(self.flow_nets, pairs, strict=True)
        ]

    def _references(self, image: Tensor, source: Condition | None) -> tuple[list[Tensor], list[Tensor]]:
        """The pictures, and the structure of each."""
        if image.ndim == 4:
            return [image] * REFERENCES, [structure_map(self.cfg.condition, source, image)] * REFERENCES
        if image.ndim != 5 or image.shape[1] != REFERENCES:
            raise ValueError(
                f"image: expected shape (B, {REFERENCES}, 3, H, W), the frame before and the reference, or "
                f"(B, 3, H, W), got {tuple(image.shape)}"
            )
        structure = None if source is None else source.structure
        wanted = (*image.shape[:2], self.cfg.condition.structure, *image.shape[3:])
        if structure is None or structure.shape != wanted:
            got = "None" if structure is None else str(tuple(structure.shape))
            raise ValueError(f"source's Condition.structure: expected shape {wanted}, one map a reference, got {got}")
        return list(image.unbind(1)), list(structure.unbind(1))


def _restored(painted: Tensor, picture: Tensor) -> Tensor:
    """`painted`, from -1 to 1, as that many spreads of the picture's colours around their means."""
    spread, mean = torch.std_mean(picture, dim=(2, 3), keepdim=True)
    return (mean + SPREADS * spread * painted).clamp(-1, 1)


def convert_gfla_video(state: Mapping[str, Tensor], *, resolution: int = 256) -> GFLAVideo:
    """An official generator of clips (`*_net_G.pth`, faces or dance). Sizes are read off the shapes.

    Args:
        resolution: the height that it was trained at.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = official_state(state)
    shared = any(key.startswith("flow_net.") for key in state)
    flows = ["flow_net"] if shared else ["flow_net_previous", "flow_net_reference"]
    sources = ["source_previous", "source_reference"]
    structure = shape_of(state, "target.block0.model.0.weight", 1)[0]
    condition = replace(FACE if shared else BODY, structure=structure)
    cfg = GFLAVideoConfig(resolution=resolution, shared_flow=shared, condition=condition)
    cfg = sized(cfg, state, source=sources[0], flow=flows[0], attention="attn_p")
    rules = {**encoder_rules("target", "target", cfg.layers), **renderer_rules(cfg, ("attn_p", "attn_r"))}
    for number, source in enumerate(sources):
        rules |= encoder_rules(source, f"sources.{number}", cfg.layers)
    for number, flow in enumerate(flows):
        rules |= flow_rules(flow, f"flow_nets.{number}", cfg)
    return build(GFLAVideo, cfg, state, rules)


@register_generator(GFLAVideo)
def gfla_face_256() -> GFLAVideoConfig:
    """GFLA that animates faces (FaceForensics), 256 px: one flow estimator for both references."""
    return GFLAVideoConfig()


@register_generator(GFLAVideo)
def gfla_face_64() -> GFLAVideoConfig:
    """A small GFLA that animates drawn faces, for the built-in benchmark: motion at a quarter and at half of the size.

    What is attended to keeps its size: divided by that of a kernel, it takes a short training too long to be noticed.
    """
    return GFLAVideoConfig(
        resolution=64,
        width=24,
        layers=2,
        flow_width=16,
        flow_max_width=56,
        flow_layers=4,
        kernels=(3, 3),
        attention_scale="sum",
        restore_colours=True,
    )


@register_generator(GFLAVideo)
def gfla_dance_256() -> GFLAVideoConfig:
    """GFLA that animates dancers (iPER), 256 px: a flow estimator for each reference."""
    return GFLAVideoConfig(shared_flow=False, condition=BODY)
