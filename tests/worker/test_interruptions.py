"""Whatever interrupts a cycle, the weights are those of the uninterrupted one."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from store import failpoint
from tests.conftest import Servers
from tests.worker.conftest import Bench, environment
from worker import patience, progress
from worker.pipeline import process_next

RUN = """
import sys
from worker.context import Context
from worker.pipeline import process_next
from worker.settings import WorkerSettings
from worker.stop import Stop

context = Context.of(WorkerSettings(), wake=lambda *_, **__: None, stop=Stop())
process_next(context, int(sys.argv[1]))
"""


ENDLESS = """
import threading
from worker import resuming

resuming.run_cycle = lambda *_: (context.stop.tell(), threading.Event().wait())
"""


def two_chunks(bench: Bench, name: str) -> int:
    """A stream with one version, and a second chunk waiting."""
    stream = bench.stream(name)
    bench.admitted(stream, range(60))
    bench.admitted(stream, range(60, 120))
    process_next(bench.context, stream.id)
    return stream.id


def test_a_cycle_killed_in_an_epoch_comes_to_the_same_weights(bench: Bench) -> None:
    plain, killed = two_chunks(bench, "plain"), two_chunks(bench, "killed")
    process_next(bench.context, plain)
    env = environment(bench.context.settings) | {failpoint.VARIABLE: "cycle.relearn.epoch:kill"}
    done = subprocess.run([sys.executable, "-c", RUN, str(killed)], env=env, check=False)
    assert done.returncode == -signal.SIGKILL

    deadline = time.monotonic() + 30
    while process_next(bench.context, killed) is None:  # until its heartbeat is stale
        assert time.monotonic() < deadline
        threading.Event().wait(0.1)
    (_, cycle) = bench.cycles(bench.read_stream("killed"))
    assert (cycle.attempt, cycle.exceptions) == (2, 0)
    assert bench.digests("killed") == bench.digests("plain")


def test_a_database_that_restarts_costs_nothing(
    bench: Bench, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, restarted = two_chunks(bench, "plain"), two_chunks(bench, "restarted")
    process_next(bench.context, plain)
    rests: list[float] = []

    def kill_it_once(name: str) -> None:
        if name == "cycle.relearn.epoch" and not rests:
            servers.postgres.kill()

    def start_it_at_the_second_rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 2:
            servers.postgres.start()

    monkeypatch.setattr(progress, "failpoint", kill_it_once)
    monkeypatch.setattr(patience, "rest", start_it_at_the_second_rest)
    process_next(bench.context, restarted)
    assert len(rests) >= 2
    (_, cycle) = bench.cycles(bench.read_stream("restarted"))
    assert (cycle.state, cycle.attempt, cycle.exceptions) == ("succeeded", 1, 0)
    assert bench.digests("restarted") == bench.digests("plain")


def test_an_epoch_without_an_end_does_not_keep_a_worker_from_stopping(bench: Bench) -> None:
    stream = bench.stream()
    bench.admitted(stream, range(60))
    env = environment(bench.context.settings) | {"LURE_GRACE_S": "0.5"}
    before, call = RUN.rsplit("process_next(", 1)
    argv = [sys.executable, "-c", before + ENDLESS + "process_next(" + call, str(stream.id)]
    assert subprocess.run(argv, env=env, check=False).returncode == 1
    (cycle,) = bench.cycles(stream)
    assert (cycle.state, cycle.heartbeat_at) == ("running", None)
