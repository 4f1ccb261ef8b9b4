"""What a model costs, counted analytically."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lure_core.config import InputSpec


@torch.no_grad()
def forward_flops(model: nn.Module, input: InputSpec) -> int:
    """Floating-point operations of one image's forward pass, 2 per multiply-add.

    Convolutions and linear layers are counted; what is element by element is not, being a
    hundredth of it. A training step costs three times as much: forward, and backward twice over.
    """
    total = 0

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        positions = output.numel() // weight.shape[0]  # places at which the whole kernel is used
        total += 2 * weight.numel() * positions

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    modes = {module: module.training for module in model.modules()}
    image = torch.zeros(1, input.channels, input.height, input.width)
    try:
        model.eval()(image.to(next(model.parameters())))  # its device and its number format
    finally:
        for module, mode in modes.items():
            module.training = mode
        for hook in hooks:
            hook.remove()
    return total
