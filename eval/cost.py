"""What a model costs, whatever machine it runs on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from geotrans.base import Generator
from geotrans.types import Condition


def count_macs(model: Generator, image: Tensor, target: Condition, source: Condition | None = None) -> int:
    """Multiply-accumulates for the first image of a batch: those of convolutions, linear layers and attention.

    Normalisations, activations and warps are not counted; in image networks they are a few percent.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image[:1], target.rows([0]), source and source.rows([0]))
    return int(counter.get_total_flops()) // 2
