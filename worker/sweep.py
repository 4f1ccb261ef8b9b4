"""The sweeper: wakes the work that no live worker holds, whatever became of its message.

Each queue is swept through itself: a sweep waits for a free worker of the queue that it wakes, so
that wake-ups are sent only when somebody is there to follow them.
"""

from __future__ import annotations

import logging

from lure_core.policies import Retention, policy
from store import (
    answers,
    artifacts,
    audit,
    chunks,
    counterfactuals,
    cycles,
    events,
    garbage,
    jobs,
    replicas,
    reruns,
    retention,
    streams,
    traces,
    workers,
)
from store.engine import Session
from store.errors import Away
from store.models import Stream, WorkerLease
from store.schema import has
from worker import feedback
from worker.apart import apart
from worker.context import Context

_AT_ONCE = 200
_EVENTS_AT_ONCE = 10_000  # forgotten in one transaction
_COLLECT_S = 300.0  # of blobs; the task is killed after twice that
_RETENTION = "retention"  # who deletes the weights, in the events
_LIFE_IN_SWEEPS = 2  # the next sweep but one has said it again

_Waiting = tuple[str, tuple[str | int, ...]]  # a task and its arguments

log = logging.getLogger(__name__)


def sweep(context: Context, queue: str) -> int:
    """Wake what waits for that queue, the oldest of each stream; return how many were woken."""
    stale_s = context.settings.stale_s
    expires_s = _LIFE_IN_SWEEPS * context.settings.sweep_s
    waiting = _to_admit if queue == jobs.ADMIT_QUEUE else _to_learn
    with context.database.begin() as session:
        found = waiting(session, stale_s)[:_AT_ONCE]
    for task, arguments in found:
        context.wake(task, *arguments, expires_s=expires_s)
    context.board.swept()
    return len(found)


def _to_admit(session: Session, stale_s: float) -> list[_Waiting]:
    replicas.bury(session, stale_s=stale_s)
    if has(session, WorkerLease):
        workers.bury(session, stale_s=stale_s)
    received = chunks.unattended(session, stale_s=stale_s)
    exports = artifacts.unattended(session, stale_s=stale_s)
    return [
        *((jobs.ADMIT_CHUNK, (chunk,)) for chunk in received),
        *((jobs.EXPORT, export) for export in exports),
    ]


def _to_learn(session: Session, stale_s: float) -> list[_Waiting]:
    counterfactuals.add_due(session)
    behind = cycles.unattended(session, stale_s=stale_s)
    found: list[_Waiting] = [(jobs.PROCESS_NEXT, (stream,)) for stream in behind]
    if reruns.waiting(session, stale_s=stale_s):
        found.append((jobs.RERUN_NEXT, ()))
    return found


def collect(context: Context) -> None:
    """Delete what retention and feedback no longer keep, old answers, and blobs without a row."""
    _thin(context)
    feedback.expire(context)
    with context.database.begin() as session:
        answers.forget_old(session)
        traces.forget_old(session)
        audit.forget_old(session, days=context.settings.audit_days)
    try:
        _forget_progress(context)
    except Away as error:  # what is left is for the next time; the bytes do not wait for it
        log.warning("old progress is not forgotten now: %s", error)
    is_held_back = garbage.is_held_back(context.database)
    deleted = garbage.collect(context.database, context.blobs, limit_s=_COLLECT_S)
    if is_held_back:
        log.warning("no garbage was collected: a backup holds it back until it ends")
        return
    context.board.collected()
    if deleted:
        log.info("garbage collected", extra={"blobs": deleted})


def _forget_progress(context: Context) -> None:
    gone = _EVENTS_AT_ONCE
    while gone == _EVENTS_AT_ONCE and not context.stop():
        with context.database.begin() as session:
            gone = events.forget_old(session, limit=_EVENTS_AT_ONCE)


def _thin(context: Context) -> None:
    """Each stream's versions to as many as its policy keeps, some in each transaction."""
    with context.database.begin() as session:
        rows = streams.every(session)
    for stream in rows:
        with apart(stream, "the versions cannot be thinned"):
            keep = policy(Retention, stream.policies).versions
            while keep and (gone := _thin_some(context, stream, keep)):
                log.info("weights deleted", extra={"stream": stream.name, "versions": gone})


def _thin_some(context: Context, stream: Stream, keep: int) -> list[int]:
    with context.database.begin() as session:
        return retention.thin(session, stream, keep=keep, who=_RETENTION)
