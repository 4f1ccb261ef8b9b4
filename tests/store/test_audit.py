from __future__ import annotations

import datetime as dt
from typing import Any

from store import audit
from store.audit import Entry
from store.engine import Database

NOW = dt.datetime.now(dt.UTC)


def entry(**fields: Any) -> Entry:
    values: dict[str, Any] = {
        "at": NOW,
        "who": "root",
        "key_id": "key_1",
        "action": "create_stream",
        "stream": None,
        "target": "/v1/streams",
        "status": 201,
        "request_id": "r",
        "address": "127.0.0.1",
        "data": {"location": "/v1/streams/x"},
    }
    return Entry(**(values | fields))


def add(database: Database, *entries: Entry) -> None:
    with database.begin() as session:
        audit.add(session, entries)


def test_entries_are_read_newest_first_and_by_stream(database: Database) -> None:
    add(database, entry(status=201), entry(stream="digits", status=403, data=None))
    with database.begin() as session:
        assert [row.status for row in audit.page(session, size=5).items] == [403, 201]
        (only,) = audit.page(session, size=5, stream="digits").items
    assert (only.stream, only.data) == ("digits", None)


def test_what_is_older_than_its_time_goes(database: Database) -> None:
    add(database, entry(at=NOW - dt.timedelta(days=8)), entry(at=NOW - dt.timedelta(days=6)))
    with database.begin() as session:
        assert audit.forget_old(session, days=7) == 1
        assert len(audit.page(session, size=5).items) == 1
