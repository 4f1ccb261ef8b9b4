"""Runs the core from where an earlier worker left off."""

from __future__ import annotations

import logging

from lure_core.cycle import CycleResult, Start, run_cycle
from lure_core.errors import BadCheckpoint
from store.errors import BlobDamaged, BlobMissing
from worker.context import Context
from worker.loading import Task
from worker.progress import Record
from worker.ranks import running

log = logging.getLogger(__name__)


def run(context: Context, task: Task, resume_digest: str | None, record: Record) -> CycleResult:
    """Go on from the resume state, if there is one that fits; begin anew otherwise."""
    resume = _resume_state(context, resume_digest)
    try:
        return _run(context, task, resume, record)
    except BadCheckpoint as misfit:
        if resume is None:
            raise
        log.warning("beginning anew: %s", misfit, extra={"resume_state": resume_digest})
    return _run(context, task, None, record)


def _run(context: Context, task: Task, resume: bytes | None, record: Record) -> CycleResult:
    """In this process, or in several that it starts."""
    if task.team.ranks > 1:
        return running.run(context, task, resume, record)
    return run_cycle(Start(task.parent, resume), task.data, task.config, record)


def _resume_state(context: Context, digest: str | None) -> bytes | None:
    if digest is None:
        return None
    try:
        return context.read(digest)
    except (BlobMissing, BlobDamaged) as lost:
        log.warning("beginning anew: %s", lost)
        return None
