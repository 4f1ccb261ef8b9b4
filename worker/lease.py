"""The lease of a worker's main process: a thread that tells the rows that it lives, and of itself.

It decides nothing; the claims of cycles and chunks have heartbeats of their own. Doctor, `/metrics`
and people read it.

The main process forks children at any time, and a fork takes along whatever another thread holds at
that moment: locks that nobody will free, and connections that two processes would write to. So no
fork happens while a renewal is under way, and no connection outlives a renewal. One that hangs in
a database that hangs waits in a system call, and holds nothing that a child needs: for that the
fork waits a few seconds at most.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from store import jobs, workers
from store.engine import Database, Session
from store.errors import DatabaseAway
from store.models import WorkerLease
from store.schema import has
from worker.board import Board
from worker.settings import WorkerSettings

_FORK_WAITS_S = 5.0
_LEAVE_S = 2.0  # for the last renewal to end when the worker stops

log = logging.getLogger(__name__)


class Lease:
    """Renewed every `heartbeat_s` from `start` to `stop`; a worker that is killed falls silent.

    Args:
        settings: The clock, and where the database is.
        board: What the children tell.
        queues: Those that the worker takes tasks from.
    """

    def __init__(self, settings: WorkerSettings, board: Board, queues: Sequence[str]) -> None:
        self._settings = settings
        self._board = board
        self._queues = queues
        self._id = ""
        self._told: dict[str, Any] = {}
        self._database = Database(settings)
        self._over = threading.Event()
        self._busy = threading.Lock()
        self._is_held = False  # for a fork
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in the main process, when it is ready to take tasks."""
        if self._thread is not None:
            return
        host, pid = socket.gethostname(), os.getpid()
        self._id = f"{'+'.join(self._queues)}@{host}:{pid}-{secrets.token_hex(2)}"
        self._told = {
            "host": host,
            "pid": pid,
            "lure": version("lure"),
            "torch": self._torch(),
            "began_at": time.time(),
        }
        os.register_at_fork(
            before=self._hold, after_in_parent=self._release, after_in_child=self._forget
        )
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back; in bounded time."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join(_LEAVE_S)

    def _run(self) -> None:
        while True:
            with self._busy:
                self._try(self._renew)
            if self._over.wait(self._settings.heartbeat_s):
                break
        with self._busy:
            self._try(self._leave)

    def _try(self, step: Callable[[Session], None]) -> None:
        try:
            with self._database.begin() as session:
                if has(session, WorkerLease):
                    step(session)
        except DatabaseAway as error:
            log.debug("the lease is not renewed: %s", error)
        except Exception:  # the thread must outlive it, or the worker would count as dead
            log.exception("the lease is not renewed")
        finally:
            self._database.close()  # no connection is left for a fork to take along

    def _renew(self, session: Session) -> None:
        queue = "+".join(self._queues)
        facts = {"queue": queue, **self._told, **self._board.facts(), "clock": time.time()}
        workers.renew(session, self._id, queue=queue, facts=facts)

    def _leave(self, session: Session) -> None:
        workers.leave(session, self._id)

    def _torch(self) -> str | None:
        """The release that cycles run with; the other workers do not load it."""
        return version("torch") if jobs.LEARN_QUEUE in self._queues else None

    def _hold(self) -> None:
        self._is_held = self._busy.acquire(timeout=_FORK_WAITS_S)

    def _release(self) -> None:
        if self._is_held:
            self._busy.release()

    def _forget(self) -> None:
        """In a child, which has no such thread and forks for itself."""
        self._busy = threading.Lock()
