"""Cycles: one active a stream, in order, fenced."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy.exc import IntegrityError

from store import chunks, claims, cycles, streams
from store.engine import Database
from store.errors import FenceLost
from store.models import Cycle, Stream
from store.states import ChunkState, CycleState, Stage
from tests.factories import (
    POLICIES,
    admit_chunk,
    blob,
    create_chunk,
    create_stream,
    create_version,
    digest_of,
)


def claim(database: Database, stream: Stream, stale_s: float = 10) -> cycles.Claim | None:
    with database.begin() as session:
        return cycles.claim_next(session, stream.id, worker="w", stale_s=stale_s)


def must_claim(database: Database, stream: Stream, stale_s: float = 10) -> cycles.Claim:
    claimed = claim(database, stream, stale_s)
    assert claimed is not None
    return claimed


def read(database: Database, stream: Stream, claimed: cycles.Claim) -> Cycle:
    with database.begin() as session:
        return cycles.get(session, stream, claimed.cycle_id)


def test_there_is_nothing_to_do_without_an_admitted_chunk(database: Database) -> None:
    stream = create_stream(database)
    assert claim(database, stream) is None
    create_chunk(database, stream)
    assert claim(database, stream) is None


def test_an_older_chunk_that_waits_for_admission_holds_back_the_next(database: Database) -> None:
    stream = create_stream(database, classes=["0"], input={"channels": 1, "height": 8, "width": 8})
    first, second = create_chunk(database, stream, "1"), create_chunk(database, stream, "2")
    admit_chunk(database, stream, second)
    assert claim(database, stream) is None
    admit_chunk(database, stream, first)
    claimed = must_claim(database, stream)
    with database.begin() as session:
        assert [c.id for c in cycles.of_cycle(session, claimed.cycle_id)] == [first.id]


def test_eight_racing_workers_begin_one_cycle(database: Database) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    claims: list[cycles.Claim | None] = []
    workers = [
        threading.Thread(target=lambda: claims.append(claim(database, stream))) for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(one is not None for one in claims) == 1


def test_the_trigger_policy_takes_several_chunks_at_once(database: Database) -> None:
    policies = POLICIES | {"trigger": {"max_chunks": 2}}
    stream = create_stream(database, policies=policies)
    for name in "123":
        admit_chunk(database, stream, create_chunk(database, stream, name))
    claimed = must_claim(database, stream)
    with database.begin() as session:
        assert [c.position for c in cycles.of_cycle(session, claimed.cycle_id)] == [1, 2]


def test_a_cycle_learns_from_the_champion_and_replays_what_was_learned(database: Database) -> None:
    stream = create_stream(database)
    first = create_version(database, stream)
    second = create_version(database, stream, champion=False)
    admit_chunk(database, stream, create_chunk(database, stream))
    cycle = read(database, stream, must_claim(database, stream))
    assert cycle.parent == first.version
    assert cycle.ordinal == 2
    assert cycle.replay == [*first.chunks, *second.chunks]


def test_a_running_cycle_is_not_claimed_twice(database: Database) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    must_claim(database, stream)
    assert claim(database, stream) is None


def test_the_holder_of_a_lost_claim_writes_nothing(database: Database) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    old = must_claim(database, stream)
    new = must_claim(database, stream, stale_s=0)
    assert (new.cycle_id, new.attempt) == (old.cycle_id, 2)
    with database.begin() as session:
        assert not cycles.beat(session, old)
        with pytest.raises(FenceLost):
            cycles.enter(session, stream, old, Stage.RELEARN)
        with pytest.raises(FenceLost):
            cycles.report(session, stream, old, {"epoch": 1})
    with pytest.raises(FenceLost), database.begin() as session:
        cycles.record_exception(session, old, "boom")


def test_a_cycle_handed_back_is_free_at_once_and_nobody_died(database: Database) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    claimed = must_claim(database, stream)
    with database.begin() as session:
        cycles.hand_back(session, claimed)
        assert cycles.unattended(session, stale_s=10) == [stream.id]
    again = must_claim(database, stream)
    assert read(database, stream, again).deaths == 0


def test_twenty_deaths_without_progress_fail_the_cycle(database: Database) -> None:
    stream = create_stream(database)
    chunk = admit_chunk(database, stream, create_chunk(database, stream))
    first = must_claim(database, stream)
    for _ in range(claims.MAX_DEATHS - 1):
        must_claim(database, stream, stale_s=0)
    assert claim(database, stream, stale_s=0) is None
    assert read(database, stream, first).state is CycleState.FAILED
    with database.begin() as session:
        assert chunks.get(session, stream, chunk.id).state is ChunkState.FAILED


def test_progress_forgives_the_deaths_before_it(database: Database) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    must_claim(database, stream)
    claimed = must_claim(database, stream, stale_s=0)
    assert read(database, stream, claimed).deaths == 1
    with database.begin() as session:
        cycles.report(session, stream, claimed, {"epoch": 1}, resume_digest=blob(database, "state"))
    cycle = read(database, stream, claimed)
    assert (cycle.deaths, cycle.progress) == (0, {"epoch": 1})
    assert cycle.resume_digest == digest_of("state")


def test_a_resume_state_that_was_collected_does_not_replace_the_one_before(
    database: Database,
) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    claimed = must_claim(database, stream)
    kept = blob(database, "state")
    for digest in (kept, digest_of("collected")):
        with database.begin() as session:
            cycles.report(session, stream, claimed, {"epoch": 1}, resume_digest=digest)
    assert read(database, stream, claimed).resume_digest == kept


def test_three_exceptions_fail_the_cycle_and_its_chunk(database: Database) -> None:
    stream = create_stream(database)
    chunk = admit_chunk(database, stream, create_chunk(database, stream))
    for _ in range(claims.MAX_EXCEPTIONS):
        claimed = must_claim(database, stream)
        with database.begin() as session:
            cycles.record_exception(session, claimed, "Traceback …\nValueError: bad")
    cycle = read(database, stream, claimed)
    assert cycle.state is CycleState.FAILED
    assert cycle.error == "Traceback …\nValueError: bad"
    with database.begin() as session:
        failed = chunks.get(session, stream, chunk.id)
    assert (failed.state, failed.error) == (ChunkState.FAILED, "ValueError: bad")


def test_stages_leave_their_seconds_behind(database: Database) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    claimed = must_claim(database, stream)
    with database.begin() as session:
        locked = streams.lock(session, stream.id)
        for stage in (Stage.LOAD, Stage.RELEARN, Stage.EVALUATE):
            cycles.enter(session, locked, claimed, stage)
    cycle = read(database, stream, claimed)
    assert cycle.stage is Stage.EVALUATE
    assert set(cycle.timings) == {"load", "relearn"}
    assert all(seconds >= 0 for seconds in cycle.timings.values())


def test_the_streams_with_work_and_no_worker_are_found(database: Database) -> None:
    idle, waiting, held = (create_stream(database, name) for name in ("idle", "waiting", "held"))
    create_version(database, idle)
    for stream in (waiting, held):
        admit_chunk(database, stream, create_chunk(database, stream, stream.name))
    must_claim(database, held)
    with database.begin() as session:
        assert cycles.unattended(session, stale_s=10) == [waiting.id]
        assert set(cycles.unattended(session, stale_s=0)) == {waiting.id, held.id}


def test_an_exception_recorded_twice_counts_once(database: Database) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    claimed = must_claim(database, stream)
    with database.begin() as session:
        cycles.record_exception(session, claimed, "boom")
    with pytest.raises(FenceLost), database.begin() as session:  # its answer was lost
        cycles.record_exception(session, claimed, "boom")
    assert read(database, stream, claimed).exceptions == 1


def test_the_database_itself_allows_one_active_cycle_a_stream(database: Database) -> None:
    stream = create_stream(database)
    with database.begin() as session:
        session.add(active_cycle(stream, "cyc_1"))
    with pytest.raises(IntegrityError, match="uq_cycles_one_active"), database.begin() as session:
        session.add(active_cycle(stream, "cyc_2"))


def active_cycle(stream: Stream, cycle_id: str) -> Cycle:
    return Cycle(
        id=cycle_id,
        stream_id=stream.id,
        state=CycleState.RUNNING,
        strategy="lure",
        replay=[],
        seed=0,
        ordinal=1,
    )


def test_a_first_cycle_learns_and_the_next_unlearns(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    create_version(database, stream)
    with database.begin() as session:
        page = cycles.page(session, stream, size=10)
    assert [cycle.strategy for cycle in reversed(page.items)] == ["learn", "lure"]
