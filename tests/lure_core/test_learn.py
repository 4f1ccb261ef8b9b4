"""The training loop: its schedule, its batches, and the epoch it keeps."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from lure_core import evaluate, learn
from lure_core.batchnorm import estimate_batchnorm
from lure_core.config import Normalisation, Recipe
from lure_core.data import Batches, Samples
from lure_core.feed import Feed, open_feed
from lure_core.learn import Epoch, Learning, Task
from lure_core.precision import choose
from lure_core.rng import forked
from lure_core.schedule import learning_rate
from lure_core.types import Metrics, Split
from tests.lure_core.making import create_net, create_samples, of_split, same

FP32 = choose("fp32", device=torch.device("cpu"), flops=0)
BY = Normalisation((0.3,), (0.2,))


def create_task(count: int = 64, *, select: int = 16, epochs: int = 3, **recipe: object) -> Task:
    settings = Recipe.from_dict({"batch_size": 16, "learning_rate": 0.05, **recipe})
    train = of_split(create_samples(count), Split.TRAIN)
    chooses = of_split(create_samples(max(1, select), seed=9), Split.SELECT)
    chooses = chooses.take(torch.arange(select))
    return Task(opened(train), chooses, BY, settings, epochs, seed=4, precision=FP32)


def opened(samples: Samples, resident_mib: int | None = None) -> Feed:
    rows = [torch.arange(len(samples))]
    return open_feed([samples], rows, device=FP32.device, resident_mib=resident_mib)


def fit(task: Task, model: nn.Module | None = None) -> tuple[Learning, list[Epoch]]:
    learning = Learning.of(FP32.place(model or create_net()), task.recipe)
    epochs: list[Epoch] = []
    learn.fit(learning, task=task, on_epoch=epochs.append)
    return learning, epochs


def score(model: nn.Module, task: Task) -> Metrics:
    answers = evaluate.answers(model, Batches(task.select, BY), precision=FP32)
    return evaluate.metrics(answers, classes="abc")


def create_mlp(seed: int = 0) -> nn.Module:
    return create_net(seed, architecture="mlp")


def origin_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_the_step_schedule_falls_where_the_paper_says() -> None:
    recipe = Recipe()
    rates = [learning_rate(recipe, step=10 * e, steps_per_epoch=10, epochs=50) for e in range(50)]
    assert rates[:20] == [0.1] * 20
    assert rates[20:40] == pytest.approx([0.01] * 20)
    assert rates[40:] == pytest.approx([0.001] * 10)


def test_the_linear_schedule_warms_up_and_ends_near_zero() -> None:
    recipe = Recipe(schedule="linear")
    rates = [learning_rate(recipe, step=s, steps_per_epoch=25, epochs=4) for s in range(100)]
    assert rates[:10] == pytest.approx([0.01 * n for n in range(1, 11)])
    assert rates[9] == max(rates) == pytest.approx(0.1)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.002


@pytest.mark.parametrize("schedule", ["step", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_shortest_schedules_learn_too(schedule: str, steps: int) -> None:
    recipe = Recipe.from_dict({"schedule": schedule})
    rates = [learning_rate(recipe, step=s, steps_per_epoch=steps, epochs=1) for s in range(steps)]
    assert rates[0] == pytest.approx(0.1)
    assert all(0 < rate <= 0.1 for rate in rates)


def test_the_best_epoch_by_select_is_kept_and_of_equals_the_later() -> None:
    task = create_task(epochs=6, learning_rate=0.2)
    learning, epochs = fit(task)
    accuracies = [epoch.accuracy for epoch in epochs]
    best = max(a for a in accuracies if a is not None)
    assert learning.best_epoch == 6 - accuracies[::-1].index(best)
    kept = score(learning.model, task)
    assert kept.accuracy == best


def test_the_model_ends_with_the_weights_of_the_epoch_that_was_kept() -> None:
    task = create_task()
    learning = Learning.of(create_net(), task.recipe)
    after_second: dict[str, torch.Tensor] = {}

    def beat_what_follows(_: Epoch) -> None:
        if learning.epoch == 2:
            after_second.update({n: v.clone() for n, v in learning.model.state_dict().items()})
            learning.keep(correct=len(task.select) + 1)

    learn.fit(learning, task=task, on_epoch=beat_what_follows)
    assert learning.best_epoch == 2
    assert same(learning.model.state_dict(), after_second)


def test_without_select_images_the_last_epoch_is_kept() -> None:
    learning, epochs = fit(create_task(select=0))
    assert learning.best_epoch == 3
    assert all(epoch.accuracy is None for epoch in epochs)


def test_it_learns() -> None:
    _, epochs = fit(create_task(128, epochs=5))
    assert epochs[-1].loss < epochs[0].loss / 2
    assert epochs[-1].images_per_s > 0


@pytest.mark.parametrize(
    ("count", "architecture"), [(1, "resnet18"), (17, "resnet18"), (1, "resnet20s")]
)
def test_no_batch_has_a_single_image(count: int, architecture: str) -> None:
    """At 8 px ResNet-18 ends on one pixel: BatchNorm would refuse a batch of one."""
    learning, epochs = fit(create_task(count, epochs=1), create_net(architecture=architecture))
    assert torch.isfinite(torch.tensor(epochs[0].loss))
    assert learning.epoch == 1


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_fused_optimiser_steps_as_the_plain_one_does(channels_last: bool) -> None:
    form = torch.channels_last if channels_last else torch.contiguous_format
    weights = []
    for fused in (True, False):
        net = create_net(architecture="resnet18").to(memory_format=form)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=1e-4, fused=fused)
        for seed in range(2):
            samples = create_samples(8, seed=seed)
            x = samples.images.float().div(255).contiguous(memory_format=form)
            loss = nn.functional.cross_entropy(net(x), samples.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        weights.append(net.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-4)


class Dropping(nn.Module):
    """Draws from the global generator, as users' own models may."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3))
        nn.init.zeros_(self.net[2].weight)
        nn.init.zeros_(self.net[2].bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)  # type: ignore[no-any-return]


