"""Counterfactuals: which are due, and whether, by what they came to, unlearning was worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, func, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.locks import locked
from store.models import Cycle, Rerun, Stream, Version, new_id
from store.reruns import COUNTERFACTUAL, REPRODUCE, fail
from store.states import RerunState

_JUDGING = ("prequential", "evaluate")  # no part of what a version costs
_AT_ONCE = 100
MOST_QUEUED = 4  # of a stream by one method; each keeps the weights of its version's parent


def add_due(session: Session) -> int:
    """Queue the counterfactuals that are asked for and not there yet.

    Every version whose number is a multiple of `every`, that has a parent and kept its cycle's
    configuration, is run again once by each of `methods` but its own. The policy is that under
    which it was made: one that is changed today makes nothing of the past due. Where more than
    `MOST_QUEUED` wait, those of the oldest versions fail.

    Returns:
        How many were queued.
    """
    asked = func.coalesce(Cycle.settings["policies"], Stream.policies)["counterfactual"]
    every = func.nullif(asked["every"].astext.cast(Integer), 0)
    listed = func.jsonb_array_elements_text(asked["methods"])
    method = listed.table_valued("value", with_ordinality="place").render_derived()
    known = select(Rerun.id).where(
        Rerun.stream_id == Version.stream_id,
        Rerun.version == Version.version,
        Rerun.method == method.c.value,
        Rerun.reason == COUNTERFACTUAL,
    )
    due = (
        select(Version.stream_id, Version.version, method.c.value)
        .join(Stream, Stream.id == Version.stream_id)
        .join(Cycle, Cycle.id == Version.cycle_id)
        .join(method.lateral(), true())
        .where(Version.version % every == 0, Version.parent.is_not(None))
        .where(Version.config.is_not(None), Version.strategy != method.c.value, ~known.exists())
        .order_by(Version.stream_id, Version.version, method.c.place)
        .limit(_AT_ONCE)
    )
    rows = [
        {
            "id": new_id("rer"),
            "stream_id": stream_id,
            "version": version,
            "method": strategy,
            "reason": COUNTERFACTUAL,
            "state": RerunState.QUEUED,
        }
        for stream_id, version, strategy in session.execute(due)
    ]
    if rows:  # another sweeper may be at it
        session.execute(insert(Rerun).on_conflict_do_nothing(), rows)
    _fail_left_behind(session)
    return len(rows)


def _fail_left_behind(session: Session) -> None:
    """On workers that never rest nothing that waits comes to its turn, and ever more would wait."""
    waits = (Rerun.reason == COUNTERFACTUAL) & (Rerun.state == RerunState.QUEUED)
    place = func.row_number().over(
        partition_by=(Rerun.stream_id, Rerun.method), order_by=Rerun.version.desc()
    )
    placed = select(Rerun.id, place.label("place")).where(waits).subquery()
    left_behind = select(placed.c.id).where(placed.c.place > MOST_QUEUED)
    rows = session.scalars(locked(select(Rerun).where(waits, Rerun.id.in_(left_behind)), skip=True))
    for rerun in rows:
        reason = f"{MOST_QUEUED} newer versions wait to be run again by {rerun.method}"
        fail(session, session.get_one(Stream, rerun.stream_id), rerun, reason)


@dataclass(frozen=True)
class Outcome:
    """What one way to train came to.

    Attributes:
        method: The strategy.
        accuracy: On the judge images of all chunks, the same for every method; 0…1.
        images: How many those were.
        seconds: Wall clock of unlearning and relearning.
        flops: What these computed.
    """

    method: str
    accuracy: float | None
    images: int
    seconds: float
    flops: int


@dataclass(frozen=True)
class Comparison:
    """A version's own outcome, and that of each method that was run in its place."""

    version: int
    own: Outcome
    others: Sequence[Outcome]


def comparisons(session: Session, stream: Stream) -> list[Comparison]:
    """Of every version with a finished counterfactual, also those asked for; oldest first.

    Of several runs by one method the last one counts.
    """
    reruns = session.execute(
        select(Rerun.version, Rerun.method, *_told(Rerun.result["metrics"], Rerun.result))
        .where(Rerun.stream_id == stream.id)
        .where(Rerun.state == RerunState.SUCCEEDED, Rerun.method != REPRODUCE)
        .order_by(Rerun.version, Rerun.number)
    )
    others: dict[int, dict[str, Outcome]] = {}
    for number, method, *told in reruns:
        others.setdefault(number, {})[method] = _outcome(method, *told)
    own = session.execute(
        select(Version.version, Version.strategy, *_told(Version.metrics, Version.environment))
        .where(Version.stream_id == stream.id, Version.version.in_(others))
        .order_by(Version.version)
    )
    return [
        Comparison(number, _outcome(strategy, *told), list(others[number].values()))
        for number, strategy, *told in own
    ]


def _told(metrics: Any, record: Any) -> tuple[ColumnElement[Any], ...]:
    """Of the metrics and the record of a training what `_outcome` takes; they are long."""
    figures = metrics["accuracy"].as_float(), metrics["images"].as_integer()
    return *figures, record["timings"], record["flops"]


def _outcome(
    method: str,
    accuracy: float | None,
    images: int | None,
    seconds: dict[str, Any] | None,
    flops: dict[str, Any] | None,
) -> Outcome:
    return Outcome(method, accuracy, images or 0, _price(seconds or {}), _price(flops or {}))


def _price(by_stage: dict[str, Any]) -> Any:
    """The sum of all but the judging."""
    return sum(spent for stage, spent in by_stage.items() if stage not in _JUDGING)
