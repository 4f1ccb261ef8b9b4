"""Old data thinned out: exact counts, the weights asked for, repeatable draws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lure_core.rng import generator
from lure_core.subsample import keep_by_chance, keep_by_loss

LOSSES = st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=40)


@given(losses=LOSSES, share=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_count_is_exact_and_the_rows_rise(losses: list[float], share: float, seed: int) -> None:
    wanted = round(share * len(losses))
    by_loss = keep_by_loss(torch.tensor(losses), wanted, generator(seed))
    by_chance = keep_by_chance(len(losses), wanted, generator(seed))
    for rows in (by_loss.tolist(), by_chance.tolist()):
        assert len(rows) == wanted
        assert rows == sorted(set(rows))
        assert set(rows) <= set(range(len(losses)))


def shares(losses: torch.Tensor, wanted: int, rounds: int = 1500) -> torch.Tensor:
    """How often each row was kept."""
    draws = generator(7)
    times = torch.zeros(len(losses))
    for _ in range(rounds):
        times[keep_by_loss(losses, wanted, draws)] += 1
    return times / rounds


def test_one_row_is_drawn_in_proportion_to_its_loss() -> None:
    found = shares(torch.tensor([1.0, 2.0, 5.0]), 1)
    torch.testing.assert_close(found, torch.tensor([0.125, 0.25, 0.625]), atol=0.03, rtol=0)


def test_two_rows_are_drawn_one_after_the_other_without_putting_back() -> None:
    """P(row 0 of two) = 1/8 + 2/8 · 1/6 + 5/8 · 1/3 with losses 1, 2, 5."""
    found = shares(torch.tensor([1.0, 2.0, 5.0]), 2)
    expected = 1 / 8 + 2 / 8 / 6 + 5 / 8 / 3
    assert float(found[0]) == pytest.approx(expected, abs=0.03)


def test_a_row_without_loss_has_a_small_chance() -> None:
    found = shares(torch.tensor([0.0, 0.009]), 1)
    assert float(found[0]) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_no_number_counts_as_the_largest(odd: float) -> None:
    found = shares(torch.tensor([1.0, odd, 3.0]), 1)
    torch.testing.assert_close(found, torch.tensor([1 / 7, 3 / 7, 3 / 7]), atol=0.03, rtol=0)


def test_chance_is_even() -> None:
    draws = generator(1)
    times = torch.zeros(5)
    for _ in range(2000):
        times[keep_by_chance(5, 2, draws)] += 1
    torch.testing.assert_close(times / 2000, torch.full((5,), 0.4), atol=0.04, rtol=0)


def test_the_draw_is_the_generators() -> None:
    losses = torch.rand(50, generator=generator(1))
    one, again, other = (keep_by_loss(losses, 9, generator(s)).tolist() for s in (2, 2, 3))
    assert one == again != other


def test_what_is_worse_than_a_guess_is_kept_last() -> None:
    losses = torch.tensor([0.5, 3.0, 0.7, 9.0, 0.6])
    for seed in range(20):
        kept = keep_by_loss(losses, 3, generator(seed), suspect_above=2.3)
        assert kept.tolist() == [0, 2, 4]
