from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys

import pytest
from sqlalchemy import select

from store import audit, events, keys
from store.engine import Database
from store.errors import Conflict, NotFound
from store.keys import ADMIN, PREDICT, READ, NewKey
from store.models import ApiKey
from store.settings import StoreSettings

ROOT = NewKey("root", [ADMIN])


def create(database: Database, wanted: NewKey = ROOT) -> tuple[ApiKey, str]:
    with database.begin() as session:
        return keys.create(session, wanted, who="test")


def hour(hours: int) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)


def test_only_the_hash_of_a_key_is_kept(database: Database) -> None:
    row, text = create(database)
    assert keys.is_well_formed(text)
    assert row.digest == keys.digest_of(text)
    assert text.startswith(row.hint)
    assert len(row.hint) == 9
    with database.begin() as session:
        kept = session.execute(select(ApiKey.__table__)).one()
        told = events.after(session, 0)
    assert text not in repr(kept) + repr([event.data for event in told])
    assert [event.name for event in told] == ["key.created"]


def test_every_key_is_another(database: Database) -> None:
    assert create(database)[1] != create(database)[1]


def test_the_first_key_is_an_administrators(database: Database) -> None:
    for wanted in (NewKey("a", [PREDICT]), NewKey("b", [ADMIN], stream="digits")):
        with pytest.raises(Conflict, match="admin"):
            create(database, wanted)
    create(database)
    create(database, NewKey("a", [PREDICT]))


def test_valid_keys_are_active_and_others_are_known(database: Database) -> None:
    create(database)
    valid, _ = create(database, NewKey("a", [READ, PREDICT], "digits", hour(1), 60))
    expired, _ = create(database, NewKey("b", [READ], expires_at=hour(-1)))
    revoked, _ = create(database, NewKey("c", [READ]))
    with database.begin() as session:
        keys.revoke(session, revoked.id)
    with database.begin() as session:
        active = {one.name: one for one in keys.active(session)}
        known = {one.id: one for one in keys.known(session)}
    assert active.keys() == {"root", "a"}
    shown = active["a"]
    assert shown.id == valid.id
    assert (shown.scopes, shown.stream) == (frozenset({READ, PREDICT}), "digits")
    assert shown.requests_per_minute == 60
    assert shown.left_s is not None
    assert 3500 < shown.left_s <= 3600
    assert known[revoked.id].is_revoked
    assert (known[expired.id].left_s or 0) < 0


def test_a_revoked_key_stays_revoked(database: Database) -> None:
    row, text = create(database)
    with database.begin() as session:
        first = keys.revoke(session, row.id).revoked_at
    with database.begin() as session:
        assert keys.revoke(session, row.id).revoked_at == first
    with database.begin() as session:
        assert not keys.ensure_bootstrap(session, text)
        assert keys.active(session) == []
        assert keys.any_made(session)
        names = [event.name for event in events.after(session, 0)]
    assert names == ["key.created", "key.revoked"]


def test_what_is_not_there_cannot_be_revoked(database: Database) -> None:
    with pytest.raises(NotFound), database.begin() as session:
        keys.revoke(session, "key_none")


def test_a_bootstrap_key_is_made_known_once(database: Database) -> None:
    text = keys.new_text()
    with database.begin() as session:
        assert not keys.any_made(session)
        assert keys.ensure_bootstrap(session, text)
    with database.begin() as session:
        assert not keys.ensure_bootstrap(session, text)
        (only,) = keys.active(session)
    assert (only.name, only.scopes) == ("bootstrap", frozenset({ADMIN}))
    assert only.digest == keys.digest_of(text)


def test_the_newest_use_counts(database: Database) -> None:
    row, _ = create(database)
    late, early = hour(0), hour(-1)
    for seen in (late, early):
        with database.begin() as session:
            keys.note_used(session, {row.id: seen})
    with database.begin() as session:
        assert keys.get(session, row.id).last_used_at == late


def test_the_stamp_changes_with_the_keys(database: Database) -> None:
    def stamp() -> keys.Stamp:
        with database.begin() as session:
            return keys.stamp(session)

    seen = [stamp()]
    row, _ = create(database)
    seen.append(stamp())
    with database.begin() as session:
        keys.note_used(session, {row.id: hour(0)})
    assert stamp() == seen[-1]
    with database.begin() as session:
        keys.revoke(session, row.id)
    seen.append(stamp())
    assert len(set(seen)) == 3


def test_keys_are_listed_page_by_page(database: Database) -> None:
    made = [create(database)[0].id for _ in range(3)]
    with database.begin() as session:
        first = keys.page(session, size=2)
        rest = keys.page(session, size=2, before=first.next_key)
    assert [row.id for row in (*first.items, *rest.items)] == made[::-1]
    assert rest.next_key is None


def test_the_first_key_is_made_beside_the_service(
    database: Database, settings: StoreSettings
) -> None:
    """`lure keys first`: a service that others can reach does not start before there is one."""
    told = settings.model_dump(mode="json", exclude_none=True).items()
    named = {f"LURE_{name.upper()}": str(value) for name, value in told}
    run = subprocess.run(
        [sys.executable, "-m", "store.admin", "create-key", "root"],
        env=os.environ | named,
        capture_output=True,
        text=True,
        check=True,
    )
    text = run.stdout.strip()
    assert keys.is_well_formed(text)
    assert text not in run.stderr
    with database.begin() as session:
        (only,) = keys.active(session)
        (entry,) = audit.page(session, size=5).items
    assert (only.name, only.scopes) == ("root", frozenset({ADMIN}))
    assert only.digest == keys.digest_of(text)
    assert (entry.who, entry.action, entry.stream) == ("store.admin", "create_key", None)
    assert entry.data == {"key": only.id, "name": "root", "scopes": ["admin"]}
