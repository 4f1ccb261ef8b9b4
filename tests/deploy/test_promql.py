from __future__ import annotations

import pytest

from tests.deploy.promql import named


def test_series_and_their_matchers_are_found() -> None:
    found = named('sum by (le) (rate(a_bucket{x="1", y=~"{b}|c"}[5m])) / a_sum offset 1h > 0.5')
    assert found.series == {"a_bucket": {"x", "y"}, "a_sum": set()}
    assert (found.lists, found.kept) == ({"le"}, {"le"})


def test_lists_of_labels_are_no_series() -> None:
    found = named('max without (a) (one) * on (b) group_left (c) two{d!=""} unless three == 0')
    assert found.series == {"one": set(), "two": {"d"}, "three": set()}
    assert (found.lists, found.kept) == ({"a", "b", "c"}, set())


def test_functions_without_a_series_name_none() -> None:
    assert named("time() - max(a) > 1e3 # words").series == {"a": set()}


def test_what_cannot_be_read_is_told() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        named("a ? b")
