"""GFLA for view synthesis: an object from another side, given as azimuth and elevation.

Paper: Ren et al., "Deep Image Spatial Transformation for Person Image Generation", CVPR 2020, Sec. 4.4.
Differences from the paper: none known; the text leaves the networks out, and sizes here are those of the authors' code.
With `view_maps`, of which the small model makes use, views are laid out as maps and not as planes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.layers.convert import build, shape_of
from geotrans.layers.preactivation import DecoderBlock, FeatureEncoder, initialise
from geotrans.models.gfla import (
    PAPER,
    FlowEstimator,
    GFLAConfig,
    Renderer,
    check_sides,
    decoder_rules,
    encoder_rules,
    flow_rules,
    official_state,
    paint,
    renderer_rules,
    sized,
)
from geotrans.ops.condition import view_of_source
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_generator

# ShapeNet's renderings: 18 azimuths, 20 degrees apart, and 3 elevations.
VIEWS = ConditionSpec(
    view=(*(f"azimuth_{20 * i:03d}" for i in range(18)), *(f"elevation_{10 * i:02d}" for i in range(3))),
    needs_source=True,
)


@dataclass(frozen=True)
class GFLAViewConfig(GFLAConfig):
    """Attributes as of `GFLAConfig`, and

    view_maps: channels of the maps that a view is laid out as, with a value for every place of the smallest size. 0: a
        plane of one value for each column, as in the authors' code; of such a plane instance normalisation leaves what
        the borders of convolutions make of it, which takes long to learn.
    """

    view_maps: int = 0
    condition: ConditionSpec = VIEWS


class GFLAView(Generator):
    """An object seen from `Condition.view`, a one-hot azimuth and a one-hot elevation; the source's view is known too.

    The flow estimator sees the picture, and the difference of the two views where the picture is smallest; the decoder
    starts from the wanted view alone. Everything else is as in `GFLA`, its `intermediates` too.
    """

    paper = PAPER

    def __init__(self, cfg: GFLAViewConfig) -> None:
        super().__init__(cfg)
        if cfg.sampling not in ("attention", "bilinear"):
            raise ValueError(f"sampling: a view's features move by 'attention' or 'bilinear', got {cfg.sampling!r}")
        columns, growths = cfg.view_maps or cfg.condition.size, cfg.flow_layers - cfg.layers
        self.source = FeatureEncoder(3, cfg.width, cfg.max_width, cfg.layers)
        self.flow_net = FlowEstimator(cfg, 3, joined=columns)
        widths = [columns, *[cfg.width] * (growths - 1), self.source.widths[-1]]
        self.target = nn.Sequential(*[DecoderBlock(widths[i], widths[i + 1]) for i in range(growths)])
        self.renderer = Renderer(cfg)
        self.apply(initialise)
        self.turn, self.seed = (_Maps(cfg) if cfg.view_maps else _Planes() for _ in range(2))

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        check_sides(image, self.cfg.flow_layers)
        spec = self.cfg.condition
        wanted = spec.vector(target, len(image)).to(image)
        shown = view_of_source(spec, source, image)
        height, width = (side // 2**self.cfg.flow_layers for side in image.shape[2:])
        seed, turn = self.seed(wanted, height, width), self.turn(shown - wanted, height, width)
        motions = [motion for (motion,) in self.flow_net(image, turn)]
        painted, parts = self.renderer(self.target(seed), [self.source(image)[::-1]], [motions])
        return paint(image, painted, motions, parts)


class _Planes(nn.Module):
    """A plane of one value for each column of a view."""

    def forward(self, view: Tensor, height: int, width: int) -> Tensor:
        return view[:, :, None, None].expand(-1, -1, height, width)


class _Maps(nn.Module):
    """A view as maps, one for each of its columns, added up: (B, V) -> (B, view_maps, height, width)."""

    def __init__(self, cfg: GFLAViewConfig) -> None:
        super().__init__()
        self.side = cfg.resolution // 2**cfg.flow_layers
        self.maps = nn.Linear(cfg.condition.size, cfg.view_maps * self.side**2, bias=False)
        nn.init.normal_(self.maps.weight)  # of the size of what normalised features are

    def forward(self, view: Tensor, height: int, width: int) -> Tensor:
        maps: Tensor = self.maps(view).view(len(view), -1, self.side, self.side)
        return maps if (height, width) == (self.side, self.side) else F.interpolate(maps, (height, width))


def convert_gfla_view(state: Mapping[str, Tensor], *, resolution: int = 256) -> GFLAView:
    """An official generator of views (`*_net_G.pth`, ShapeNet's cars or chairs). Sizes are read off the shapes.

    Args:
        resolution: the height that it was trained at.

    Raises:
        ValueError: keys or shapes are not those of the official code, or views have other columns than ShapeNet's.
    """
    state = official_state(state)
    cfg = sized(GFLAViewConfig(resolution=resolution), state)
    columns = shape_of(state, "target.block0.model.0.weight", 1)[0]
    if columns != VIEWS.size:
        raise ValueError(f"target.block0 reads {columns} columns; expected {VIEWS.size}: 18 azimuths and 3 elevations")
    rules = {
        **encoder_rules("source", "source", cfg.layers),
        **flow_rules("flow_net", "flow_net", cfg),
        **decoder_rules("flow_net.cat.model.0", "flow_net.join"),
        **renderer_rules(cfg),
    }
    for block in range(cfg.flow_layers - cfg.layers):
        rules |= decoder_rules(f"target.block{block}", f"target.{block}")
    return build(GFLAView, cfg, state, rules)


@register_generator(GFLAView)
def gfla_view_256() -> GFLAViewConfig:
    """GFLA for ShapeNet's cars and chairs, 256 px."""
    return GFLAViewConfig()


@register_generator(GFLAView)
def gfla_view_64() -> GFLAViewConfig:
    """A small GFLA for the built-in benchmark: attention at a quarter and a half of the size."""
    return GFLAViewConfig(
        resolution=64,
        width=16,
        max_width=64,
        layers=2,
        flow_width=16,
        flow_max_width=64,
        flow_layers=4,
        kernels=(3, 3),
        attention_scale="sum",
        view_maps=32,
    )
