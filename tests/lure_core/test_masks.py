"""How much is forgotten twice running."""

from __future__ import annotations

import numpy as np

from lure_core.masks import overlap
from lure_core.types import UnlearnReport


def report(*reset: int, counted: int = 20) -> UnlearnReport:
    return UnlearnReport("lure", counted=counted, reset=len(reset), mask=mask(*reset))


def mask(*reset: int, counted: int = 20) -> np.ndarray:
    bits = np.zeros(counted, dtype=bool)
    bits[list(reset)] = True
    return np.packbits(bits)


def test_the_share_is_of_those_that_are_reset_now() -> None:
    found = overlap(report(1, 2, 3, 19), mask(2, 3, 4, 5, 6))
    assert found is not None
    assert (found.share, found.by_chance) == (0.5, 0.25)


def test_there_is_nothing_to_tell_without_two_masks_of_one_length() -> None:
    assert overlap(report(1), None) is None
    assert overlap(UnlearnReport("warm", counted=20), mask(1)) is None
    assert overlap(report(1), mask(1, counted=40)) is None
    assert overlap(report(), mask(1)) is None
