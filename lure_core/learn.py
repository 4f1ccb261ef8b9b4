"""The training loop: the only one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from lure_core import augment, evaluate, parallel, pruning
from lure_core.averaging import Average
from lure_core.batchnorm import estimate_batchnorm
from lure_core.compiling import Compiled
from lure_core.config import Normalisation, Recipe
from lure_core.data import Batches, Samples, normalise, spans
from lure_core.errors import ConfigError
from lure_core.feed import Feed
from lure_core.learning import Learning
from lure_core.parallel import World
from lure_core.precision import Precision
from lure_core.pruning import Watch
from lure_core.rng import derive_seed, forked, generator
from lure_core.schedule import learning_rate

__all__ = ["Epoch", "Learning", "Task", "fit"]

_STATISTICS = (128, 512)
"""Images that BatchNorm's statistics of averaged weights are taken on: an eighth, within these."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is learned, and how.

    Attributes:
        train: Learned from; at least one image.
        select: Chooses the best epoch; where it is empty, the last epoch is kept.
        seed: Every epoch draws from generators derived from it and the epoch's number alone, so
            that going on after an interruption needs no generator's state.
        origin: Where `recipe.l2_init` pulls to, by parameter name; not needed without it.
        world: The processes that train together; each works on its part of every batch.
    """

    train: Feed
    select: Samples
    normalisation: Normalisation
    recipe: Recipe
    epochs: int
    seed: int
    precision: Precision
    origin: Mapping[str, Tensor] | None = None
    world: World = field(default_factory=parallel.world)


@dataclass(frozen=True)
class Epoch:
    """How the epoch just finished went; accuracy is None without select images."""

    loss: float
    accuracy: float | None
    images_per_s: float


def fit(learning: Learning, *, task: Task, on_epoch: Callable[[Epoch], None]) -> None:
    """Train from `learning.epoch` to the end, then put the best epoch's weights in the model.

    Args:
        learning: Changed in place. Of several processes all begin with rank 0's weights.
        task: What to learn, the same in every process.
        on_epoch: Called after every epoch; in rank 0 only.

    Raises:
        ConfigError: The recipe asks for `compile` where it cannot be had.
    """
    trainer, compiling_s = _Trainer.of(learning, task), learning.compile_seconds
    select = Batches(
        _part(task.select, task.world), task.normalisation, device=task.precision.device
    )
    with parallel.synchronised(learning.model, task.world):
        while learning.epoch < task.epochs:
            began, seen = time.perf_counter(), learning.seen
            loss = _train_epoch(trainer)
            seconds = time.perf_counter() - began
            learning.epoch += 1
            learning.seconds += seconds
            learning.compile_seconds = compiling_s + trainer.compiling_s
            _settle(learning, task)
            learning.keep(correct := _correct(learning.candidate, select, task))
            accuracy = correct / len(task.select) if len(task.select) else None
            if task.world.rank == 0:
                on_epoch(Epoch(loss, accuracy, (learning.seen - seen) / seconds))
    learning.model.load_state_dict(learning.best)


@dataclass(frozen=True, eq=False)
class _Trainer:
    """What every step needs.

    Attributes:
        parameters: Those that are trained.
        origin: What `l2_init` pulls each of them to; empty without it.
        compiled: The model's call where the recipe wants it compiled.
    """

    learning: Learning
    task: Task
    parameters: list[nn.Parameter]
    origin: list[Tensor]
    compiled: Compiled | None

    @classmethod
    def of(cls, learning: Learning, task: Task) -> _Trainer:
        """With all in place that the first step needs and no interruption left."""
        recipe, model = task.recipe, learning.model
        compiled = _compiled(model, task)
        task.world.agree(model.state_dict().values())
        if recipe.ema and learning.average is None:
            learning.average = Average.of(model)
        if recipe.pruning and learning.losses is None:
            learning.losses = torch.zeros(len(task.train), device=task.precision.device)
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        origin = []
        if recipe.l2_init:
            assert task.origin is not None, "l2_init needs to know where it pulls to"
            origin = [task.origin[name].to(p.device) for name, p in trained.items()]
        return cls(learning, task, [*trained.values()], origin, compiled)

    @property
    def compiling_s(self) -> float:
        return self.compiled.overhead_s if self.compiled else 0.0

    def timed(self, count: int) -> AbstractContextManager[None]:
        return (
            self.compiled.timed(count, self.task.precision.device)
            if self.compiled
            else nullcontext()
        )


def _compiled(model: nn.Module, task: Task) -> Compiled | None:
    if not task.recipe.compile:
        return None
    if task.world.size > 1:
        raise ConfigError("recipe.compile: must be false where several processes train together")
    size = min(task.recipe.batch_size, len(task.train))
    return Compiled.of(model, size=size, device=task.precision.device)


def _train_epoch(trainer: _Trainer) -> float:
    """One pass over the training images; returns their mean loss."""
    learning, task = trainer.learning, trainer.task
    world, device = task.world, task.precision.device
    seed = derive_seed(task.seed, learning.epoch, "epoch")
    draws = generator(seed)
    kept = _kept(learning, task)
    watch = Watch.of(kept, device) if task.recipe.pruning else None
    order = _shuffled(kept.rows, draws)
    batches = [order[span] for span in spans(len(order), task.recipe.batch_size)]
    rates = _rates(task, learning.epoch, steps=len(batches))
    parts = task.train.batches(rows[world.part(len(rows))] for rows in batches)
    learning.model.train()
    total = torch.zeros((), device=device)
    # `forked` is for layers that draw by themselves, as dropout does.
    with forked(world.own(seed), device), closing(parts):
        for rows, rate, part in zip(batches, rates, parts, strict=True):
            for group in learning.optimizer.param_groups:
                group["lr"] = rate
            with trainer.timed(len(rows)):
                total += _step(trainer, part, rows, draws, watch) * len(rows)
    learning.seen += len(order)
    world.add(total)
    if watch is not None and learning.losses is not None:
        world.add(watch.found)
        learning.losses = watch.last(learning.losses)
    return float(total) / float(kept.weights[order].sum())


def _rates(task: Task, epoch: int, *, steps: int) -> list[float]:
    """The learning rate of each step; in a pruned epoch the steps are fewer and longer."""
    full = len(spans(len(task.train), task.recipe.batch_size))
    at = [epoch * full + number * full / steps for number in range(steps)]
    sizes = {"steps_per_epoch": full, "epochs": task.epochs}
    return [learning_rate(task.recipe, step=step, **sizes) for step in at]


def _step(
    trainer: _Trainer, part: Samples, rows: Tensor, draws: Generator, watch: Watch | None
) -> Tensor:
    """One gradient step on this process's part of a batch of rows.

    Returns:
        What the part adds to the batch's mean loss; on the device, so that nothing waits for it.
    """
    learning, task = trainer.learning, trainer.task
    x = _input(part.images, len(rows), task, draws)
    with task.precision.autocast():
        logits = (trainer.compiled or learning.model)(x)
    loss = _loss(logits.float(), part.labels, rows, task.world, watch)
    for parameter in trainer.parameters:  # as the optimiser's own zero_grad does, in a tenth of it
        parameter.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in trainer.parameters if p.grad is not None]
    task.world.add(*gradients)
    if trainer.origin:
        _pull(trainer, task.recipe.l2_init)
    learning.optimizer.step()
    if learning.average is not None:
        learning.average.follow(learning.model, decay=task.recipe.ema)
    return loss.detach()


def _input(images_u8: Tensor, count: int, task: Task, draws: Generator) -> Tensor:
    """This process's images as the model takes them; drawn for all `count` of the batch."""
    shape = (count, *images_u8.shape[1:])
    moves = augment.draw(shape, how=task.recipe.augmentation, generator=draws)
    if moves is not None:
        images_u8 = augment.move(images_u8, moves.part(task.world.part(count)))
    return task.precision.arrange(normalise(images_u8, task.normalisation))


