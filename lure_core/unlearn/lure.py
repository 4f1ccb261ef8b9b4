"""LURE as the paper means it, without the oddities of its published code."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from lure_core import snip
from lure_core.config import Unlearn
from lure_core.data import Batches, stratified
from lure_core.types import UnlearnReport
from lure_core.unlearn.batchnorm import estimate_batchnorm
from lure_core.unlearn.operation import Operation


@dataclass(frozen=True)
class Lure:
    """Re-initialise exactly the least salient share of the conv and linear weights (2303.10455).

    Saliency is taken on a stratified subset with BatchNorm in evaluation mode; afterwards the
    BatchNorm statistics are estimated anew on that subset.
    """

    settings: Unlearn

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        operation = Operation(model, fresh_model, optimizer, snip.weight_names(model))
        subset = data.take(self._subset(data.samples.labels, generator))
        scores = snip.saliency(model, subset, names=operation.names, how=self.settings.saliency)
        total = sum(score.numel() for score in scores.values())
        chosen = snip.lowest(scores, round(self.settings.fraction * total), generator)
        for name, mask in chosen.masks.items():
            operation.renew(name, mask)
        estimate_batchnorm(model, subset)
        images = len(subset.samples)
        # Forward and backward (three forwards) for the saliency, one forward for BatchNorm.
        operation.pay(images, data, passes=4)
        return operation.report(
            "lure", threshold=chosen.threshold, ties=chosen.ties, subset_images=images
        )

    def _subset(self, labels: Tensor, generator: Generator) -> Tensor:
        wanted = round(self.settings.subset_fraction * len(labels))
        count = min(len(labels), max(wanted, self.settings.subset_min))
        return stratified(labels, count, generator)
