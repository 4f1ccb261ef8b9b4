"""A version's cycle once more, when nothing else is to do: read `rerun_next` down the page.

It begins when no stream has anything to learn, and at the end of any epoch it gives way to one that
has: the state of that moment is stored, the claim handed back, and whoever goes on later comes to
the same weights. Nothing of it is ever served: its figures are all that is kept.
"""

from __future__ import annotations

import logging
from functools import partial

from structlog.contextvars import bound_contextvars

from store import jobs, reruns, streams
from store.errors import BlobDamaged, BlobMissing
from store.states import Stage
from worker import recorded
from worker.attending import attend
from worker.context import Context
from worker.errors import Interrupted
from worker.heartbeat import Heartbeat
from worker.outcome import outcome
from worker.progress import Record
from worker.recorded import Recorded
from worker.rerun_claim import RerunLedger, hold
from worker.resuming import run

log = logging.getLogger(__name__)


def rerun_next(context: Context) -> reruns.Claim | None:
    """Run the next rerun, if there is one and nothing to learn before it.

    Returns:
        The claim under which something was done, or None.
    """
    stale_s = context.settings.stale_s
    with context.database.begin() as session:
        claim = reruns.claim_next(session, worker=context.name, stale_s=stale_s)
        if claim is None:
            return None
        stream = streams.name_of(session, claim.stream_id)
    with bound_contextvars(stream=stream, rerun=claim.rerun_id, attempt=claim.attempt):
        log.info("rerun claimed")
        if attend(context, hold(claim), partial(_rerun, context, claim)):
            context.wake(jobs.RERUN_NEXT)
    return claim


def _rerun(context: Context, claim: reruns.Claim, heartbeat: Heartbeat) -> None:
    record = Record(context, RerunLedger(claim), partial(_check, context, heartbeat))
    made = recorded.read(context, claim)

    record.enter(Stage.LOAD)
    try:
        task = recorded.load(context, made)
    except (BlobMissing, BlobDamaged) as lost:
        _give_up(context, claim, made, f"what it was made from is lost: {lost}")
        return

    result = run(context, task, made.rerun.resume_digest, record)
    told = outcome(context, made, task, result)
    context.transact(lambda session: reruns.succeed(session, made.stream, claim, told))
    log.info("rerun done")


def _check(context: Context, heartbeat: Heartbeat) -> None:
    """Stop for what stops a cycle, and for a stream that has something to learn."""
    heartbeat.check()
    stale_s = context.settings.stale_s
    if context.transact(lambda session: reruns.must_wait(session, stale_s=stale_s)):
        raise Interrupted


def _give_up(context: Context, claim: reruns.Claim, made: Recorded, reason: str) -> None:
    context.transact(
        lambda session: reruns.fail(session, made.stream, reruns.fenced(session, claim), reason)
    )
