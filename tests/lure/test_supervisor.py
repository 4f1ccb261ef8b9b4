"""Small real children under the supervisor."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lure import guard, layout, logs, proc
from lure.processes import LAST_WORD_S, Child, Spec
from lure.servers import Postgres, Redis
from lure.supervisor import Supervisor, Unit
from lure.waiting import until

GROUPS = (("api",), ("admit", "learn", "beat"))
OBEDIENT = "import time; print('here', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + OBEDIENT
# a grandchild in a session of its own, out of reach of signals to the child's group
PARENT = (
    "import subprocess, sys;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    f"start_new_session=True);{OBEDIENT}"
)


class Told(list[str]):
    def has(self, text: str) -> bool:
        return self.count_of(text) > 0

    def count_of(self, text: str) -> int:
        return sum(text in line for line in self)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def supervisor(told: Told) -> Supervisor:
    return Supervisor(told.append)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def make(code: str, *, name: str = "small", stop_s: float = 5.0) -> Child:
        argv = (sys.executable, "-c", code)
        made.append(Child(Spec(name, argv, tmp_path / f"{name}.log", stop_s=stop_s)))
        return made[-1]

    yield make
    for child in made:
        child.kill()


def speaks(child: Child) -> bool:
    return until(lambda: "here" in child.tail(), timeout_s=10)


def test_a_child_that_dies_is_started_again_after_a_second(
    supervisor: Supervisor, make: Callable[..., Child], told: Told
) -> None:
    child = make(OBEDIENT)
    supervisor.start(child)
    first = child.pid
    child.send(signal.SIGKILL)
    child.wait()
    supervisor.tick()
    assert told.has("small was ended by SIGKILL; starting it again in 1 s")

    def again() -> bool:
        supervisor.tick()
        return child.running

    assert until(again, timeout_s=5)
    assert child.pid != first
    assert told.has("small runs again")


def test_a_child_that_dies_at_its_start_is_started_again_after_a_second_too(
    supervisor: Supervisor, make: Callable[..., Child], told: Told
) -> None:
    supervisor.start(make("raise SystemExit(3)"))

    def twice() -> bool:
        supervisor.tick()
        return told.count_of("small ended with status 3; starting it again in 1 s") == 2

    assert until(twice, timeout_s=10)


def test_only_many_deaths_in_a_row_are_given_more_time(make: Callable[..., Child]) -> None:
    unit = Unit(make(OBEDIENT), lambda: None, started_at=0.0)
    delays = []
    for unit.false_starts in (0, 1, 5, 6, 7, 10, 10_000):
        delays.append(unit.delay_s)
    assert delays == [1.0, 1.0, 1.0, 2.0, 4.0, 15.0, 15.0]


def test_an_end_by_a_signal_without_a_name_is_told_by_its_number(
    supervisor: Supervisor, make: Callable[..., Child], told: Told
) -> None:
    child = make("import os; os.kill(os.getpid(), 40)")
    supervisor.start(child)
    assert child.wait(10)
    supervisor.tick()
    assert told.has("small was ended by signal 40; starting it again in 1 s")


def test_all_stopping_together_stays_within_45_seconds(tmp_path: Path) -> None:
    servers = (Postgres(tmp_path / "postgres"), Redis(tmp_path / "redis"))
    for server in servers:
        server.prepare()
    api_s, workers_s = (max(layout.STOP_S[name] for name in names) for names in GROUPS)
    patience = [workers_s, api_s, *(server.spec().stop_s for server in servers)]
    assert sum(patience) + len(patience) * LAST_WORD_S + guard.PATIENCE_S < 45
    assert workers_s - layout.GRACE_S >= 6  # a heartbeat may pass before it looks, then it ends
    for server in servers:
        server.stop()


def test_stopping_ends_grandchildren_too(
    supervisor: Supervisor, make: Callable[..., Child]
) -> None:
    child = make(PARENT)
    supervisor.start(child)
    assert speaks(child)
    family = child.family()
    assert len(family) == 2
    supervisor.stop(["small"], hurry=threading.Event())
    assert until(lambda: not any(map(proc.alive, family)), timeout_s=5)


def test_a_child_deaf_to_sigterm_is_killed_when_its_time_is_over(
    supervisor: Supervisor, make: Callable[..., Child]
) -> None:
    child = make(STUBBORN, stop_s=0.2)
    supervisor.start(child)
    assert speaks(child)
    supervisor.stop(["small"], hurry=threading.Event())
    assert child.exit_code == -signal.SIGKILL


def test_hurry_cuts_the_patience_short(supervisor: Supervisor, make: Callable[..., Child]) -> None:
    child = make(STUBBORN, stop_s=600)
    supervisor.start(child)
    assert speaks(child)
    hurry = threading.Event()
    threading.Timer(0.2, hurry.set).start()
    supervisor.stop(["small"], hurry=hurry)
    assert child.exit_code == -signal.SIGKILL


def test_a_child_dies_with_the_thread_that_started_it(make: Callable[..., Child]) -> None:
    child = make(OBEDIENT)

    def start_and_see_it_run() -> None:
        child.start()
        assert speaks(child)

    starter = threading.Thread(target=start_and_see_it_run)
    starter.start()
    starter.join()
    assert child.wait(10)
    assert child.exit_code == -signal.SIGKILL


def test_marked_processes_are_found(make: Callable[..., Child]) -> None:
    child = make(OBEDIENT)
    child = Child(Spec("marked", child.spec.argv, child.spec.log, env={"LURE_TRIAL": "x y"}))
    child.start()
    assert speaks(child)
    assert [one.pid for one in proc.marked("LURE_TRIAL", "x y")] == [child.pid]
    assert not proc.marked("LURE_TRIAL", "x")
    child.kill()


def test_a_log_that_grew_too_long_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LIMIT_BYTES", 10)
    log = tmp_path / "x.log"
    log.write_text("short")
    logs.bound(log)
    assert log.read_text() == "short"
    with log.open("a") as writer:
        writer.write(" no longer")
        writer.flush()
        logs.bound(log)
        writer.write("next")
    assert log.read_text() == "next"
    assert logs.previous(log).read_text() == "short no longer"
