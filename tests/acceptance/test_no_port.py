"""A worker needs no inbound port: nothing of it listens."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from lure import proc
from tests.acceptance.world import World, wait_for

_LISTENS = "0A"  # a socket's state in /proc/net/tcp


def test_workers_listen_nowhere(new_world: Callable[..., World]) -> None:
    world = new_world()
    workers = [world.admit(), world.learn(), world.beat()]
    logs = [worker.spec.log for worker in workers[:2]]
    wait_for(lambda: all(" ready" in log.read_text() for log in logs), "ready workers", world)
    listening = sockets_that_listen()
    assert listening  # there are some on this machine, or else this would show nothing
    for worker in workers:
        for one in proc.family(worker.pid):
            assert not sockets_of(one.pid) & listening


def sockets_that_listen() -> set[str]:
    """Their inodes."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS:
                found.add(fields[9])
    return found


def sockets_of(pid: int) -> set[str]:
    found = set()
    for path in Path("/proc", str(pid), "fd").iterdir():
        if inode := re.fullmatch(r"socket:\[(\d+)\]", str(path.readlink())):
            found.add(inode[1])
    return found
