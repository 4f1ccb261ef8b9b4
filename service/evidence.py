"""How far a few measurements can be trusted: intervals of 95 %, and words for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

Z = 1.959964  # the normal distribution's 0.975 quantile
LEAST = 5  # differences that an interval is given for


@dataclass(frozen=True)
class Interval:
    """A mean or a share, and the two ends of its interval."""

    value: float
    low: float
    high: float


def of_share(right: int, asked: int) -> Interval:
    """Wilson's score interval of a share (Wilson 1927); `asked` is at least 1."""
    share, spread = right / asked, Z * Z / asked
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / asked + spread / asked / 4) / (1 + spread)
    return Interval(share, max(centre - half, 0.0), min(centre + half, 1.0))


def of_differences(differences: Sequence[float]) -> Interval | None:
    """Student's interval of the mean of paired differences; None for fewer than `LEAST`."""
    if len(differences) < LEAST:
        return None
    mean = fmean(differences)
    half = student(len(differences) - 1) * stdev(differences) / math.sqrt(len(differences))
    return Interval(mean, mean - half, mean + half)


def student(freedom: float) -> float:
    """The t distribution's 0.975 quantile (Abramowitz & Stegun 26.7.5).

    Within 0.3 % from four degrees of freedom on.
    """
    terms = (
        Z,
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
