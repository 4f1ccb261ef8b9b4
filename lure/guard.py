"""Ends what a stack's children started, when the stack is killed and cannot do it itself.

The kernel ends the children together with the stack (see `lure.child`), but not their own
children: a worker's pool would go on. This process waits at a pipe whose other end only the stack
holds; when that is closed, in whatever way, it ends every process that carries the stack's mark.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lure import layout, proc
from lure.waiting import until

PATIENCE_S = 4.0


@contextmanager
def guarded(run: str) -> Iterator[None]:
    """Has a guard watch over the processes of one run of a stack."""
    argv = [sys.executable, "-P", "-m", "lure.guard", run]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True):  # noqa: S603
        yield  # leaving closes the pipe, and waits


def end_all(variable: str, value: str) -> int:
    """SIGKILL to every process with that mark in its environment; how many there were."""
    seen = set()

    def gone() -> bool:
        found = proc.marked(variable, value)
        seen.update(found)
        proc.kill(found)
        return not found

    until(gone, timeout_s=PATIENCE_S)
    return len({one.pid for one in seen})


if __name__ == "__main__":
    sys.stdin.read()
    end_all(layout.RUN_MARK, sys.argv[1])
