"""Shrink and perturb: a step from what was learned towards a fresh start."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from lure_core import snip
from lure_core.config import Unlearn
from lure_core.data import Batches
from lure_core.types import UnlearnReport
from lure_core.unlearn.guard import Guard
from lure_core.unlearn.operation import Operation
from lure_core.unlearn.subset import draw


@dataclass(frozen=True)
class Factors:
    """w ← shrink · w + perturb · noise.

    Attributes:
        noise: "fresh" adds the fresh model's parameters, and changes every parameter; "normal"
            adds draws from N(0, 1), and changes convolution and linear layers alone.
    """

    shrink: float
    perturb: float
    noise: str = "fresh"


PRESETS = {
    "ash": Factors(0.4, 0.1),
    "lure": Factors(0.3, 0.001),
    "dash": Factors(0.3, 0.01, noise="normal"),
    "interpolate": Factors(0.2, 0.8),
}


@dataclass(frozen=True)
class ShrinkPerturb:
    """Shrink-perturb (Ash & Adams 2020, arXiv 1910.08475).

    (1, 0) is warm to the last bit. With a shrink of 0 nothing of the old model is left, so its
    statistics go too: (0, 1) is scratch. Between them BatchNorm statistics are estimated anew,
    and layers that no normalisation follows are kept from falling silent (`guard`).
    """

    settings: Unlearn

    @property
    def factors(self) -> Factors:
        preset, settings = PRESETS[self.settings.preset], self.settings
        return Factors(
            preset.shrink if settings.shrink is None else settings.shrink,
            preset.perturb if settings.perturb is None else settings.perturb,
            preset.noise,
        )

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        factors = self.factors
        operation = Operation(model, fresh_model, optimizer, _names(model, factors))
        details: dict[str, Any] = {**asdict(factors), "guard": None}
        if (factors.shrink, factors.perturb) == (1, 0):
            return operation.report("shrink-perturb", details=details)
        subset = draw(data, self.settings, generator)
        guard = Guard.before(operation, subset) if 0 < factors.shrink < 1 else None
        for name in operation.names:
            operation.write(name, _mix(operation, name, factors, generator))
        seen = operation.settle(subset) if factors.shrink else operation.renew_buffers()
        if guard:
            details["guard"] = guard.restore(shrunk_to=factors.shrink)
        return operation.report("shrink-perturb", subset_images=seen, details=details)


def _names(model: nn.Module, factors: Factors) -> list[str]:
    if factors.noise == "normal":
        return snip.layer_names(model)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@torch.no_grad()
def _mix(operation: Operation, name: str, factors: Factors, generator: Generator) -> Tensor:
    old = operation.model.get_parameter(name)
    if factors.noise == "normal":
        noise = torch.randn(old.shape, generator=generator).to(old)
    else:
        noise = operation.fresh_model.get_parameter(name).to(old)
    added = factors.perturb * noise
    # A weight that is no longer a number must not survive being multiplied by nothing.
    return factors.shrink * old + added if factors.shrink else added
