"""Unlearning strategies: what is forgotten before relearning, behind one protocol."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from lure_core import snip
from lure_core.augment import augment
from lure_core.config import InputSpec, Unlearn
from lure_core.data import Batches, stratified
from lure_core.models.cost import forward_flops
from lure_core.types import UnlearnReport


class Strategy(Protocol):
    """One way to forget."""

    def apply(
        self,
        model: nn.Module,
        fresh_model: nn.Module,
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        """Change the model in place; the same for the same generator.

        Args:
            model: The last version, on its device; dtype and memory layout are kept.
            fresh_model: The same architecture from another seed; new values come from it.
            data: The new chunk's training images, unaugmented.
            generator: On the CPU; the only source of chance.
            optimizer: Where given, what it remembers of the changed weights is set to zero.
        """
        ...


def strategy(settings: Unlearn) -> Strategy:
    match settings.strategy:
        case "warm":
            return Warm()
        case "scratch":
            return Scratch()
        case "lure":
            return Lure(settings)
        case "lure-official":
            return LureOfficial(settings)
        case other:
            raise NotImplementedError(other)


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
        return UnlearnReport("warm", counted=_counted(model, snip.weight_names(model)))


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
        began = time.perf_counter()
        model.load_state_dict(fresh_model.state_dict())
        for parameter in model.parameters():
            _forget_state(optimizer, parameter, torch.ones_like(parameter, dtype=torch.bool))
        names = [name for name, _ in model.named_parameters()]
        counted = _counted(model, names)
        share = dict.fromkeys(names, 1.0)
        seconds = time.perf_counter() - began
        return UnlearnReport("scratch", counted, counted, layer_share=share, seconds=seconds)


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
        began = time.perf_counter()
        subset = data.take(self._subset(data.samples.labels, generator))
        names = snip.weight_names(model)
        scores = snip.saliency(model, subset, names=names, how=self.settings.saliency)
        count = round(self.settings.fraction * _counted(model, names))
        chosen = snip.lowest(scores, count, generator)
        for name, mask in chosen.masks.items():
            parameter = model.get_parameter(name)
            _overwrite(parameter, mask, fresh_model.get_parameter(name))
            _forget_state(optimizer, parameter, mask)
        estimate_batchnorm(model, subset)
        # Forward and backward (three forwards) for the saliency, one forward for BatchNorm.
        flops = 4 * len(subset.samples) * forward_flops(model, _input_of(subset))
        return _report("lure", model, chosen, subset, seconds=_since(began), flops=flops)

    def _subset(self, labels: Tensor, generator: Generator) -> Tensor:
        wanted = round(self.settings.subset_fraction * len(labels))
        count = min(len(labels), max(wanted, self.settings.subset_min))
        return stratified(labels, count, generator)


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
        fresh_model: nn.Module,  # noqa: ARG002
        data: Batches,
        generator: Generator,
        optimizer: Optimizer | None = None,
    ) -> UnlearnReport:
        began = time.perf_counter()
        subset = self._subset(data, generator)
        chosen = self.choose(model, subset)
        for name, mask in chosen.masks.items():
            if name.endswith("bias"):
                mask.zero_()
                continue
            parameter = model.get_parameter(name)
            _overwrite(parameter, mask, _he_uniform(parameter, generator))
            _forget_state(optimizer, parameter, mask)
        flops = 3 * len(subset.samples) * forward_flops(model, _input_of(subset))
        return _report("lure-official", model, chosen, subset, seconds=_since(began), flops=flops)

    def choose(self, model: nn.Module, subset: Batches) -> snip.Chosen:
        """The unmodified pruner's mask over every parameter."""
        names = [name for name, _ in model.named_parameters()]
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


@torch.no_grad()
def estimate_batchnorm(model: nn.Module, batches: Batches) -> None:
    """Replace every BatchNorm's running statistics by the plain average over these batches.

    One image alone has no variance at 1x1 positions: then the statistics stay as they are.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not layers or len(batches.samples) < 2:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a cumulative average
        layer.train()
    for x, _ in batches:
        model(x)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)


@torch.no_grad()
def _overwrite(parameter: nn.Parameter, mask: Tensor, values: Tensor) -> None:
    parameter.copy_(torch.where(mask, values.to(parameter), parameter))


@torch.no_grad()
def _forget_state(optimizer: Optimizer | None, parameter: nn.Parameter, mask: Tensor) -> None:
    if optimizer is None:
        return
    for value in optimizer.state.get(parameter, {}).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            value.masked_fill_(mask, 0)


def _he_uniform(parameter: nn.Parameter, generator: Generator) -> Tensor:
    """He's uniform initialisation with a = √5; a vector counts as a matrix of one column."""
    fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
    bound = 1 / math.sqrt(fan_in)
    return (torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound


def _report(
    name: str, model: nn.Module, chosen: snip.Chosen, subset: Batches, *, seconds: float, flops: int
) -> UnlearnReport:
    reset = {name: int(mask.sum()) for name, mask in chosen.masks.items()}
    return UnlearnReport(
        strategy=name,
        counted=_counted(model, list(reset)),
        reset=sum(reset.values()),
        layer_share={n: count / chosen.masks[n].numel() for n, count in reset.items()},
        threshold=chosen.threshold,
        ties=chosen.ties,
        subset_images=len(subset.samples),
        seconds=seconds,
        flops=flops,
    )


def _counted(model: nn.Module, names: list[str]) -> int:
    return sum(model.get_parameter(name).numel() for name in names)


def _input_of(batches: Batches) -> InputSpec:
    return InputSpec(*batches.samples.images.shape[1:])


def _since(began: float) -> float:
    return time.perf_counter() - began
