"""Work that nobody waits for leaves the processor to those who answer."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def give_way(niceness: int) -> None:
    """Lower this process's priority, and that of what it starts, to `niceness` (0…19).

    Where Linux groups processes by session (`sched_autogroup_enabled`), as on most desktops and
    servers, niceness counts within a session only; then the session's own is set, if the session
    is the worker's: it belongs to this process or to the one that started it.
    """
    os.nice(max(0, niceness - os.nice(0)))
    if os.getsid(0) in (os.getpid(), os.getppid()):
        with suppress(OSError):  # no Linux, or no such groups
            _AUTOGROUP.write_text(str(os.nice(0)))
