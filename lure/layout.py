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

HOST = "127.0.0.1"  # whoever reaches the service may do everything with it

# What each may take to stop. Everything is to have ended 45 s after the first signal, even if all
# take as long as they may: workers and beat together, then the APIs, Redis (2 s) and PostgreSQL
# (6 s), each group with `processes.LAST_WORD_S` more, then `guard.PATIENCE_S`.
STOP_S = {"admit": 18.0, "learn": 18.0, "beat": 18.0, "api": 6.0}
GRACE_S = 12.0  # of a worker's time for the end of an epoch; then it hands back its claim and ends

Program = tuple[str, tuple[str, ...], dict[str, str]]  # name, python's arguments, environment


def marks(data: Path, run: str) -> dict[str, str]:
    """How a child, and whatever it starts, is known to belong to a stack."""
    return {MARK: str(data.resolve()), RUN_MARK: run}


def environment(data: Path, database_url: str, redis_url: str) -> dict[str, str]:
    """What every child is told."""
    return {
        **os.environ,
        "LURE_SHUTDOWN_S": "4",  # what open requests get must fit into STOP_S
        "LURE_GRACE_S": f"{GRACE_S:g}",
        "LURE_DATABASE_URL": database_url,
        "LURE_REDIS_URL": redis_url,
        "LURE_BLOBS": str(data / "blobs"),
        "PYTHONUNBUFFERED": "1",
    }


def apis(ports: Sequence[int]) -> Iterator[Program]:
    """The API processes."""
    for number, port in enumerate(ports, start=1):
        where = {"LURE_HOST": HOST, "LURE_PORT": str(port)}
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


def ports(first: int, *, count: int) -> list[int]:
    """The wanted port (0: any) and further free ones.

    Raises:
        EmbeddedError: the wanted one is in use, or not for this user.
    """
    with ExitStack() as held:  # all at once, so that no free one is found twice
        trials = [held.enter_context(_bound(port)) for port in (first, *[0] * (count - 1))]
        return [int(trial.getsockname()[1]) for trial in trials]


def _bound(port: int) -> socket.socket:
    trial = socket.socket()
    try:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((HOST, port))
    except OSError as error:
        trial.close()
        reason = error.strerror or str(error)
        remedy = "choose another one with --port (0: any free one)"
        raise EmbeddedError(f"cannot listen on {HOST}:{port}: {reason}; {remedy}") from error
    return trial


def url(port: int) -> str:
    """How a client on this machine reaches it."""
    return f"http://{HOST}:{port}"
