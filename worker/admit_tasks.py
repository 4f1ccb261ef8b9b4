"""Tasks of the queue `admit`: they need a CPU, and no torch."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task

from store import jobs
from store.errors import Away
from worker import admission, artifacts, feedback
from worker import sweep as sweeper
from worker.common_tasks import context_of, sweep

__all__ = ["admit_chunk", "close_feedback", "collect_garbage", "export", "sweep"]


@shared_task(bind=True, name=jobs.ADMIT_CHUNK, throws=(Away,))
def admit_chunk(self: Task[Any, Any], chunk_id: str) -> None:
    """Admit or reject a chunk."""
    context = context_of(self)
    with context.stop.instead_of_sigterm():
        admission.admit(context, chunk_id)


@shared_task(bind=True, name=jobs.EXPORT, throws=(Away,))
def export(self: Task[Any, Any], stream_id: int, version: int, kind: str) -> None:
    """Make a version's export."""
    context = context_of(self)
    with context.stop.instead_of_sigterm():
        artifacts.make(context, stream_id, version, kind)


@shared_task(bind=True, name=jobs.CLOSE_FEEDBACK, throws=(Away,))
def close_feedback(self: Task[Any, Any]) -> None:
    """Make chunks of the labels that came after their predictions."""
    feedback.close_due(context_of(self))


@shared_task(bind=True, name=jobs.COLLECT_GARBAGE, throws=(Away,))
def collect_garbage(self: Task[Any, Any]) -> None:
    """Delete what no row names."""
    sweeper.collect(context_of(self))
