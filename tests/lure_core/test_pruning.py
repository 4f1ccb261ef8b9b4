"""Dynamic pruning: whom it drops, that expectations stay, and which epochs are whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lure_core import pruning
from lure_core.pruning import Watch
from lure_core.rng import generator

CPU = torch.device("cpu")


@given(
    losses=st.lists(st.floats(0, 10, width=32), min_size=1, max_size=30),
    share=st.floats(0, 0.95),
    seed=st.integers(0, 99),
)
def test_only_images_below_the_mean_are_dropped_and_only_they_weigh_more(
    losses: list[float], share: float, seed: int
) -> None:
    losses_N = torch.tensor(losses)
    kept = pruning.keep(losses_N, share, generator(seed))
    easy = losses_N.double() < losses_N.double().mean()
    assert set((~easy).nonzero().flatten().tolist()) <= set(kept.rows.tolist())
    assert kept.rows.tolist() == sorted(set(kept.rows.tolist()))
    assert len(kept.rows) >= 1
    torch.testing.assert_close(kept.weights[easy], torch.full((int(easy.sum()),), 1 / (1 - share)))
    assert bool((kept.weights[~easy] == 1).all())


def test_the_weighted_sum_is_on_average_that_of_all() -> None:
    losses = torch.rand(200, generator=generator(1)) ** 3
    draws = generator(2)
    sums = []
    for _ in range(400):
        kept = pruning.keep(losses, 0.5, draws)
        sums.append((losses * kept.weights)[kept.rows].sum())
    assert float(torch.stack(sums).mean()) == pytest.approx(float(losses.sum()), rel=0.01)


def test_half_of_the_easy_ones_go() -> None:
    losses = torch.cat([torch.zeros(10_000), torch.ones(10_000)])
    kept = pruning.keep(losses, 0.5, generator(3))
    assert len(kept.rows) == pytest.approx(15_000, abs=300)


def test_of_equal_losses_none_is_dropped() -> None:
    kept = pruning.keep(torch.full((9,), 0.1), 0.9, generator(0))
    assert kept.rows.tolist() == list(range(9))


def test_the_draw_is_the_generators() -> None:
    losses = torch.rand(100, generator=generator(1))
    one, again, other = (pruning.keep(losses, 0.5, generator(s)).rows.tolist() for s in (4, 4, 5))
    assert one == again != other


@pytest.mark.parametrize(
    ("epochs", "whole"),
    [(1, {0}), (2, {0, 1}), (3, {0, 2}), (8, {0, 7}), (9, {0, 7, 8}), (16, {0, 14, 15})],
)
def test_the_first_epoch_and_the_last_eighth_are_whole(epochs: int, whole: set[int]) -> None:
    assert {epoch for epoch in range(epochs) if pruning.is_full(epoch, epochs)} == whole


def test_a_watch_weighs_and_notes_the_last_losses() -> None:
    kept = pruning.Kept(torch.tensor([0, 2, 3]), torch.tensor([1.0, 2.0, 2.0, 1.0]))
    watch = Watch.of(kept, CPU)
    weighed = watch.weigh(torch.tensor([0.5, 0.25]), torch.tensor([2, 0]))
    assert weighed.tolist() == [1.0, 0.25]
    watch.weigh(torch.tensor([3.0]), torch.tensor([3]))
    assert watch.last(torch.full((4,), 9.0)).tolist() == [0.25, 9.0, 0.5, 3.0]


def test_an_image_seen_twice_has_the_mean_of_its_losses() -> None:
    watch = Watch.of(pruning.everything(1), CPU)
    watch.weigh(torch.tensor([1.0, 3.0]), torch.tensor([0, 0]))
    assert watch.last(torch.zeros(1)).tolist() == [2.0]


def test_weighing_lets_gradients_through() -> None:
    losses = torch.tensor([1.0, 2.0], requires_grad=True)
    watch = Watch.of(pruning.Kept(torch.arange(2), torch.tensor([2.0, 1.0])), CPU)
    watch.weigh(losses, torch.tensor([0, 1])).sum().backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == [2.0, 1.0]
