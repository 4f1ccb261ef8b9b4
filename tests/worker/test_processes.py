"""Celery's own processes: waking, sweeping, stopping and dying."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lure.waiting import until
from store import cycles, jobs
from store.models import Cycle, Stream
from store.states import ChunkState
from tests.conftest import Servers
from tests.digits import digits_zip
from tests.worker.conftest import Bench, environment
from worker.app import create_app

PATIENCE_S = 60.0
LONG = {"epochs": 5000, "batch_size": 32, "precision": "fp32"}

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(bench: Bench, tmp_path: Path) -> Iterator[Start]:
    """Starts `python -m worker …` as a process group of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        env = environment(bench.context.settings) | settings
        argv = [sys.executable, "-m", "worker", *arguments]
        with (tmp_path / f"{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(
                argv, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        started.append(process)
        return process

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for log in sorted(tmp_path.glob("*.log")):
        sys.stdout.write(f"--- {log.name}\n{log.read_text()}\n")


def wait(predicate: Callable[[], bool]) -> None:
    assert until(predicate, timeout_s=PATIENCE_S)


def learned(bench: Bench, stream: Stream) -> int:
    return sum(chunk.state is ChunkState.LEARNED for chunk in bench.chunks(stream))


def in_an_epoch(bench: Bench, stream: Stream) -> Cycle | None:
    """The stream's cycle, once an epoch of it is over."""
    for cycle in bench.cycles(stream):
        if (cycle.progress or {}).get("epoch", 0) > 1:
            return cycle
    return None


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_a_message_wakes_the_worker_and_its_work_wakes_the_next(bench: Bench, start: Start) -> None:
    stream = bench.stream()
    for part in (range(60), range(60, 120)):
        bench.upload(stream, digits_zip(part))
    worker = start("worker", "-c", "1")
    create_app(bench.context.settings, ()).wake(jobs.ADMIT_CHUNK, bench.chunks(stream)[0].id)
    wait(lambda: learned(bench, stream) == 2)
    worker.terminate()
    assert worker.wait(timeout=PATIENCE_S) == 0


def test_the_sweeper_repairs_what_no_message_told_also_after_redis_lost_all(
    bench: Bench, start: Start, servers: Servers, tmp_path: Path
) -> None:
    stream = bench.stream()
    for queue in ("admit", "learn"):
        start("worker", "-Q", queue, "-c", "1")
    start("beat", "-s", str(tmp_path / "beat"))
    bench.upload(stream, digits_zip(range(60)))
    wait(lambda: learned(bench, stream) == 1)

    servers.redis.kill()
    servers.redis.start()
    bench.upload(stream, digits_zip(range(60, 120)))
    wait(lambda: learned(bench, stream) == 2)


@pytest.mark.parametrize("to_whole_group", [False, True])
def test_a_worker_told_to_stop_in_mid_cycle_saves_it_and_hands_it_back(
    bench: Bench, start: Start, to_whole_group: bool
) -> None:
    stream = bench.stream(recipe=LONG)
    bench.admitted(stream, range(60))
    worker = start("worker", "-Q", "learn", "-c", "1", LURE_RESUME_EVERY_S="1000")
    create_app(bench.context.settings, ()).wake(jobs.PROCESS_NEXT, stream.id)
    wait(lambda: in_an_epoch(bench, stream) is not None)
    send = os.killpg if to_whole_group else os.kill
    send(worker.pid, signal.SIGTERM)
    assert worker.wait(timeout=PATIENCE_S) == 0
    (cycle,) = bench.cycles(stream)
    assert (cycle.state, cycle.heartbeat_at, cycle.deaths) == ("running", None, 0)
    assert cycle.resume_digest is not None
    assert bench.read(cycles.unattended, stale_s=1000) == [stream.id]


def test_no_child_outlives_a_worker_that_was_killed(bench: Bench, start: Start) -> None:
    stream = bench.stream(recipe=LONG)
    bench.admitted(stream, range(60))
    worker = start("worker", "-Q", "learn", "-c", "1")
    create_app(bench.context.settings, ()).wake(jobs.PROCESS_NEXT, stream.id)
    wait(lambda: in_an_epoch(bench, stream) is not None)
    family = children(worker.pid)
    assert family
    worker.kill()
    wait(lambda: all(is_gone(pid) for pid in family))


def test_missing_settings_are_named() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LURE_")}
    argv = [sys.executable, "-m", "worker", "worker", "-Q", "admit"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "LURE_DATABASE_URL: Field required" in done.stderr
    assert "Traceback" not in done.stderr
