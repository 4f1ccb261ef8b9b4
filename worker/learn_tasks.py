"""Tasks of the queue `learn`: they load torch."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from store import jobs
from store.errors import Away
from worker import pipeline, reruns
from worker.common_tasks import context_of, sweep

__all__ = ["process_next", "rerun_next", "sweep"]


@shared_task(bind=True, name=jobs.PROCESS_NEXT, throws=(Away,))
def process_next(self: Task[Any, Any], stream_id: int) -> None:
    """Do what a stream has to do next."""
    context = context_of(self)
    with context.stop.instead_of_sigterm():
        pipeline.process_next(context, stream_id)


@shared_task(bind=True, name=jobs.RERUN_NEXT, throws=(Away,))
def rerun_next(self: Task[Any, Any]) -> None:
    """Run a cycle again, if nothing is to be learned."""
    context = context_of(self)
    with context.stop.instead_of_sigterm():
        reruns.rerun_next(context)
