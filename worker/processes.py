"""The life of a worker's processes: logs, the stop, and children that do not outlive their main."""

from __future__ import annotations

import os
from typing import Any

from celery import signals

from store import jobs
from worker.app import WorkerApp
from worker.lease import Lease
from worker.observed import observe
from worker.yielding import give_way


def attach(app: WorkerApp) -> None:
    """Let this process's Celery live by our rules. Once a process."""
    observe(app)
    lease = Lease(app.settings, app.board, app.queues)

    def tell_children(**_: Any) -> None:
        app.stop.tell()

    def leave_if_orphaned(**_: Any) -> None:
        # Celery has asked the kernel to kill this child when its main process dies; one that died
        # just before is found here, and where there is no such kernel, at the next heartbeat
        if app.stop.is_orphan():
            os._exit(1)

    def forget_device(**_: Any) -> None:
        app.board.forget_device()

    def begin_lease(**_: Any) -> None:
        lease.start()

    def end_lease(**_: Any) -> None:
        lease.stop()

    def begin_nicely(**_: Any) -> None:
        give_way(app.settings.nice)

    _tell_webhooks(app)
    signals.worker_shutting_down.connect(tell_children, weak=False)
    signals.worker_process_init.connect(leave_if_orphaned, weak=False)
    signals.worker_process_init.connect(begin_nicely, weak=False)
    signals.worker_process_init.connect(forget_device, weak=False)
    signals.worker_ready.connect(begin_lease, weak=False)
    signals.worker_shutdown.connect(end_lease, weak=False)


def _tell_webhooks(app: WorkerApp) -> None:
    """Let each child of a worker that admits tell webhooks, beside its tasks."""
    if jobs.ADMIT_QUEUE not in app.queues:
        return
    # only here: learners and beat have no use for all of an HTTP client
    from worker.webhooks import Teller  # noqa: PLC0415

    tellers: list[Teller] = []

    def begin(**_: Any) -> None:
        tellers.append(Teller(app.context))
        tellers[0].start()

    def end(**_: Any) -> None:
        for teller in tellers:
            teller.stop()

    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)
