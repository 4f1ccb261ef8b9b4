"""What a record tells beside the cycle's own figures."""

from __future__ import annotations

import numpy as np
import pytest

from lure_core.experiment import measure


def packed(*bits: int) -> np.ndarray:
    return np.packbits(np.array(bits, dtype=np.uint8))


def test_overlap_is_the_share_of_this_reset_that_was_in_the_last() -> None:
    now, before = packed(1, 1, 1, 1, 0, 0, 0, 0, 0, 0), packed(1, 0, 0, 0, 1, 1, 1, 0, 1, 0)
    assert measure.overlap(now, before, counted=10) == (1 / 4, 5 / 10)
    assert measure.overlap(before, now, counted=10) == (1 / 5, 4 / 10)


def test_the_same_weights_overlap_wholly() -> None:
    now = packed(1, 0, 1)
    assert measure.overlap(now, now, counted=3) == (1.0, pytest.approx(2 / 3))
