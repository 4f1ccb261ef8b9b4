"""What a cycle relearns from, and the short trial that `auto` judges its candidates by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from lure_core import evaluate, learn, parallel, subsample
from lure_core.config import CycleConfig
from lure_core.data import Batches, Samples
from lure_core.errors import BadChunkFile
from lure_core.feed import Feed, Resident, View, open_feed
from lure_core.precision import Precision
from lure_core.replay import Replayed
from lure_core.rng import derive_seed, generator
from lure_core.types import Split


def task(
    replayed: Replayed,
    rows: Sequence[Tensor],
    config: CycleConfig,
    *,
    precision: Precision,
    first: bool,
) -> learn.Task:
    """The cycle's training, on the given rows of the replayed parts.

    Raises:
        BadChunkFile: There is no training image.
    """
    if not sum(map(len, rows)):
        raise BadChunkFile("no training image among the data: nothing to learn from")
    recipe, device = config.recipe, precision.device
    train = open_feed(replayed.parts, rows, device=device, resident_mib=config.resident_mib)
    select = replayed.collect(Split.SELECT)
    return learn.Task(
        train=train,
        select=select.to(device) if isinstance(train, Resident) else select,
        normalisation=config.normalisation,
        recipe=recipe,
        epochs=recipe.learn_epochs if first and recipe.learn_epochs else recipe.epochs,
        seed=derive_seed(config.seed, 0, "relearn"),
        precision=precision,
    )


def thin_past(
    replayed: Replayed, config: CycleConfig, parent: nn.Module, *, precision: Precision
) -> list[Tensor]:
    """The training rows of all parts, of the past ones only the recipe's `old_share`."""
    rows = replayed.rows(Split.TRAIN)
    past = len(replayed.data.past)
    count = sum(map(len, rows[:past]))
    wanted = round(config.recipe.old_share * count)
    if wanted == count:
        return rows
    draws = generator(derive_seed(config.seed, 0, "subsample"))
    if config.recipe.old_by == "chance":
        kept = subsample.keep_by_chance(count, wanted, draws)
    else:
        losses = _losses(parent, replayed.parts[:past], rows[:past], config, precision)
        guess = math.log(len(config.classes))
        kept = subsample.keep_by_loss(losses, wanted, draws, suspect_above=guess)
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[kept] = True
    parallel.world().agree([chosen])  # losses may differ in a bit from one GPU to the next
    masks = torch.split(chosen, [len(part) for part in rows[:past]])
    thinned = [part[mask] for part, mask in zip(rows[:past], masks, strict=True)]
    return [*thinned, *rows[past:]]


def scored(replayed: Replayed, config: CycleConfig) -> int:
    """How many images `thin_past` takes a forward pass of."""
    count = sum(map(len, replayed.rows(Split.TRAIN)[: len(replayed.data.past)]))
    thinned = round(config.recipe.old_share * count) < count
    return count if thinned and config.recipe.old_by == "loss" else 0


def trial(
    model: nn.Module, task: learn.Task, *, share: float, forward_flops: int
) -> tuple[float, int]:
    """Relearn a model for a share of the training; give its hold-out loss and the FLOPs spent.

    The images are drawn evenly from all that is replayed; the learning rate warms up and falls to
    zero, whatever the recipe's schedule: at its height the losses would be noise. Without select
    images the loss is taken on those just learned from.
    """
    bare = replace(task.recipe, pruning=0.0, ema=0.0, l2_init=0.0, compile=False)
    recipe = replace(bare, schedule="linear")
    wanted = max(round(share * task.epochs * len(task.train)), 2 * recipe.batch_size)
    count = min(wanted, len(task.train))
    rows = torch.randperm(len(task.train), generator=generator(derive_seed(task.seed, 0, "trial")))
    feed = View(task.train, rows[:count].sort().values)
    nothing = task.select.take(torch.empty(0, dtype=torch.long, device=task.select.labels.device))
    epochs = max(1, round(wanted / count))
    short = replace(task, train=feed, select=nothing, recipe=recipe, epochs=epochs)
    learning = learn.Learning.of(model, recipe)
    learn.fit(learning, task=short, on_epoch=lambda _: None)
    judged = task.select if len(task.select) else _all_of(feed)
    batches = Batches(judged, task.normalisation, device=task.precision.device)
    losses = evaluate.losses(model, batches, precision=task.precision)
    return float(losses.mean()), forward_flops * (3 * learning.seen + len(judged))


def _all_of(feed: Feed) -> Samples:
    (samples,) = feed.batches([torch.arange(len(feed))])
    return samples


def _losses(
    parent: nn.Module,
    parts: Sequence[Samples],
    rows: Sequence[Tensor],
    config: CycleConfig,
    precision: Precision,
) -> Tensor:
    """The parent's loss on each chosen image of each part, on the CPU; one part at a time."""
    found = [torch.empty(0)]
    for part, chosen in zip(parts, rows, strict=True):
        batches = Batches(part.take(chosen), config.normalisation, device=precision.device)
        found.append(evaluate.losses(parent, batches, precision=precision).cpu())
    return torch.cat(found)
