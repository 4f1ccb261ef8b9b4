"""What two unlearnings have in common: which of the weights they reset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lure_core.types import UnlearnReport


@dataclass(frozen=True)
class Overlap:
    """How much of what was reset had been reset the time before.

    Attributes:
        share: Share of the weights reset now that had been reset then too, 0…1.
        by_chance: What that share would be if those reset now were drawn by chance.
    """

    share: float
    by_chance: float


def overlap(report: UnlearnReport, before: npt.NDArray[np.uint8] | None) -> Overlap | None:
    """Compare an unlearning with the mask of an earlier one; see `UnlearnReport.mask`.

    None where there is nothing to compare: a mask is missing, no weight was reset, or the masks
    are of different lengths, because the head has grown in between.
    """
    mask = report.mask
    if mask is None or before is None or len(mask) != len(before) or not report.reset:
        return None
    both, then = _count(mask & before), _count(before)
    return Overlap(both / _count(mask), then / report.counted)


def _count(mask: npt.NDArray[np.uint8]) -> int:
    return int(np.unpackbits(mask).sum())
