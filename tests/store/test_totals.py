"""Sums over all cycles: kept as they end, in the transaction that ends them."""

from __future__ import annotations

import pytest

from store import cycles, replicas, schema, streams, totals
from store.engine import Database
from store.models import StageTotal
from tests.factories import admit_chunk, create_chunk, create_stream, create_version, fail_a_cycle


def sums(database: Database) -> dict[str, totals.Total]:
    with database.begin() as session:
        return {name: total for (_, name), total in totals.of_all(session).items()}


def test_what_cycles_took_is_added_up_by_stage_and_end(database: Database) -> None:
    stream = create_stream(database)
    fail_a_cycle(database, stream, "a")
    first = sums(database)
    fail_a_cycle(database, stream, "b")
    second = sums(database)
    assert first.keys() == second.keys() == {"load", "failed"}
    assert (first["load"].count, second["load"].count) == (1, 2)
    assert second["load"].seconds >= first["load"].seconds
    assert second["failed"].seconds == pytest.approx(second["load"].seconds)


def test_nothing_is_added_where_the_end_is_undone(database: Database) -> None:
    stream = create_stream(database)
    admit_chunk(database, stream, create_chunk(database, stream))
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="test", stale_s=10)
        assert claim is not None

    def end_and_raise() -> None:
        with database.begin() as session:
            locked = streams.lock(session, stream.id)
            cycles.fail(session, locked, cycles.fenced(session, claim), "planted")
            raise RuntimeError("the commit does not come")

    with pytest.raises(RuntimeError):
        end_and_raise()
    assert sums(database) == {}


def test_chunks_are_added_up_once_when_they_are_served(database: Database) -> None:
    stream = create_stream(database)
    create_version(database, stream)
    for replica in ("a", "a"):
        with database.begin() as session:
            replicas.report(session, stream, replica, 1, stale_s=10)
    served = sums(database)[totals.SERVED]
    assert served.count == 1
    assert served.seconds > 0


def test_an_older_database_does_without(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has(_: object, model: object) -> bool:
        return model is not StageTotal

    monkeypatch.setattr(totals, "has", has)
    stream = create_stream(database)
    fail_a_cycle(database, stream, "a")
    assert sums(database) == {}
    monkeypatch.setattr(totals, "has", schema.has)
    assert sums(database) == {}
