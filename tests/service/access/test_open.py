"""Services for which no key was made yet, and what is written down beside them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.access import Principal, needs
from service.access.counters import AccessCounters
from service.access.journal import Journal, entry_of
from store import audit, keys
from store.engine import Database
from store.errors import DatabaseAway
from store.keys import ADMIN
from store.models import ApiKey, AuditEntry
from store.settings import StoreSettings
from tests.conftest import Servers
from tests.service.access.conftest import entries, exposed, make, shown, without
from tests.service.control import problem
from tests.service.serving import process, running, service_settings, until

WHO = Principal("key_1", "root", frozenset({ADMIN}), None)


def test_on_loopback_all_is_open_until_the_first_key(
    settings: StoreSettings, database: Database
) -> None:
    with running(service_settings(settings)) as api:
        assert api.client.get("/v1/streams").status_code == 200
        made = api.client.post("/v1/keys", json={"name": "root", "scopes": ["admin"]})
        assert made.status_code == 201
        assert api.client.get("/v1/streams").status_code == 401
        key = made.json()
        with_key = {"headers": shown(key["key"])}
        assert api.client.get("/v1/streams", **with_key).status_code == 200
        # a key that was revoked counts as well: nothing opens by itself
        assert api.client.delete(f"/v1/keys/{key['id']}", **with_key).status_code == 200
        assert api.client.get("/v1/streams").status_code == 401


def test_whoever_sends_a_key_to_an_open_service_is_served(
    settings: StoreSettings, database: Database
) -> None:
    with running(service_settings(settings)) as api:
        headers = shown(keys.new_text())
        assert api.client.get("/v1/streams", headers=headers).status_code == 200


def test_other_sites_pages_do_not_use_an_open_service(
    settings: StoreSettings, database: Database
) -> None:
    pages: list[dict[str, str]] = [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"host": "203.0.113.9"},
        {"host": "[2001:db8::1]:8000"},
        {"host": "evil.example:8000", "origin": "http://evil.example:8000"},
    ]
    with running(service_settings(settings)) as api:
        for headers in pages:
            answer = api.client.post("/v1/streams", json={"name": "x"}, headers=headers)
            assert "lure keys create" in problem(answer, 403, "forbidden")["detail"]
        assert api.client.get("/v1/streams").json()["items"] == []
        assert api.client.get("/metrics", headers=pages[2]).status_code == 403
        own = {"origin": api.url}
        made = api.client.post("/v1/streams", json={"name": "x"}, headers=own)
        assert made.status_code == 201


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via"]
)
def test_through_a_proxy_nobody_makes_the_first_key(
    settings: StoreSettings, database: Database, header: str
) -> None:
    with running(service_settings(settings)) as api:
        wish = {"name": "thief", "scopes": ["admin"]}
        told = {header: "203.0.113.9", "host": "x"}
        refused = api.client.post("/v1/keys", json=wish, headers=told)
        assert "proxy" in problem(refused, 403, "forbidden")["detail"]
        assert api.client.get("/v1/keys").json()["items"] == []


def test_a_stream_of_events_ends_with_the_first_key(
    settings: StoreSettings, database: Database
) -> None:
    with (
        running(service_settings(settings)) as api,
        api.client.stream("GET", "/v1/events") as events,
    ):
        lines = events.iter_lines()
        next(lines)
        api.client.post("/v1/keys", json={"name": "root", "scopes": ["admin"]})
        assert list(lines) is not None  # it ends, and in good order


def test_beyond_loopback_nothing_is_open_without_any_key(
    settings: StoreSettings, database: Database
) -> None:
    with exposed(settings) as api:
        assert api.client.get("/v1/streams").status_code == 401


def test_the_first_key_is_an_administrators(settings: StoreSettings, database: Database) -> None:
    with running(service_settings(settings)) as api:
        refused = api.client.post("/v1/keys", json={"name": "a", "scopes": ["predict"]})
        assert "admin" in problem(refused, 409, "conflict")["detail"]
        assert api.client.get("/v1/keys").json()["items"] == []


def test_an_older_schema_is_told_of_and_everything_else_goes_on(
    settings: StoreSettings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, ApiKey, AuditEntry)
    with running(service_settings(settings)) as api:
        assert api.client.post("/v1/streams", json={"name": "x"}).status_code == 201
        for path in ("/v1/keys", "/v1/audit"):
            problem(api.client.get(path), 503, "schema-older")
        made = api.client.post("/v1/keys", json={"name": "a", "scopes": ["admin"]})
        problem(made, 503, "schema-older")


def test_on_an_open_service_changes_are_written_down_as_anonymous(
    settings: StoreSettings, database: Database
) -> None:
    with running(service_settings(settings)) as api:
        api.client.post("/v1/streams", json={"name": "x"})
    (only,) = entries(database, "create_stream")
    assert (only.who, only.key_id) == ("anonymous", None)


def test_an_entry_is_there_before_its_answer(settings: StoreSettings, database: Database) -> None:
    """A process that is killed right behind its answer has written it down."""
    _, text = make(database, [ADMIN])
    told = {"x-forwarded-for": "203.0.113.9"} | shown(text)
    with process(settings) as api:
        made = httpx.post(f"{api.url}/v1/streams", json={"name": "x"}, headers=told)
        assert made.status_code == 201
        api.process.kill()
        (only,) = entries(database, "create_stream")
    assert only.status == 201
    assert only.address == "127.0.0.1"  # what a client says of itself does not count


def test_what_cannot_be_written_follows(database: Database, servers: Servers) -> None:
    journal = Journal(database, AccessCounters())
    servers.postgres.kill()
    try:
        with pytest.raises(DatabaseAway):
            journal._add([entry()])
        journal._wait(entry(), "a test")
    finally:
        servers.postgres.start()
    until(lambda: _flushed(journal))
    assert len(entries(database, "create_stream")) == 1
    journal.close()


def _flushed(journal: Journal) -> bool:
    try:
        journal.flush()
    except DatabaseAway:
        return False
    return True


def entry() -> Any:
    scope = {"path": "/v1/streams/\x00\udcff", "client": ("127.0.0.1", 1)}
    return entry_of(needs.of("create_stream"), scope, WHO, 201, {})


def test_a_path_that_cannot_be_stored_is_written_otherwise(database: Database) -> None:
    with database.begin() as session:
        audit.add(session, [entry()])
    assert entries(database, "create_stream")[0].target == "/v1/streams/�?"
