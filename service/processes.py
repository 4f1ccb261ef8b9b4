"""Several API processes behind one socket: started, started again when they die, ended together.

Each is a replica of its own, with its lease and its model in memory; the kernel hands connections
to whoever accepts first. This process only watches, and imports nothing of what they do.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import structlog
from prometheus_client.multiprocess import mark_process_dead

from service.commonfolder import CommonFolder
from service.settings import ServiceSettings
from service.sharing import FOLDER, PLACE
from store.observe import configure_logging

_BACKLOG = 2048  # connections that wait to be accepted; as uvicorn has it
_LOOK_EVERY_S = 0.1
_STEADY_S = 10.0  # a process that lived this long had no trouble with its start
_DELAYS_S = (0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 15.0)  # before it is started again, by false starts
_LAST_WORD_S = 5.0  # beyond what open requests get, for giving the lease back

log = structlog.get_logger(__name__)


@dataclass
class _Place:
    """Where one process after the other works."""

    number: int
    child: subprocess.Popen[bytes]
    started_at: float
    false_starts: int = 0
    due_at: float | None = None  # when a dead one is started again


class Processes:
    """Keeps them running; a context manager that ends them."""

    def __init__(self, settings: ServiceSettings, listening: socket.socket) -> None:
        self._settings = settings
        self._listening = listening
        self._folder = CommonFolder()
        self._places = [self._place(number) for number in range(settings.processes)]

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._folder.close()

    def look(self) -> None:
        """Start again what has died."""
        now = time.monotonic()
        for place in self._places:
            if place.due_at is None and place.child.poll() is not None:
                self._mourn(place, now)
            if place.due_at is not None and place.due_at <= now:
                self._start_again(place, now)

    def _place(self, number: int) -> _Place:
        return _Place(number, self._start(number), time.monotonic())

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        descriptor = self._listening.fileno()
        return subprocess.Popen(  # noqa: S603  (our own interpreter, our own words)
            [sys.executable, "-m", "service.replica", str(descriptor)],
            env=os.environ | {FOLDER: self._folder.name, PLACE: str(number)},
            pass_fds=[descriptor, self._folder.owned],
            stdin=subprocess.PIPE,  # it ends when this pipe does, however this process ended
        )

    def _start_again(self, place: _Place, now: float) -> None:
        try:
            place.child, place.started_at, place.due_at = self._start(place.number), now, None
        except OSError as error:  # for want of memory, say: the others go on, and it comes later
            place.due_at = now + _DELAYS_S[-1]
            log.error("a process cannot be started", error=str(error))

    def _mourn(self, place: _Place, now: float) -> None:
        lived_s = now - place.started_at
        place.false_starts = 0 if lived_s > _STEADY_S else place.false_starts + 1
        place.due_at = now + _DELAYS_S[min(place.false_starts, len(_DELAYS_S) - 1)]
        assert place.child.stdin is not None
        place.child.stdin.close()
        mark_process_dead(place.number, self._folder.name)  # type: ignore[no-untyped-call]
        log.error("a process died", child=place.child.pid, exit_code=place.child.returncode)

    def _end(self) -> None:
        """Ask all to end, and wait as long as they may take."""
        running = [place.child for place in self._places if place.child.poll() is None]
        for child in running:
            child.terminate()
        until = time.monotonic() + self._settings.shutdown_s + _LAST_WORD_S
        for child in running:
            try:
                child.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("a process did not end in time", child=child.pid)
                child.kill()
                child.wait()


def run(settings: ServiceSettings) -> int:
    """Serve with as many processes as the settings say, until SIGINT or SIGTERM."""
    configure_logging(settings, "api-main")
    stopping = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopping.set())
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        where = (settings.host, settings.port)
        listening = socket.create_server(where, family=family, backlog=_BACKLOG)
    except OSError as error:
        log.error("cannot listen", host=settings.host, port=settings.port, error=str(error))
        return 1
    with listening, Processes(settings, listening) as processes:
        host, port = listening.getsockname()[:2]
        log.info("listening", host=host, port=port, processes=settings.processes)
        while not stopping.wait(_LOOK_EVERY_S):
            processes.look()
    return 0
