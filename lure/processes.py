"""Children: programs that run in the foreground, log to a file and die with this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lure import child, proc
from lure.waiting import until

TAIL_BYTES = 2000
LAST_WORD_S = 2.0  # between a child's death signal and SIGKILL


@dataclass(frozen=True)
class Spec:
    """One program to run.

    Attributes:
        argv: the program and its arguments.
        log: the file that its output is appended to.
        env: its whole environment.
        owner: `(uid, gid)` to run as; None keeps this process's own.
        stop_signal: asks it to end in good order.
        death_signal: what the kernel sends it when this process dies.
        stop_s: seconds it has between `stop_signal` and `death_signal`.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    owner: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    stop_s: float = 10.0


class Child:
    """A running `Spec`; may be started again after it ended.

    The kernel ties a child to the *thread* that started it, so `start` belongs on a thread that
    lives at least as long as the child is wanted.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id, also after its end."""
        assert self._process is not None, f"{self.spec.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Starts it in a session of its own, so that a terminal's Ctrl-C does not reach it."""
        assert not self.running, f"{self.spec.name} runs already"
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        with self.spec.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (no shell)
                launch(self.spec),
                env=dict(self.spec.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ask_to_stop(self) -> None:
        """Sends the stop signal to the program itself, not to its own children."""
        self.send(self.spec.stop_signal)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)  # looks whether it ended before

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits for its end; False when it still runs after `timeout_s`."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Ends it in good order, or by force; nothing it started is left. See `stop_all`."""
        stop_all([self])

    def kill(self) -> None:
        """SIGKILL to it and to everything that it started."""
        family = self.family()
        self.send(signal.SIGKILL)
        self.wait()
        proc.kill(family)
        self.kill_group()

    def family(self) -> list[proc.Entry]:
        """It and its descendants."""
        return [] if self._process is None else proc.family(self._process.pid)

    def kill_group(self) -> None:
        """SIGKILL to what an ended program left in its process group."""
        if self._process is None:
            return
        assert not self.running
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def tail(self) -> str:
        """The end of its log, for an error message."""
        return tail(self.spec.log)


def stop_all(children: Sequence[Child], *, hurried: Callable[[], bool] = lambda: False) -> None:
    """Ends children together, and whatever they started.

    Each is asked to stop; when the longest `stop_s` of them is over, or as soon as somebody is in
    a hurry, they get their `death_signal`, by which PostgreSQL still leaves in order; at last
    SIGKILL.
    """
    families = [entry for one in children for entry in one.family()]
    for one in children:
        one.ask_to_stop()
    patience_s = max((one.spec.stop_s for one in children), default=0.0)
    until(lambda: hurried() or _ended(children), timeout_s=patience_s)
    for one in children:
        one.send(one.spec.death_signal)
    until(lambda: _ended(children), timeout_s=LAST_WORD_S)
    for one in children:
        one.kill()
    proc.kill(families)


def _ended(children: Sequence[Child]) -> bool:
    return not any(one.running for one in children)


def launch(spec: Spec) -> list[str]:
    """The command line that becomes `spec.argv`: see `lure.child`."""
    owner = [] if spec.owner is None else ["--owner", "{}:{}".format(*spec.owner)]
    death = ["--parent", str(os.getpid()), "--signal", str(int(spec.death_signal))]
    return [sys.executable, "-I", "-S", child.__file__, *death, *owner, "--", *spec.argv]


def tail(log: Path) -> str:
    """The last lines of a log file."""
    with suppress(FileNotFoundError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
    return ""
