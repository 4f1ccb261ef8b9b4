"""Keeps children running, and ends them in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lure import logs, proc
from lure.errors import EmbeddedError
from lure.processes import Child
from lure.waiting import until

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 15.0
STEADY_S = 10.0  # a child that lived this long had no trouble with its start
LOGS_EVERY_S = 30.0
LAST_WORD_S = 3.0  # between a child's death signal and SIGKILL

Say = Callable[[str], None]


@dataclass
class Unit:
    """A child to keep running; `prepare` clears the way before each start."""

    child: Child
    prepare: Callable[[], None]
    started_at: float = 0.0
    delay_s: float = FIRST_DELAY_S
    due_at: float | None = None

    @property
    def name(self) -> str:
        return self.child.spec.name


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
            unit.delay_s = FIRST_DELAY_S if steady else unit.delay_s
            unit.due_at = now + unit.delay_s
            self._say(
                f"{unit.name} {_ending(unit.child.exit_code)};"
                f" starting it again in {unit.delay_s:.0f} s (log: {unit.child.spec.log})"
            )
        elif now >= unit.due_at:
            self._start_again(unit, now)

    def _start_again(self, unit: Unit, now: float) -> None:
        unit.delay_s = min(unit.delay_s * 2, LONGEST_DELAY_S)
        try:
            unit.prepare()
            unit.child.start()
        except (OSError, EmbeddedError) as error:
            unit.due_at = now + unit.delay_s
            self._say(f"{unit.name} cannot be started, again in {unit.delay_s:.0f} s: {error}")
            return
        unit.started_at, unit.due_at = now, None
        self._say(f"{unit.name} runs again (process {unit.child.pid})")

    def stop(self, names: Sequence[str], *, hurry: threading.Event) -> None:
        """Ends some children together, and whatever they started.

        Each has its `stop_s`; `hurry` cuts that short.
        """
        children = [self.units.pop(name).child for name in names if name in self.units]
        families = [entry for child in children for entry in child.family()]
        for child in children:
            child.ask_to_stop()
        patience_s = max((child.spec.stop_s for child in children), default=0.0)
        until(lambda: hurry.is_set() or _ended(children), timeout_s=patience_s)
        for child in children:
            child.send(child.spec.death_signal)
        until(lambda: _ended(children), timeout_s=LAST_WORD_S)
        for child in children:
            child.kill()
        proc.kill(families)


def _ended(children: Sequence[Child]) -> bool:
    return not any(child.running for child in children)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with status {code}"
