"""How a version does on each chunk, beside the versions that it descends from.

Each version writes down the best and the first accuracy that its lineage had on a chunk, so that
the next one needs no more than its parent's scores. The images are the same for all: an image keeps
its role for as long as it lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from lure_core.answers import Tally

Entry = dict[str, Any]


def per_chunk(
    tallies: Sequence[Tally], chunks: Sequence[str], parent: Sequence[Entry]
) -> list[Entry]:
    """An entry a chunk, oldest first.

    Args:
        tallies: Of the version's answers to the judge images of each chunk.
        chunks: Their ids.
        parent: The entries of the version that it descends from; none where there is none.

    Returns:
        Of each "chunk" its "images" and how many are "correct", the "accuracy", that of the "first"
        and of the "best" earlier version of the lineage, and the "forgetting": the best one's less
        this one's. None where there is no image, or no earlier version that was judged on it.
    """
    before = {entry["chunk"]: entry for entry in parent}
    return [
        _entry(chunk, tally, before.get(chunk))
        for chunk, tally in zip(chunks, tallies, strict=True)
    ]


def summary(entries: Sequence[Entry]) -> dict[str, float | None]:
    """Means over the old chunks; see `lure_core.anytime` for the definitions and their sources."""
    old = [entry for entry in entries if entry["forgetting"] is not None]
    return {
        "forgetting": _mean([entry["forgetting"] for entry in old]),
        "backward_transfer": _mean([entry["accuracy"] - entry["first"] for entry in old]),
    }


def _entry(chunk: str, tally: Tally, before: Entry | None) -> Entry:
    accuracy, first, best, forgetting = tally.accuracy, None, None, None
    if accuracy is not None and before is not None and before["accuracy"] is not None:
        first = before["accuracy"] if before["first"] is None else before["first"]
        best = max(before["accuracy"], before["best"] or 0.0)
        forgetting = best - accuracy
    return {
        "chunk": chunk,
        "images": tally.images,
        "correct": tally.correct,
        "accuracy": accuracy,
        "first": first,
        "best": best,
        "forgetting": forgetting,
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
