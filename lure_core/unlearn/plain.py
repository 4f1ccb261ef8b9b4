"""The two ends of the scale: forget nothing, forget everything."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, nn
from torch.optim import Optimizer

from lure_core import snip
from lure_core.data import Batches
from lure_core.types import UnlearnReport
from lure_core.unlearn.operation import Operation


@dataclass(frozen=True)
class Warm:
    """Forget nothing (ALMA's warm start, arXiv 2106.09563)."""

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,  # noqa: ARG002
        data: Batches,  # noqa: ARG002
        generator: Generator,  # noqa: ARG002
        optimizer: Optimizer | None = None,  # noqa: ARG002
    ) -> UnlearnReport:
        counted = sum(model.get_parameter(name).numel() for name in snip.weight_names(model))
        return UnlearnReport("warm", counted)


@dataclass(frozen=True)
class Scratch:
    """Forget everything, BatchNorm statistics too."""

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,  # noqa: ARG002
        generator: Generator,  # noqa: ARG002
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        names = [name for name, _ in model.named_parameters()]
        operation = Operation(model, fresh_model, optimizer, names)
        for name in names:
            operation.renew(name)
        operation.renew_buffers()
        return operation.report("scratch")
