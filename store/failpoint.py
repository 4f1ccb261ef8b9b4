"""Named places where a test can stop, kill or fail a process exactly.

`LURE_FAILPOINT=cycle.relearn:kill` makes every process that reaches that place die as by `kill -9`;
`LURE_FAILPOINT=@/path` names a file that says the same and is removed by the first to act on it.
Without the variable a failpoint costs one look into the environment.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

VARIABLE = "LURE_FAILPOINT"


class FailpointError(RuntimeError):
    """Raised by the action `raise`."""


def failpoint(name: str) -> None:
    """Act if a test asked for it: `kill`, `kill-group`, `stop` (SIGSTOP) or `raise`."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    file = Path(wanted[1:]) if wanted.startswith("@") else None
    if file is not None:
        wanted = file.read_text() if file.exists() else ""
    place, _, action = wanted.rpartition(":")
    if place == name and (file is None or _is_first(file)):
        _act(name, action)


def _is_first(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def _act(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "kill-group":  # a worker's child takes its main process along
        os.killpg(os.getpgrp(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "raise":
        raise FailpointError(name)
    else:
        raise ValueError(f"{VARIABLE}: unknown action {action!r}")
