"""What a task works with: made once a process, after the fork."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from store.blobs import Blobs
from store.bus import Bell
from store.engine import Database, Session
from worker.board import Board
from worker.patience import patiently
from worker.settings import WorkerSettings
from worker.stop import Stop

T = TypeVar("T")


class Wake(Protocol):
    """Sends the wake-up of a task; best effort, the sweeper repairs what is lost."""

    def __call__(self, task: str, *arguments: str | int, expires_s: float | None = None) -> None:
        """Wake `task` for the row of that id, if it has one; void after `expires_s`."""


@dataclass(frozen=True)
class Context:
    """The store, the settings, the ways to the world outside: wake-ups, the stop, the board."""

    settings: WorkerSettings
    database: Database
    blobs: Blobs
    wake: Wake
    stop: Stop
    board: Board = field(default_factory=Board)

    @classmethod
    def of(
        cls, settings: WorkerSettings, *, wake: Wake, stop: Stop, board: Board | None = None
    ) -> Context:
        """Open the store for this process."""
        database = Database(settings, on_events=Bell(settings).ring)
        blobs = Blobs.of(settings, database)
        return cls(settings, database, blobs, wake, stop, board or Board())

    @property
    def name(self) -> str:
        """Who holds a claim: the host and the process."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def patiently(self, work: Callable[[], T]) -> T:
        """Do what can be done twice, waiting for a database or an object store that is away."""
        return patiently(work, patience_s=self.settings.patience_s, stopping=self.stop)

    def local(self, digest: str, *, check: bool = False) -> Path:
        """A blob as a local file, waiting for a store that is away; see `Blobs.local`."""
        return self.patiently(lambda: self.blobs.local(digest, check=check))

    def borrow(self, digest: str, until: ExitStack) -> Path:
        """A blob as a local file for as long as that stack stays; see `Blobs.borrowed`."""
        return self.patiently(lambda: until.enter_context(self.blobs.borrowed(digest, check=False)))

    def read(self, digest: str) -> bytes:
        """A blob's bytes, checked, waiting for a store that is away; see `Blobs.read`."""
        return self.patiently(lambda: self.blobs.read(digest))

    def transact(self, work: Callable[[Session], T]) -> T:
        """Do `work` in one transaction of its own, waiting for a database that is away."""

        def once() -> T:
            with self.database.begin() as session:
                return work(session)

        return self.patiently(once)
