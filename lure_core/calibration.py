"""Whether a model is as sure as it is right, and one number that makes it so.

Legend: N images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ECE_BINS = 15
COLDEST, HOTTEST = 0.01, 100.0
"""Between these a temperature is looked for: no fit lies outside but that of a few images."""


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence lies in (lower, upper].

    Attributes:
        lower, upper: Bounds of the confidence, 0…1; the first bin takes 0 itself too.
        count: Images.
        confidence: Mean confidence; None where there is no image.
        accuracy: Share of right answers; None where there is no image.
    """

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature and what it does to the images it was fitted on.

    Attributes:
        temperature: Divide logits by it: above 1 where the model is too sure of itself.
        nll_before: Mean negative log-likelihood of the logits as they are, in nats.
        nll_after: The same of the logits divided by the temperature; never more.
    """

    temperature: float
    nll_before: float
    nll_after: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def calibration_error(confidence_N: Tensor, right_N: Tensor, bins: int = ECE_BINS) -> float:
    """Expected calibration error (Guo et al. 2017): |confidence - accuracy|, averaged over bins.

    The bins have equal width, are open below and closed above, and weigh by their images.
    """
    confidence = confidence_N.cpu().double()  # in this order: mps has no float64
    right = right_N.cpu().double()
    gap = _sums(confidence - right, bin_of(confidence, bins), bins)
    return float(gap.abs().sum() / len(confidence))


def bin_of(confidence_N: Tensor, bins: int = ECE_BINS) -> Tensor:
    """The number of the bin that each confidence lies in, 0…bins-1."""
    return (confidence_N * bins).ceil().long().sub_(1).clamp_(0, bins - 1)


def reliability(confidence_N: Tensor, right_N: Tensor, bins: int = ECE_BINS) -> tuple[Bin, ...]:
    """The bins of `calibration_error`, for a reliability diagram (arXiv 1706.04599, fig. 1)."""
    confidence = confidence_N.cpu().double()
    bin_N = bin_of(confidence, bins)
    sums = (confidence, right_N.cpu().double())
    sure, right = (_sums(values, bin_N, bins).tolist() for values in sums)
    counts = torch.bincount(bin_N, minlength=bins).tolist()
    return tuple(
        Bin(
            lower=index / bins,
            upper=(index + 1) / bins,
            count=count,
            confidence=sure[index] / count if count else None,
            accuracy=right[index] / count if count else None,
        )
        for index, count in enumerate(counts)
    )


def fit_temperature(logits_NK: Tensor, labels_N: Tensor) -> Temperature:
    """Temperature scaling (Guo et al., arXiv 1706.04599): the least NLL of logits / T.

    The NLL is convex in 1/T, so halving the interval where its slope changes sign finds the least
    one, always the same. Where it falls for ever (all answers right, or hardly one), T stays
    between `COLDEST` and `HOTTEST`; without images, or where T makes no difference, it is 1.
    """
    logits, labels = logits_NK.detach().cpu().double(), labels_N.cpu()
    if not len(labels):
        return Temperature(1.0, 0.0, 0.0)
    target_N = logits.gather(1, labels[:, None]).squeeze(1)

    def slope(sharpness: float) -> float:
        expected_N = ((logits * sharpness).softmax(dim=1) * logits).sum(dim=1)
        return float((expected_N - target_N).mean())

    sharpness = _root(slope, 1 / HOTTEST, 1 / COLDEST) if slope(1.0) else 1.0
    return Temperature(1 / sharpness, _nll(logits, labels), _nll(logits * sharpness, labels))


def report(
    select: tuple[Tensor, Tensor], judge: tuple[Tensor, Tensor], bins: int = ECE_BINS
) -> dict[str, Any]:
    """Calibration of the judge images, as it is and with the temperature of the select images.

    Args:
        select: Logits [N, K] and labels [N] that choose the temperature.
        judge: Logits and labels that are reported on; at least one image.
        bins: Of the diagram and the ECE.

    Returns:
        Plain JSON: "temperature" (see `Temperature`), and "before" and "after", each with "ece",
        "nll" (nats) and "bins" (see `Bin`).
    """
    fitted = fit_temperature(*select)
    logits, labels = judge
    return {
        "temperature": fitted.to_dict(),
        "before": _figures(logits, labels, bins),
        "after": _figures(logits / fitted.temperature, labels, bins),
    }


def _figures(logits_NK: Tensor, labels_N: Tensor, bins: int) -> dict[str, Any]:
    logits, labels = logits_NK.detach().cpu().double(), labels_N.cpu()
    confidence, answer = logits.softmax(dim=1).max(dim=1)
    right = answer == labels
    return {
        "ece": calibration_error(confidence, right, bins),
        "nll": _nll(logits, labels),
        "bins": [asdict(bin_) for bin_ in reliability(confidence, right, bins)],
    }


def _sums(values_N: Tensor, bin_N: Tensor, bins: int) -> Tensor:
    return torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_N, values_N)


def _nll(logits_NK: Tensor, labels_N: Tensor) -> float:
    return float(F.cross_entropy(logits_NK, labels_N))


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where the function crosses 0, to twelve digits; a bound where it does not cross."""
    for _ in range(50):  # a range of 1e4 halved fifty times on a logarithmic scale
        middle = math.sqrt(low * high)
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
