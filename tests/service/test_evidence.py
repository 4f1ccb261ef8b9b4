from __future__ import annotations

import pytest

from service import evidence


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(4, 2.7764), (5, 2.5706), (9, 2.2622), (30, 2.0423), (1000, 1.9623)]
)
def test_students_quantile_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    assert evidence.student(freedom) == pytest.approx(quantile, rel=3e-3)


def test_wilsons_interval_by_hand() -> None:
    found = evidence.of_share(8, 10)  # 0.4902 to 0.9433 in Wilson's own terms
    assert (found.value, round(found.low, 4), round(found.high, 4)) == (0.8, 0.4902, 0.9433)


@pytest.mark.parametrize("right", [0, 3])
def test_a_share_of_none_or_all_still_has_an_interval_within_0_and_1(right: int) -> None:
    found = evidence.of_share(right, 3)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.5


def test_differences_have_students_interval_from_five_on() -> None:
    assert evidence.of_differences([0.1] * 4) is None
    found = evidence.of_differences([0.0, 0.01, 0.02, 0.03, 0.04])
    assert found is not None
    assert found.value == pytest.approx(0.02)
    half = 2.7764 * 0.0158114 / 5**0.5
    assert (found.low, found.high) == pytest.approx((0.02 - half, 0.02 + half), abs=1e-4)
