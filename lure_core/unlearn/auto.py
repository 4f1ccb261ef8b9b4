"""Let the data choose: try each strategy shortly, take the best."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Generator, nn
from torch.optim import Optimizer

from lure_core import rng
from lure_core.config import StrategyName, Unlearn
from lure_core.data import Batches
from lure_core.types import UnlearnReport
from lure_core.unlearn.protocol import Probe, Strategy


@dataclass(frozen=True)
class Auto:
    """Apply each candidate to a copy, relearn it shortly, apply the best one to the model.

    The best has the lowest hold-out loss; of equals the first. A loss that is no finite number
    never wins, unless there is no other. Every candidate draws from a generator of the same seed,
    and the winner draws once more from it: the model becomes what its copy was.

    Attributes:
        build: Makes the strategy of a candidate.
    """

    settings: Unlearn
    probe: Probe
    build: Callable[[Unlearn], Strategy]

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        began = time.perf_counter()
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        losses: dict[StrategyName, float] = {}
        spent = 0
        for name in dict.fromkeys(self.settings.candidates):
            trial = copy.deepcopy(model)
            report = self._candidate(name).apply(trial, fresh_model, data, rng.generator(seed))
            losses[name], flops = self.probe(trial)
            spent += report.flops + flops
        winner = min(losses, key=lambda name: _rank(losses[name]))
        chosen = self._candidate(winner)
        report = chosen.apply(model, fresh_model, data, rng.generator(seed), optimizer)
        told = {name: loss if math.isfinite(loss) else None for name, loss in losses.items()}
        return replace(
            report,
            strategy="auto",
            seconds=time.perf_counter() - began,
            flops=report.flops + spent,
            details={"winner": winner, "losses": told, "winner_details": report.details},
        )

    def _candidate(self, name: StrategyName) -> Strategy:
        return self.build(replace(self.settings, strategy=name))


def _rank(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf
