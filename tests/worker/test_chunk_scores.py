"""What a lineage remembers of its old chunks."""

from __future__ import annotations

from typing import Any

from lure_core.answers import Tally
from worker.chunk_scores import per_chunk, summary

CHUNKS = ["chk_a", "chk_b", "chk_c"]


def lineage(*rows: list[int]) -> list[dict[str, Any]]:
    """The entries of the last of some versions; a row has its right answers of ten, by chunk."""
    entries: list[dict[str, Any]] = []
    for row in rows:
        tallies = [Tally(10, correct) for correct in row]
        entries = per_chunk(tallies, CHUNKS[: len(row)], entries)
    return entries


def test_forgetting_is_what_is_missing_to_the_best_earlier_version() -> None:
    first, second, third = lineage([8], [9, 6], [5, 7, 9])
    assert (first["first"], first["best"], first["forgetting"]) == (0.8, 0.9, 0.4)
    assert (second["first"], second["best"]) == (0.6, 0.6)
    assert abs(second["forgetting"] + 0.1) < 1e-9  # better than ever
    assert (third["accuracy"], third["best"], third["forgetting"]) == (0.9, None, None)


def test_means_are_over_the_old_chunks() -> None:
    found = summary(lineage([8], [9, 6], [5, 7, 9]))
    assert found["forgetting"] is not None
    assert abs(found["forgetting"] - 0.15) < 1e-9
    assert found["backward_transfer"] is not None
    assert abs(found["backward_transfer"] + 0.1) < 1e-9
    assert summary(lineage([8])) == {"forgetting": None, "backward_transfer": None}


def test_a_chunk_without_judge_images_tells_nothing() -> None:
    (before,) = per_chunk([Tally(0, 0)], CHUNKS[:1], [])
    old, _ = per_chunk([Tally(0, 0), Tally(10, 9)], CHUNKS[:2], [before])
    assert (old["accuracy"], old["best"], old["forgetting"]) == (None, None, None)


def test_a_parent_whose_scores_are_lost_is_no_error() -> None:
    (entry,) = per_chunk([Tally(10, 9)], CHUNKS[:1], [])
    assert (entry["accuracy"], entry["best"]) == (0.9, None)
