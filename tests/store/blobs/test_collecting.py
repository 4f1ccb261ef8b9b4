"""The collector and who puts the same bytes at that moment, whoever of them dies or waits."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from store import garbage, packs
from store.blobs import Blobs, pin
from store.engine import Database, Session
from store.errors import BlobsAway, DatabaseAway
from store.locks import locked
from store.models import Blob, Pack
from tests.factories import create_stream
from tests.store.blobs.conftest import age, lying


def test_old_bytes_that_nobody_names_are_collected(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    assert garbage.collect(database, blobs) == 1
    assert lying(blobs) == blobs.discarded() == []


def test_many_are_collected(database: Database, blobs: Blobs) -> None:
    for number in range(20):
        age(database, blobs.put_bytes(str(number).encode()))
    young = blobs.put_bytes(b"young")
    assert garbage.collect(database, blobs) == 20
    assert lying(blobs) == [young]


def test_young_bytes_are_left_alone(database: Database, blobs: Blobs) -> None:
    blobs.put_bytes(b"x")
    assert garbage.collect(database, blobs) == 0


def test_bytes_put_again_are_young_again(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    blobs.put_bytes(b"x")
    assert garbage.collect(database, blobs) == 0
    assert blobs.exists(digest)


def test_bytes_that_were_collected_can_be_put_again(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    garbage.collect(database, blobs)
    blobs.put_bytes(b"x")
    blobs.check(digest)
    with database.begin() as session:
        pin(session, digest)


def test_a_put_waits_for_a_collector_of_the_same_bytes(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as collector:
            collector.execute(sa.select(Blob).where(Blob.digest == digest).with_for_update())
            put = pool.submit(blobs.put_bytes, b"x")
            blobs.discard(digest)
            collector.execute(sa.delete(Blob).where(Blob.digest == digest))
            assert not put.done()
        blobs.forget(digest, blobs.discarded_of(digest))
        assert put.result(timeout=10) == digest
    assert blobs.read(digest) == b"x"
    with database.begin() as session:
        pin(session, digest)


def test_a_collector_that_fails_loses_nothing(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    really = blobs.discard

    def discard_and_die(one: str) -> None:
        really(one)
        raise RuntimeError

    monkeypatch.setattr(blobs, "discard", discard_and_die)
    with pytest.raises(RuntimeError):
        garbage.collect(database, blobs)
    blobs.check(digest)


def test_what_cannot_be_collected_holds_up_nothing_else(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = sorted(blobs.put_bytes(bytes([number])) for number in range(6))
    for digest in digests:
        age(database, digest)
    stuck, half = digests[0], digests[1]
    blobs.discard(half)  # by a collector that died
    really, settle = blobs.discard, blobs.restore

    def discard(one: str) -> set[str]:
        if one == stuck:
            raise BlobsAway("the bytes are on legal hold")
        return really(one)

    def restore(one: str) -> None:
        if one == half:
            raise PermissionError("not ours")
        settle(one)

    monkeypatch.setattr(garbage, "_AT_ONCE", 2)
    monkeypatch.setattr(blobs, "discard", discard)
    monkeypatch.setattr(blobs, "restore", restore)
    with pytest.raises(PermissionError):
        garbage.collect(database, blobs)
    assert lying(blobs) == [stuck]


def test_a_store_that_refuses_everything_is_not_asked_a_thousand_times(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        age(database, blobs.put_bytes(bytes([number])))
    asked: list[str] = []

    def refuse(one: str) -> set[str]:
        asked.append(one)
        raise BlobsAway("access denied")

    monkeypatch.setattr(blobs, "discard", refuse)
    with pytest.raises(BlobsAway):
        garbage.collect(database, blobs)
    assert len(asked) < 10 + blobs.deletes_at_once


def test_a_collection_whose_time_is_over_leaves_the_rest(database: Database, blobs: Blobs) -> None:
    age(database, blobs.put_bytes(b"x"))
    assert garbage.collect(database, blobs, limit_s=-1) == 0
    assert garbage.collect(database, blobs) == 1


def test_what_a_dead_collector_left_is_settled_by_the_next(
    database: Database, blobs: Blobs
) -> None:
    named, unnamed = blobs.put_bytes(b"named"), blobs.put_bytes(b"unnamed")
    for digest in (named, unnamed):
        blobs.discard(digest)
    with database.begin() as session:
        session.execute(sa.delete(Blob).where(Blob.digest == unnamed))
    garbage.collect(database, blobs)
    assert lying(blobs) == [named]
    blobs.check(named)


def test_what_was_put_aside_and_put_again_is_settled(database: Database, blobs: Blobs) -> None:
    digest = blobs.put_bytes(b"x")
    blobs.discard(digest)  # by one who died before its commit
    blobs.put_bytes(b"x")
    garbage.collect(database, blobs)
    assert blobs.discarded() == []
    assert [one.digest for one in blobs.stored()] == [digest]
    blobs.check(digest)


def test_a_collector_leaves_alone_what_another_is_about_to_delete(
    database: Database, blobs: Blobs
) -> None:
    digest = blobs.put_bytes(b"x")
    with database.begin() as other:
        other.execute(sa.select(Blob).where(Blob.digest == digest).with_for_update())
        blobs.discard(digest)
        other.execute(sa.delete(Blob).where(Blob.digest == digest))
        assert garbage.collect(database, blobs) == 0
        assert blobs.discarded() == [digest]
    garbage.collect(database, blobs)  # the other one died after its commit
    assert lying(blobs) == blobs.discarded() == []


def test_a_deletion_that_was_committed_is_not_undone_though_its_answer_was_lost(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    begin = Database.begin

    @contextmanager
    def begin_and_lose_the_answer(one: Database) -> Iterator[Session]:
        with begin(one) as session:
            yield session
        if blobs._place.discarded():  # the place itself: it asks the database nothing
            monkeypatch.undo()
            raise DatabaseAway("it left during the commit")

    monkeypatch.setattr(Database, "begin", begin_and_lose_the_answer)
    with pytest.raises(DatabaseAway):
        garbage.collect(database, blobs)
    assert lying(blobs) == blobs.discarded() == []


def test_what_is_named_under_a_pin_during_a_collection_stays(
    database: Database, blobs: Blobs
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    pack = Pack(id="pck_1", stream_id=create_stream(database).id, digest=digest)
    pack.size_bytes = pack.predictions = 1
    with database.begin() as session:
        packs.add(session, pack)  # which pins its bytes
        assert garbage.collect(database, blobs) == 0
    assert garbage.collect(database, blobs) == 0
    assert blobs.read(digest) == b"x"


def test_nobody_can_name_a_blob_between_the_last_look_and_its_deletion(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put_bytes(b"x")
    age(database, digest)
    looked_under_lock = []
    is_garbage = garbage._is_garbage

    def look() -> sa.ColumnElement[bool]:
        free = sa.select(Blob.digest).where(Blob.digest == digest)
        with database.begin() as session:
            is_free = session.scalar(locked(free, skip=True)) is not None
        looked_under_lock.append(not is_free)
        return is_garbage()

    monkeypatch.setattr(garbage, "_is_garbage", look)
    assert garbage.collect(database, blobs) == 1
    assert looked_under_lock == [False, True]


def test_a_collector_that_was_stopped_after_its_commit_deletes_nothing_newer(
    database: Database, blobs: Blobs
) -> None:
    digest = blobs.put_bytes(b"x")
    blobs.discard(digest)
    with database.begin() as session:
        session.execute(sa.delete(Blob).where(Blob.digest == digest))
    blobs.put_bytes(b"x")  # before the collector goes on
    blobs.forget(digest, blobs.discarded_of(digest))
    blobs.check(digest)


def test_a_collector_that_was_stopped_before_its_mark_deletes_nothing(
    database: Database, blobs: Blobs
) -> None:
    """Its transaction was ended meanwhile; somebody relied on the bytes, and named them."""
    digest = blobs.put_bytes(b"x")
    blobs.put_bytes(b"x")
    blobs.discard(digest)
    garbage.collect(database, blobs)
    blobs.check(digest)
