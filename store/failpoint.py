"""Named places where a test can stop, kill or fail a process exactly.

`LURE_FAILPOINT=cycle.relearn:kill` makes the process that reaches that place die as by `kill -9`.
Without the variable a failpoint costs one look into the environment.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "LURE_FAILPOINT"


class FailpointError(RuntimeError):
    """Raised by the action `raise`."""


def failpoint(name: str) -> None:
    """Act if a test asked for it: `kill`, `kill-group`, `stop-once` (SIGSTOP) or `raise`."""
    wanted, _, action = os.environ.get(VARIABLE, "").rpartition(":")
    if wanted != name:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "kill-group":  # a worker's child takes its main process along
        os.killpg(os.getpgrp(), signal.SIGKILL)
    elif action == "stop-once":  # whoever is continued must not stop at the next cycle
        del os.environ[VARIABLE]
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "raise":
        raise FailpointError(name)
    else:
        raise ValueError(f"{VARIABLE}: unknown action {action!r}")
