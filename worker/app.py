"""The Celery app: a message is a wake-up, the row is the truth.

So messages are acknowledged before the work and carry ids only, there are no results, and neither
a lost message nor one that comes twice does harm.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

from store import jobs
from worker.board import Board
from worker.context import Context
from worker.settings import WorkerSettings
from worker.stop import Stop

QUEUES = (jobs.ADMIT_QUEUE, jobs.LEARN_QUEUE)
_TASKS_OF = {jobs.ADMIT_QUEUE: "worker.admit_tasks", jobs.LEARN_QUEUE: "worker.learn_tasks"}

log = logging.getLogger(__name__)


class WorkerApp(Celery):
    """Celery with the settings it was made from, and what each process makes of them."""

    settings: WorkerSettings
    stop: Stop
    board: Board
    queues: tuple[str, ...]
    _context: Context | None = None

    @property
    def context(self) -> Context:
        """This process's own; opened at the first use, which is after the fork."""
        if self._context is None:
            self._context = Context.of(
                self.settings, wake=self.wake, stop=self.stop, board=self.board
            )
        return self._context

    def wake(self, task: str, *arguments: str | int, expires_s: float | None = None) -> None:
        """Send a wake-up, or leave it to the sweeper when Redis is away."""
        try:
            self.send_task(task, args=arguments, expires=expires_s, retry=False)
        except OperationalError as error:
            log.warning("not woken, the sweeper will: %s %s: %s", task, arguments, error)


def create_app(settings: WorkerSettings, queues: Sequence[str] = QUEUES) -> WorkerApp:
    """Make the app; it knows the tasks of `queues` alone, so that only learners load torch."""
    app = WorkerApp("lure", broker=settings.redis_url, set_as_current=True)
    app.settings = settings
    app.stop, app.board, app.queues = Stop(), Board(), tuple(queues)
    app.conf.update(_configuration(settings))
    app.conf.include = [_TASKS_OF[queue] for queue in queues]
    return app


def _configuration(settings: WorkerSettings) -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_routes": {task: {"queue": queue} for task, queue in jobs.QUEUE_OF.items()},
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        "task_default_queue": jobs.ADMIT_QUEUE,
        "task_annotations": {
            jobs.ADMIT_CHUNK: {"time_limit": settings.admit_limit_s},
            jobs.PROCESS_NEXT: {"time_limit": settings.cycle_limit_s},
            jobs.RERUN_NEXT: {"time_limit": settings.cycle_limit_s},
            jobs.EXPORT: {"time_limit": 2 * settings.export_limit_s},
            jobs.CLOSE_FEEDBACK: {"time_limit": settings.admit_limit_s},
            jobs.SWEEP: {"time_limit": 60},
            jobs.COLLECT_GARBAGE: {"time_limit": 600},
        },
        "worker_prefetch_multiplier": 1,
        "worker_proc_alive_timeout": 60.0,  # a machine with much to do takes long to start a child
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # for ever
        "broker_transport_options": {
            "socket_connect_timeout": 2.0,
            "socket_timeout": 30.0,
            "socket_keepalive": True,
        },
        "beat_schedule": _schedule(settings),
        # nothing is kept between two runs: a file torn by `kill -9` would stop the sweeps
        "beat_scheduler": "celery.beat:Scheduler",
    }


def _schedule(settings: WorkerSettings) -> dict[str, Any]:
    sweeps = {
        f"sweep-{queue}": {
            "task": jobs.SWEEP,
            "args": [queue],
            "schedule": settings.sweep_s,
            "options": {"queue": queue, "expires": settings.sweep_s},
        }
        for queue in QUEUES
    }
    collection = {
        "task": jobs.COLLECT_GARBAGE,
        "schedule": settings.gc_s,
        "options": {"expires": settings.gc_s},
    }
    feedback = {
        "task": jobs.CLOSE_FEEDBACK,
        "schedule": settings.sweep_s,
        "options": {"expires": settings.sweep_s},
    }
    return {**sweeps, "collect-garbage": collection, "close-feedback": feedback}
