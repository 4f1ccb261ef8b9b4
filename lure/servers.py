"""A real PostgreSQL and a real Redis, out of pip wheels, as foreground children.

Both listen on a unix socket in a private folder and nowhere else, and die with this process.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

from lure import folders, pgdata, programs
from lure.errors import EmbeddedError
from lure.processes import Child, Spec
from lure.waiting import until

READY_S = 60.0


class Server(ABC):
    """What the two have in common: start, stop, kill, and a URL while they run."""

    name: str
    url: str

    def __init__(self, data: Path, *, log: Path | None = None) -> None:
        self.data = data.absolute()
        self.log = (log or self.data.parent / f"{self.name}.log").absolute()
        self.sockets = folders.sockets_of(self.data)
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The server's process."""
        if self._child is None:
            self._child = Child(self.spec())
        return self._child

    @property
    def pid(self) -> int:
        return self.child.pid

    def start(self) -> Self:
        """Starts it and waits until it answers; again after `stop` or `kill`, on the same URL.

        Raises:
            EmbeddedError: it ended or gave no answer; the message has the end of its log.
        """
        self.prepare()
        self.child.start()
        until(lambda: self.ready() or not self.child.running, timeout_s=READY_S)
        if not self.ready():
            tail = self.child.tail()
            self.child.kill()
            raise EmbeddedError(f"{self.name} did not start; the end of {self.log}:\n{tail}")
        return self

    def stop(self) -> None:
        """Ends it in good order and removes its socket's folder."""
        if self._child is not None:
            self._child.stop()
        folders.remove(self.sockets)

    def kill(self) -> None:
        """SIGKILL, as a crash would end it; `start` brings it back."""
        self.child.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def spec(self) -> Spec:
        """How it is run."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes its folders, and clears away what a killed run left."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether this very process answers."""


class Postgres(Server):
    """PostgreSQL with its cluster in `data`, made there by the first start.

    As root it runs as the user that owns `data` (`postgres` or `nobody` at first), which no other
    folder needs to know of; see `lure.child`.
    """

    name = "postgres"

    def __init__(self, data: Path, *, log: Path | None = None) -> None:
        super().__init__(data, log=log)
        self.url = self.url_of(pgdata.DATABASE)

    def url_of(self, database: str) -> str:
        """The SQLAlchemy URL of a database of this server."""
        host = quote(str(self.sockets), safe="")
        return f"postgresql+psycopg://{pgdata.ROLE}@/{database}?host={host}"

    def prepare(self) -> None:
        folders.clear(self.sockets)
        if (self.data / "PG_VERSION").exists():
            pgdata.end_previous(self.data)
        else:
            pgdata.create(self.data, log=self.log)

    def spec(self) -> Spec:
        return pgdata.server_spec(self.data, sockets=self.sockets, log=self.log)

    def ready(self) -> bool:
        """As `pg_ctl` asks: the server writes its state into its own pid file."""
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            ours = self.child.running and lines[:1] == [str(self.child.pid)]
            return ours and [line.strip() for line in lines[7:8]] == ["ready"]
        return False


class Redis(Server):
    """Redis, in memory only: it carries wake-ups, and losing them all must do no harm."""

    name = "redis"

    def __init__(self, data: Path, *, log: Path | None = None) -> None:
        super().__init__(data, log=log)
        self.url = f"redis+socket://{self._socket}"

    @property
    def _socket(self) -> Path:
        return self.sockets / "redis.sock"

    def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        folders.clear(self.sockets)

    def spec(self) -> Spec:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.data),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory-policy": "noeviction",
        }
        argv = [programs.redis_server()]
        for option, value in settings.items():
            argv += [f"--{option}", value]
        return Spec(name=self.name, argv=tuple(argv), log=self.log, stop_s=2.0)

    def ready(self) -> bool:
        if not self.child.running:
            return False
        with suppress(OSError), socket.socket(socket.AF_UNIX) as link:
            link.settimeout(1.0)
            link.connect(str(self._socket))
            link.sendall(b"PING\r\n")
            return link.recv(5) == b"+PONG"
        return False
