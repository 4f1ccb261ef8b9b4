"""`python -m worker worker -Q learn -c 1`, `python -m worker beat -s FILE`: Celery's own arguments.

Settings come from `LURE_*` environment variables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from worker.app import QUEUES, create_app
from worker.observed import configure
from worker.processes import attach
from worker.settings import WorkerSettings

# each process finds out about the others through the rows, not by gossip
_QUIET = ["--without-gossip", "--without-mingle"]


def queues_of(arguments: Sequence[str]) -> tuple[str, ...]:
    """The queues that `-Q` names; without it all for a worker, and none for other commands."""
    if "worker" not in arguments:
        return ()
    for at, word in enumerate(arguments):
        if word in ("-Q", "--queues"):
            named = "".join(arguments[at + 1 : at + 2])
        elif word.startswith(("-Q", "--queues=")):
            named = word.removeprefix("-Q").removeprefix("--queues=")
        else:
            continue
        return tuple(queue for queue in QUEUES if queue in named.split(","))
    return QUEUES


def _name(arguments: Sequence[str]) -> list[str]:
    """A node name of its own, where none is given: several workers share a machine."""
    if any(word.startswith(("-n", "--hostname")) for word in arguments):
        return []
    return ["-n", f"{'-'.join(queues_of(arguments))}-{os.getpid()}@%h"]


def explain(error: ValidationError) -> str:
    """The settings that are missing or wrong, by the names of their variables."""
    faults = (
        f"  LURE_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
        for fault in error.errors()
    )
    return "\n".join(["the worker's settings are not complete:", *faults])


def main(arguments: Sequence[str]) -> int:
    """Run Celery; the exit status."""
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        sys.stderr.write(explain(error) + "\n")
        return 2
    app = create_app(settings, queues_of(arguments))
    configure(app)  # before Celery has its first word
    attach(app)
    extra = [*_QUIET, *_name(arguments)] if "worker" in arguments else []
    start: Callable[[list[str]], int | None] = app.start
    # its banner is for people, and no line of a log
    quiet = ["--quiet"] if settings.log_json else []
    return start([*quiet, *arguments, *extra]) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
