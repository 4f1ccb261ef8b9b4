"""The log and the traces of a worker's processes."""

from __future__ import annotations

import logging
from typing import Any

from billiard.util import get_logger as pool_logger
from celery import Task, signals
from structlog.contextvars import bind_contextvars, clear_contextvars

from store import tracing
from store.observe import configure_logging
from worker.app import WorkerApp

# a line or two for every message; sweeps alone would fill the logs, also those that came too late
_TALKATIVE = (
    "celery.worker.strategy",
    "celery.worker.request",
    "celery.app.trace",
    "celery.beat",
    "multiprocessing",
)


def configure(app: WorkerApp) -> None:
    """One way for all logs; Celery's own set-up is left out."""
    configure_logging(app.settings, _name(app))
    pool_logger().propagate = True  # else it writes to standard error in its own way
    for logger in _TALKATIVE:
        logging.getLogger(logger).setLevel(logging.WARNING)


def observe(app: WorkerApp) -> None:
    """Let this process and its children tell what they do. Once a process."""
    tracing.prepare(app.settings)

    def configure_logs(**_: Any) -> None:
        configure(app)

    def begin_traces(**_: Any) -> None:
        # in each child for itself: what sends the spans is a thread, and a fork has none
        tracing.install(app.settings, f"lure-{_name(app)}")

    def end_traces(**_: Any) -> None:
        tracing.close()

    def begin_task(task: Task[Any, Any], **_: Any) -> None:
        clear_contextvars()
        bind_contextvars(task=task.name)

    def end_task(**_: Any) -> None:
        clear_contextvars()

    signals.setup_logging.connect(configure_logs, weak=False)
    signals.worker_process_init.connect(begin_traces, weak=False)
    signals.worker_process_shutdown.connect(end_traces, weak=False)
    signals.task_prerun.connect(begin_task, weak=False)
    signals.task_postrun.connect(end_task, weak=False)


def _name(app: WorkerApp) -> str:
    return "+".join(app.queues) or "beat"
