from __future__ import annotations

import time

import pytest
from sqlalchemy import text

from store import workers
from store.engine import Database

STALE_S = 10.0


def renew(database: Database, worker: str, *, queue: str = "learn", **facts: object) -> None:
    with database.begin() as session:
        workers.renew(session, worker, queue=queue, facts=facts)


def silence(database: Database, worker: str, seconds: float) -> None:
    with database.begin() as session:
        session.execute(
            text("UPDATE workers SET seen_at = seen_at - make_interval(secs => :s) WHERE id = :id"),
            {"s": seconds, "id": worker},
        )


def alive(database: Database) -> list[str]:
    with database.begin() as session:
        return [one.id for one in workers.alive(session, stale_s=STALE_S)]


def test_a_lease_is_renewed_and_tells_the_newest_facts(database: Database) -> None:
    renew(database, "a", device=None)
    silence(database, "a", 5)
    with database.begin() as session:
        [before] = workers.known(session)
    renew(database, "a", device="H200")
    with database.begin() as session:
        [found] = workers.known(session)
    assert before.age_s >= 5 > found.age_s
    assert (found.id, found.queue, found.facts) == ("a", "learn", {"device": "H200"})
    assert found.started_at == before.started_at


def test_a_silent_worker_is_known_until_it_is_buried(database: Database) -> None:
    renew(database, "dead")
    renew(database, "lives", queue="admit")
    silence(database, "dead", 2 * STALE_S)
    assert alive(database) == ["lives"]
    with database.begin() as session:
        workers.bury(session, stale_s=STALE_S)
        assert [one.id for one in workers.known(session)] == ["lives", "dead"]
    silence(database, "dead", 3500)  # long after an alert has fired
    with database.begin() as session:
        workers.bury(session, stale_s=STALE_S)
        assert [one.id for one in workers.known(session)] == ["lives", "dead"]
    silence(database, "dead", 100)
    with database.begin() as session:
        workers.bury(session, stale_s=STALE_S)
        assert [one.id for one in workers.known(session)] == ["lives"]


def test_a_lease_that_is_given_back_is_gone(database: Database) -> None:
    renew(database, "a")
    with database.begin() as session:
        workers.leave(session, "a")
    assert alive(database) == []


def test_a_clock_that_is_off_is_told(database: Database) -> None:
    renew(database, "fast", clock=time.time() + 60)
    renew(database, "silent")
    with database.begin() as session:
        found = {one.id: one.clock_offset_s for one in workers.known(session)}
    assert found == {"fast": pytest.approx(60, abs=2), "silent": None}
