from __future__ import annotations

import datetime as dt

import pytest

from service.access.keyring import Keyring
from store import keys
from store.engine import Database
from store.keys import ADMIN, READ
from tests.service.access.conftest import make


@pytest.fixture
def keyring(database: Database) -> Keyring:
    return Keyring(database)


def test_before_the_first_look_nothing_is_known(keyring: Keyring) -> None:
    assert not keyring.is_known
    assert not keyring.has_any
    keyring.refresh()
    assert keyring.is_known
    assert not keyring.has_any


def test_a_key_is_found_by_its_text(keyring: Keyring, database: Database) -> None:
    row, text = make(database, [ADMIN], requests_per_minute=7)
    keyring.refresh()
    entry = keyring.find(text)
    assert entry is not None
    assert (entry.principal.key_id, entry.requests_per_minute) == (row.id, 7)
    assert entry.fault is None
    assert keyring.find(text[:-1]) is None
    assert keyring.opens(row.id)
    assert not keyring.opens("key_other")


def test_a_key_ends_by_itself(
    keyring: Keyring, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(database, [ADMIN])
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    row, text = make(database, [READ], expires_at=soon)
    keyring.refresh()
    entry = keyring.find(text)
    assert entry is not None
    assert entry.until is not None
    assert keyring.opens(row.id)
    monkeypatch.setattr("service.access.keyring.time.monotonic", lambda: entry.until)
    assert entry.fault == "expired"
    assert not keyring.opens(row.id)


def test_a_revoked_key_is_known_as_such(keyring: Keyring, database: Database) -> None:
    row, text = make(database, [ADMIN])
    with database.begin() as session:
        keys.revoke(session, row.id)
    keyring.refresh()
    entry = keyring.find(text)
    assert entry is not None
    assert entry.fault == "revoked"
    assert keyring.has_any


def test_uses_are_written_together(keyring: Keyring, database: Database) -> None:
    rows = [make(database, [ADMIN])[0] for _ in range(3)]
    keyring.refresh()
    for row in rows[:2]:
        keyring.used(row.id)
    keyring.flush()
    with database.begin() as session:
        seen = [keys.get(session, row.id).last_used_at is not None for row in rows]
    assert seen == [True, True, False]
