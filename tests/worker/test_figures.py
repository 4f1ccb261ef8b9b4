"""Figures that JSON does not know."""

from __future__ import annotations

import math

from worker.figures import storable


def test_what_is_not_finite_becomes_none_at_any_depth() -> None:
    told = {"loss": math.nan, "per_class": {"0": 0.5, "1": math.inf}, "list": (1, -math.inf)}
    assert storable(told) == {"loss": None, "per_class": {"0": 0.5, "1": None}, "list": [1, None]}
