"""Intervals of means."""

from __future__ import annotations

import math
import random

import pytest

from lure_core.experiment.statistics import interval, paired, student_share, student_t

# Two-sided 95 % quantiles from the tables (Abramowitz & Stegun 26.10).
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 15: 2.131, 30: 2.042}


@pytest.mark.parametrize(("freedom", "value"), TABLE.items())
def test_quantiles_are_those_of_the_tables(freedom: int, value: float) -> None:
    assert student_t(freedom) == pytest.approx(value, abs=5e-4)


def test_other_confidences_too() -> None:
    assert student_t(9, 0.90) == pytest.approx(1.833, abs=5e-4)
    assert student_t(4, 0.99) == pytest.approx(4.604, abs=5e-4)


def test_with_many_degrees_of_freedom_it_is_the_normal_distribution() -> None:
    assert student_share(1.96, 20_000) == pytest.approx(math.erf(1.96 / math.sqrt(2)), abs=1e-4)


def test_an_interval_by_hand() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found is not None
    assert found.mean == 2.0
    assert found.half == pytest.approx(4.3027 / math.sqrt(3), abs=1e-3)
    assert (found.low, found.high) == (found.mean - found.half, found.mean + found.half)


def test_one_value_has_a_mean_and_no_interval() -> None:
    found = interval([0.5])
    assert found is not None
    assert (found.mean, found.half, found.low, found.high, found.count) == (0.5,) + (None,) * 3 + (
        1,
    )


def test_what_is_no_number_makes_the_mean_none_either() -> None:
    found = interval([0.5, math.nan, 0.7])
    assert found is not None
    assert math.isnan(found.mean)
    assert found.half is None


def test_no_value_has_nothing() -> None:
    assert interval([]) is None
    assert paired({1: 0.5}, {2: 0.5}) is None


def test_differences_are_taken_seed_by_seed_over_the_common_ones() -> None:
    found = paired({0: 0.9, 1: 0.5, 2: 0.1}, {1: 0.4, 0: 0.8, 3: 0.0})
    assert found is not None
    assert (found.count, found.mean) == (2, pytest.approx(0.1))
    assert found.half == pytest.approx(0, abs=1e-12)


def test_95_of_100_intervals_cover_the_truth() -> None:
    draws = random.Random(0)
    covered = 0
    for _ in range(2000):
        found = interval([draws.gauss(1, 2) for _ in range(3)])
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1 <= found.high
    assert 0.935 <= covered / 2000 <= 0.965
