"""Who is alive: API processes, workers for each queue, and who wakes the sweeper."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from importlib import metadata

from sqlalchemy import func, select

from store import jobs, schema, workers
from store.checks.finding import Finding, failure, ok, skipped, warning
from store.engine import Database, Session
from store.errors import DatabaseAway
from store.models import Replica, WorkerLease
from store.settings import StoreSettings
from store.workers import Worker

_OFF_S = 5.0
_SWEEPS = 10  # so many without one: nobody sends them
_NAMES = ("api processes", "workers, admit", "workers, learn", "beat")


def examine(settings: StoreSettings) -> list[Finding]:
    """By the leases that they keep in the database."""
    database = Database(settings)
    try:
        with database.begin() as session:
            if not schema.has(session, Replica):
                return [skipped(name, "the database has no schema yet") for name in _NAMES]
            return [_replicas(session, settings), *_workers(session, settings)]
    except DatabaseAway:
        return [skipped(name, "the database is not to be had") for name in _NAMES]
    finally:
        database.close()


def _replicas(session: Session, settings: StoreSettings) -> Finding:
    horizon = func.clock_timestamp() - dt.timedelta(seconds=settings.stale_s)
    rows = select(func.count()).select_from(Replica).where(Replica.seen_at >= horizon)
    count = session.scalars(rows).one()
    if not count:
        return failure("api processes", "none is alive", "start `python -m service`; see its log")
    return ok("api processes", f"{count} alive")


def _workers(session: Session, settings: StoreSettings) -> list[Finding]:
    if not schema.has(session, WorkerLease):
        why = "the schema is of the release before: run `python -m store.admin migrate`"
        return [skipped(name, why) for name in _NAMES[1:]]
    alive = workers.alive(session, stale_s=settings.stale_s)
    queues = [_queue(queue, alive) for queue in (jobs.ADMIT_QUEUE, jobs.LEARN_QUEUE)]
    return [*queues, _beat(alive, settings), *_clocks(alive), *_releases(alive)]


def _queue(queue: str, alive: Sequence[Worker]) -> Finding:
    name = f"workers, {queue}"
    takers = [worker for worker in alive if queue in worker.queue.split("+")]
    if not takers:
        remedy = f"start `python -m worker worker -Q {queue}`; see its log"
        return failure(name, "none is alive: what waits for one is not done", remedy)
    return ok(name, f"{len(takers)} alive")


def _beat(alive: Sequence[Worker], settings: StoreSettings) -> Finding:
    """Its sweeps are seen at the workers that do them, by the workers' clocks."""
    ages = [
        float(worker.facts["clock"]) - float(worker.facts["swept_at"])
        for worker in alive
        if worker.facts.get("swept_at") and worker.facts.get("clock")
    ]
    bound = _SWEEPS * settings.sweep_s
    if ages and min(ages) <= bound:
        return ok("beat", f"the last sweep was {max(0.0, min(ages)):.0f} s ago")
    young = [worker for worker in alive if _age_s(worker) < bound]
    if not alive or (young and not ages):
        return skipped("beat", "no worker has been there long enough to tell")
    found = f"no sweep for {min(ages):.0f} s" if ages else "no sweep since the workers began"
    return failure("beat", found, "start `python -m worker beat`; without it nothing is repaired")


def _age_s(worker: Worker) -> float:
    """How long it has been there, as far as the two clocks agree."""
    return time.time() - worker.started_at.timestamp()


def _clocks(alive: Sequence[Worker]) -> list[Finding]:
    off = {
        str(worker.facts.get("host", worker.id)): worker.clock_offset_s
        for worker in alive
        if worker.clock_offset_s is not None and abs(worker.clock_offset_s) > _OFF_S
    }
    if not off:
        return [ok("clocks of workers", "within 5 s of the database's")] if alive else []
    found = ", ".join(f"{host} {offset:+.0f} s" for host, offset in sorted(off.items()))
    return [warning("clocks of workers", found, "let all machines follow NTP")]


def _releases(alive: Sequence[Worker]) -> list[Finding]:
    ours = metadata.version("lure")
    others = sorted({str(worker.facts.get("lure")) for worker in alive} - {ours})
    if not others:
        return []
    found = f"workers of {', '.join(others)} beside this {ours}"
    remedy = "finish the upgrade; two releases side by side are borne, more are not"
    return [warning("releases", found, remedy)]
