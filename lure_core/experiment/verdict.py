"""Who is no worse than retraining, and how much cheaper: what the experiment is about."""

from __future__ import annotations

from collections.abc import Sequence

from lure_core.experiment.plan import FULL, REFERENCE
from lure_core.experiment.summary import Row

MARGIN = {"cifar10": 0.0025}
OTHER_MARGIN = 0.005
"""How much less accuracy still counts as no worse, at the lower bound of the 95 % interval."""


def margin_of(dataset: str) -> float:
    return MARGIN.get(dataset, OTHER_MARGIN)


def lines(rows: Sequence[Row], *, margin: float) -> list[str]:
    """A sentence for each share of wrong labels of which something can be said.

    Args:
        rows: The summary.
        margin: Of the mean anytime accuracy, 0…1.
    """
    told = []
    for noise in dict.fromkeys(row.noise for row in rows):
        here = [row for row in rows if row.noise == noise]
        scratch = [row for row in here if row.method == REFERENCE]
        full = next((row for row in scratch if row.budget == FULL), None)
        if full is not None and any(_bound(row) is not None for row in here):
            labels = f"{100 * noise:g} % wrong labels" if noise else "Clean labels"
            told.append(f"{labels}: {_sentence(here, full, margin)}")
    return told


def shortest(rows: Sequence[Row], full: Row, margin: float) -> Row:
    """Scratch's own cheapest budget that is no worse than its full one: the fair denominator."""
    able = [row for row in rows if row.method == REFERENCE and no_worse(row, margin)]
    return min([full, *able], key=_price)


def no_worse(row: Row, margin: float) -> bool:
    """Whether the difference to full scratch lies above -margin, with 97.5 % confidence."""
    bound = _bound(row)
    return bound is not None and bound > -margin


def _sentence(rows: Sequence[Row], full: Row, margin: float) -> str:
    within = f"(95 % interval above -{100 * margin:g} points)"
    scratch = shortest(rows, full, margin)
    able = [row for row in rows if row.method != REFERENCE and no_worse(row, margin)]
    if not able:
        also = "" if scratch is full else f"; scratch itself is, at {scratch.budget} of the epochs"
        return f"no method is shown to be no worse than full scratch {within}{also}."
    own = "at the full budget only" if scratch is full else f"at {scratch.budget} of the epochs too"
    best = min(able, key=_price)
    at = "" if best.budget == FULL else f" at {best.budget}"
    return (
        f"{best.method}{at} is the cheapest that is no worse than full scratch {within}: "
        f"{_price(full) / _price(best):.2f} times fewer FLOPs than that, and "
        f"{_price(scratch) / _price(best):.2f} times fewer than scratch's own shortest, "
        f"which is no worse {own}."
    )


def _bound(row: Row) -> float | None:
    return row.to_reference.low if row.to_reference else None


def _price(row: Row) -> float:
    return row.figures["price"].mean
