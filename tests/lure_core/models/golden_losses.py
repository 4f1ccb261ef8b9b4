"""What each architecture loses in two steps; `python -m` this module records the figures anew.

Another machine sums in another order, and a deep residual network with BatchNorm over few images
magnifies that: one ordinary step of ResNet-50 and the losses agree to 1e-2 only. So each step is
as long as lowers the loss by about a hundredth, whatever the network, and the figures agree within
`TOLERANCE` (worst seen between AVX2 and SSE4 kernels: 2e-4), not in their bits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lure_core import models
from lure_core.config import InputSpec
from lure_core.models.cost import forward_flops
from lure_core.rng import forked

PATH = Path(__file__).parents[2] / "data" / "golden_losses.json"
TOLERANCE = 1e-3
SMALL_VIT = "tests.lure_core.models.own_nets:small_vit"
SPEC = InputSpec(3, 16, 16)
STEP = 0.01


def facts(architecture: str) -> dict[str, Any]:
    """Parameters, operations and losses of a model for five classes at 16 px."""
    model = models.build(architecture, classes=5, input=SPEC, seed=11)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "forward_flops": forward_flops(model, SPEC),
        "losses": [round(loss, 6) for loss in losses(model)],
    }


def losses(model: nn.Module) -> list[float]:
    """Before each of two steps of gradient descent on eight random images, and after the second."""
    parameters = list(model.parameters())
    with forked(12):
        x_NCHW, labels = torch.randn(8, 3, 16, 16), torch.randint(0, 5, (8,))
    found = []
    for _ in range(2):
        loss = F.cross_entropy(model(x_NCHW), labels)
        found.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, parameters)
        squared = sum(float(g.double().square().sum()) for g in gradients)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= STEP * found[-1] / squared * gradient
    with torch.no_grad():
        return [*found, float(F.cross_entropy(model(x_NCHW), labels))]


if __name__ == "__main__":
    recorded = {name: facts(name) for name in [*models.known(), SMALL_VIT]}
    lines = ",\n".join(f' "{name}": {json.dumps(values)}' for name, values in recorded.items())
    PATH.write_text(f"{{\n{lines}\n}}\n")
