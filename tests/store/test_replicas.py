"""A promotion is served when every live replica reports it."""

from __future__ import annotations

import threading

from sqlalchemy import text, update

from store import aliases, chunks, replicas
from store.engine import Database
from store.models import Replica, Stream
from tests.factories import create_stream, create_version


def report(
    database: Database, stream: Stream, replica: str, version: int, stale_s: float = 10
) -> bool:
    with database.begin() as session:
        return replicas.report(session, stream, replica, version, stale_s=stale_s)


def renew(database: Database, *names: str) -> None:
    with database.begin() as session:
        for name in names:
            replicas.renew(session, name)


def served(database: Database, stream: Stream) -> list[bool]:
    with database.begin() as session:
        page = chunks.page(session, stream, size=10)
    return [chunk.served_at is not None for chunk in reversed(page.items)]


def test_one_replica_of_two_is_not_enough(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    renew(database, "a", "b")
    assert not report(database, stream, "a", 1)
    assert served(database, stream) == [False]
    assert report(database, stream, "b", 1)
    assert served(database, stream) == [True]


def test_two_that_report_together_see_each_other(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    renew(database, "a", "b")
    answers: list[bool] = []
    both = [
        threading.Thread(target=lambda name=name: answers.append(report(database, stream, name, 1)))
        for name in "ab"
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(answers) == [False, True]


def test_a_replica_whose_lease_is_out_is_not_waited_for(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    renew(database, "dead")
    assert not report(database, stream, "alive", 1)
    with database.begin() as session:
        old = text("clock_timestamp() - interval '11 seconds'")
        session.execute(update(Replica).where(Replica.id == "dead").values(seen_at=old))
    with database.begin() as session:
        assert replicas.settle(session, stream, 1, stale_s=10)
    assert served(database, stream) == [True]


def test_a_chunk_of_a_refused_version_is_served_with_the_next_promoted(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    create_version(database, stream, champion=False)
    create_version(database, stream)
    report(database, stream, "a", 1)
    assert served(database, stream) == [True, False, False]
    report(database, stream, "a", 3)
    assert served(database, stream) == [True, True, True]


def test_the_replicas_of_a_stream_are_shown_with_what_they_serve(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    renew(database, "new")
    report(database, stream, "old", 1)
    with database.begin() as session:
        assert replicas.of_stream(session, stream, stale_s=10) == {"new": None, "old": 1}


def test_a_report_and_a_rollback_do_not_wait_for_each_other(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    create_version(database, stream)
    with database.begin() as mover:
        aliases.rollback(mover, stream, who="ada", reason="")  # holds the stream's row
        with database.begin() as reporter:
            reporter.execute(text("SET LOCAL lock_timeout = '500ms'"))
            replicas.report(reporter, stream, "a", 1, stale_s=10)
