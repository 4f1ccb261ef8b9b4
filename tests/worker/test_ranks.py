"""A cycle in two processes beside the same cycle in one: real torchrun, gloo, rows and blobs."""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lure import proc
from lure_core import cycle as core
from lure_core import data
from lure_core.config import CycleConfig
from lure_core.cycle import Answers, CycleData
from store import claims, events, reruns
from store.models import Cycle, Stream, Version
from tests.lure_core import smooth
from tests.worker.conftest import Bench
from worker import progress
from worker.context import Context
from worker.loading import file_of, read_version
from worker.pipeline import process_next
from worker.ranks import launch, running
from worker.ranks.launch import RanksDied
from worker.reruns import rerun_next
from worker.stop import Stop

RECIPE = {"epochs": 4, "learn_epochs": 2, "batch_size": 32, "precision": "fp32"}
SAME_CURVE = {"rel": 1e-6}
"""Only the order of additions differs; measured: by 2e-7 of the loss at most."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture(autouse=True)
def _every_epoch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_REPORT_EVERY_S", 0.0)


def worker(bench: Bench, ranks: int = 2) -> Context:
    """The same worker, told to run cycles in so many processes, which may import the smooth net."""
    told = {"ranks": ranks, "model_packages": smooth.NAME}
    settings = bench.context.settings.model_copy(update=told)
    return replace(bench.context, settings=settings, stop=Stop())


def taught(bench: Bench, name: str, **fields: Any) -> Stream:
    """A stream with a first version that one process made, and a second chunk that waits."""
    stream = bench.stream(name, recipe=RECIPE, **fields)
    bench.admitted(stream, range(100))
    bench.admitted(stream, range(100, 220))
    assert process_next(worker(bench, ranks=1), stream.id) is not None
    return stream


def curve(bench: Bench, stream: Stream) -> list[dict[str, Any]]:
    """What the second cycle told after each epoch; of an epoch told twice, what was told last."""
    cycle = bench.cycles(stream)[-1]
    told: dict[int, dict[str, Any]] = {}
    for event in bench.read(events.after, 0):
        of_epoch = event.name == "cycle.progress" and event.data["loss"] is not None
        if of_epoch and event.data["cycle"] == cycle.id:
            told[event.data["epoch"]] = event.data
    return [told[epoch] for epoch in sorted(told)]


def judged(bench: Bench, stream: Stream, version: Version) -> Answers:
    assert version.config is not None
    config = CycleConfig.from_dict(version.config)
    paths = [bench.context.blobs.local(file_of(chunk)) for chunk in bench.chunks(stream)]
    parts = CycleData(data.load(paths, config.classes))
    return core.judge(read_version(bench.context, version), parts, config)


def second_cycle(bench: Bench, stream: Stream) -> Cycle:
    _, cycle = bench.cycles(stream)
    assert (cycle.state, cycle.attempt, cycle.exceptions) == ("succeeded", 1, 0), cycle.error
    return cycle


@pytest.mark.timeout(300)
def test_two_ranks_have_the_curve_and_the_judgement_of_one_process(bench: Bench) -> None:
    alone = taught(bench, "alone", architecture=smooth.NAME)
    together = taught(bench, "together", architecture=smooth.NAME)
    process_next(worker(bench, ranks=1), alone.id)
    process_next(worker(bench), together.id)
    second_cycle(bench, together)

    one, two = curve(bench, alone), curve(bench, together)
    assert len(one) == len(two) == RECIPE["epochs"]
    assert [e["loss"] for e in two] == pytest.approx([e["loss"] for e in one], **SAME_CURVE)
    assert [e["accuracy"] for e in two] == [e["accuracy"] for e in one]

    before, after = bench.version(alone, 2), bench.version(together, 2)
    assert after.mask_digest == before.mask_digest
    assert after.environment["best_epoch"] == before.environment["best_epoch"]
    assert after.environment["flops"] == before.environment["flops"]
    assert after.metrics["prequential_accuracy"] == before.metrics["prequential_accuracy"]
    assert after.metrics["accuracy"] == before.metrics["accuracy"]
    assert after.verdict["outcome"] == before.verdict["outcome"]
    answers = [judged(bench, *pair) for pair in ((alone, before), (together, after))]
    assert len(answers[0]) > 20
    assert np.array_equal(answers[0].answer_N, answers[1].answer_N)
    for version, ranks, backend in ((before, 1, None), (after, 2, "gloo")):
        told = version.environment
        assert (told["ranks"], told["backend"], told["threads"]) == (ranks, backend, 1)


def ranks_of(main: int) -> dict[str, int]:
    """The ranks that descend from a process, by their numbers."""
    found = {}
    for one in proc.family(main):
        words = Path(f"/proc/{one.pid}/cmdline").read_bytes().split(b"\0")
        told = Path(f"/proc/{one.pid}/environ").read_bytes().split(b"\0")
        rank = next((word for word in told if word.startswith(b"RANK=")), None)
        if b"worker.ranks" in words and rank is not None:
            found[rank.removeprefix(b"RANK=").decode()] = one.pid
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    """The digest of what two undisturbed ranks come to, once a test has found it."""
    return {}


def undisturbed(bench: Bench, known: dict[str, str]) -> str:
    if not known:
        stream = taught(bench, "undisturbed")
        process_next(worker(bench), stream.id)
        second_cycle(bench, stream)
        known["digest"] = bench.digests("undisturbed")[0]
    return known["digest"]


@linux
@pytest.mark.timeout(300)
def test_a_rank_that_is_killed_leaves_no_trace_in_the_weights(
    bench: Bench,
    known: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = taught(bench, "killed")
    left = [2, 1]  # after the second epoch

    def kill_the_last_rank(place: str) -> None:
        if place == "cycle.relearn.epoch" and left and left.pop() == 2:
            os.kill(ranks_of(os.getpid())["1"], signal.SIGKILL)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, running.__name__):
        patch.setattr(progress, "failpoint", kill_the_last_rank)
        process_next(worker(bench), stream.id)
    assert not left
    told = [entry.message for entry in caplog.records if entry.name == running.__name__]
    assert [words.startswith("a rank died") for words in told] == [True]
    second_cycle(bench, stream)
    assert len(curve(bench, stream)) == RECIPE["epochs"]
    assert ranks_of(os.getpid()) == {}
    assert bench.digests("killed")[0] == undisturbed(bench, known)


@linux
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rank_that_is_stopped_is_waited_for_a_while_and_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = taught(bench, "stands")
    context = worker(bench)
    context = replace(
        context, settings=context.settings.model_copy(update={"rank_timeout_s": 20.0})
    )
    stopped: list[int] = []

    def stop_the_last_rank(place: str) -> None:
        if place == "cycle.relearn.epoch" and not stopped:
            stopped.append(ranks_of(os.getpid())["1"])
            os.kill(stopped[0], signal.SIGSTOP)

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(progress, "failpoint", stop_the_last_rank)
        process_next(context, stream.id)
    assert [entry.message[:11] for entry in caplog.records if entry.name == running.__name__] == [
        "a rank died"
    ]
    assert "still there" not in caplog.text
    assert not Path(f"/proc/{stopped[0]}").exists()
    assert bench.cycles(stream)[-1].state == "succeeded"


@linux
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_worker_told_to_stop_keeps_what_its_ranks_have_done(
    bench: Bench, known: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, two = taught(bench, "stopped"), worker(bench)

    def stop(place: str) -> None:
        if place == "cycle.relearn.epoch":
            two.stop.tell()

    with monkeypatch.context() as patch:
        patch.setattr(progress, "failpoint", stop)
        process_next(two, stream.id)
    cycle = bench.cycles(stream)[-1]
    assert (cycle.state, cycle.heartbeat_at, cycle.deaths) == ("running", None, 0)
    assert cycle.progress is not None
    assert cycle.progress["epoch"] == 2  # the next one told after the stop
    assert ranks_of(os.getpid()) == {}

    process_next(worker(bench), stream.id)
    assert bench.digests("stopped")[0] == undisturbed(bench, known)


@pytest.mark.timeout(300)
def test_a_rerun_in_fewer_processes_says_so(bench: Bench) -> None:
    stream = taught(bench, "digits", architecture=smooth.NAME)
    process_next(worker(bench), stream.id)
    rerun = bench.read(reruns.add, stream, 2)
    rerun_next(worker(bench, ranks=1))
    result = bench.read(reruns.get, stream, rerun.id).result
    assert result["circumstances"] == {
        "ranks": {"before": 2, "now": 1},
        "backend": {"before": "gloo", "now": None},
    }
    assert result["agreement"] == 1


def test_ranks_that_die_again_and_again_fail_the_cycle(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = taught(bench, "digits")
    launched: list[int] = []

    def die(*_: object) -> None:
        launched.append(1)
        raise RanksDied("killed by the system")

    monkeypatch.setattr(running, "launch", die)
    process_next(worker(bench), stream.id)
    cycle = bench.cycles(stream)[-1]
    assert len(launched) == claims.MAX_DEATHS
    assert (cycle.state, cycle.deaths, cycle.exceptions) == ("failed", claims.MAX_DEATHS, 0)
    assert cycle.error is not None
    assert "20 processes died in stage load: a rank died: killed by the system" in cycle.error
    assert bench.chunks(stream)[-1].state == "failed"


def test_a_worker_told_to_stop_does_not_begin_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = taught(bench, "digits")
    two = worker(bench)

    def die(*_: object) -> None:
        two.stop.tell()  # by a service manager that tells everybody
        raise RanksDied("terminated")

    monkeypatch.setattr(running, "launch", die)
    process_next(two, stream.id)
    cycle = bench.cycles(stream)[-1]
    assert (cycle.state, cycle.heartbeat_at, cycle.deaths) == ("running", None, 0)


@pytest.mark.timeout(300)
def test_what_a_rank_raises_the_worker_raises(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged chunk file, found by the ranks alone."""
    stream = taught(bench, "digits")
    start = launch._Torchrun

    def spoil(folder: Path, task: Any) -> Any:
        bench.context.blobs.local(task.files.new[0]).write_bytes(b"no chunk")
        return start(folder, task)

    monkeypatch.setattr(launch, "_Torchrun", spoil)
    process_next(worker(bench), stream.id)
    cycle = bench.cycles(stream)[-1]
    assert (cycle.state, cycle.exceptions, cycle.deaths) == ("running", 1, 0)
    assert cycle.error is not None
    assert "BadChunkFile" in cycle.error
