"""Figures on their way into JSON, which knows neither infinity nor NaN."""

from __future__ import annotations

import math
from typing import Any


def storable(value: Any) -> Any:
    """The value with `None` in place of every float that is not finite: a training diverged."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: storable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    return value
