"""BatchNorm's running statistics, estimated anew where the weights before them changed."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lure_core import snip
from lure_core.data import Batches
from lure_core.modes import moded


@torch.no_grad()
def estimate_batchnorm(model: nn.Module, batches: Batches) -> int:
    """Replace every BatchNorm's running statistics by the plain average over these batches.

    One image alone has no variance at 1x1 positions: then the statistics stay as they are.

    Returns:
        How many images were passed through the model: all, or none where that has no use.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not layers or len(batches.samples) < 2:
        return 0
    momenta = [layer.momentum for layer in layers]
    with moded(model, training=False):
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch's word for a cumulative average
            layer.train()
        for x, _ in snip.placed(batches, model):
            model(x)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return len(batches.samples)
