"""Streams take turns: who waits longest is next, however much another has to learn."""

from __future__ import annotations

from store import cycles, jobs
from store.engine import Database
from store.models import Stream
from tests.factories import admit_chunk, create_chunk, create_stream, create_version
from tests.worker.conftest import Bench
from worker.app import create_app
from worker.turns import take_turn


def admitted(database: Database, stream: Stream, count: int) -> None:
    for number in range(count):
        admit_chunk(database, stream, create_chunk(database, stream, f"{stream.name}{number}"))


def waiting(database: Database, stale_s: float = 10) -> list[int]:
    with database.begin() as session:
        return list(cycles.unattended(session, stale_s=stale_s))


def end_one(database: Database, stream: Stream) -> None:
    """The stream's next cycle begins and is over at once."""
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="w", stale_s=10)
    assert claim is not None
    with database.begin() as session:
        cycle = cycles.fenced(session, claim)
        cycles.fail(session, stream, cycle, "enough")


def test_streams_wait_in_the_order_in_which_they_came(database: Database) -> None:
    made = [create_stream(database, name) for name in "abc"]
    for stream in reversed(made):
        admitted(database, stream, 2)
    assert waiting(database) == [stream.id for stream in reversed(made)]


def test_a_stream_that_had_its_turn_goes_behind_those_that_waited(database: Database) -> None:
    busy, small, late = (create_stream(database, name) for name in ("busy", "small", "late"))
    admitted(database, busy, 5)
    admitted(database, small, 2)
    served = []
    for turn in range(6):
        if turn == 2:
            admitted(database, late, 1)
        first = waiting(database)[0]
        served.append(first)
        end_one(database, next(one for one in (busy, small, late) if one.id == first))
    assert served == [busy.id, small.id, busy.id, small.id, late.id, busy.id]


def test_a_cycle_without_a_worker_is_older_than_what_came_since(database: Database) -> None:
    early, late = create_stream(database, "early"), create_stream(database, "late")
    create_version(database, early)
    admitted(database, early, 1)
    with database.begin() as session:
        claim = cycles.claim_next(session, early.id, worker="w", stale_s=10)
    assert claim is not None
    admitted(database, late, 1)
    assert waiting(database) == [late.id]
    with database.begin() as session:
        cycles.hand_back(session, claim)
    assert waiting(database) == [early.id, late.id]


def test_a_cycle_that_lost_its_worker_comes_before_who_waits_longer(database: Database) -> None:
    long, begun, handed = (create_stream(database, name) for name in ("long", "begun", "handed"))
    admitted(database, long, 3)
    for stream in (begun, handed):
        admitted(database, stream, 1)
        with database.begin() as session:
            claim = cycles.claim_next(session, stream.id, worker="w", stale_s=10)
        assert claim is not None
    with database.begin() as session:
        cycles.hand_back(session, claim)
    assert waiting(database) == [handed.id, long.id]
    assert set(waiting(database, stale_s=0)[:2]) == {begun.id, handed.id}


def test_a_wake_up_goes_to_whoever_waits_longest(bench: Bench) -> None:
    busy, small = bench.stream("busy"), bench.stream("small")
    for start in (0, 60):
        bench.admitted(busy, range(start, start + 60))
    bench.admitted(small, range(60))
    turns = [take_turn(bench.context, busy.id) for _ in range(4)]
    assert [turn and turn.stream_id for turn in turns] == [busy.id, small.id, busy.id, None]


def test_one_that_cannot_begin_yet_holds_nobody_up(bench: Bench) -> None:
    """Its oldest chunk still waits for admission."""
    held, ready = bench.stream("held"), bench.stream("ready")
    bench.admitted(held, range(60))
    assert take_turn(bench.context, held.id) is not None
    bench.upload(held, b"not looked at yet")
    bench.admitted(held, range(60, 120))
    bench.admitted(ready, range(60))
    assert waiting(bench.database) == [held.id, ready.id]
    turn = take_turn(bench.context, held.id)
    assert turn is not None
    assert turn.stream_id == ready.id


def test_one_chunk_behind_a_hundred_wake_ups_of_another_stream_is_learned_second(
    bench: Bench,
) -> None:
    """The real queue, drained by what a worker's task does."""
    busy, small = bench.stream("busy"), bench.stream("small")
    app = create_app(bench.context.settings, [jobs.LEARN_QUEUE])
    for start in (0, 60, 120):
        bench.admitted(busy, range(start, start + 60))
    bench.admitted(small, range(60))
    with app.connection_for_read() as connection, connection.SimpleQueue(jobs.LEARN_QUEUE) as queue:
        queue.clear()
        for stream in (*[busy] * 100, small):
            app.wake(jobs.PROCESS_NEXT, stream.id)
        for _ in range(2):
            message = queue.get(timeout=10)
            (stream_id,), _, _ = message.payload
            message.ack()
            take_turn(bench.context, stream_id)
        queue.clear()
    ended = [len(bench.cycles(stream)) for stream in (busy, small)]
    assert ended == [1, 1]
