"""What runs on this machine, as Linux's /proc tells it; empty answers where there is none."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Entry:
    """One process; `started` (clock ticks since boot) tells it from a later one with its number."""

    pid: int
    parent: int
    state: str
    started: int


def entry(pid: int) -> Entry | None:
    """The process with that number, or None."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # the second field, the name in parentheses, may itself hold spaces and parentheses
    state, parent, *rest = stat.rpartition(")")[2].split()
    return Entry(pid=pid, parent=int(parent), state=state, started=int(rest[17]))


def entries() -> Iterator[Entry]:
    """Every process of this machine that can be seen."""
    with suppress(FileNotFoundError):
        for folder in PROC.iterdir():
            if folder.name.isdigit() and (found := entry(int(folder.name))) is not None:
                yield found


def family(pid: int) -> list[Entry]:
    """The process and its descendants, whatever group or session they moved to."""
    everyone = list(entries())
    found = [one for one in everyone if one.pid == pid]
    for parent in found:  # grows while it is walked
        found.extend(one for one in everyone if one.parent == parent.pid)
    return found


def kill(processes: Iterable[Entry]) -> None:
    """SIGKILL to those of them that still run."""
    for one in processes:
        if alive(one):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one.pid, signal.SIGKILL)


def alive(one: Entry) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    now = entry(one.pid)
    return now is not None and now.started == one.started and now.state != "Z"


def marked(variable: str, value: str) -> list[Entry]:
    """Running processes that were started with `variable=value` in their environment."""
    wanted = f"{variable}={value}".encode()
    found = []
    for one in entries():
        with suppress(OSError):
            environment = (PROC / str(one.pid) / "environ").read_bytes().split(b"\0")
            if wanted in environment and one.pid != os.getpid():
                found.append(one)
    return found


def working_folder(pid: int) -> Path | None:
    """Where a process works, or None when it is gone or not ours to look at."""
    try:
        return (PROC / str(pid) / "cwd").readlink()
    except OSError:
        return None
