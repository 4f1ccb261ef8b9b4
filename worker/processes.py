"""The life of a worker's processes: logs, the stop, and children that do not outlive their main."""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import signals

from store.observe import configure_logging
from worker.app import WorkerApp
from worker.lease import Lease
from worker.yielding import give_way

# a line or two for every message; sweeps alone would fill the logs
_TALKATIVE = ("celery.worker.strategy", "celery.app.trace", "celery.beat")


def attach(app: WorkerApp) -> None:
    """Let this process's Celery live by our rules. Once a process."""
    lease = Lease(app.settings, app.board, app.queues)

    def configure_logs(**_: Any) -> None:
        configure_logging(app.settings)
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)

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

    signals.setup_logging.connect(configure_logs, weak=False)
    signals.worker_shutting_down.connect(tell_children, weak=False)
    signals.worker_process_init.connect(leave_if_orphaned, weak=False)
    signals.worker_process_init.connect(begin_nicely, weak=False)
    signals.worker_process_init.connect(forget_device, weak=False)
    signals.worker_ready.connect(begin_lease, weak=False)
    signals.worker_shutdown.connect(end_lease, weak=False)
