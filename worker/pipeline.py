"""One cycle of one stream, from the claim to the champion: read `process_next` down the page.

Every write is one short transaction behind the cycle's fence. Whatever kills the worker in between
leaves a heartbeat that goes stale; the next worker goes on from the last resume state and comes to
the same weights, bit for bit.
"""

from __future__ import annotations

import logging
from functools import partial

from store import cycles, jobs, tracing
from store.failpoint import failpoint
from store.states import Stage
from worker import loading, promotion
from worker.attending import attend
from worker.candidate import Candidate, save
from worker.context import Context
from worker.cycle_claim import CycleLedger, hold
from worker.heartbeat import Heartbeat
from worker.measures import measure
from worker.progress import Record
from worker.resuming import run
from worker.trail import follow, of_cycle

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
        trail = of_cycle(session, claim)
    with follow("cycle", trail, cycle=claim.cycle_id, attempt=claim.attempt):
        log.info("cycle claimed")
        if attend(context, hold(claim), partial(_learn, context, claim)):
            context.wake(jobs.PROCESS_NEXT, stream_id)
    return claim


def _learn(context: Context, claim: cycles.Claim, heartbeat: Heartbeat) -> None:
    with tracing.Steps() as steps:
        work = loading.open_work(context, claim)
        record = Record(context, CycleLedger(work.stream, claim), heartbeat.check, steps)
        _run(context, claim, work, record)


def _run(context: Context, claim: cycles.Claim, work: loading.Work, record: Record) -> None:
    record.enter(Stage.LOAD)
    task = loading.load(context, claim, work)

    # prequential, unlearn, relearn, evaluate
    result = run(context, task, work.cycle.resume_digest, record)
    measures = measure(context, work, task, result)

    record.enter(Stage.SAVE)
    stored = save(context, result, measures)

    record.enter(Stage.GATE)
    candidate = Candidate(claim, work, task, result, measures, stored)
    verdict = promotion.judge(context, candidate)

    record.enter(Stage.PROMOTE)
    while not promotion.promote(context, candidate, verdict):
        verdict = promotion.judge(context, candidate)  # the champion was moved meanwhile
    failpoint("cycle.promoted")
    log.info("cycle done: %s", verdict.outcome)
