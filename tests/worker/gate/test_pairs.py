"""The paired interval: a published example, and what must hold of any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.gate.pairs import Pairs

CONFIDENCE = 0.95
PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)


@st.composite
def tables(draw: st.DrawFn) -> Pairs:
    both, gained, lost, neither = (draw(st.integers(0, 500)) for _ in range(4))
    return Pairs(max(1, both + gained + lost + neither), both, gained, lost)


def test_the_example_of_the_authors_own_package() -> None:
    """`ci.prop.ps(.05, 12, 4, 26, 6)` of statpsych, by Bonett: 0.2548067 to 0.6251933."""
    pairs = Pairs(images=48, both=6, gained=4, lost=26)
    assert pairs.least_loss(0.975) == pytest.approx(0.2548067, abs=1e-6)
    assert pairs.greatest_loss(0.975) == pytest.approx(0.6251933, abs=1e-6)


@PROPERTY
@given(tables())
def test_it_is_the_same_seen_from_the_other_side(pairs: Pairs) -> None:
    swapped = Pairs(pairs.images, pairs.both, gained=pairs.lost, lost=pairs.gained)
    assert swapped.least_loss(CONFIDENCE) == pytest.approx(-pairs.greatest_loss(CONFIDENCE))


@PROPERTY
@given(tables(), st.integers(2, 20))
def test_it_shrinks_with_more_images_of_the_same_kind(pairs: Pairs, times: int) -> None:
    more = Pairs(*(times * count for count in (pairs.images, pairs.both, pairs.gained, pairs.lost)))
    assert width(more) < width(pairs)


@PROPERTY
@given(tables())
def test_more_confidence_takes_a_wider_interval(pairs: Pairs) -> None:
    assert pairs.least_loss(0.99) < pairs.least_loss(CONFIDENCE)
    assert pairs.greatest_loss(0.99) > pairs.greatest_loss(CONFIDENCE)
    assert pairs.least_loss(0.5) == pytest.approx(pairs.greatest_loss(0.5))


@PROPERTY
@given(tables())
def test_images_on_which_both_agree_tell_nothing_of_the_direction(pairs: Pairs) -> None:
    right = Pairs(pairs.images, pairs.images - pairs.gained - pairs.lost, pairs.gained, pairs.lost)
    assert right.greatest_loss(CONFIDENCE) == pairs.greatest_loss(CONFIDENCE)


@pytest.mark.parametrize("images", [50, 200])
@pytest.mark.parametrize(("gained", "lost"), [(0.02, 0.02), (0.02, 0.06), (0.1, 0.2), (0.0, 0.01)])
def test_a_bound_holds_about_as_often_as_it_says(images: int, gained: float, lost: float) -> None:
    draws = np.random.default_rng(1)
    tables = draws.multinomial(images, [gained, lost, 1 - gained - lost], size=2000)
    bounds = [Pairs(images, 0, int(g), int(s)).greatest_loss(CONFIDENCE) for g, s, _ in tables]
    assert np.mean(np.array(bounds) >= lost - gained) > 0.93


def width(pairs: Pairs) -> float:
    return pairs.greatest_loss(CONFIDENCE) - pairs.least_loss(CONFIDENCE)
