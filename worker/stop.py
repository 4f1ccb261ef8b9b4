"""How a prefork child learns that its worker is told to stop.

Celery's main process waits for the running task, which may take hours, and tells it nothing. So
both share one byte of memory, made before the fork, that a signal handler can set without any
lock. A child that is itself sent SIGTERM (by a service manager that signals whole groups) notes it
too while a task runs, instead of dying in the middle of it.
"""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """Tells whether to stop; make it before the fork."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)
        self._alone = False
        self._main_pid = os.getpid()

    def tell(self) -> None:
        """Ask this process and its children to stop. Safe in a signal handler."""
        self._shared[0] = 1

    def __call__(self) -> bool:
        return self._alone or self._shared[0] == 1

    def is_orphan(self) -> bool:
        """Whether the process that made this has died: a child of it must not go on alone."""
        return self._main_pid not in (os.getpid(), os.getppid())

    @contextmanager
    def instead_of_sigterm(self) -> Iterator[None]:
        """Within, SIGTERM asks this one process to stop; afterwards it does what it did before.

        For the main thread only.
        """
        before = signal.signal(signal.SIGTERM, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
            if self._alone:
                signal.raise_signal(signal.SIGTERM)

    def _note(self, *_: object) -> None:
        self._alone = True
