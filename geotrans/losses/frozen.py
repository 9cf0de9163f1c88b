"""Frozen networks inside losses: registered features by name, or functions of the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from geotrans.features.timm import PREFIX, timm_feature
from registry import FEATURES


def frozen(feature: str | Callable[..., Any], method: str) -> Callable[..., Any]:
    """A differentiable function of images, which is loaded at its first call and moves to their device.

    Args:
        feature: the name of a registered feature, `timm/NAME` for any network of timm, or the function itself.
        method: what a named feature is called by; called itself it takes bytes, through which no gradient passes.

    Returns:
        A function of an image (B, 3, H, W) in [-1, 1] and of whatever else the method takes. It raises ValueError where
        the feature lacks the method, or cuts the gradient.

    Raises:
        LookupError: there is no feature of that name; the message offers the closest ones.
    """
    if isinstance(feature, str) and not feature.startswith(PREFIX):
        FEATURES.get(feature)

    @cache
    def load() -> Any:
        if not isinstance(feature, str):
            return feature
        return timm_feature(feature) if feature.startswith(PREFIX) else FEATURES.get(feature).factory()

    def call(image: Tensor, *rest: Any) -> Any:
        network = load()
        if isinstance(feature, str):
            if isinstance(network, nn.Module):
                network.to(image.device)
            network = getattr(network, method, None)
            if network is None:
                raise ValueError(f"the feature {feature!r} has no method {method}; use another, or pass a function")
        found = network(image, *rest)
        first = found if isinstance(found, Tensor) else found[0]
        if image.requires_grad and torch.is_grad_enabled() and not first.requires_grad:
            raise ValueError("a loss needs a differentiable feature, and this one cuts the gradient; use another")
        return found

    return call
