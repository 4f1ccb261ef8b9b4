"""Reruns of real cycles: the same bits, last in line, and nothing that is ever served."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import update

from lure.waiting import until
from store import aliases, counterfactuals, events, failpoint, jobs, reruns, versions
from store.models import Rerun, Stream, Version
from store.states import ChunkState, RerunState
from tests.worker.conftest import Bench, environment
from worker import progress, sweep
from worker.pipeline import process_next
from worker.reruns import rerun_next

BUFFER = {"kind": "buffer", "capacity": 20, "keep": "reservoir"}
RUN = """
from worker.context import Context
from worker.reruns import rerun_next
from worker.settings import WorkerSettings
from worker.stop import Stop

rerun_next(Context.of(WorkerSettings(), wake=lambda *_, **__: None, stop=Stop()))
"""


def taught(bench: Bench, *, chunks: int = 2, **policies: Any) -> Stream:
    """A stream that has learned so many chunks and replays a buffer."""
    stream = bench.stream(policies={"replay": BUFFER} | policies)
    for start in range(0, 60 * chunks, 60):
        bench.admitted(stream, range(start, start + 60))
        process_next(bench.context, stream.id)
    return stream


def ask(bench: Bench, stream: Stream, version: int, method: str = "reproduce") -> str:
    rerun: Rerun = bench.read(reruns.add, stream, version, method=method)
    return rerun.id


def read(bench: Bench, stream: Stream, rerun_id: str) -> Rerun:
    found: Rerun = bench.read(reruns.get, stream, rerun_id)
    return found


def result(bench: Bench, stream: Stream, rerun_id: str) -> dict[str, Any]:
    rerun = read(bench, stream, rerun_id)
    assert rerun.state is RerunState.SUCCEEDED, rerun.error
    assert rerun.result is not None
    return rerun.result


def standing(bench: Bench, stream: Stream) -> list[Any]:
    """All that others can see of a stream beside its reruns."""
    names = [(alias.name, alias.version) for alias in bench.read(aliases.of_stream, stream)]
    page = bench.read(versions.page, stream, size=10)
    kept = [(one.version, one.digest, one.state, one.metrics) for one in page.items]
    told = [event.name for event in bench.read(events.after, 0)]
    return [names, kept, [name for name in told if not name.startswith("rerun.")]]


def test_a_version_is_reproduced_bit_by_bit_and_nothing_comes_of_it(bench: Bench) -> None:
    stream = taught(bench)
    before = standing(bench, stream)
    asked = [ask(bench, stream, number) for number in (1, 2)]
    assert rerun_next(bench.context) is not None
    assert rerun_next(bench.context) is not None
    assert rerun_next(bench.context) is None
    for number, rerun_id in enumerate(asked, start=1):
        version, told = bench.version(stream, number), result(bench, stream, rerun_id)
        assert (told["identical"], told["digest"]) == (True, version.digest)
        assert told["circumstances"] == {}
        assert told["metrics"]["accuracy"] == version.metrics["accuracy"]
        assert told["epochs"] == version.environment["epochs"]
    assert standing(bench, stream) == before
    assert (jobs.RERUN_NEXT,) in bench.wakes.sent
    told_of = [event.name for event in bench.read(events.after, 0)]
    assert told_of[-2:] == ["rerun.started", "rerun.finished"]


def test_weights_that_differ_are_told_with_what_else_does(bench: Bench) -> None:
    stream = taught(bench, chunks=1)
    version = bench.version(stream, 1)
    assert version.config is not None
    config = version.config | {"seed": 8}
    libraries = version.environment["libraries"] | {"lure": "0.0.9", "torch": "1.0"}
    with bench.database.begin() as session:
        other = {"config": config, "environment": version.environment | {"libraries": libraries}}
        session.execute(update(Version).values(**other))
    rerun_id = ask(bench, stream, 1)
    rerun_next(bench.context)
    told = result(bench, stream, rerun_id)
    assert not told["identical"]
    assert 0 < told["differing_tensors"] <= told["tensors"]
    assert told["max_difference"] > 0
    assert 0 <= told["agreement"] <= 1
    now = version.environment["libraries"]
    assert told["circumstances"] == {
        "libraries.lure": {"before": "0.0.9", "now": now["lure"]},
        "libraries.torch": {"before": "1.0", "now": now["torch"]},
    }


def test_killed_in_an_epoch_it_comes_to_the_same_bits(bench: Bench) -> None:
    stream = taught(bench, chunks=1)
    rerun_id = ask(bench, stream, 1)
    env = environment(bench.context.settings) | {failpoint.VARIABLE: "rerun.relearn.epoch:kill"}
    done = subprocess.run([sys.executable, "-c", RUN], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    assert read(bench, stream, rerun_id).resume_digest is not None
    assert until(lambda: rerun_next(bench.context) is not None, timeout_s=30)
    assert result(bench, stream, rerun_id)["identical"]
    assert read(bench, stream, rerun_id).attempt == 2


def test_a_chunk_that_comes_meanwhile_is_learned_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = taught(bench)
    rerun_id = ask(bench, stream, 2)

    def bring_a_chunk(place: str) -> None:
        if place == "rerun.relearn.epoch":
            monkeypatch.undo()
            bench.admitted(stream, range(120, 180))

    monkeypatch.setattr(progress, "failpoint", bring_a_chunk)
    rerun_next(bench.context)
    paused = read(bench, stream, rerun_id)
    assert (paused.state, paused.heartbeat_at) == (RerunState.RUNNING, None)
    assert paused.progress is not None
    assert (paused.progress["stage"], paused.progress["epoch"]) == ("relearn", 2)
    assert rerun_next(bench.context) is None  # whoever is asked again

    process_next(bench.context, stream.id)
    assert bench.chunks(stream)[2].state is ChunkState.LEARNED
    rerun_next(bench.context)
    assert result(bench, stream, rerun_id)["identical"]
    assert read(bench, stream, rerun_id).deaths == 0


def test_counterfactuals_come_of_a_sweep_and_are_compared(bench: Bench) -> None:
    asked = {"every": 2, "methods": ["warm", "scratch"]}
    stream = taught(bench, counterfactual=asked)
    before = standing(bench, stream)
    for _ in range(2):
        assert sweep.sweep(bench.context, jobs.LEARN_QUEUE) == 1
    assert bench.wakes.sent[-1] == (jobs.RERUN_NEXT,)
    while rerun_next(bench.context):
        pass
    version = bench.version(stream, 2)
    (compared,) = bench.read(counterfactuals.comparisons, stream)
    assert (compared.own.method, compared.own.accuracy) == ("lure", version.metrics["accuracy"])
    assert [other.method for other in compared.others] == ["warm", "scratch"]
    assert {other.images for other in compared.others} == {version.metrics["images"]}
    assert all(other.seconds > 0 for other in compared.others)
    page = bench.read(reruns.page, stream, size=10).items
    assert {rerun.result["epochs"] for rerun in page} == {version.environment["epochs"]}
    assert len({rerun.result["digest"] for rerun in page} | {version.digest}) == 3
    assert standing(bench, stream) == before
    assert sweep.sweep(bench.context, jobs.LEARN_QUEUE) == 0


def test_without_its_chunk_file_it_fails_with_the_reason(bench: Bench) -> None:
    stream = taught(bench, chunks=1)
    rerun_id = ask(bench, stream, 1)
    file_digest = bench.chunks(stream)[0].file_digest
    assert file_digest is not None
    bench.context.blobs.local(file_digest).unlink()
    rerun_next(bench.context)
    rerun = read(bench, stream, rerun_id)
    assert rerun.state is RerunState.FAILED
    assert rerun.error == f"what it was made from is lost: no bytes under sha256:{file_digest}"
