from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import fastapi.routing
import httpx
import pytest

from lure.sse import Event, parse
from service import tail
from store import cycles, events, streams
from store.blobs import Blobs
from store.engine import Database
from store.settings import StoreSettings
from tests.conftest import Servers
from tests.factories import admit_chunk, create_chunk, create_stream, create_version
from tests.service.serving import (
    Running,
    digits_stream,
    learned,
    process,
    running,
    service_settings,
    until,
)


@pytest.fixture
def api(settings: StoreSettings, database: Database) -> Iterator[Running]:
    with running(service_settings(settings)) as api:
        yield api


@contextmanager
def listening(
    api: Running, path: str = "/v1/events", **options: object
) -> Iterator[Iterator[Event]]:
    with api.client.stream("GET", path, **options) as answer:  # type: ignore[arg-type]
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield (event for event in parse(answer.iter_lines()) if event is not None)


def take(source: Iterator[Event], count: int) -> list[Event]:
    return [next(source) for _ in range(count)]


def note(database: Database, name: str, count: int = 1) -> None:
    for number in range(count):
        with database.begin() as session:
            events.note(session, name, number=number)


def last_id(database: Database) -> int:
    with database.begin() as session:
        return events.last_id(session)


def test_what_happens_is_heard_as_it_happens_with_rising_ids(
    api: Running, database: Database
) -> None:
    with listening(api) as heard:
        stream = create_stream(database, "a")
        create_chunk(database, stream)
        first, second = take(heard, 2)
    assert (first.name, second.name) == ("stream.created", "chunk.received")
    assert int(first.id) < int(second.id)
    assert second.data["stream"] == "a"
    assert second.data["chunk"].startswith("chk_")
    assert {"id", "name", "stream", "chunk", "at"} <= second.data.keys()
    assert second.data["id"] == int(second.id)


def test_without_an_id_it_begins_at_now(api: Running, database: Database) -> None:
    for _ in range(2):  # as the first who listens, and after nobody did for a while
        note(database, "before", 3)
        with listening(api) as first, listening(api) as second:
            note(database, "after")
            assert [next(heard).name for heard in (first, second)] == ["after", "after"]
        until(lambda: api.app.state.watch.tail.listeners == 0)


