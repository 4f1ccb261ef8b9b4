"""Scores of a stream, worked out by hand and within their bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lure_core import anytime

HALF = [
    [0.9],
    [0.7, 0.8],
    [0.8, 0.9, 0.6],
    [0.5, 0.85, 0.6, 0.75],
]
shares = st.floats(0, 1)
entries = st.none() | shares


@st.composite
def matrices(draw: st.DrawFn) -> list[list[float | None]]:
    count = draw(st.integers(1, 6))
    return [draw(st.lists(entries, min_size=t, max_size=t)) for t in range(1, count + 1)]


def test_mean_anytime_accuracy_of_all_versions_and_from_the_second_on() -> None:
    assert anytime.mean_accuracy([0.4, 0.6, 0.8]) == pytest.approx(0.6)
    assert anytime.mean_accuracy([0.4, 0.6, 0.8], start=2) == pytest.approx(0.7)
    with pytest.raises(AssertionError, match="no version from chunk 4 on"):
        anytime.mean_accuracy([0.4, 0.6, 0.8], start=4)


def test_cumulative_error_sums_the_wrong_answers_of_all_versions() -> None:
    found = anytime.cumulative_error([60, 80, 90], [100, 100, 100])
    assert found == anytime.CumulativeError(count=70, share=pytest.approx(70 / 300))
    assert found.to_dict() == {"count": 70, "share": found.share}
    assert anytime.cumulative_error([0], [0]) == anytime.CumulativeError(0, 0.0)


def test_forgetting_is_the_best_earlier_accuracy_less_the_last() -> None:
    """0.9 - 0.5, 0.9 - 0.85 and 0.6 - 0.6."""
    found = anytime.forgetting(HALF)
    assert found.per_chunk == pytest.approx((0.4, 0.05, 0.0))
    assert found.mean == pytest.approx(0.15)


def test_backward_transfer_is_the_last_accuracy_less_the_first() -> None:
    """0.5 - 0.9, 0.85 - 0.8 and 0.6 - 0.6."""
    found = anytime.backward_transfer(HALF)
    assert found.per_chunk == pytest.approx((-0.4, 0.05, 0.0))
    assert found.mean == pytest.approx(-0.35 / 3)


def test_one_chunk_has_no_past() -> None:
    for figure in (anytime.forgetting, anytime.backward_transfer):
        assert figure([[0.5]]) == anytime.Change((), None)
        assert figure([]) == anytime.Change((), None)


def test_what_was_not_measured_is_left_out() -> None:
    matrix = [[None], [0.7, 0.8], [0.6, None, 0.9]]
    lost = anytime.forgetting(matrix)
    assert lost.per_chunk == (pytest.approx(0.1), None)
    assert lost.mean == pytest.approx(0.1)
    gained = anytime.backward_transfer(matrix)
    assert gained.to_dict() == {"per_chunk": [None, None], "mean": None}


def test_a_matrix_of_another_form_is_refused() -> None:
    with pytest.raises(AssertionError, match="not lower triangular"):
        anytime.forgetting([[0.5, 0.5], [0.5, 0.5]])


@given(matrices())
def test_figures_stay_within_their_bounds(matrix: list[list[float | None]]) -> None:
    lost, gained = anytime.forgetting(matrix), anytime.backward_transfer(matrix)
    for change in (lost, gained):
        assert len(change.per_chunk) == len(matrix) - 1
        known = [value for value in change.per_chunk if value is not None]
        assert (change.mean is None) == (not known)
        assert all(-1 <= value <= 1 for value in known)
    for forgotten, transferred in zip(lost.per_chunk, gained.per_chunk, strict=True):
        if transferred is not None:
            assert forgotten is not None
            assert forgotten >= -transferred


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1))
def test_cumulative_error_is_one_less_the_pooled_accuracy(counts: list[tuple[int, int]]) -> None:
    correct, wrong = [a for a, _ in counts], [b for _, b in counts]
    found = anytime.cumulative_error(correct, [a + b for a, b in counts])
    assert found.count == sum(wrong)
    assert 0 <= found.share <= 1


@given(st.lists(shares, min_size=1), st.data())
def test_mean_accuracy_lies_between_the_extremes(values: list[float], data: st.DataObject) -> None:
    start = data.draw(st.integers(1, len(values)))
    counted = values[start - 1 :]
    found = anytime.mean_accuracy(values, start=start)
    assert min(counted) - 1e-12 <= found <= max(counted) + 1e-12
