"""GFLA: a flow estimated over the whole picture points to the patches that local attention renders a new pose from.

Paper: Ren et al., "Deep Image Spatial Transformation for Person Image Generation", CVPR 2020.
Differences from the paper: none; attended patches are divided by their size squared, as by its average pooling (Eq. 9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from geotrans.base import Generator
from geotrans.layers.attention import BilinearSampling, GlobalAttention, LocalAttention
from geotrans.layers.convert import build, count, drop_stale, shape_of
from geotrans.layers.preactivation import DecoderBlock, EdgeConv, FeatureEncoder, PreResBlock, initialise
from geotrans.ops.attention import Scale
from geotrans.ops.condition import structure_pair
from geotrans.ops.flow import from_pixels, resize
from geotrans.ops.warp import warp
from geotrans.types import Condition, ConditionSpec, Translation
from registry import register_generator

PAPER = "https://arxiv.org/abs/2003.00696"
Sampling = Literal["attention", "bilinear", "global", "none"]
POSE = ConditionSpec(structure=18, needs_source=True)  # a heat-map for each of OpenPose's 18 joints


@dataclass(frozen=True)
class GFLAConfig:
    """Attributes:
    width: channels after the first block of the source's and the target's encoder; they double from block to block.
    max_width: at most so many.
    layers: blocks of these encoders, each of which halves the size.
    blocks: residual blocks before each doubling of the size.
    flow_width: channels after the first block of the flow estimator.
    flow_max_width: at most so many.
    flow_layers: blocks of the flow estimator's encoder.
    kernels: sizes of the attention kernels, one a stage of the decoder from the coarsest on; 0 leaves a stage without.
    sampling: how the source's features come into the target's: "attention" along a flow, or one of the paper's
        ablations: "bilinear" along a flow, "global" attention, or "none", where one encoder reads everything.
    attention_scale: "mean" as in the paper; "sum" keeps the size of the attended features.
    """

    resolution: int = 256
    width: int = 64
    max_width: int = 256
    layers: int = 3
    blocks: int = 1
    flow_width: int = 32
    flow_max_width: int = 256
    flow_layers: int = 5
    kernels: tuple[int, ...] = (3, 5)
    sampling: Sampling = "attention"
    attention_scale: Scale = "mean"
    condition: ConditionSpec = POSE


C = TypeVar("C", bound=GFLAConfig)


class Motion(NamedTuple):
    """What the flow estimator says at one scale.

    flow: (B, 2, h, w) backward, normalised. visible: (B, 1, h, w) in [0, 1], 1 = taken from the source (the paper's m).
    """

    flow: Tensor
    visible: Tensor


class GFLA(Generator):
    """A person in another pose: features of the source move, and the target's decoder paints.

    The picture is painted anew: mask 1, residual = painted - warped. `flow` is the finest flow of the features and
    `warped` the source moved along it (edges repeated), to look at; neither enters the picture. `intermediates` holds,
    for each scale where features move, the coarsest first, "flow_0" (B, 2, h, w), "mask_0" (B, 1, h, w), 1 where
    features are painted and not taken from the source, "attended_0" (B, C, h, w), the moved features, and "kernels_0"
    (B, k**2, h, w); and "source_0", "source_1", ..., the source's features of every size.

    `Condition.structure` of target and source are heat-maps of the joints. H and W divide by 2**flow_layers.
    """

    paper = PAPER

    def __init__(self, cfg: GFLAConfig) -> None:
        super().__init__(cfg)
        if cfg.sampling not in (known := get_args(Sampling)):
            raise ValueError(f"sampling: expected one of {', '.join(known)}, got {cfg.sampling!r}")
        poses = cfg.condition.structure
        everything = 3 + 2 * poses
        if cfg.sampling != "none":
            self.source = FeatureEncoder(3, cfg.width, cfg.max_width, cfg.layers)
        if _moves(cfg):
            self.flow_net = FlowEstimator(cfg, everything)
        target = everything if cfg.sampling == "none" else poses
        self.target = FeatureEncoder(target, cfg.width, cfg.max_width, cfg.layers)
        self.renderer = Renderer(cfg)
        self.apply(initialise)

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        check_sides(image, self.cfg.flow_layers if _moves(self.cfg) else self.cfg.layers)
        wanted, shown = structure_pair(self.cfg.condition, target, source, image)
        everything = torch.cat([image, shown, wanted], dim=1)
        features = self.source(image)[::-1] if self.cfg.sampling != "none" else []
        motions = [motion[0] for motion in self.flow_net(everything)] if _moves(self.cfg) else []
        seed = everything if self.cfg.sampling == "none" else wanted
        painted, parts = self.renderer(self.target(seed)[-1], [features], [motions])
        return paint(image, painted, motions, parts)


class FlowEstimator(nn.Module):
    """The global flow field estimator F (Eq. 1): motions at the sizes where features are moved, coarsest first.

    Args:
        references: pictures that it estimates a motion for, each.
        joined: channels that join at the smallest size, through a residual block.
    """

    def __init__(self, cfg: GFLAConfig, c_in: int, references: int = 1, joined: int = 0) -> None:
        super().__init__()
        self.references = references
        self.encoder = FeatureEncoder(c_in, cfg.flow_width, cfg.flow_max_width, cfg.flow_layers)
        widths = self.encoder.widths[::-1]
        # Stage i of the renderer works at 1 / 2**(layers - i) of the size, decoder j at 1 / 2**(flow_layers - 1 - j).
        shift = cfg.flow_layers - 1 - cfg.layers
        self.heads = [stage + shift for stage, kernel in enumerate(_kernels(cfg)) if kernel]
        if not self.heads or self.heads[0] < 0:
            raise ValueError(
                f"expected attention at some stage below the flow estimator's smallest size, got kernels {cfg.kernels} "
                f"with {cfg.layers} layers and {cfg.flow_layers} flow_layers"
            )
        pairs = list(pairwise(widths))[: self.heads[-1] + 1]
        self.join = PreResBlock(widths[0] + joined, widths[0]) if joined else nn.Identity()
        self.decoders = nn.ModuleList(DecoderBlock(before, after, after) for before, after in pairs)
        self.jumps = nn.ModuleList(EdgeConv(after, after) for _, after in pairs)
        self.flows = nn.ModuleList(nn.Conv2d(pairs[i][1], 2 * references, 3, padding=1) for i in self.heads)
        self.visibilities = nn.ModuleList(nn.Conv2d(pairs[i][1], references, 3, padding=1) for i in self.heads)

    def forward(self, x: Tensor, joined: Tensor | None = None) -> list[list[Motion]]:
        """The motions of each scale, for each reference."""
        *skips, hidden = self.encoder(x)
        hidden = self.join(hidden if joined is None else torch.cat([hidden, joined], dim=1))
        motions: list[list[Motion]] = []
        for index, (decoder, jump) in enumerate(zip(self.decoders, self.jumps, strict=True)):
            hidden = decoder(hidden) + jump(skips[-1 - index])
            if index in self.heads:
                scale = len(motions)
                motions.append(self._motions(self.flows[scale](hidden), self.visibilities[scale](hidden)))
        return motions

    def _motions(self, pixels: Tensor, visible: Tensor) -> list[Motion]:
        flows, masks = pixels.chunk(self.references, dim=1), visible.sigmoid().chunk(self.references, dim=1)
        return [Motion(from_pixels(flow), mask) for flow, mask in zip(flows, masks, strict=True)]


class Renderer(nn.Module):
    """The decoder of the local neural texture renderer G (Eq. 7): it takes in features of the source as it grows.

    Args:
        references: pictures that it takes features from, each.
    """

    def __init__(self, cfg: GFLAConfig, references: int = 1) -> None:
        super().__init__()
        self.references = references
        widths = [min(cfg.width * 2**layer, cfg.max_width) for layer in reversed(range(cfg.layers))]
        self.stages = nn.ModuleList(
            nn.Sequential(*[PreResBlock(before) for _ in range(cfg.blocks)], DecoderBlock(before, after))
            for before, after in zip(widths, [*widths[1:], cfg.width], strict=True)
        )
        self.samplers = nn.ModuleList(
            nn.ModuleList(_samplers(cfg, width, size, references))
            for width, size in zip(widths, _kernels(cfg), strict=True)
        )
        self.output = EdgeConv(cfg.width, 3)

    def forward(
        self, hidden: Tensor, features: Sequence[Sequence[Tensor]], motions: Sequence[Sequence[Motion]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Paint.

        Args:
            hidden: what the target's encoder makes of the wanted structure.
            features: of each reference, coarsest first.
            motions: of each reference, one a scale where features are taken in, coarsest first.

        Returns:
            (B, 3, H, W) in [-1, 1], and the intermediates of `GFLA`; with several references, their number follows the
            scale's: "flow_0_1".
        """
        parts = {
            f"source_{self._name(index, number)}": feature
            for number, maps in enumerate(features)
            for index, feature in enumerate(maps)
        }
        scale = 0
        for index, (stage, samplers) in enumerate(zip(self.stages, self.samplers, strict=True)):
            taken: list[Tensor] = []
            for number, sampler in enumerate(cast(nn.ModuleList, samplers)):
                source = features[number][index]
                if isinstance(sampler, GlobalAttention):
                    taken.append(sampler(source, hidden))
                    continue
                motion, name = motions[number][scale], self._name(scale, number)
                moved, kernels = sampler(source, hidden, motion.flow)
                taken.append(hidden + motion.visible * (moved - hidden))  # Eq. 10
                parts |= {f"flow_{name}": motion.flow, f"mask_{name}": 1 - motion.visible, f"attended_{name}": moved}
                if kernels is not None:
                    parts[f"kernels_{name}"] = kernels
            if taken:
                hidden = torch.stack(taken).sum(0) if len(taken) > 1 else taken[0]
                scale += 1
            hidden = stage(hidden)
        return self.output(hidden).tanh(), parts

    def _name(self, scale: int, reference: int) -> str:
        return f"{scale}_{reference}" if self.references > 1 else str(scale)


def _samplers(cfg: GFLAConfig, width: int, size: int, references: int) -> list[nn.Module]:
    if not size or cfg.sampling == "none":
        return []
    if cfg.sampling == "global":
        return [GlobalAttention(width) for _ in range(references)]
    if cfg.sampling == "bilinear":
        return [BilinearSampling() for _ in range(references)]
    return [LocalAttention(width, size, scale=cfg.attention_scale) for _ in range(references)]


def _kernels(cfg: GFLAConfig) -> list[int]:
    """The size of the kernel of every stage."""
    if len(cfg.kernels) > cfg.layers:
        raise ValueError(f"kernels: expected at most one for each of {cfg.layers} stages, got {cfg.kernels}")
    return [*cfg.kernels, *[0] * (cfg.layers - len(cfg.kernels))]


def _moves(cfg: GFLAConfig) -> bool:
    return cfg.sampling in ("attention", "bilinear")


def paint(image: Tensor, painted: Tensor, motions: Sequence[Motion], parts: dict[str, Tensor]) -> Translation:
    """A picture painted anew, with the finest motion beside it."""
    if not motions:
        return Translation(
            painted, warped=image, residual=painted - image, mask=torch.ones_like(image[:, :1]), intermediates=parts
        )
    flow = resize(motions[-1].flow, (image.shape[2], image.shape[3]))
    warped = warp(image, flow, padding="border")
    return Translation(painted, flow, warped, painted - warped, torch.ones_like(image[:, :1]), parts)


def check_sides(image: Tensor, halvings: int) -> None:
    """Refuse pictures whose sides cannot be halved so often.

    Raises:
        ValueError: a side is no multiple of 2**halvings.
    """
    if any(side % 2**halvings for side in image.shape[-2:]):
        raise ValueError(
            f"image: expected height and width to be multiples of {2**halvings}, got {tuple(image.shape[-2:])}; "
            "resize it"
        )


def convert_gfla(state: Mapping[str, Tensor], *, resolution: int = 256) -> GFLA:
    """An official pose generator (`*_net_G.pth`, DeepFashion or Market-1501). Sizes are read off the shapes.

    Args:
        resolution: the height that it was trained at: 256, or 128 for Market-1501.

    Raises:
        ValueError: keys or shapes are not those of the official code.
    """
    state = official_state(state)
    poses = shape_of(state, "target.block0.model.0.weight", 1)[0]
    cfg = sized(GFLAConfig(resolution=resolution, condition=replace(POSE, structure=poses)), state)
    rules = {
        **encoder_rules("source", "source", cfg.layers),
        **encoder_rules("target", "target", cfg.layers),
        **flow_rules("flow_net", "flow_net", cfg),
        **renderer_rules(cfg),
    }
    return build(GFLA, cfg, state, rules)


def official_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The numbers of an official generator, without the second name of layers that the official code holds twice.

    Raises:
        ValueError: an entry holds no finite numbers, or what is held twice differs.
    """
    kept = drop_stale(state)
    for key in list(kept):
        twin = key.replace(".conv1.", ".model.2.")
        if twin != key and twin in kept:
            if not torch.equal(kept[key], kept[twin]):
                raise ValueError(f"{key} and {twin} differ; in the official code they are the same tensor")
            del kept[key]
    return kept


def sized(
    cfg: C, state: Mapping[str, Tensor], *, source: str = "source", flow: str = "flow_net", attention: str = "attn"
) -> C:
    """A config with the sizes that the shapes of an official generator tell.

    Args:
        source: the official name of an encoder of pictures.
        flow: of a flow estimator.
        attention: of the attention layers, before the number of the stage.
    """
    widths, flow_widths = _widths(state, source), _widths(state, flow)
    sizes = [
        shape_of(state, key, 4)[2] if (key := f"target.{attention}{i}.fully_connect_layer.0.weight") in state else 0
        for i in range(len(widths))
    ]
    return replace(
        cfg,
        width=widths[0],
        max_width=max(widths),
        layers=len(widths),
        blocks=count(state, r"target\.decoder0\.0\.model\.(\d+)\."),
        flow_width=flow_widths[0],
        flow_max_width=max(flow_widths),
        flow_layers=len(flow_widths),
        kernels=tuple(sizes[: max((i + 1 for i, size in enumerate(sizes) if size), default=0)]),
    )


def _widths(state: Mapping[str, Tensor], part: str) -> list[int]:
    """Channels after each block of an official encoder."""
    blocks = [f"{part}.block0", *(f"{part}.encoder{i}" for i in range(count(state, rf"{part}\.encoder(\d+)\.")))]
    return [shape_of(state, f"{block}.model.5.weight", 4)[0] for block in blocks]


def encoder_rules(official: str, ours: str, layers: int) -> dict[str, str]:
    """Official prefix -> ours, for an encoder of so many blocks."""
    later = {f"{official}.encoder{i}.model": f"{ours}.{i + 1}" for i in range(layers - 1)}
    return {f"{official}.block0.model": f"{ours}.0", **later}


def decoder_rules(official: str, ours: str) -> dict[str, str]:
    """Official prefix -> ours, for a residual block that doubles the size."""
    return {f"{official}.model": f"{ours}.main", f"{official}.shortcut.0": f"{ours}.shortcut"}


def flow_rules(official: str, ours: str, cfg: GFLAConfig) -> dict[str, str]:
    """Official prefix -> ours, for a flow estimator."""
    rules = encoder_rules(official, f"{ours}.encoder", cfg.flow_layers)
    for decoder in range(cfg.flow_layers):
        rules |= decoder_rules(f"{official}.decoder{decoder}", f"{ours}.decoders.{decoder}")
        rules[f"{official}.jump{decoder}.model.2"] = f"{ours}.jumps.{decoder}.1"
    for scale, stage in enumerate(stage for stage, size in enumerate(cfg.kernels) if size):
        decoder = stage + cfg.flow_layers - 1 - cfg.layers
        rules[f"{official}.output{decoder}"] = f"{ours}.flows.{scale}"
        rules[f"{official}.mask{decoder}.0"] = f"{ours}.visibilities.{scale}"
    return rules


def renderer_rules(cfg: GFLAConfig, attentions: Sequence[str] = ("attn",)) -> dict[str, str]:
    """Official prefix -> ours, for the decoder that paints.

    Args:
        attentions: the official name of each reference's attention layers, before the number of the stage.
    """
    rules = {"target.outconv.model.2": "renderer.output.1"}
    for stage in range(cfg.layers):
        official, ours = f"target.decoder{stage}", f"renderer.stages.{stage}"
        rules |= {f"{official}.0.model.{b}.model": f"{ours}.{b}.main" for b in range(cfg.blocks)}
        rules |= decoder_rules(f"{official}.1", f"{ours}.{cfg.blocks}")
        for reference, name in enumerate(attentions):
            layers, sampler = f"target.{name}{stage}.fully_connect_layer", f"renderer.samplers.{stage}.{reference}"
            rules |= {f"{layers}.0": f"{sampler}.patch", f"{layers}.2": f"{sampler}.kernel"}
    return rules


@register_generator(GFLA)
def gfla_fashion_256() -> GFLAConfig:
    """GFLA for DeepFashion, 256 x 256: local attention at an eighth and a quarter of the size."""
    return GFLAConfig()


@register_generator(GFLA)
def gfla_market_128() -> GFLAConfig:
    """GFLA for Market-1501, 128 x 64: local attention at a quarter of the size."""
    return GFLAConfig(resolution=128, kernels=(0, 3))


@register_generator(GFLA)
def gfla_baseline_256() -> GFLAConfig:
    """The paper's ablation "Baseline": one auto-encoder reads the picture and both poses; nothing moves."""
    return GFLAConfig(sampling="none")


@register_generator(GFLA)
def gfla_globalattn_256() -> GFLAConfig:
    """The paper's ablation "Global-Attn": attention over the whole source in place of flow and local attention."""
    return GFLAConfig(sampling="global")


@register_generator(GFLA)
def gfla_bisample_256() -> GFLAConfig:
    """The paper's ablation "Bi-Sample": features are sampled bilinearly along the flow."""
    return GFLAConfig(sampling="bilinear")


@register_generator(GFLA)
def gfla_64() -> GFLAConfig:
    """A small GFLA for the built-in benchmark: local attention at a quarter and at half of the size.

    What is attended to keeps its size: divided by that of a kernel, it takes a short training too long to be noticed.
    """
    return GFLAConfig(
        resolution=64,
        width=24,
        layers=2,
        flow_width=16,
        flow_max_width=64,
        flow_layers=4,
        kernels=(3, 3),
        attention_scale="sum",
    )


@register_generator(GFLA)
def gfla_baseline_64() -> GFLAConfig:
    """The ablation "Baseline", small."""
    return replace(gfla_64(), sampling="none")


@register_generator(GFLA)
def gfla_globalattn_64() -> GFLAConfig:
    """The ablation "Global-Attn", small."""
    return replace(gfla_64(), sampling="global")


@register_generator(GFLA)
def gfla_bisample_64() -> GFLAConfig:
    """The ablation "Bi-Sample", small."""
    return replace(gfla_64(), sampling="bilinear")