def _loss(
    logits_NK: Tensor, labels_N: Tensor, rows: Tensor, world: World, watch: Watch | None
) -> Tensor:
    """The part's cross-entropy, summed and divided by the number of images in the whole batch."""
    if watch is not None:
        mine = rows[world.part(len(rows))].to(labels_N.device)
        losses_N = F.cross_entropy(logits_NK, labels_N, reduction="none")
        return watch.weigh(losses_N, mine).sum() / len(rows)
    if world.size > 1:
        return F.cross_entropy(logits_NK, labels_N, reduction="sum") / len(rows)
    return F.cross_entropy(logits_NK, labels_N)


@torch.no_grad()
def _pull(trainer: _Trainer, strength: float) -> None:
    """Add the gradient of strength / 2 · |w - origin|² (Kumar et al. 2023, arXiv 2308.11958).

    Their own λ has no half: it is half of this one.
    """
    pairs = zip(trainer.parameters, trainer.origin, strict=True)
    pulled = [(p.grad, p, origin) for p, origin in pairs if p.grad is not None]
    gradients, weights, origins = map(list, zip(*pulled, strict=True))
    torch._foreach_add_(gradients, weights, alpha=strength)
    torch._foreach_add_(gradients, origins, alpha=-strength)


def _kept(learning: Learning, task: Task) -> pruning.Kept:
    """What this epoch learns from, and how much each image weighs."""
    share = task.recipe.pruning
    if not share or learning.losses is None or pruning.is_full(learning.epoch, task.epochs):
        return pruning.everything(len(task.train))
    draws = generator(derive_seed(task.seed, learning.epoch, "pruning"))
    return pruning.keep(learning.losses.cpu(), share, draws)


def _shuffled(rows: Tensor, draws: Generator) -> Tensor:
    """Every row once; a single one twice, because BatchNorm needs two."""
    return rows[torch.randperm(len(rows), generator=draws)] if len(rows) > 1 else rows.repeat(2)


def _settle(learning: Learning, task: Task) -> None:
    """Make the averaged model fit to answer, by statistics of its own from some training images."""
    if learning.average is None:
        return
    learning.average.take_buffers(learning.model)
    count = min(max(_STATISTICS[0], len(task.train) // 8), _STATISTICS[1], len(task.train))
    draws = generator(derive_seed(task.seed, learning.epoch, "statistics"))
    rows = torch.randperm(len(task.train), generator=draws)[:count].sort().values
    (samples,) = task.train.batches([rows])
    batches = Batches(samples, task.normalisation)
    learning.estimated_on += estimate_batchnorm(learning.average.model, batches)


def _part(samples: Samples, world: World) -> Samples:
    """This process's share; alone, the samples themselves."""
    if world.size == 1:
        return samples
    at = world.part(len(samples))
    return samples.take(torch.arange(at.start, at.stop, device=samples.labels.device))


def _correct(model: nn.Module, select: Batches, task: Task) -> int:
    """Right answers among the select images of all processes."""
    right = torch.zeros((), dtype=torch.long, device=task.precision.device)
    if len(select.samples):
        answers = evaluate.probabilities(model, select, precision=task.precision).argmax(dim=1)
        right += (answers == select.samples.labels.to(answers.device)).sum()
    task.world.add(right)
    return int(right)
