"""The lease of a worker's main process, and what its children tell it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from sqlalchemy import text

from store import jobs, workers
from store.engine import Database
from store.workers import Worker
from tests.service.serving import until
from tests.worker.conftest import Bench, environment
from worker import gpu, sweep
from worker.board import Board
from worker.lease import Lease
from worker.settings import WorkerSettings


def known(database: Database) -> list[Worker]:
    with database.begin() as session:
        return list(workers.known(session))


@pytest.fixture
def lease(worker_settings: WorkerSettings) -> Iterator[Callable[[Board], Lease]]:
    made: list[Lease] = []

    def make(board: Board) -> Lease:
        made.append(Lease(worker_settings, board, (jobs.LEARN_QUEUE,)))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_a_lease_tells_of_its_process_and_is_given_back(
    database: Database, lease: Callable[[Board], Lease]
) -> None:
    held = lease(Board())
    until(lambda: len(known(database)) == 1)
    [found] = known(database)
    assert (found.queue, found.facts["pid"]) == ("learn", os.getpid())
    assert found.facts["lure"]
    assert found.facts["torch"]
    assert found.facts["device"] is None
    assert found.clock_offset_s == pytest.approx(0, abs=2)
    held.stop()
    assert known(database) == []


_FORKING = """
import json, os, signal
from lure.waiting import until
from store import workers
from store.engine import Database
from worker.board import Board
from worker.lease import Lease
from worker.settings import WorkerSettings

settings, board = WorkerSettings(), Board()
lease = Lease(settings, board, ("learn",))
lease.start()

def child():
    signal.alarm(20)  # one that hangs dies of it
    board.measured("H200 ünit", used_bytes=5 << 30, total_bytes=141 << 30)
    own = Database(settings)
    own.ping()
    own.close()
    if (grandchild := os.fork()) == 0:
        os._exit(0)
    os._exit(os.waitpid(grandchild, 0)[1])

for _ in range(20):
    if (pid := os.fork()) == 0:
        child()
    assert os.waitpid(pid, 0)[1] == 0

database = Database(settings)
def told():
    with database.begin() as session:
        return [one.facts for one in workers.known(session)]
assert until(lambda: any(facts["device"] for facts in told()), timeout_s=20)
print(json.dumps(told()))
lease.stop()
"""


def test_forks_beside_it_are_not_harmed_and_their_word_is_passed_on(
    database: Database, worker_settings: WorkerSettings
) -> None:
    """Each child opens the store for itself and forks in its turn, as a worker's child does."""
    argv = [sys.executable, "-c", _FORKING]
    done = subprocess.run(argv, env=environment(worker_settings), capture_output=True, timeout=90)
    assert done.returncode == 0, done.stderr
    [facts] = json.loads(done.stdout)
    assert facts["device"] == "H200 ünit"
    assert facts["gpu_memory_used_bytes"] == 5 << 30
    assert facts["gpu_memory_total_bytes"] == 141 << 30
    assert known(database) == []


def test_what_an_ended_child_measured_is_told_no_more() -> None:
    board = Board()
    board.measured("H200", used_bytes=5, total_bytes=6)
    board.forget_device()
    assert {board.facts()[name] for name in ("device", "gpu_memory_used_bytes")} == {None}


def test_a_cycle_on_a_cpu_measures_no_gpu() -> None:
    board = Board()
    gpu.measure(board, "cpu")
    assert board.facts()["device"] is None


def test_the_memory_of_the_gpu_that_cycles_use_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With torch's own answers in the place of a GPU's."""
    board, second = Board(), torch.device("cuda", 1)
    free_and_total = {second: (3 << 30, 8 << 30)}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", free_and_total.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    gpu.measure(board, "cuda:1")
    told = board.facts()
    assert (told["device"], told["gpu_memory_used_bytes"]) == ("GPU 1", 5 << 30)
    assert told["gpu_memory_total_bytes"] == 8 << 30


def test_sweeps_and_collections_are_told(bench: Bench) -> None:
    assert bench.context.board.facts()["swept_at"] is None
    sweep.sweep(bench.context, jobs.ADMIT_QUEUE)
    sweep.collect(bench.context)
    told = bench.context.board.facts()
    assert told["swept_at"]
    assert told["collected_at"]


def test_sweeps_bury_workers_that_are_silent(bench: Bench, database: Database) -> None:
    with database.begin() as session:
        workers.renew(session, "dead", queue="learn", facts={})
        workers.renew(session, "lives", queue="learn", facts={})
        session.execute(text("UPDATE workers SET seen_at = '2020-01-01' WHERE id = 'dead'"))
    sweep.sweep(bench.context, jobs.ADMIT_QUEUE)
    assert [one.id for one in known(database)] == ["lives"]


def test_a_real_worker_holds_one_and_gives_it_back(
    database: Database, worker_settings: WorkerSettings
) -> None:
    argv = [sys.executable, "-m", "worker", "worker", "-Q", "admit", "-c", "1"]
    with subprocess.Popen(argv, env=environment(worker_settings)) as process:
        try:
            until(lambda: len(known(database)) == 1, timeout_s=60)
            [found] = known(database)
            assert (found.facts["pid"], found.facts["torch"]) == (process.pid, None)
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert known(database) == []
