"""A worker's claim to a cycle or a rerun: fenced by `attempt`, alive by its heartbeat.

What both have in common; `store.cycles` and `store.reruns` say what is done under a claim.
"""

from __future__ import annotations

import datetime as dt
from typing import TypeVar

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from store.blobs import held
from store.errors import FenceLost
from store.locks import locked
from store.models import Cycle, Rerun

MAX_DEATHS = 20  # of workers, without progress in between
MAX_EXCEPTIONS = 3  # of the work's own
_RUNNING = "running"  # the state's name in both

Work = TypeVar("Work", Cycle, Rerun)


def is_free(kind: type[Work], stale_s: float) -> ColumnElement[bool]:
    """Whether nobody holds the row, or its worker has not been heard of for so long."""
    horizon = func.clock_timestamp() - dt.timedelta(seconds=stale_s)
    return (kind.heartbeat_at.is_(None)) | (kind.heartbeat_at < horizon)


def bury(work: Work) -> bool:
    """Count the death of the worker whose claim is free, if it had not handed it back.

    Returns:
        Whether too many have died of it now.
    """
    return work.heartbeat_at is not None and count_death(work)


def count_death(work: Work) -> bool:
    """A process that did the work died. The row must be locked.

    Returns:
        Whether too many have died of it now.
    """
    work.deaths += 1
    return work.deaths >= MAX_DEATHS


def take(work: Work, worker: str) -> None:
    """A new claim; all earlier ones are lost. The row must be locked."""
    work.attempt += 1
    work.worker = worker
    work.heartbeat_at = func.clock_timestamp()


def fenced(session: Session, kind: type[Work], work_id: str, attempt: int) -> Work:
    """The claimed row, locked; FenceLost when it ended or was handed to another worker."""
    work = session.scalar(locked(select(kind).where(_is_held(kind, work_id, attempt))))
    if work is None:
        name = kind.__name__.lower()
        raise FenceLost(f"{name} {work_id} was handed to another worker")
    return work


def beat(session: Session, kind: type[Work], work_id: str, attempt: int) -> bool:
    """Renew a claim; False when it is lost. Takes no lock but the row's own, for an instant."""
    beaten = session.scalar(
        update(kind)
        .where(_is_held(kind, work_id, attempt))
        .values(heartbeat_at=func.clock_timestamp())
        .returning(kind.id)
    )
    return beaten is not None


def hand_back(session: Session, kind: type[Work], work_id: str, attempt: int) -> None:
    """End a claim on purpose: the row is free at once, and nobody died."""
    session.execute(
        update(kind)
        .where(_is_held(kind, work_id, attempt))
        .values(heartbeat_at=None, attempt=kind.attempt + 1)
    )


def keep_resume(session: Session, work: Work, digest: str | None) -> None:
    """A resume state was stored, or none: only that outlives death. The row must be locked.

    One that was collected before it got its name is worth nothing; the one before it stays.
    """
    if digest is not None and held(session, digest):
        work.deaths = 0
        work.resume_digest = digest


def count_exception(work: Work, error: str) -> bool:
    """The work raised: free it to be tried again. The row must be locked.

    Returns:
        Whether it has raised too often now.
    """
    work.exceptions += 1
    work.attempt += 1  # the claim ends: tried again after a lost answer, this counts once
    work.heartbeat_at = None
    work.error = error
    return work.exceptions >= MAX_EXCEPTIONS


def _is_held(kind: type[Work], work_id: str, attempt: int) -> ColumnElement[bool]:
    return and_(kind.id == work_id, kind.attempt == attempt, kind.state == _RUNNING)
