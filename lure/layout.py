"""What the embedded stack consists of: command lines, environment, ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from lure.errors import EmbeddedError

# in the environment of every child: the data folder that it belongs to, and the run on it
MARK, RUN_MARK = "LURE_STACK", "LURE_STACK_RUN"

# seconds from SIGTERM to SIGKILL: all of them, one after another, stay below 45
STOP_S = {"admit": 20.0, "learn": 20.0, "beat": 20.0, "api": 8.0}

Program = tuple[str, tuple[str, ...], dict[str, str]]  # name, python's arguments, environment


def marks(data: Path, run: str) -> dict[str, str]:
    """How a child, and whatever it starts, is known to belong to a stack."""
    return {MARK: str(data.resolve()), RUN_MARK: run}


def environment(data: Path, database_url: str, redis_url: str) -> dict[str, str]:
    """What every child is told."""
    return {
        "LURE_SHUTDOWN_S": "4",  # what open requests get must fit into STOP_S
        **os.environ,
        "LURE_DATABASE_URL": database_url,
        "LURE_REDIS_URL": redis_url,
        "LURE_BLOBS": str(data / "blobs"),
        "PYTHONUNBUFFERED": "1",
    }


def apis(host: str, ports: Sequence[int]) -> Iterator[Program]:
    """The API processes."""
    for number, port in enumerate(ports, start=1):
        where = {"LURE_HOST": host, "LURE_PORT": str(port)}
        yield _numbered("api", number), ("-m", "service"), where


def workers(data: Path, learn_workers: int) -> Iterator[Program]:
    """The workers and the clock that wakes the sweeper."""
    yield "admit", _worker("admit", "admit", children=2), {}
    for number in range(1, learn_workers + 1):
        name = _numbered("learn", number)
        yield name, _worker(name, "learn", children=1), {}
    schedule = data / "beat"
    schedule.mkdir(exist_ok=True)
    yield "beat", ("-m", "worker", "beat", "-s", str(schedule / "schedule")), {}


def _worker(name: str, queue: str, *, children: int) -> tuple[str, ...]:
    return ("-m", "worker", "worker", "-Q", queue, "-c", str(children), "-n", f"{name}@%h")


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def ports(host: str, first: int, *, count: int) -> list[int]:
    """The wanted port (0: any) and further free ones.

    Raises:
        EmbeddedError: the wanted one is in use, or the host is not this machine.
    """
    with ExitStack() as held:  # all at once, so that no free one is found twice
        trials = [held.enter_context(_bound(host, port)) for port in (first, *[0] * (count - 1))]
        return [int(trial.getsockname()[1]) for trial in trials]


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        trial = socket.socket(family)
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "choose another one with --port (0: any free one)"
        raise EmbeddedError(f"cannot listen on {host}:{port}: {reason}; {remedy}") from error
    return trial


def url(host: str, port: int) -> str:
    """How a client on this machine reaches it."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"
