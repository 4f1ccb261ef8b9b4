"""Whether a candidate has become worse than the champion at knowing how sure it may be.

Legend: N judge images, B bins of confidence, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from lure_core.answers import Answers
from lure_core.calibration import ECE_BINS, bin_of, calibration_error

RESAMPLES = 1000
_SEED = 15  # the verdict on the same answers is always the same
_DRAWS_AT_ONCE = 4_000_000  # 8 bytes each

Floats = npt.NDArray[np.float64]


def error(answers: Answers) -> float:
    """Expected calibration error, as in a version's metrics; 0…1."""
    confidence, right = torch.from_numpy(answers.confidence_N), torch.from_numpy(answers.right_N)
    return calibration_error(confidence, right)


def least_growth(candidate: Answers, champion: Answers, *, confidence: float) -> float:
    """By how much the candidate's error exceeds the champion's at least, -1…1.

    The lower bound of a one-sided percentile interval (Efron & Tibshirani, "An Introduction to the
    Bootstrap", 1993, ch. 13). Both errors are taken on the same resamples of the images: what is
    common to them cancels, as does most of the error that bins of few images have of themselves.
    """
    ours, theirs = _gaps(candidate), _gaps(champion)
    growth = [
        np.abs(times @ ours).sum(axis=1) - np.abs(times @ theirs).sum(axis=1)
        for times in _resamples(len(candidate))
    ]
    return float(np.quantile(np.concatenate(growth), 1 - confidence)) / len(candidate)


def _gaps(answers: Answers) -> Floats:
    """Confidence less rightness of each image, in the column of its bin: [N, B]."""
    images = len(answers)
    confidence = answers.confidence_N.astype(np.float64)
    gaps = np.zeros((images, ECE_BINS))
    bins = bin_of(torch.from_numpy(confidence)).numpy()
    gaps[np.arange(images), bins] = confidence - answers.right_N
    return gaps


def _resamples(images: int) -> Iterator[Floats]:
    """How often each image was drawn, [R, N]; some resamples at a time."""
    draws = np.random.default_rng(_SEED)
    rows = max(1, _DRAWS_AT_ONCE // images)
    for start in range(0, RESAMPLES, rows):
        count = min(rows, RESAMPLES - start)
        drawn = draws.integers(images, size=(count, images)) + images * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * images)
        yield times.reshape(count, images).astype(np.float64)
