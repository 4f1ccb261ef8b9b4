"""Two models on the same images, compared pair by pair.

The accuracies of two models on the same few images are two noisy numbers, but most of the noise is
common to both: what tells them apart is the images that exactly one of them answered rightly. The
interval of the difference is Wald's with one image of each such kind added (Bonett & Price,
"Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
J. Educ. Behav. Stat. 37(4), 2012, doi 10.3102/1076998611411915; a close kin of Agresti & Min,
Statistics in Medicine 24, 2005): so it has a width even where no such image was seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from lure_core.answers import Answers

_ROUNDING = 1e-9  # 0.14 * 50 images is a little less than 7 in floats


@dataclass(frozen=True)
class Pairs:
    """How often which of two models was right.

    Attributes:
        images: Seen by both.
        both: Answered rightly by both.
        gained: By the candidate alone.
        lost: By the champion alone.
    """

    images: int
    both: int
    gained: int
    lost: int

    @classmethod
    def of(cls, candidate: Answers, champion: Answers) -> Pairs:
        """All images."""
        (pairs,) = sliced(np.zeros(len(candidate), dtype=np.int64), candidate, champion)
        return pairs

    @property
    def candidate(self) -> int:
        """Right answers of the candidate."""
        return self.both + self.gained

    @property
    def champion(self) -> int:
        """Right answers of the champion."""
        return self.both + self.lost

    @property
    def loss(self) -> float:
        """Accuracy that was seen to be lost, -1…1; below 0 where some was gained."""
        return (self.lost - self.gained) / self.images

    def lost_more_than(self, tolerance: float) -> bool:
        """Whether the loss that was seen lies beyond the tolerance."""
        return self.lost - self.gained > tolerance * self.images + _ROUNDING

    def is_lost(self, tolerance: float, confidence: float) -> bool:
        """Whether more than that was seen to be lost, and it cannot be chance that any was."""
        return self.lost_more_than(tolerance) and self.least_loss(confidence) > 0

    def greatest_loss(self, confidence: float) -> float:
        """The upper bound of the loss by a one-sided interval."""
        return self._centre + _errors(confidence) * self._error

    def least_loss(self, confidence: float) -> float:
        """The lower bound of the loss by a one-sided interval."""
        return self._centre - _errors(confidence) * self._error

    def __str__(self) -> str:
        return f"{self.candidate} of {self.images} right, the champion {self.champion}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "candidate": self.candidate,
            "champion": self.champion,
            "gained": self.gained,
            "lost": self.lost,
            "loss": self.loss,
        }

    @property
    def _centre(self) -> float:
        return (self.lost - self.gained) / (self.images + 2)

    @property
    def _error(self) -> float:
        """The standard error of the loss."""
        apart = (self.lost + self.gained + 2) / (self.images + 2)
        return math.sqrt((apart - self._centre**2) / (self.images + 2))


def sliced(slice_of: npt.NDArray[np.int64], candidate: Answers, champion: Answers) -> list[Pairs]:
    """The pairs of each slice, by its number; `slice_of`: which one each image lies in."""
    ours, theirs = candidate.right_N, champion.right_N
    kinds = (np.ones_like(ours), ours & theirs, ours & ~theirs, theirs & ~ours)
    slices = int(slice_of.max(initial=-1)) + 1
    counts = [np.bincount(slice_of[kind], minlength=slices).tolist() for kind in kinds]
    return [Pairs(*of_slice) for of_slice in zip(*counts, strict=True)]


def _errors(confidence: float) -> float:
    """How many standard errors a one-sided interval reaches."""
    return NormalDist().inv_cdf(confidence)
