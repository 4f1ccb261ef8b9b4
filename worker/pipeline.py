"""One cycle of one stream, from the claim to the champion: read `process_next` down the page.

Every write is one short transaction behind the cycle's fence. Whatever kills the worker in between
leaves a heartbeat that goes stale; the next worker goes on from the last resume state and comes to
the same weights, bit for bit.
"""

from __future__ import annotations

import logging
import traceback
from functools import partial

from lure_core.cycle import CycleResult, Start, run_cycle
from lure_core.errors import BadCheckpoint
from store import cycles, jobs
from store.errors import BlobDamaged, BlobMissing, DatabaseAway, FenceLost
from store.failpoint import failpoint
from store.states import Stage
from worker import loading, promotion
from worker.context import Context
from worker.errors import Interrupted, is_of_the_machine
from worker.heartbeat import Heartbeat
from worker.loading import Work
from worker.progress import Record

_MAX_TRACEBACK = 20_000

log = logging.getLogger(__name__)


def process_next(context: Context, stream_id: int) -> cycles.Claim | None:
    """Do what the stream has to do next, if nobody else is doing it.

    Returns:
        The claim under which something was done, or None.
    """
    stale_s = context.settings.stale_s
    with context.database.begin() as session:
        claim = cycles.claim_next(session, stream_id, worker=context.name, stale_s=stale_s)
    if claim is None:
        return None
    log.info("cycle claimed", extra={"cycle": claim.cycle_id, "attempt": claim.attempt})
    heartbeat = Heartbeat(
        context,
        beat=lambda session: cycles.beat(session, claim),
        hand_back=lambda session: cycles.hand_back(session, claim),
    )
    try:
        with heartbeat:
            _learn(context, claim, heartbeat)
    except FenceLost as lost:
        log.warning("nothing more to write: %s", lost, extra={"cycle": claim.cycle_id})
    except Interrupted:
        heartbeat.hand_back()
        log.info("cycle handed back", extra={"cycle": claim.cycle_id})
    except DatabaseAway as away:
        log.warning("left to be resumed: %s", away, extra={"cycle": claim.cycle_id})
        return claim
    except Exception as error:
        log.exception("the cycle raised", extra={"cycle": claim.cycle_id})
        if is_of_the_machine(error):
            heartbeat.hand_back()
        else:
            _record(context, claim, error)
        return claim  # tried again by the next sweep
    context.wake(jobs.PROCESS_NEXT, stream_id)
    return claim


def _learn(context: Context, claim: cycles.Claim, heartbeat: Heartbeat) -> None:
    work = loading.open_work(context, claim)
    record = Record(context, claim, work.stream, heartbeat)

    record.enter(Stage.LOAD)
    task = loading.load(context, claim, work)

    result = _run(context, work, task, record)  # prequential, unlearn, relearn, evaluate

    record.enter(Stage.SAVE)
    stored = promotion.save(context, result.checkpoint)

    record.enter(Stage.GATE)
    candidate = promotion.Candidate(claim, work.cycle, result, stored)
    judge = partial(promotion.judge, context, work, task, result)
    verdict = judge()

    record.enter(Stage.PROMOTE)
    while not promotion.promote(context, candidate, verdict):
        verdict = judge()  # the champion was moved meanwhile
    failpoint("cycle.promoted")
    log.info("cycle done: %s", verdict.outcome, extra={"cycle": claim.cycle_id})


def _run(context: Context, work: Work, task: loading.Task, record: Record) -> CycleResult:
    """Go on from the resume state, if there is one that fits; begin anew otherwise."""
    resume = _resume_state(context, work)
    try:
        return run_cycle(Start(task.parent, resume), task.data, task.config, record)
    except BadCheckpoint as misfit:
        if resume is None:
            raise
        log.warning("beginning anew: %s", misfit, extra={"cycle": work.cycle.id})
    return run_cycle(Start(task.parent, None), task.data, task.config, record)


def _resume_state(context: Context, work: Work) -> bytes | None:
    digest = work.cycle.resume_digest
    if digest is None:
        return None
    try:
        return context.patiently(lambda: context.blobs.read(digest))
    except (BlobMissing, BlobDamaged) as lost:
        log.warning("beginning anew: %s", lost, extra={"cycle": work.cycle.id})
        return None


def _record(context: Context, claim: cycles.Claim, error: Exception) -> None:
    text = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    try:
        context.transact(lambda session: cycles.record_exception(session, claim, text))
    except (FenceLost, DatabaseAway) as lost:
        log.warning("the exception could not be recorded: %s", lost)
