"""The training loop: the only one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from lure_core import evaluate
from lure_core.augment import augment
from lure_core.config import Normalisation, Recipe
from lure_core.data import Batches, Samples, normalise, spans
from lure_core.feed import Feed
from lure_core.precision import Precision
from lure_core.rng import derive_seed, forked, generator

_FIGURES = ("epoch", "best_epoch", "best_correct", "seen", "seconds")


@dataclass(frozen=True, eq=False)
class Task:
    """What is learned, and how.

    Attributes:
        train: Learned from; at least one image.
        select: Chooses the best epoch; where it is empty, the last epoch is kept.
        seed: Every epoch draws from generators derived from it and the epoch's number alone, so
            that going on after an interruption needs no generator's state.
        origin: Where `recipe.l2_init` pulls to, by parameter name; None: not at all.
    """

    train: Feed
    select: Samples
    normalisation: Normalisation
    recipe: Recipe
    epochs: int
    seed: int
    precision: Precision
    origin: Mapping[str, Tensor] | None = None


@dataclass
class Learning:
    """A model on its way: all that an interruption must not lose.

    Attributes:
        seen: Training images that went forward and backward so far.
    """

    model: nn.Module
    optimizer: torch.optim.SGD
    epoch: int = 0
    best_epoch: int = 0
    best_correct: int = -1
    best: dict[str, Tensor] = field(default_factory=dict)
    seen: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, model: nn.Module, recipe: Recipe) -> Learning:
        """With a fresh optimiser."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        fused = parameters[0].device.type in ("cpu", "cuda")
        optimizer = torch.optim.SGD(
            parameters,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=fused,
        )
        return cls(model, optimizer)

    def keep(self, correct: int) -> None:
        """Keep these weights if none were better; of equals the later, being annealed further."""
        if correct >= self.best_correct:
            self.best_correct, self.best_epoch = correct, self.epoch
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}

    def dump(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All of it, as named tensors and figures; the best weights only where they differ."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.best_epoch != self.epoch:
            tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for name, parameter in self.model.named_parameters():
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        return tensors, {name: getattr(self, name) for name in _FIGURES}

    def load(self, tensors: Mapping[str, Tensor], figures: Mapping[str, Any]) -> None:
        """Undo `dump`, keeping the memory layout of this model's own tensors."""
        for name in _FIGURES:
            setattr(self, name, figures[name])
        self.model.load_state_dict(_under("model.", tensors))
        own = self.model.state_dict()
        best = _under("best.", tensors) or own
        self.best = {name: own[name].clone().copy_(value) for name, value in best.items()}
        for name, value in _under("momentum.", tensors).items():
            parameter = self.model.get_parameter(name)
            momentum = torch.empty_like(parameter, requires_grad=False).copy_(value)
            self.optimizer.state[parameter]["momentum_buffer"] = momentum


@dataclass(frozen=True)
class Epoch:
    """How the epoch just finished went; accuracy is None without select images."""

    loss: float
    accuracy: float | None
    images_per_s: float


def fit(learning: Learning, *, task: Task, on_epoch: Callable[[Epoch], None]) -> None:
    """Train from `learning.epoch` to the end, then put the best epoch's weights in the model."""
    select = Batches(task.select, task.normalisation)
    while learning.epoch < task.epochs:
        began, seen = time.perf_counter(), learning.seen
        loss = _train_epoch(learning, task)
        seconds = time.perf_counter() - began
        learning.epoch += 1
        learning.seconds += seconds
        correct = _correct(learning.model, select, precision=task.precision)
        learning.keep(correct)
        accuracy = correct / len(task.select) if len(task.select) else None
        on_epoch(Epoch(loss, accuracy, (learning.seen - seen) / seconds))
    learning.model.load_state_dict(learning.best)


def learning_rate(recipe: Recipe, *, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The learning rate of one step, counted from 0 over all epochs."""
    if recipe.schedule == "step":  # never below the full rate in the first epoch
        epoch = step // steps_per_epoch
        passed = sum(epoch >= max(1, round(fraction * epochs)) for fraction in recipe.milestones)
        return recipe.learning_rate * recipe.gamma**passed
    total = steps_per_epoch * epochs
    warm_up = max(1, total // 10)
    return recipe.learning_rate * min((step + 1) / warm_up, (total - step) / (total - warm_up + 1))


def _train_epoch(learning: Learning, task: Task) -> float:
    """One pass over the training images; returns their mean loss."""
    seed = derive_seed(task.seed, learning.epoch, "epoch")
    draws = generator(seed)
    order = _order(len(task.train), draws)
    rows = [order[span] for span in spans(len(order), task.recipe.batch_size)]
    learning.model.train()
    total = torch.zeros((), device=task.precision.device)
    # `forked` is for layers that draw by themselves, as dropout does.
    with forked(seed, task.precision.device), closing(task.train.batches(rows)) as batches:
        for number, batch in enumerate(batches, start=learning.epoch * len(rows)):
            for group in learning.optimizer.param_groups:
                group["lr"] = learning_rate(
                    task.recipe, step=number, steps_per_epoch=len(rows), epochs=task.epochs
                )
            total += _step(learning, task, batch, draws) * len(batch)
    learning.seen += len(order)
    return float(total) / len(order)


def _step(learning: Learning, task: Task, batch: Samples, draws: Generator) -> Tensor:
    """One gradient step; the loss stays on the device, so that nothing waits for it."""
    images = augment(batch.images, how=task.recipe.augmentation, generator=draws)
    x = task.precision.arrange(normalise(images, task.normalisation))
    with task.precision.autocast():
        logits = learning.model(x)
    loss = F.cross_entropy(logits.float(), batch.labels)
    learning.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    learning.optimizer.step()
    return loss.detach()


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _order(count: int, draws: Generator) -> Tensor:
    """Every image once, shuffled; a single image twice, because BatchNorm needs two."""
    return torch.randperm(count, generator=draws) if count > 1 else torch.zeros(2, dtype=torch.long)


def _correct(model: nn.Module, batches: Batches, *, precision: Precision) -> int:
    if not len(batches.samples):
        return 0
    answers = evaluate.probabilities(model, batches, precision=precision).argmax(dim=1)
    return int((answers == batches.samples.labels).sum())
