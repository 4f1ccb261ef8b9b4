"""What passes between a worker and its ranks: jobs, faults, results, words over a socket."""

from __future__ import annotations

import errno
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lure_core import errors
from lure_core.cycle import CycleData, CycleResult, Progress, Start, run_cycle
from tests.lure_core.making import create_config, create_samples
from worker.errors import is_of_the_machine
from worker.ranks import job as jobs
from worker.ranks import results
from worker.ranks.telling import HungUp, Listener, Teller


@pytest.fixture(scope="module")
def versions() -> list[CycleResult]:
    """A first version and its heir."""
    config = create_config(recipe={"epochs": 1, "learn_epochs": 1})
    old, new = create_samples(60, seed=1), create_samples(60, seed=2)
    first = run_cycle(Start(), CycleData([old]), config, lambda _: None)
    heir = Start(first.checkpoint)
    return [first, run_cycle(heir, CycleData([new], [old]), config, lambda _: None)]


def test_a_result_comes_through_whole(versions: list[CycleResult]) -> None:
    for result in versions:
        found = results.unpack(results.pack(result))
        assert found == result
        pairs = [(found.answers, result.answers)]
        if result.parent_answers is not None:
            assert found.parent_answers is not None
            pairs.append((found.parent_answers, result.parent_answers))
        for ours, theirs in pairs:
            assert ours.names == theirs.names
            for name in ("label_N", "answer_N", "confidence_N", "part_N"):
                assert np.array_equal(getattr(ours, name), getattr(theirs, name))
                assert getattr(ours, name).dtype == getattr(theirs, name).dtype
        if result.unlearn is not None:
            assert found.unlearn is not None
            assert np.array_equal(found.unlearn.mask, result.unlearn.mask)


def test_a_result_that_diverged_comes_through(versions: list[CycleResult]) -> None:
    diverged = replace(versions[0], images_per_s=float("inf"))
    assert results.unpack(results.pack(diverged)).images_per_s == float("inf")


def test_a_job_is_read_as_it_was_written(tmp_path: Path, versions: list[CycleResult]) -> None:
    job = jobs.Job(
        folder=str(tmp_path),
        config=create_config().to_dict(),
        new=["/new"],
        past=["/past", "/older"],
        sidecar=versions[0].checkpoint.sidecar,
        resumes=True,
        packages=["mine.net"],
        threads=3,
        timeout_s=60.0,
    )
    start = Start(versions[0].checkpoint, b"where it stood")
    job.write(start)
    found = jobs.read(tmp_path)
    assert replace(found, config=job.config) == job
    assert found.start() == start


def test_faults_are_raised_as_what_they_were(tmp_path: Path) -> None:
    assert jobs.fault(tmp_path) is None
    for known in (errors.BadCheckpoint, errors.BadChunkFile, errors.ConfigError):
        with pytest.raises(known, match="because"):
            raise jobs.Fault.of(known("because")).raised()
    full = jobs.Fault.of(OSError(errno.ENOSPC, "full")).raised()
    assert is_of_the_machine(full)
    assert is_of_the_machine(jobs.Fault.of(MemoryError()).raised())
    jobs.Fault.of(ZeroDivisionError("by zero")).write(tmp_path, 1)
    found = jobs.fault(tmp_path)
    assert found is not None
    with pytest.raises(jobs.RanksRaised, match="ZeroDivisionError: by zero"):
        raise found.raised()


def test_rank_0_goes_on_when_the_worker_says_so(tmp_path: Path) -> None:
    told = Progress("relearn", 2, 5, loss=0.1 + 0.2, accuracy=None, images_per_s=7.0)
    states: list[bytes] = []

    def speak() -> None:
        with Teller(tmp_path / "socket") as teller:
            teller.progress(replace(told, state=lambda: b"state\n" * 1000))
            teller.result(b"\0result")

    with Listener(tmp_path / "socket") as listener:
        assert not listener.opened(0.01)
        rank = threading.Thread(target=speak)
        rank.start()
        while not listener.opened(1):
            pass
        heard = listener.progress()
        assert isinstance(heard, Progress)
        assert replace(heard, state=None) == told
        assert heard.state is not None
        states += [heard.state(), heard.state()]
        listener.go_on()
        assert listener.progress() == b"\0result"
        listener.go_on()
        rank.join()
    assert states == [b"state\n" * 1000] * 2


def test_either_end_notices_that_the_other_is_gone(tmp_path: Path) -> None:
    with Listener(tmp_path / "one") as listener:
        with Teller(tmp_path / "one"):
            assert listener.opened(1)
        with pytest.raises(HungUp):
            listener.progress()
    with Listener(tmp_path / "two") as listener:
        teller = Teller(tmp_path / "two")
        assert listener.opened(1)
    with teller, pytest.raises(HungUp):
        teller.progress(Progress("evaluate", 0, 5))
