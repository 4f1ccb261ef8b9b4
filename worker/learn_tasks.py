"""Tasks of the queue `learn`: they load torch."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from store import jobs
from store.errors import Away
from worker import reruns
from worker.common_tasks import context_of, sweep
from worker.turns import take_turn

__all__ = ["process_next", "rerun_next", "sweep"]


@shared_task(bind=True, name=jobs.PROCESS_NEXT, throws=(Away,))
def process_next(self: Task[Any, Any], stream_id: int) -> None:
    """Do what the stream that has waited longest has to do next; often that is this one."""
    context = context_of(self)
    with context.stop.instead_of_sigterm():
        take_turn(context, stream_id)


@shared_task(bind=True, name=jobs.RERUN_NEXT, throws=(Away,))
def rerun_next(self: Task[Any, Any]) -> None:
    """Run a cycle again, if nothing is to be learned."""
    context = context_of(self)
    with context.stop.instead_of_sigterm():
        reruns.rerun_next(context)
