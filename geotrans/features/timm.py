"""Any network of timm as a feature: `timm/NAME`, with the weights that are on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geotrans.ops.images import from_uint8
from hub import files
from registry import suggest

PREFIX = "timm/"
_FILE = "model.safetensors"
SUB_BATCH = 16


class TimmFeature(nn.Module):
    """A timm network without its classifier: uint8 (B, 3, H, W) -> (B, D), frozen.

    Whole pictures are resized to the size it was trained at, without a crop, and normalised as its config says.
    For losses, `embed` does the same to float images, `maps` shows inner layers, and both let gradients through.

    Args:
        net: built with `num_classes=0`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        config: dict[str, Any] = net.pretrained_cfg  # type: ignore[assignment]
        self.net = net
        self.size = tuple(config["input_size"][1:])
        self.mode = "bicubic" if config["interpolation"] == "bicubic" else "bilinear"
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(config["std"]).view(3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, D) of uint8 (B, 3, H, W)."""
        return torch.cat([self.embed(from_uint8(part)) for part in torch.split(images, SUB_BATCH)])

    def embed(self, image: Tensor) -> Tensor:
        """(B, D) of (B, 3, H, W) in [-1, 1]."""
        vectors: Tensor = self.net(self._seen(image))
        return vectors

    def maps(self, image: Tensor, layers: Sequence[str] | None = None) -> tuple[Tensor, ...]:
        """Feature maps (B, C, h, w) of (B, 3, H, W) in [-1, 1], one a layer, in the order asked for.

        Args:
            layers: numbers of timm's intermediate layers, "0" the first, a resolution each in most networks; None: all.

        Raises:
            ValueError: there is no such layer, or timm shows no inner layers of this network.
        """
        if not hasattr(self.net, "forward_intermediates"):
            raise ValueError(f"timm shows no inner layers of {type(self.net).__name__}; use another network")
        found = self.net.forward_intermediates(self._seen(image), intermediates_only=True)  # type: ignore[operator]
        known = {str(place): maps for place, maps in enumerate(found)}
        wanted = tuple(known) if layers is None else tuple(layers)
        if not wanted or (unknown := [name for name in wanted if name not in known]):
            got = ", ".join(unknown) if wanted else "none"
            raise ValueError(f"layers of {type(self.net).__name__}: expected some of {', '.join(known)}, got {got}")
        return tuple(known[name] for name in wanted)

    def _seen(self, image: Tensor) -> Tensor:
        if tuple(image.shape[2:]) != self.size:
            image = F.interpolate(image, self.size, mode=self.mode, align_corners=False, antialias=True)
        return ((image + 1) / 2 - self.mean) / self.deviation


def timm_feature(name: str) -> TimmFeature:
    """The feature of `timm/NAME`, or of NAME alone; the weights are read, never downloaded.

    Raises:
        ValueError: timm knows no network or no weights of that name, or the file does not fit.
        FileNotFoundError: the weights are not on this machine; the message says what to put where.
    """
    import timm

    name = name.removeprefix(PREFIX)
    path = find_timm(name)
    net = timm.create_model(name, pretrained=False, num_classes=0)
    classifier = net.pretrained_cfg["classifier"]
    heads = tuple(f"{head}." for head in ([classifier] if isinstance(classifier, str) else classifier))
    state, _ = files.read_safetensors(path)
    try:
        net.load_state_dict({key: value for key, value in state.items() if not key.startswith(heads)})
    except RuntimeError as error:  # timm itself would go on with random weights
        raise ValueError(f"{path}: not the weights of timm's {name}: {' '.join(str(error).split())[:200]}") from error
    return TimmFeature(net)


def find_timm(name: str) -> Path:
    """The weights of a timm network on this machine: in the Hub client's cache, or in the torch hub cache.

    Raises:
        ValueError: timm knows no network or no weights of that name.
        FileNotFoundError: they are not there.
    """
    from huggingface_hub import try_to_load_from_cache

    repo = _repository(name)
    cached = try_to_load_from_cache(repo, _FILE)
    if isinstance(cached, str):
        return Path(cached)
    own = Path(torch.hub.get_dir()) / "checkpoints" / f"{name}.safetensors"
    if own.is_file():
        return own
    raise FileNotFoundError(
        f"{own} is missing: download https://huggingface.co/{repo}/resolve/main/{_FILE} and put it there, or run "
        f"'hf download {repo} {_FILE}'"
    )


def fetch_timm(name: str) -> Path:
    """Download the weights of a timm network into the Hub client's cache, unless they are on this machine.

    Raises:
        ValueError: timm knows no network or no weights of that name.
        OSError: the Hub does not answer.
    """
    from huggingface_hub import hf_hub_download

    name = name.removeprefix(PREFIX)
    try:
        return find_timm(name)
    except FileNotFoundError:
        return Path(hf_hub_download(_repository(name), _FILE))


def _repository(name: str) -> str:
    """Where on the Hub the weights lie."""
    import timm
    from timm.models import get_pretrained_cfg

    try:
        config = get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ValueError(f"timm/{name}: {error} {suggest(name, timm.list_pretrained())}") from error
    if config is None or not config.hf_hub_id:
        raise ValueError(f"timm/{name}: timm has no such weights on the Hub; {suggest(name, timm.list_pretrained())}")
    return str(config.hf_hub_id)
