"""Sums over all that a stream's cycles did, kept as they end: nobody counts old rows for them.

A row of `stage_totals` is named by a stage, or else by what came to its end: a cycle, by its last
state, with the seconds of all its stages, or a chunk that is served, with the seconds since it was
accepted. What ended while the database had no such table is not in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.models import Cycle, StageTotal, Stream
from store.schema import has

SERVED = "served"  # no state of a cycle, and no stage


@dataclass(frozen=True)
class Total:
    """How many there were, and their seconds together."""

    count: int = 0
    seconds: float = 0.0


def add_cycle(session: Session, cycle: Cycle) -> None:
    """A cycle has ended; its row must be locked, and its state the last one."""
    stages = {str(stage): Total(1, seconds) for stage, seconds in cycle.timings.items()}
    whole = Total(1, sum(cycle.timings.values()))
    _add(session, cycle.stream_id, {**stages, cycle.state.value: whole})


def add_served(session: Session, stream: Stream, waits_s: list[float]) -> None:
    """Chunks are served now, each so many seconds after it was accepted."""
    if waits_s:
        _add(session, stream.id, {SERVED: Total(len(waits_s), sum(waits_s))})


def of_all(session: Session) -> dict[tuple[str, str], Total]:
    """By stream and name; nothing from a database that has no such table."""
    if not has(session, StageTotal):
        return {}
    rows = session.execute(
        select(Stream.name, StageTotal.stage, StageTotal.cycles, StageTotal.seconds).join(
            StageTotal, StageTotal.stream_id == Stream.id
        )
    )
    return {(stream, name): Total(count, seconds) for stream, name, count, seconds in rows}


def _add(session: Session, stream_id: int, more: Mapping[str, Total]) -> None:
    if not has(session, StageTotal):
        return
    rows = [
        {"stream_id": stream_id, "stage": name, "cycles": total.count, "seconds": total.seconds}
        for name, total in sorted(more.items())  # one order for all who lock them
    ]
    added = insert(StageTotal).values(rows)
    session.execute(
        added.on_conflict_do_update(
            index_elements=[StageTotal.stream_id, StageTotal.stage],
            set_={
                "cycles": StageTotal.cycles + added.excluded.cycles,
                "seconds": StageTotal.seconds + added.excluded.seconds,
            },
        )
    )