def test_layers_that_draw_by_themselves_are_seeded_too() -> None:
    with forked(0):
        models = [Dropping(), Dropping()]
    one, again = (fit(create_task(), model)[0].model.state_dict() for model in models)
    assert same(one, again)


OPTIONS: dict[str, dict[str, float]] = {
    "plain": {},
    "l2_init": {"l2_init": 0.01},
    "ema": {"ema": 0.9},
    "pruning": {"pruning": 0.5},
    "all": {"l2_init": 0.01, "ema": 0.9, "pruning": 0.5},
}


def optional(name: str) -> Task:
    task = create_task(40, **OPTIONS[name])
    return replace(task, origin=origin_of(create_net(3)))


@cache
def uninterrupted(name: str) -> tuple[Learning, list[Epoch], list[Callable[[Learning], None]]]:
    """Also what puts a fresh learning where this one was after each epoch, in turn."""
    task = optional(name)
    learning = Learning.of(FP32.place(create_net()), task.recipe)
    epochs: list[Epoch] = []
    resumes: list[Callable[[Learning], None]] = []

    def keep(epoch: Epoch) -> None:
        tensors, figures = learning.dump()
        tensors = {key: value.clone() for key, value in tensors.items()}
        resumes.append(lambda fresh: fresh.load(tensors, figures))
        epochs.append(epoch)

    learn.fit(learning, task=task, on_epoch=keep)
    return learning, epochs, resumes


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_goes_on_from_any_epoch_to_the_same_bits(name: str, at: int) -> None:
    expected, epochs, resumes = uninterrupted(name)
    task = optional(name)
    learning = Learning.of(FP32.place(create_net(7)), task.recipe)
    resumes[at](learning)
    went_on: list[Epoch] = []
    learn.fit(learning, task=task, on_epoch=went_on.append)
    assert [e.loss for e in went_on] == [e.loss for e in epochs[at + 1 :]]
    assert same(learning.model.state_dict(), expected.model.state_dict())
    assert (learning.seen, learning.best_epoch) == (expected.seen, expected.best_epoch)


def test_every_option_changes_the_outcome() -> None:
    ends = [uninterrupted(name)[0].model.state_dict() for name in OPTIONS]
    assert not any(same(one, other) for n, one in enumerate(ends) for other in ends[:n])


@pytest.mark.parametrize("name", OPTIONS)
def test_where_the_images_lie_changes_no_bit(name: str) -> None:
    samples = of_split(create_samples(40), Split.TRAIN)
    task = replace(optional(name), train=opened(samples, resident_mib=0))
    assert same(fit(task)[0].model.state_dict(), uninterrupted(name)[0].model.state_dict())


