"""The training loop: its schedule, its batches, and the epoch it keeps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lure_core import evaluate, learn
from lure_core.config import Normalisation, Recipe
from lure_core.data import Batches
from lure_core.feed import open_feed
from lure_core.learn import Epoch, Learning, Task
from lure_core.precision import choose
from lure_core.rng import forked
from lure_core.schedule import learning_rate
from lure_core.types import Split
from tests.lure_core.making import create_net, create_samples, of_split, same

FP32 = choose("fp32", device=torch.device("cpu"), flops=0)
BY = Normalisation((0.3,), (0.2,))


def create_task(count: int = 64, *, select: int = 16, epochs: int = 3, **recipe: object) -> Task:
    settings = Recipe.from_dict({"batch_size": 16, "learning_rate": 0.05, **recipe})
    train = of_split(create_samples(count), Split.TRAIN)
    chooses = of_split(create_samples(max(1, select), seed=9), Split.SELECT)
    chooses = chooses.take(torch.arange(select))
    feed = open_feed([train], [torch.arange(count)], device=FP32.device, resident_mib=None)
    return Task(feed, chooses, BY, settings, epochs, seed=4, precision=FP32)


def fit(task: Task, model: nn.Module | None = None) -> tuple[Learning, list[Epoch]]:
    learning = Learning.of(FP32.place(model or create_net()), task.recipe)
    epochs: list[Epoch] = []
    learn.fit(learning, task=task, on_epoch=epochs.append)
    return learning, epochs


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
    kept = evaluate.score(learning.model, Batches(task.select, BY), classes="abc", precision=FP32)
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
