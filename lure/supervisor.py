"""Keeps children running, and ends them in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lure import logs
from lure.errors import EmbeddedError
from lure.processes import Child, stop_all

STEADY_S = 10.0  # a child that lived this long had no trouble with its start
PROMPT_STARTS = 5  # after so many deaths in a row, each before STEADY_S, more time is given
DELAYS_S = (1.0, 2.0, 4.0, 8.0, 15.0)
LOGS_EVERY_S = 30.0

Say = Callable[[str], None]


@dataclass
class Unit:
    """A child to keep running.

    Attributes:
        prepare: clears the way before each start.
        started_at: by the monotonic clock.
        false_starts: how often in a row it ended before `STEADY_S`, or could not be started.
        due_at: when it is to be started again; None while it runs.
    """

    child: Child
    prepare: Callable[[], None]
    started_at: float
    false_starts: int = 0
    due_at: float | None = None

    @property
    def name(self) -> str:
        return self.child.spec.name

    @property
    def delay_s(self) -> float:
        """Seconds from its end to its next start."""
        steps = min(max(0, self.false_starts - PROMPT_STARTS), len(DELAYS_S) - 1)
        return DELAYS_S[steps]


class Supervisor:
    """Not thread-safe: one thread starts, watches and ends the children."""

    def __init__(self, say: Say) -> None:
        self.units: dict[str, Unit] = {}
        self._say = say
        self._logs_at = time.monotonic()

    def adopt(self, child: Child, *, prepare: Callable[[], None] = lambda: None) -> None:
        """Keeps a child, that runs already, running."""
        unit = Unit(child, prepare, started_at=time.monotonic())
        self.units[unit.name] = unit
        self._say(f"{unit.name} runs (process {child.pid})")

    def start(self, child: Child) -> None:
        """Starts a child and keeps it running."""
        logs.rotate(child.spec.log)
        child.start()
        self.adopt(child)

    def tick(self) -> None:
        """Looks after every child once."""
        now = time.monotonic()
        for unit in self.units.values():
            if not unit.child.running:
                self._bring_back(unit, now)
        if now - self._logs_at > LOGS_EVERY_S:
            self._logs_at = now
            for unit in self.units.values():
                logs.bound(unit.child.spec.log)

    def _bring_back(self, unit: Unit, now: float) -> None:
        if unit.due_at is None:
            unit.child.kill_group()
            steady = now - unit.started_at > STEADY_S
            unit.false_starts = 0 if steady else unit.false_starts + 1
            unit.due_at = now + unit.delay_s
            self._say(
                f"{unit.name} {_ending(unit.child.exit_code)};"
                f" starting it again in {unit.delay_s:.0f} s (log: {unit.child.spec.log})"
            )
        elif now >= unit.due_at:
            self._start_again(unit, now)

    def _start_again(self, unit: Unit, now: float) -> None:
        try:
            unit.prepare()
            unit.child.start()
        except (OSError, EmbeddedError) as error:
            unit.false_starts += 1
            unit.due_at = now + unit.delay_s
            self._say(f"{unit.name} cannot be started, again in {unit.delay_s:.0f} s: {error}")
            return
        unit.started_at, unit.due_at = now, None
        self._say(f"{unit.name} runs again (process {unit.child.pid})")

    def stop(self, names: Sequence[str], *, hurry: threading.Event) -> None:
        """Ends some children together, and keeps them no longer; `hurry` cuts it short."""
        children = [self.units.pop(name).child for name in names if name in self.units]
        stop_all(children, hurried=hurry.is_set)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # most of the real-time signals have no name
        return f"was ended by signal {-code}"