def test_l2_init_adds_its_pull_to_the_gradient() -> None:
    """One step: w' = w - rate · (g + strength · (w - origin))."""
    begun, origin = origin_of(create_mlp(0)), origin_of(create_mlp(1))
    task = create_task(16, select=0, epochs=1, momentum=0, l2_init=0.5)
    without = replace(task, recipe=replace(task.recipe, l2_init=0.0))
    pulled = fit(replace(task, origin=origin), create_mlp(0))[0].model
    plain = fit(without, create_mlp(0))[0].model
    for name, weight in plain.named_parameters():
        expected = weight - 0.05 * 0.5 * (begun[name] - origin[name])
        torch.testing.assert_close(pulled.get_parameter(name), expected)


def test_l2_init_needs_an_origin() -> None:
    with pytest.raises(AssertionError, match="pulls to"):
        fit(create_task(l2_init=0.1))


def test_the_averaged_weights_are_those_that_are_chosen_and_kept() -> None:
    task = create_task(ema=0.9)
    learning = Learning.of(create_net(), task.recipe)
    raw: list[dict[str, torch.Tensor]] = []
    averaged: list[dict[str, torch.Tensor]] = []
    epochs: list[Epoch] = []

    def watch(epoch: Epoch) -> None:
        assert learning.average is not None
        raw.append({n: v.clone() for n, v in learning.model.state_dict().items()})
        averaged.append({n: v.clone() for n, v in learning.average.model.state_dict().items()})
        epochs.append(epoch)

    learn.fit(learning, task=task, on_epoch=watch)
    at = learning.best_epoch - 1
    assert same(learning.model.state_dict(), averaged[at])
    assert not same(learning.model.state_dict(), raw[at])
    kept = score(learning.model, task)
    assert kept.accuracy == epochs[at].accuracy


def test_averaged_weights_have_statistics_of_their_own() -> None:
    """Those of training images under these weights: as if estimated on all of them."""
    task = create_task(40, select=0, ema=0.9, batch_size=8)
    learning, _ = fit(task)
    assert learning.estimated_on == 3 * 40
    (everything,) = task.train.batches([torch.arange(40)])
    expected = copy.deepcopy(learning.model)
    estimate_batchnorm(expected, Batches(everything, BY))
    for name, value in learning.model.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name])


def test_without_an_average_nothing_is_estimated() -> None:
    assert fit(create_task(40, epochs=1))[0].estimated_on == 0


def test_training_goes_on_from_the_raw_weights() -> None:
    with_average = fit(create_task(select=0, ema=0.9), create_mlp())[1]
    without = fit(create_task(select=0), create_mlp())[1]
    assert [epoch.loss for epoch in with_average] == [epoch.loss for epoch in without]


def test_pruning_trains_on_fewer_images_and_counts_them() -> None:
    task = create_task(64, epochs=9, pruning=0.5)
    learning = Learning.of(create_mlp(), task.recipe)
    seen: list[int] = []
    learn.fit(learning, task=task, on_epoch=lambda _: seen.append(learning.seen))
    trained = [after - before for before, after in zip([0, *seen], seen, strict=False)]
    assert [trained[0], *trained[7:]] == [64, 64, 64]
    assert all(32 < count < 64 for count in trained[1:7])
    assert learning.seen == sum(trained)


def test_pruning_still_learns() -> None:
    _, epochs = fit(create_task(128, epochs=6, pruning=0.5), create_mlp())
    assert epochs[-1].accuracy is not None
    assert epochs[-1].accuracy > 0.9
    assert epochs[-1].loss < 0.9 * epochs[0].loss


def test_pruning_of_nearly_all_leaves_no_batch_of_one() -> None:
    """Seventeen images in batches of sixteen; at 8 px ResNet-18 refuses a batch of one."""
    task = create_task(17, select=0, epochs=5, pruning=0.9)
    learning, epochs = fit(task, create_net(architecture="resnet18"))
    assert all(math.isfinite(epoch.loss) for epoch in epochs)
    assert learning.seen < 5 * 17


def test_images_that_really_were_trained_on_are_counted() -> None:
    assert fit(create_task(50, epochs=2))[0].seen == 100
    assert fit(create_task(1, epochs=2))[0].seen == 4


@pytest.mark.parametrize("schedule", ["step", "linear"])
def test_a_pruned_epoch_takes_the_rates_of_a_whole_one(schedule: str) -> None:
    task = create_task(64, epochs=4, schedule=schedule)
    whole = learn._rates(task, 2, steps=4)
    fewer = learn._rates(task, 2, steps=2)
    assert fewer == [whole[0], whole[2]]
    assert learn._rates(task, 2, steps=3)[0] == whole[0]