def test_while_nobody_listens_no_event_is_read(
    api: Running, database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def after(*_: object, **__: object) -> list[object]:
        read.append(1)
        return []

    monkeypatch.setattr(events, "after", after)
    learned(database, blobs, digits_stream(database), architecture="mlp")
    until(lambda: "digits" in api.app.state.watch.slots.champions())
    assert read == []


@pytest.mark.parametrize("how", ["header", "query", "both"])
def test_it_resumes_behind_the_last_id(api: Running, database: Database, how: str) -> None:
    note(database, "one", 10)
    last = last_id(database)
    path, headers = "/v1/events", {}
    if how in ("header", "both"):
        headers = {"Last-Event-ID": str(last - 3)}
    if how in ("query", "both"):
        path += f"?last_event_id={last - 3 if how == 'query' else last - 8}"
    with listening(api, path, headers=headers) as heard:
        assert [int(event.id) for event in take(heard, 3)] == [last - 2, last - 1, last]
        note(database, "live")
        assert next(heard).name == "live"


def test_a_client_far_behind_gets_every_event_once_and_in_order(
    api: Running, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_HELD", 20)
    monkeypatch.setattr(tail, "_PAGE", 7)
    with listening(api), listening(api, headers={"Last-Event-ID": "0"}) as heard:
        with database.begin() as session:
            for number in range(100):
                events.note(session, "many", number=number)
        until(lambda: api.app.state.watch.tail._last == last_id(database))
        assert [event.data["number"] for event in take(heard, 100)] == list(range(100))
        note(database, "live")
        assert next(heard).name == "live"


def test_a_stream_hears_its_own_events_only(api: Running, database: Database) -> None:
    mine, other = create_stream(database, "mine"), create_stream(database, "other")
    with listening(api, "/v1/streams/mine/events?last_event_id=0") as heard:
        assert next(heard).name == "stream.created"
        create_chunk(database, other)
        create_chunk(database, mine)
        event = next(heard)
    assert (event.name, event.data["stream"]) == ("chunk.received", "mine")


def test_a_cycle_is_heard_from_its_beginning_to_its_end(api: Running, database: Database) -> None:
    stream = create_stream(database, "a")
    admit_chunk(database, stream, create_chunk(database, stream))
    with database.begin() as session:
        claim = cycles.claim_next(session, stream.id, worker="test", stale_s=10)
    assert claim is not None
    path = f"/v1/streams/a/cycles/{claim.cycle_id}/events"
    with listening(api, path) as heard:
        assert next(heard).name == "cycle.started"
        create_chunk(database, stream, "of no concern")
        with database.begin() as session:
            locked = streams.lock(session, stream.id)
            cycles.fail(session, locked, cycles.fenced(session, claim), "a test")
        assert [event.name for event in heard] == ["cycle.finished"]


def test_the_events_of_a_finished_cycle_are_given_and_the_stream_closes(
    api: Running, database: Database
) -> None:
    stream = create_stream(database, "a")
    version = create_version(database, stream)
    path = f"/v1/streams/a/cycles/{version.cycle_id}/events"
    with listening(api, path) as heard:
        given = list(heard)
    assert given[0].name == "cycle.started"
    assert given[-1].name == "cycle.finished"
    with listening(api, path, headers={"Last-Event-ID": given[-1].id}) as heard:
        assert list(heard) == []


def test_unknown_streams_cycles_and_ids_are_problems(api: Running, database: Database) -> None:
    create_stream(database, "a")
    for path in ("/v1/streams/nobody/events", "/v1/streams/a/cycles/cyc_0/events"):
        answer = api.client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert api.client.get("/v1/events", headers={"Last-Event-ID": "x"}).status_code == 422


def test_swaps_are_told(api: Running, database: Database, blobs: Blobs) -> None:
    with listening(api) as heard:
        learned(database, blobs, digits_stream(database))
        names = [next(heard).name]
        while names[-1] != "model.served":
            names.append(next(heard).name)
    assert "version.created" in names
    assert "alias.moved" in names
    assert "model.swapped" in names


def test_too_many_listeners_are_told_to_come_back(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "LISTENERS", 1)
    with listening(api):
        answer = httpx.get(f"{api.url}/v1/events")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
    until(lambda: api.app.state.watch.tail.listeners == 0)
    with listening(api):
        pass


def test_a_database_that_goes_and_comes_back_does_not_break_the_stream(
    api: Running, database: Database, servers: Servers
) -> None:
    note(database, "early", 3)
    with listening(api) as heard:
        note(database, "before")
        while next(heard).name != "before":
            pass
        database.close()
        servers.postgres.kill()
        try:
            until(lambda: "database" in api.app.state.watch.degraded)
            with (
                listening(api, headers={"Last-Event-ID": "1"}) as behind,
                listening(api) as new,
            ):
                servers.postgres.start()
                assert next(behind).name == "early"
                note(database, "while both listen")
                assert next(new).name == "while both listen"
        finally:
            servers.postgres.start()
        note(database, "after")
        assert take(heard, 2)[-1].name == "after"


def test_who_listens_first_while_the_database_is_away_hears_from_its_return_on(
    api: Running, database: Database, servers: Servers
) -> None:
    note(database, "before", 3)
    database.close()
    servers.postgres.kill()
    try:
        until(lambda: "database" in api.app.state.watch.degraded)
        with listening(api) as heard:
            servers.postgres.start()
            until(lambda: api.app.state.watch.tail._floor is not None)
            note(database, "after")
            assert next(heard).name == "after"
    finally:
        servers.postgres.start()


def test_a_silent_stream_gives_heartbeats(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fastapi.routing._PING_INTERVAL == 15.0
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.05)
    with api.client.stream("GET", "/v1/events") as answer:
        lines = answer.iter_lines()
        assert [line for line in islice(lines, 8) if line == ": ping"]


def test_sigterm_ends_the_process_though_clients_listen(
    settings: StoreSettings, database: Database
) -> None:
    with process(settings, shutdown_s=30) as replica:
        with httpx.stream("GET", f"{replica.url}/v1/events", timeout=30) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith(":")
            replica.process.send_signal(signal.SIGTERM)
            list(lines)  # ends: no transport error, no truncated chunk
        assert replica.process.wait(timeout=10) == 0


def test_it_works_without_redis(settings: StoreSettings, database: Database) -> None:
    alone = settings.model_copy(update={"redis_url": "redis+socket:///tmp/nobody-is-here.sock"})
    with running(service_settings(alone)) as api, listening(api) as heard:
        note(database, "polled")
        assert next(heard).name == "polled"
