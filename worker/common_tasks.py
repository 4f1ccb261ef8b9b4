"""Tasks of every queue."""

from __future__ import annotations

from typing import Any, cast

from celery import Task, shared_task

from store import jobs
from store.errors import Away
from worker import sweep as sweeper
from worker.app import WorkerApp
from worker.context import Context


def context_of(task: Task[Any, Any]) -> Context:
    """What the task's process works with."""
    return cast("WorkerApp", task.app).context


@shared_task(bind=True, name=jobs.SWEEP, throws=(Away,))
def sweep(self: Task[Any, Any], queue: str) -> None:
    """Wake what waits for this queue."""
    sweeper.sweep(context_of(self), queue)
