"""A thread that keeps a claim alive by the database's clock, and tells when it is lost."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from store import tracing
from store.engine import Session
from store.errors import DatabaseAway, FenceLost
from worker.context import Context
from worker.errors import Interrupted

log = logging.getLogger(__name__)


class Heartbeat:
    """Beats while the block runs.

    A database that is away is borne: the claim may go stale meanwhile, and then the next beat
    finds out whether another worker took it. A worker that is told to stop has `grace_s` to come
    to the next `check`; then the claim is handed back for it and the process ends, as a
    `kill -9` would end it, which every claim bears.

    Args:
        context: The store and the clocks.
        beat: Renews the claim; False when it was handed to another.
        hand_back: Gives it up on purpose.
    """

    def __init__(
        self,
        context: Context,
        *,
        beat: Callable[[Session], bool],
        hand_back: Callable[[Session], None],
    ) -> None:
        self._context = context
        self._beat, self._hand_back = beat, hand_back
        self._over = threading.Event()
        self._lost = threading.Event()
        # what the work's lines tell, the thread's tell too
        within = contextvars.copy_context()
        self._thread = threading.Thread(
            target=within.run, args=(self._run,), name="heartbeat", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Come by between two steps of the work.

        Raises:
            FenceLost: The claim was handed to another worker.
            Interrupted: The worker is told to stop.
        """
        if self._lost.is_set():
            raise FenceLost("the claim was handed to another worker")
        if self._context.stop():
            raise Interrupted

    def hand_back(self) -> None:
        """Free the claim at once; should the database be away, it goes stale instead."""
        with suppress(DatabaseAway), self._context.database.begin() as session:
            self._hand_back(session)

    def _run(self) -> None:
        told_at: float | None = None
        settings = self._context.settings
        while not self._over.wait(settings.heartbeat_s):
            if self._context.stop.is_orphan():
                os._exit(1)
            self._try_to_beat()
            if not self._context.stop():
                continue
            told_at = told_at or time.monotonic()
            if time.monotonic() - told_at >= settings.grace_s:
                self._leave()

    def _try_to_beat(self) -> None:
        if self._lost.is_set():
            return
        try:
            with self._context.database.begin() as session:
                if not self._beat(session):
                    self._lost.set()
        except DatabaseAway as error:
            log.warning("no heartbeat: %s", error)
        except Exception:  # a thread that died of it would leave nobody to notice a lost claim
            log.exception("no heartbeat")

    def _leave(self) -> None:
        log.warning("told to stop, and no end of this step in sight: leaving it to be resumed")
        self.hand_back()
        tracing.close()
        os._exit(1)
