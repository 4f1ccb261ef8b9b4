"""LURE as the published code does it, to be compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from lure_core import snip
from lure_core.augment import augment
from lure_core.config import Unlearn
from lure_core.data import Batches
from lure_core.rng import derive_seed, forked
from lure_core.types import UnlearnReport
from lure_core.unlearn.operation import Operation


@dataclass(frozen=True)
class LureOfficial:
    """What the published code does, oddities and all, for comparison with it.

    Saliency from the first thirty-second of the batches of 100 (at least one) of the first share
    of the data (at least two images), augmented, with BatchNorm in training mode; where there is
    but one image, in evaluation mode. Biases and BatchNorm are scored and counted; all ties at the
    border are chosen; biases are never reset, BatchNorm gains are redrawn from U(-1, 1) and
    convolutions from He's uniform with a = √5, which is 1.7 to 2.45 times narrower than these
    networks' own initialisation. Statistics are left as they are.
    """

    settings: Unlearn
    batch_size: int = 100

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        names = _names(model)
        operation = Operation(model, fresh_model, optimizer, names)
        subset = self._subset(data, generator)
        device = next(model.parameters()).device
        with forked(derive_seed(generator.initial_seed(), 0, "dropout"), device):
            chosen = self.choose(model, subset)
        for name, mask in chosen.masks.items():
            if not name.endswith("bias"):
                operation.write(name, _he_uniform(model.get_parameter(name), generator), mask)
        images = len(subset.samples)
        operation.pay(images, data, passes=3)
        return operation.report("lure-official", chosen=chosen, subset_images=images)

    def choose(self, model: nn.Module, subset: Batches) -> snip.Chosen:
        """The unmodified pruner's mask over every parameter."""
        names = _names(model)
        training = len(subset.samples) > 1  # BatchNorm refuses a lone image at 1x1 positions
        scores = snip.saliency(model, subset, names=names, how="abs_batch", training=training)
        return snip.official(scores, self.settings.fraction)

    def _subset(self, data: Batches, generator: Generator) -> Batches:
        # The published `--snip_size` sets this share and the share reset alike.
        count = len(data.samples)
        share = min(count, max(2, round(self.settings.fraction * count)))
        batches = max(1, math.ceil(share / self.batch_size) // 32)
        seen = data.take(torch.arange(min(share, batches * self.batch_size))).sized(self.batch_size)
        images = augment(seen.samples.images, how="crop-flip", generator=generator)
        return seen.showing(images)


def _names(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def _he_uniform(parameter: nn.Parameter, generator: Generator) -> Tensor:
    """He's uniform initialisation with a = √5; a vector counts as a matrix of one column."""
    fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
    bound = 1 / math.sqrt(fan_in)
    return (torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound
