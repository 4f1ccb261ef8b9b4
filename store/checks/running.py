"""Runs checks side by side, each for a bounded time, none hurt by another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from store.checks.finding import Finding, failure

Check = Callable[[], Sequence[Finding]]


def run(checks: Mapping[str, Check], *, timeout_s: float) -> list[Finding]:
    """What each check found, in their order; one that hangs or breaks is a failure of that name.

    A check that hangs is left behind in its thread, which does not keep the process alive.
    """
    found: dict[str, Sequence[Finding]] = {}
    threads = {}
    for name, check in checks.items():
        thread = threading.Thread(target=_run, args=(name, check, found), daemon=True)
        thread.start()
        threads[name] = thread
    deadline = time.monotonic() + timeout_s
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    hung = f"no answer within {timeout_s:.0f} s"
    return [
        finding
        for name in checks
        for finding in found.get(name, [failure(name, hung, "see whether its machine is well")])
    ]


def _run(name: str, check: Check, found: dict[str, Sequence[Finding]]) -> None:
    try:
        found[name] = check()
    except Exception as error:  # noqa: BLE001  (whatever it is, the other checks go on)
        words = f"{type(error).__name__}: {error}".strip()
        found[name] = [failure(name, words, "what could not be looked at may be at fault itself")]
