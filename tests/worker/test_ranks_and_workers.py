"""The learn worker's own processes, and the ranks that must not outlive them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lure import proc
from store import jobs
from tests.worker.conftest import Bench, environment
from tests.worker.test_processes import LONG, in_an_epoch, wait
from worker.app import create_app

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture
def worker(bench: Bench, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A learn worker with two ranks, in the middle of a cycle."""
    stream = bench.stream(recipe=LONG)
    bench.admitted(stream, range(60))
    env = environment(bench.context.settings) | {"LURE_RANKS": "2", "LURE_GRACE_S": "60"}
    argv = [sys.executable, "-m", "worker", "worker", "-Q", "learn", "-c", "1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            argv, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        create_app(bench.context.settings, ()).wake(jobs.PROCESS_NEXT, stream.id)
        wait(lambda: in_an_epoch(bench, stream) is not None)
        yield process
    finally:
        process.kill()
        process.wait()
        sys.stdout.write((tmp_path / "log").read_text())
    wait(lambda: not ranks(bench))


def ranks(bench: Bench) -> list[int]:
    """The processes of this test that run parts of cycles."""
    found = []
    for one in proc.marked("LURE_BLOBS", str(bench.context.settings.blobs)):
        words = (proc.PROC / str(one.pid) / "cmdline").read_bytes().split(b"\0")
        if b"worker.ranks" in words:
            found.append(one.pid)
    return found


def folder_of(rank: int) -> Path:
    """The folder that a rank, or its torchrun, was told."""
    return Path((proc.PROC / str(rank) / "cmdline").read_text().split("\0")[-2])


@pytest.mark.slow
def test_told_to_stop_in_mid_cycle_it_saves_it_and_its_ranks_end(
    bench: Bench, worker: subprocess.Popen[bytes]
) -> None:
    assert len(ranks(bench)) == 3  # with torchrun
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0
    assert ranks(bench) == []
    (cycle,) = bench.cycles(bench.read_stream("digits"))
    assert (cycle.state, cycle.heartbeat_at, cycle.deaths) == ("running", None, 0)
    assert cycle.resume_digest is not None


def test_killed_it_takes_its_ranks_along(bench: Bench, worker: subprocess.Popen[bytes]) -> None:
    assert len(ranks(bench)) == 3
    (desk,) = {folder_of(pid) for pid in ranks(bench)}
    assert desk.exists()
    worker.kill()
    wait(lambda: not ranks(bench))
    assert not (desk / "job.json").exists()
