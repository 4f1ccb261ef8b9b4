"""Claims: order under races, takeover, fences, holds and faults."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any

import pytest

from store import aliases, claims, cycles, events, failpoint, streams
from store.states import ChunkState, CycleState
from tests.worker.conftest import Bench
from worker import pipeline, promotion
from worker.pipeline import process_next

Another = Callable[[], Bench]


def before(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], None]) -> None:
    """Act once, just before that step of the pipeline."""
    step = getattr(promotion, name)
    left = [act]

    def acting(*args: Any, **kwargs: Any) -> Any:
        if left:
            left.pop()()
        return step(*args, **kwargs)

    monkeypatch.setattr(pipeline.promotion, name, acting)


def test_two_racing_workers_learn_each_chunk_once_and_in_order(
    bench: Bench, another: Another
) -> None:
    stream = bench.stream()
    for start in (0, 60, 120):
        bench.admitted(stream, range(start, start + 60))

    def work(worker: Bench) -> None:
        idle = 0
        while idle < 3:
            if process_next(worker.context, stream.id) is None:
                idle += 1
                threading.Event().wait(0.1)

    racers = [threading.Thread(target=work, args=(another(),)) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    while process_next(bench.context, stream.id):  # what is left if both gave up early
        pass
    learned = bench.chunks(stream)
    assert [(chunk.state, chunk.version) for chunk in learned] == [
        (ChunkState.LEARNED, version) for version in (1, 2, 3)
    ]
    assert [cycle.state for cycle in bench.cycles(stream)] == [CycleState.SUCCEEDED] * 3


def test_a_stale_cycle_is_taken_over_and_its_first_worker_writes_nothing(
    bench: Bench, another: Another, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = bench.stream()
    bench.admitted(stream, range(60))

    def the_other_takes_over() -> None:
        with bench.database.begin() as session:  # as if stopped for long: any heartbeat is stale
            claim = cycles.claim_next(session, stream.id, worker="other", stale_s=0)
        assert claim is not None
        with bench.database.begin() as session:
            cycles.hand_back(session, claim)

    before(monkeypatch, "judge", the_other_takes_over)
    process_next(bench.context, stream.id)
    (cycle,) = bench.cycles(stream)
    assert (cycle.state, cycle.version, cycle.attempt) == (CycleState.RUNNING, None, 3)
    assert bench.read(aliases.version_of, stream.id, "champion") is None

    process_next(another().context, stream.id)
    (cycle,) = bench.cycles(stream)
    assert (cycle.state, cycle.version, cycle.exceptions) == (CycleState.SUCCEEDED, 1, 0)


def roll_back(bench: Bench, name: str, *, hold: bool) -> Callable[[], None]:
    def act() -> None:
        with bench.database.begin() as session:
            stream = streams.get(session, name)
            aliases.rollback(session, stream, who="a person", reason="it was better")
            if not hold:
                aliases.release(session, stream, who="a person", reason="go on")

    return act


def three_chunks(bench: Bench) -> Any:
    """Two versions, and a third chunk waiting."""
    stream = bench.stream(policies={"gate": {"tolerance": 1.0, "min_judge": 5}})
    for start in (0, 60, 120):
        bench.admitted(stream, range(start, start + 60))
    process_next(bench.context, stream.id)
    process_next(bench.context, stream.id)
    return stream


def test_a_rollback_while_a_cycle_runs_is_not_overwritten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = three_chunks(bench)
    before(monkeypatch, "judge", roll_back(bench, stream.name, hold=True))
    process_next(bench.context, stream.id)
    assert bench.read(aliases.version_of, stream.id, "champion") == 1
    verdict = bench.version(stream, 3).verdict
    assert (verdict["promoted"], verdict["held"], verdict["champion_version"]) == (False, True, 1)
    assert "a person holds the champion" in verdict["reason"]
    assert bench.chunks(stream)[2].state is ChunkState.LEARNED


@pytest.mark.parametrize("step", ["judge", "promote"])
def test_a_champion_moved_meanwhile_is_the_one_judged_against(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    stream = three_chunks(bench)
    before(monkeypatch, step, roll_back(bench, stream.name, hold=False))
    process_next(bench.context, stream.id)
    third = bench.version(stream, 3)
    assert third.parent == 2
    assert third.verdict["champion_version"] == 1
    assert third.verdict["champion"]["images"] == third.metrics["images"]
    assert bench.read(aliases.version_of, stream.id, "champion") == 3
    assert bench.read(aliases.version_of, stream.id, "previous") == 1


def test_a_candidate_that_the_gate_refuses_is_learned_and_not_served(bench: Bench) -> None:
    gate = {"gate": {"tolerance": 0.0, "min_judge": 5}}
    recipe = {"epochs": 10, "batch_size": 16, "precision": "fp32"}
    stream = bench.stream(policies=gate, recipe=recipe)
    bench.admitted(stream, range(240))
    process_next(bench.context, stream.id)
    with bench.database.begin() as session:  # so steep a rate that all is forgotten
        steep = {"epochs": 1, "learning_rate": 100.0, "precision": "fp32"}
        streams.get(session, stream.name).recipe = steep
    bench.admitted(stream, range(240, 270))
    process_next(bench.context, stream.id)
    verdict = bench.version(stream, 2).verdict
    assert (verdict["outcome"], verdict["promoted"]) == ("failed", False)
    where = {alias.name: alias.version for alias in bench.read(aliases.of_stream, stream)}
    assert where == {"champion": 1, "candidate": 2, "latest": 2}
    assert bench.chunks(stream)[1].state is ChunkState.LEARNED
    assert "gate.failed" in [event.name for event in bench.read(events.after, 0)]


def test_three_exceptions_fail_the_cycle_and_the_next_chunk_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = bench.stream()
    bench.admitted(stream, range(60))
    bench.admitted(stream, range(60, 120))
    monkeypatch.setenv(failpoint.VARIABLE, "cycle.save:raise")
    for _ in range(claims.MAX_EXCEPTIONS):
        process_next(bench.context, stream.id)
    monkeypatch.delenv(failpoint.VARIABLE)
    (failed,) = bench.cycles(stream)
    assert failed.state is CycleState.FAILED
    assert failed.error is not None
    assert failed.error.startswith("Traceback (most recent call last)")
    assert failed.error.rstrip().endswith("FailpointError: cycle.save")
    first, second = bench.chunks(stream)
    assert (first.state, first.error) == (
        ChunkState.FAILED,
        "store.failpoint.FailpointError: cycle.save",
    )

    process_next(bench.context, stream.id)
    assert bench.chunk(second).version == 1


def test_a_resume_state_that_does_not_fit_is_dropped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = bench.stream()
    bench.admitted(stream, range(60))
    monkeypatch.setenv(failpoint.VARIABLE, "cycle.relearn.epoch:raise")
    process_next(bench.context, stream.id)
    monkeypatch.delenv(failpoint.VARIABLE)
    (cycle,) = bench.cycles(stream)
    assert cycle.resume_digest is not None
    with bench.database.begin() as session:  # another release may read its settings otherwise
        begun = cycles.get(session, stream, cycle.id)
        assert begun.settings is not None
        begun.settings = begun.settings | {"recipe": {"epochs": 1, "precision": "fp32"}}
    process_next(bench.context, stream.id)
    assert bench.version(stream, 1).environment["epochs"] == 1


def test_a_cycle_told_to_stop_saves_its_state_and_is_free_at_once(
    bench: Bench, another: Another, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, plain = bench.stream(), bench.stream("plain")
    for one in (stream, plain):
        bench.admitted(one, range(60))
    process_next(bench.context, plain.id)

    tell = bench.context.stop.tell
    monkeypatch.setattr(
        "worker.progress.failpoint", lambda name: tell() if "epoch" in name else None
    )
    process_next(bench.context, stream.id)
    monkeypatch.undo()
    cycle = bench.cycles(stream)[0]
    assert (cycle.state, cycle.heartbeat_at) == (CycleState.RUNNING, None)
    assert cycle.resume_digest is not None
    assert cycle.progress is not None
    assert cycle.progress["epoch"] == 2

    process_next(another().context, stream.id)
    assert bench.cycles(stream)[0].deaths == 0
    assert bench.version(stream, 1).digest == bench.version(plain, 1).digest


def test_a_full_disk_fails_no_cycle(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = bench.stream()
    bench.admitted(stream, range(60))

    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    for _ in range(claims.MAX_EXCEPTIONS + 1):
        with monkeypatch.context() as patched:
            patched.setattr(bench.context.blobs, "put_bytes", full)
            process_next(bench.context, stream.id)
    (cycle,) = bench.cycles(stream)
    assert (cycle.state, cycle.exceptions) == (CycleState.RUNNING, 0)
    process_next(bench.context, stream.id)
    assert bench.chunks(stream)[0].version == 1
